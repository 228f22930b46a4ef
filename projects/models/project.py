"""A project is one story universe, and the boundary of everything: settings, files, runs, money, people."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from projects.access import Principal, Role
from projects.models.people import User

ROLE_CHOICES = [(role.value, role.value) for role in Role]


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, principal: Principal) -> Self:
        """What the principal is a member of; the operator sees all, nobody nothing."""
        if principal.operator:
            return self
        if principal.user is None:
            return self.none()
        mine = self.filter(pk__in=Membership.objects.filter(user=principal.user).values("project"))
        return mine.filter(pk=principal.scope) if principal.scope else mine

    def with_role(self, principal: Principal) -> Self:
        """Annotate `role`, the principal's role in each project ('' for none; the operator is owner).

        A token acts with no more than its own role, whatever its person is.
        """
        if principal.operator:
            return self.annotate(role=models.Value(Role.OWNER.value))
        mine = Membership.objects.filter(project=models.OuterRef("pk"), user=principal.user)
        capped = [role for role in Role if role.rank < principal.most.rank]
        held = models.Case(
            models.When(role__in=capped, then=models.Value(principal.most.value)), default=models.F("role")
        )
        found = models.Subquery(mine.annotate(held=held).values("held")[:1])
        return self.annotate(role=Coalesce(found, models.Value("")))

    def active(self) -> Self:
        """Without the archived ones."""
        return self.filter(status=Project.Status.ACTIVE)


class Project(models.Model):
    """One story universe. Archived, never deleted, as it holds paid images and the record of them."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        ARCHIVED = "archived"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(max_length=200, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    objects = ProjectQuerySet.as_manager()

    if TYPE_CHECKING:
        role: str  # annotated by with_role()
        storage: "ProjectStorage"

    class Meta:
        ordering = ["-updated_at", "-created_at"]
        constraints = [
            models.CheckConstraint(name="project_slug_not_blank", condition=~models.Q(slug="")),
            models.CheckConstraint(name="project_name_not_blank", condition=~models.Q(name="")),
            models.CheckConstraint(
                name="project_status_known", condition=models.Q(status__in=["active", "archived"])
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("pipeline:dashboard", args=[self.slug])


class Membership(models.Model):
    """What one person may do in one project."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=ROLE_CHOICES)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="membership_once"),
            models.CheckConstraint(
                name="membership_role_known", condition=models.Q(role__in=[role.value for role in Role])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class ProjectStorage(models.Model):
    """Where a project's files lie, and where they are copied to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.OneToOneField(Project, models.CASCADE, related_name="storage")
    local_base_dir = models.CharField(max_length=1000, default="var/projects")
    local_project_root = models.CharField(max_length=1000, blank=True)
    s3_enabled = models.BooleanField(default=False)
    s3_bucket = models.CharField(max_length=200, blank=True)
    s3_prefix = models.CharField(max_length=500, blank=True)
    s3_region = models.CharField(max_length=100, blank=True)
    s3_profile = models.CharField(max_length=100, blank=True)
    s3_endpoint_url = models.CharField(max_length=500, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "project storage"

    def __str__(self) -> str:
        return f"storage of {self.project_id}"

    def root(self) -> Path:
        """The project's own folder, absolute; relative settings count from the application root."""
        if self.local_project_root:
            return Path(settings.APP_ROOT) / self.local_project_root
        return Path(settings.APP_ROOT) / self.local_base_dir / self.project.slug
