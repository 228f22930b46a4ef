"""The Lab: one-off work of a person on one image, outside of every universe, gone after a day."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from projects.access import Principal
from projects.models import User


class LabWorkQuerySet(models.QuerySet["LabWork"]):
    def visible_to(self, principal: Principal) -> Self:
        """A person's own works; nobody else sees them."""
        return self.filter(user=principal.user) if principal.user else self.none()

    def open(self) -> Self:
        """What is still to be done, or in hand."""
        return self.filter(state__in=(LabWork.State.QUEUED, LabWork.State.RUNNING))


class LabWork(models.Model):
    """One image and what one tool makes of it. Its files lie in a folder of its own, named after its id."""

    class Tool(models.TextChoices):
        CUTOUT = "cutout", "Remove the background"
        UPSCALE = "upscale", "Enlarge"
        COLOUR = "colour", "Correct the colours"
        RESTYLE = "restyle", "Redraw in a style"

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="lab_works")
    tool = models.CharField(max_length=10, choices=Tool)
    options = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    label = models.CharField(max_length=300)
    source = models.CharField(max_length=100, help_text="name of its file in its folder")
    style = models.CharField(max_length=100, blank=True)
    result = models.CharField(max_length=100, blank=True)
    facts = models.JSONField(default=dict, help_text="sizes, tool, seconds, and the tones before and after")
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    rung_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    objects = LabWorkQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="lab_work_finished_iff_closed",
                condition=Q(state__in=["queued", "running"], finished_at__isnull=True)
                | Q(state__in=["done", "failed"], finished_at__isnull=False),
            ),
            models.CheckConstraint(name="lab_work_result_iff_done", condition=Q(state="done") ^ Q(result="")),
            models.CheckConstraint(
                name="lab_work_tool_known",
                condition=Q(tool__in=["cutout", "upscale", "colour", "restyle"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_tool_display()}: {self.label}"

    @property
    def is_open(self) -> bool:
        """Whether something is still to come of it."""
        return self.finished_at is None

    def get_absolute_url(self) -> str:
        return reverse("pipeline:lab-work", args=[self.pk])
