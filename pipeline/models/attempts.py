"""Each call to a provider or a paid tool, written down before it is made."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from pipeline.models.runs import Candidate, Run
from projects.access import Principal
from projects.models import Project


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def visible_to(self, principal: Principal) -> Self:
        """Attempts of the projects that the principal is a member of."""
        return self.filter(project__in=Project.objects.visible_to(principal))

    def open(self) -> Self:
        """Calls that were begun and of which nothing has been heard."""
        return self.filter(status=Attempt.Status.OPEN)

    def in_doubt(self) -> Self:
        """Calls that may have been billed: they wait for an owner to decide, the oldest first."""
        return self.filter(status=Attempt.Status.IN_DOUBT).order_by("started_at")

    def reserving(self) -> Self:
        """Calls whose reserved sum is still held back."""
        return self.filter(status__in=(Attempt.Status.OPEN, Attempt.Status.IN_DOUBT))


class Attempt(models.Model):
    """One call to a provider, committed before the call is made."""

    class Status(models.TextChoices):
        OPEN = "open"
        STORED = "stored"
        FAILED = "failed"
        IN_DOUBT = "in_doubt"
        LOST = "lost"
        ARRIVED = "arrived"
        ABANDONED = "abandoned"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="attempts")
    run = models.ForeignKey(Run, models.PROTECT, null=True, blank=True, related_name="attempts")
    candidate = models.ForeignKey(Candidate, models.PROTECT, null=True, blank=True, related_name="attempts")
    number = models.PositiveIntegerField(default=1, help_text="1-based try of this step")
    step = models.CharField(max_length=30, default="generate")
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    provider_code = models.CharField(max_length=100)
    model_name = models.CharField(max_length=100, blank=True)
    billed = models.BooleanField(help_text="whether the provider asks for money")
    reserved_usd = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    cost_usd = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    request_id = models.CharField(max_length=200, blank=True)
    # A paid step after generation: of which bytes, so that its answer is used again and not bought again.
    input_sha256 = models.CharField(max_length=64, blank=True)
    original_sha256 = models.CharField(max_length=64, blank=True)
    original_path = models.CharField(max_length=200, blank=True)
    usage = models.JSONField(default=dict, blank=True, help_text="what the provider says that it counted")
    error_kind = models.CharField(max_length=20, blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    http_status = models.PositiveIntegerField(null=True, blank=True)
    retryable = models.BooleanField(default=False, help_text="the same call may work later")
    # The provider asked all of its account's callers to wait until then.
    retry_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["started_at"]
        indexes = [
            # calls at once, and calls of the last minute, of one account
            models.Index(fields=["project", "provider_code", "started_at"], name="attempt_of_account"),
            # calls whose sum is held back, calls that a person must decide about
            models.Index(
                fields=["project"], condition=Q(status__in=["open", "in_doubt"]), name="attempt_reserving"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["candidate"], condition=Q(status="open"), name="attempt_open_once_a_candidate"
            ),
            models.UniqueConstraint(fields=["candidate", "step", "number"], name="attempt_number_once"),
            models.CheckConstraint(
                name="attempt_finished_iff_closed",
                condition=Q(status="open", finished_at__isnull=True)
                | (~Q(status="open") & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="attempt_stored_has_hash", condition=~Q(status="stored") | ~Q(original_sha256="")
            ),
            models.CheckConstraint(
                name="attempt_money_not_negative",
                condition=Q(reserved_usd__gte=0) & (Q(cost_usd__isnull=True) | Q(cost_usd__gte=0)),
            ),
        ]

    @property
    def counted(self) -> str:
        """The tokens that the provider says it counted, in words; '' where it says none."""
        numbers = [self.usage.get(name) for name in ("input_tokens", "output_tokens")]
        read, written = (number if isinstance(number, int) else None for number in numbers)
        return "" if read is None or written is None else f"{read:,} tokens in and {written:,} out"

    def __str__(self) -> str:
        return f"{self.step} {self.number} ({self.status})"
