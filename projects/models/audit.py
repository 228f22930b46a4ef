"""The audit trail: append-only, each row chained to the one before by a keyed hash."""

import uuid
from typing import Self

from django.db import models

from projects.models.project import Project


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def of_project(self, project: Project) -> Self:
        """What happened in one project."""
        return self.filter(project_id=project.pk)


class AuditEvent(models.Model):
    """One change somebody made. Names project and actor by plain values, so that nothing can unlink it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sequence = models.PositiveBigIntegerField(unique=True)
    project_id = models.UUIDField(null=True, blank=True)
    project_slug = models.CharField(max_length=200, blank=True)
    actor_user_id = models.UUIDField(null=True, blank=True)
    actor = models.CharField(max_length=200, blank=True)
    address = models.CharField(max_length=64, blank=True)
    token_id = models.UUIDField(null=True, blank=True, help_text="the API token it was done with")
    event_code = models.CharField(max_length=100, db_index=True)
    subject_type = models.CharField(max_length=100, blank=True)
    subject_id = models.CharField(max_length=100, blank=True)
    payload = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_index=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)
    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-sequence"]
        # A universe's trail on its page: newest first, from any place on.
        indexes = [models.Index(fields=["project_id", "sequence"], name="audit_of_project")]

    def __str__(self) -> str:
        return f"{self.sequence} {self.event_code}"


class AuditHead(models.Model):
    """The end of the chain, one row, updated with each event: it serialises the writers."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(name="audit_head_is_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"head at {self.sequence}"
