"""What the exchange keeps: the settings of a universe as they were before each change that it made."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from projects.access import Principal
from projects.models import Project, User


class SettingsSnapshotQuerySet(models.QuerySet["SettingsSnapshot"]):
    def visible_to(self, principal: Principal) -> Self:
        """Snapshots of the projects that the principal is a member of."""
        return self.filter(project__in=Project.objects.visible_to(principal))

    def without_content(self) -> Self:
        """For lists: the settings themselves may be megabytes, and are read only when they are asked for."""
        return self.defer("content")


class SettingsSnapshot(models.Model):
    """The settings of a universe just before an import, a restore or a copy changed them.

    `content` is what `bootstrap.snapshots` writes: no secret value and no credential stands in it.
    `changes` is what then happened: counts by kind, and the mode.
    """

    class Reason(models.TextChoices):
        IMPORT = "import"
        RESTORE = "restore"
        COPY = "copy"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="settings_snapshots")
    reason = models.CharField(max_length=10, choices=Reason)
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    actor = models.CharField(max_length=200, blank=True, help_text="as the audit trail names them")
    content = models.JSONField(editable=False)
    fingerprint = models.CharField(max_length=64, editable=False)
    n_entries = models.PositiveIntegerField()
    changes = models.JSONField(default=dict, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = SettingsSnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="settings_snapshot_reason_known", condition=Q(reason__in=["import", "restore", "copy"])
            ),
        ]
        # The history of a universe: newest first.
        indexes = [models.Index(fields=["project", "-created_at"], name="snapshots_of_project")]

    @property
    def told(self) -> str:
        """What the change did, in words: `created 3, updated 2`."""
        sections = self.changes.get("sections", {}).values()
        numbers = {kind: sum(one[kind] for one in sections) for kind in ("created", "updated", "deleted")}
        words = [f"{kind} {number}" for kind, number in numbers.items() if number]
        if self.changes.get("project_updated"):
            words.append("name or description of the universe changed")
        return ", ".join(words) or "nothing was different"

    def __str__(self) -> str:
        return f"{self.project_id} before {self.reason} at {self.created_at:%Y-%m-%d %H:%M}"
