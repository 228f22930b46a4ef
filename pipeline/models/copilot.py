"""Conversations, and instructions that an agent carries out once a person has confirmed them."""

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from projects.models import InProjectQuerySet, Project


class ChatSession(models.Model):
    """One conversation about a project."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="chat_sessions")
    title = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=20, default="active")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    objects = InProjectQuerySet["ChatSession"].as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]

    def __str__(self) -> str:
        return self.title or "untitled"


class ChatMessage(models.Model):
    """One thing said in a conversation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="chat_messages")
    session = models.ForeignKey(ChatSession, models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=20)
    content = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = InProjectQuerySet["ChatMessage"].as_manager()

    class Meta:
        ordering = ["session", "position"]
        constraints = [
            models.UniqueConstraint(fields=["session", "position"], name="chat_message_position_once")
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position}"


class AgentInstructionQuerySet(InProjectQuerySet["AgentInstruction"]):
    def due(self, now: datetime) -> Self:
        """Confirmed, and not waiting for the moment of another try."""
        soon_enough = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
        return self.filter(soon_enough, status=AgentInstruction.Status.CONFIRMED)

    def free(self, now: datetime, *, locked_for: timedelta) -> Self:
        """Nobody holds them, or somebody who took them longer than this ago."""
        return self.filter(Q(locked_at__isnull=True) | Q(locked_at__lte=now - locked_for))

    def held_by(self, worker_id: str, attempt: int) -> Self:
        """Still in the hands of the worker that took them for this attempt."""
        return self.filter(status=AgentInstruction.Status.RUNNING, locked_by=worker_id, attempts=attempt)

    def left_behind(self, now: datetime, *, locked_for: timedelta) -> Self:
        """Taken by a worker that must have died: neither its result nor a run is known."""
        alone = Q(locked_at__lte=now - locked_for) | Q(locked_at__isnull=True, deadline_at__isnull=True)
        return self.filter(alone, status=AgentInstruction.Status.RUNNING, run__isnull=True)

    def overdue(self, now: datetime) -> Self:
        """The agent took them and has not reported back in time."""
        return self.filter(
            status=AgentInstruction.Status.RUNNING, locked_at__isnull=True, deadline_at__lte=now
        )

    def with_ended_run(self) -> Self:
        """Those whose run has come to its end, which they have not been told yet."""
        return self.filter(status=AgentInstruction.Status.RUNNING, run__finished_at__isnull=False)


class AgentInstruction(models.Model):
    """Something that is to be done for a project once a person has confirmed it: by an agent, or by us."""

    class Status(models.TextChoices):
        PENDING = "pending"
        CONFIRMED = "confirmed"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    class Type(models.TextChoices):
        PIPELINE_RUN = "pipeline_run"
        ASSET_EDIT = "asset_edit"
        QA_CHECK = "qa_check"
        STORAGE_SYNC = "storage_sync"
        CUSTOM = "custom"

    class Executor(models.TextChoices):
        AGENT = "agent"
        KROMA = "kroma"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="agent_instructions")
    instruction_text = models.TextField()
    instruction_type = models.CharField(max_length=20, choices=Type, default=Type.CUSTOM)
    # What the caller sent beside the text: any JSON value, and three objects.
    payload = models.JSONField(default=dict, blank=True)
    constraints = models.JSONField(default=dict, blank=True)
    inputs = models.JSONField(default=dict, blank=True)
    execution = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="instructions"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="confirmed_instructions",
        help_text="none for the operator",
    )
    executor = models.CharField(
        max_length=10,
        choices=Executor,
        blank=True,
        help_text="who carries it out; settled at the confirmation",
    )
    spend_confirmed = models.BooleanField(default=False, help_text="the run it asks for may cost money")
    attempts = models.PositiveIntegerField(default=0, help_text="how often a worker has taken it")
    max_attempts = models.PositiveIntegerField(
        null=True, blank=True, help_text="the limit at the last attempt"
    )
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    locked_by = models.CharField(max_length=100, blank=True, help_text="the worker that has it in hand")
    locked_at = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True, help_text="when the queue was last told of it")
    last_error = models.TextField(blank=True)
    response = models.JSONField(default=dict, blank=True, help_text="the agent's last answer or report")
    callback_hash = models.CharField(
        max_length=64, blank=True, help_text="of the secret the agent reports with"
    )
    deadline_at = models.DateTimeField(null=True, blank=True, help_text="until when the agent has to report")
    run = models.ForeignKey(
        "pipeline.Run", models.PROTECT, null=True, blank=True, related_name="instructions"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    objects = AgentInstructionQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="agent_instruction_status_known",
                condition=Q(status__in=["pending", "confirmed", "running", "done", "failed", "canceled"]),
            ),
            models.CheckConstraint(
                name="agent_instruction_locked_by_somebody",
                condition=Q(locked_by="", locked_at__isnull=True)
                | (~Q(locked_by="") & Q(locked_at__isnull=False)),
            ),
        ]
        # The worker's looks for what is due, left behind or overdue: a few rows of a few states.
        indexes = [models.Index(fields=["status", "updated_at"], name="agent_instruction_by_status")]

    def __str__(self) -> str:
        return self.instruction_text[:60]


class AgentInstructionEvent(models.Model):
    """One thing that happened to an instruction."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="agent_instruction_events")
    instruction = models.ForeignKey(AgentInstruction, models.CASCADE, related_name="events")
    position = models.PositiveIntegerField()
    event_type = models.CharField(max_length=50)
    message = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    objects = InProjectQuerySet["AgentInstructionEvent"].as_manager()

    class Meta:
        ordering = ["instruction", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["instruction", "position"], name="agent_instruction_event_position_once"
            )
        ]

    def __str__(self) -> str:
        return self.event_type
