"""Files and how they came to be, what was found out about them, what they cost, what people said."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from pipeline.models.runs import Candidate, Run, RunJob
from projects.access import Principal
from projects.models import InProjectQuerySet, Project


class AssetQuerySet(models.QuerySet["Asset"]):
    def visible_to(self, principal: Principal) -> Self:
        """Assets of the projects that the principal is a member of."""
        return self.filter(project__in=Project.objects.visible_to(principal))


class Asset(models.Model):
    """One file of a project. The row follows its file: an archived file's row gets the new path."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="assets")
    kind = models.CharField(max_length=50)
    rel_path = models.CharField(max_length=1000, help_text="relative to the project root")
    storage_backend = models.CharField(max_length=20, default="local")
    mime_type = models.CharField(max_length=100, blank=True)
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    n_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    run = models.ForeignKey(Run, models.PROTECT, null=True, blank=True, related_name="assets")
    job = models.ForeignKey(RunJob, models.PROTECT, null=True, blank=True, related_name="assets")
    candidate = models.ForeignKey(Candidate, models.PROTECT, null=True, blank=True, related_name="assets")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = AssetQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # the asset browser: newest of a project
            models.Index(fields=["project", "-created_at"], name="asset_newest_of_project"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project", "rel_path"], name="asset_path_once"),
            models.CheckConstraint(name="asset_path_not_blank", condition=~Q(rel_path="")),
        ]

    def __str__(self) -> str:
        return self.rel_path

    def get_absolute_url(self) -> str:
        return reverse("pipeline:asset-file", args=[self.project.slug, self.pk])


class AssetLink(models.Model):
    """Where a file comes from: the child was made from the parent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="asset_links")
    parent = models.ForeignKey(Asset, models.CASCADE, related_name="child_links")
    child = models.ForeignKey(Asset, models.CASCADE, related_name="parent_links")
    link_type = models.CharField(max_length=50)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    objects = InProjectQuerySet["AssetLink"].as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "parent", "child", "link_type"], name="asset_link_once"
            ),
            models.CheckConstraint(name="asset_link_not_to_itself", condition=~Q(parent=models.F("child"))),
        ]

    def __str__(self) -> str:
        return self.link_type


class QualityReport(models.Model):
    """What a check found out about a file."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="quality_reports")
    run = models.ForeignKey(Run, models.PROTECT, null=True, blank=True, related_name="quality_reports")
    candidate = models.ForeignKey(
        Candidate, models.PROTECT, null=True, blank=True, related_name="quality_reports"
    )
    asset = models.ForeignKey(Asset, models.PROTECT, null=True, blank=True, related_name="quality_reports")
    report_type = models.CharField(max_length=50)
    grade = models.CharField(max_length=20, blank=True)
    hard_failures = models.PositiveIntegerField(default=0)
    soft_warnings = models.PositiveIntegerField(default=0)
    avg_chroma_exceed = models.FloatField(default=0.0)
    summary = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = InProjectQuerySet["QualityReport"].as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["candidate", "report_type"], name="quality_report_once")
        ]

    def __str__(self) -> str:
        return f"{self.report_type} {self.grade}".strip()


class CostEvent(models.Model):
    """Money that was spent, in USD."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="cost_events")
    run = models.ForeignKey(Run, models.PROTECT, null=True, blank=True, related_name="cost_events")
    job = models.ForeignKey(RunJob, models.PROTECT, null=True, blank=True, related_name="cost_events")
    attempt = models.OneToOneField(
        "Attempt", models.PROTECT, null=True, blank=True, related_name="cost_event"
    )
    provider_code = models.CharField(max_length=100)
    model_name = models.CharField(max_length=100, blank=True)
    event_type = models.CharField(max_length=50)
    units = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    unit_cost_usd = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    total_cost_usd = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    currency = models.CharField(max_length=3, default="USD")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = InProjectQuerySet["CostEvent"].as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # what a project has spent today and this month
            models.Index(fields=["project", "created_at"], name="cost_of_project"),
        ]
        constraints = [
            models.CheckConstraint(name="cost_event_not_negative", condition=Q(total_cost_usd__gte=0))
        ]

    def __str__(self) -> str:
        return f"{self.total_cost_usd} {self.currency}"


class Review(models.Model):
    """What a person said about a job. Rows are added, never changed: the newest verdict counts."""

    class Verdict(models.TextChoices):
        APPROVED = "approved"
        REJECTED = "rejected"
        PICKED = "picked"
        REOPENED = "reopened"
        NOTE = "note"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="reviews")
    job = models.ForeignKey(RunJob, models.PROTECT, related_name="reviews")
    candidate = models.ForeignKey(Candidate, models.PROTECT, null=True, blank=True, related_name="reviews")
    verdict = models.CharField(max_length=10, choices=Verdict)
    note = models.TextField(blank=True)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="reviews"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = InProjectQuerySet["Review"].as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="review_rejection_has_reason", condition=~Q(verdict="rejected") | ~Q(note="")
            )
        ]

    def __str__(self) -> str:
        return str(self.verdict)


class Export(models.Model):
    """A package of a project or a run."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="exports")
    run = models.ForeignKey(Run, models.PROTECT, null=True, blank=True, related_name="exports")
    status = models.CharField(max_length=20)
    export_format = models.CharField(max_length=20)
    rel_path = models.CharField(max_length=1000, blank=True)
    n_bytes = models.PositiveBigIntegerField(default=0)
    checksum_sha256 = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    completed_at = models.DateTimeField(null=True, blank=True)
    objects = InProjectQuerySet["Export"].as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.export_format} export"
