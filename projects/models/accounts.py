"""What a project needs from outside: provider accounts, secrets, tokens, and the money it may spend."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from projects.access import Principal, Role
from projects.models.continuity import InProjectQuerySet
from projects.models.people import User
from projects.models.project import ROLE_CHOICES, Project


class ProviderAccount(models.Model):
    """How a project reaches one image provider. Holds no key: keys are secrets."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="provider_accounts")
    provider_code = models.CharField(max_length=100)
    display_name = models.CharField(max_length=200, blank=True)
    account_ref = models.CharField(max_length=200, blank=True)
    base_url = models.CharField(max_length=500, blank=True)
    enabled = models.BooleanField(default=True)
    config = models.JSONField(default=dict, blank=True)
    max_concurrency = models.PositiveIntegerField(
        null=True, blank=True, help_text="calls at once; blank = no limit"
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="blank = no limit")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    objects = InProjectQuerySet["ProviderAccount"].as_manager()

    class Meta:
        ordering = ["provider_code"]
        constraints = [
            models.UniqueConstraint(fields=["project", "provider_code"], name="provider_account_code_once"),
            models.CheckConstraint(name="provider_account_code_not_blank", condition=~Q(provider_code="")),
            # None is no limit; with 0 a run would wait for ever.
            models.CheckConstraint(
                name="provider_account_limits_from_1",
                condition=(Q(max_concurrency__isnull=True) | Q(max_concurrency__gte=1))
                & (Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gte=1)),
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.provider_code


class Secret(models.Model):
    """An encrypted value of a project, write-only from outside: no page, log or export shows it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="secrets")
    provider_code = models.CharField(max_length=100)
    secret_name = models.CharField(max_length=200)
    value_encrypted = models.TextField(blank=True, editable=False)
    key_ref = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    objects = InProjectQuerySet["Secret"].as_manager()

    class Meta:
        ordering = ["provider_code", "secret_name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "provider_code", "secret_name"], name="secret_name_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider_code}/{self.secret_name}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def active(self, now: datetime) -> Self:
        """Tokens that were not revoked and have not expired."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)

    def visible_to(self, principal: Principal) -> Self:
        """A person's own tokens; a token of one project sees itself only, the operator sees all."""
        if principal.operator:
            return self
        if principal.user is None:
            return self.none()
        mine = self.filter(user=principal.user)
        return mine.filter(pk=principal.token_id) if principal.scope else mine


class ApiToken(models.Model):
    """A bearer token of a person for programs. Only its hash and a prefix are kept.

    It acts with its person's role in each project, but never with more than its own.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="api_tokens")
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="api_tokens")
    label = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=10, choices=ROLE_CHOICES, default=Role.OWNER)
    token_prefix = models.CharField(max_length=20, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    expires_text = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text="in UTC, its fraction as it was given",
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="api_token_role_known", condition=Q(role__in=[role.value for role in Role])
            )
        ]

    def __str__(self) -> str:
        return f"{self.token_prefix}… ({self.label})"

    def is_active(self, now: datetime) -> bool:
        """Whether it lets in at this moment, as `active()` says it of many."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Budget(models.Model):
    """How much a project may spend in USD; a blank limit is no limit. Days and months count in UTC."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.OneToOneField(Project, models.CASCADE, related_name="budget")
    per_run_usd = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    per_day_usd = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    per_month_usd = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name=f"budget_{period}_not_negative",
                condition=Q(**{f"{period}_usd__isnull": True}) | Q(**{f"{period}_usd__gte": 0}),
            )
            for period in ("per_run", "per_day", "per_month")
        ]

    def __str__(self) -> str:
        return f"budget of {self.project_id}"
