"""Conversations, and instructions that an agent carries out once a person has confirmed them."""

import uuid

from django.db import models
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


class AgentInstruction(models.Model):
    """Something an agent is to do for a project."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        CONFIRMED = "confirmed"
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="agent_instructions")
    instruction_text = models.TextField()
    status = models.CharField(max_length=20, choices=Status, default=Status.DRAFT)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    objects = InProjectQuerySet["AgentInstruction"].as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]

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
