"""Whether the accounts of providers work, as far as it was asked."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from projects.models import Project
from projects.models.continuity import InProjectQuerySet


class AccountHealthQuerySet(InProjectQuerySet["AccountHealth"]):
    def note(self, project: Project, code: str, *, ok: bool, message: str) -> "AccountHealth":
        """Keep what was found just now: by a check, or by a call that was refused for its whole account."""
        found = {"ok": ok, "message": message, "checked_at": timezone.now()}
        return self.update_or_create(project=project, provider_code=code, defaults=found)[0]


class AccountHealth(models.Model):
    """What the last check of a project's way to a provider found, in words; nothing secret.

    It belongs to the pair of project and code: a key of the environment works without an account's row, too.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="account_health")
    provider_code = models.CharField(max_length=100)
    ok = models.BooleanField()
    message = models.TextField()
    checked_at = models.DateTimeField(default=timezone.now)
    objects = AccountHealthQuerySet.as_manager()

    class Meta:
        ordering = ["provider_code"]
        constraints = [
            models.UniqueConstraint(fields=["project", "provider_code"], name="account_health_once"),
            models.CheckConstraint(
                name="account_health_says_something", condition=~Q(provider_code="") & ~Q(message="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider_code}: {self.message}"
