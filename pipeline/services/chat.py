"""Conversations about a project: begun, and added to. What was said is never changed."""

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from pipeline.models import ChatMessage, ChatSession
from projects import audit
from projects.access import Principal
from projects.models import Project

NEW_SESSION = "New Session"
LONGEST_TITLE = 300
ROLES = ("user", "assistant", "system", "tool")


def create_session(project: Project, *, title: str = "", by: Principal) -> ChatSession:
    """Begin a conversation; without a title it gets a general one."""
    with transaction.atomic():
        session = ChatSession.objects.create(project=project, title=title or NEW_SESSION)
        audit.record(project, "chat_session.created", session, by=by)
    return session


def add_message(session: ChatSession, *, role: str, content: str, by: Principal) -> ChatMessage:
    """Say something; the conversation counts as changed. The audit trail gets no word of it."""
    with transaction.atomic():
        # This holds the session's row until the end: whoever else adds to it waits for the next position.
        ChatSession.objects.filter(pk=session.pk).update(updated_at=timezone.now())
        last = session.messages.aggregate(position=Max("position"))["position"]
        message = ChatMessage.objects.create(
            project_id=session.project_id,
            session=session,
            position=1 if last is None else last + 1,
            role=role,
            content=content,
        )
        audit.record(
            session.project,
            "chat_message.created",
            message,
            by=by,
            session_id=str(session.pk),
            role=role,
            length=len(content),
        )
    return message
