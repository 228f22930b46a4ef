"""Routes: conversations about a project."""

from ninja import Query, Router, Schema
from pydantic import Field, StrictStr

from pipeline.models import ChatMessage, ChatSession
from pipeline.services import chat
from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, answers, moment, project_of, row_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid
from projects.texts import optional_text, required_text

router = Router(tags=["chat"])

SESSIONS = "/api/projects/{slug}/chat/sessions"
NOT_FOUND = "Chat session not found"


class SessionIn(Schema):
    """A conversation to begin."""

    title: StrictStr | None = Field(
        None, description=f"Blank or absent: `{chat.NEW_SESSION}`.", examples=["Chapter two"]
    )

    def checked(self) -> str:
        """The title, '' for none. Raises `Invalid`."""
        return optional_text("title", self.title, longest=chat.LONGEST_TITLE)


class MessageIn(Schema):
    """Something to say."""

    role: StrictStr = Field("", description=f"One of: {', '.join(chat.ROLES)}.", examples=["user"])
    content: StrictStr = Field("", examples=["Make the harbour colder."])
    content_text: StrictStr | None = Field(None, description="Read where `content` is absent.")

    def checked(self) -> dict[str, str]:
        """The fields to write. Raises `Invalid`."""
        role = required_text("role", self.role).lower()
        if role not in chat.ROLES:
            raise Invalid(f"Field 'role' must be one of: {', '.join(chat.ROLES)}")
        said = self.content if "content" in self.model_fields_set else self.content_text
        return {"role": role, "content": required_text("content", said)}


class ChatSessionOut(Schema):
    """One conversation."""

    id: str
    project_id: str
    title: str
    status: str = Field(description="Always `active`.", examples=["active"])
    created_at: str = Field(examples=["2026-05-04T10:00:00Z"])
    updated_at: str = Field(description="When it was begun, or something was said last.")


class ChatMessageOut(Schema):
    """One thing that was said."""

    id: str
    project_id: str
    session_id: str
    role: str = Field(examples=["user"])
    content: str
    created_at: str = Field(examples=["2026-05-04T10:00:00Z"])


class SessionAnswer(Answer):
    """One conversation."""

    session: ChatSessionOut


class SessionsAnswer(ListAnswer):
    """Conversations, the one with the latest word first."""

    sessions: list[ChatSessionOut]


class MessageAnswer(Answer):
    """What was said."""

    message: ChatMessageOut


class MessagesAnswer(ListAnswer):
    """A conversation, the oldest word first."""

    session_id: str = Field(description="As it was sent.")
    messages: list[ChatMessageOut]


@router.get(
    SESSIONS, auth=Bearer(Action.READ), response=answers(SessionsAnswer), summary="List conversations"
)
def list_chat_sessions(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """All conversations about a project, the one with the latest word first."""
    sessions = ChatSession.objects.filter(project=project_of(request))
    return page_of(sessions, query, order=["-updated_at", "-id"]).answer("sessions", shown_session)


@router.post(
    SESSIONS,
    auth=Bearer(Action.INSTRUCT),
    response=answers(SessionAnswer, body=True),
    summary="Begin a conversation",
)
def create_chat_session(request: ApiRequest, slug: str, payload: SessionIn) -> dict[str, object]:
    """Begin a conversation about a project."""
    title = payload.checked()
    session = chat.create_session(project_of(request), title=title, by=request.principal)
    return {"session": shown_session(session)}


@router.get(
    f"{SESSIONS}/{{session_id}}",
    auth=Bearer(Action.READ),
    response=answers(SessionAnswer),
    summary="Show a conversation",
)
def get_chat_session(request: ApiRequest, slug: str, session_id: str) -> dict[str, object]:
    """One conversation, without what was said."""
    return {"session": shown_session(_session(request, session_id))}


@router.get(
    f"{SESSIONS}/{{session_id}}/messages",
    auth=Bearer(Action.READ),
    response=answers(MessagesAnswer),
    summary="List what was said",
)
def list_chat_messages(
    request: ApiRequest, slug: str, session_id: str, query: Query[ListQuery]
) -> dict[str, object]:
    """What was said in a conversation, the oldest word first."""
    messages = _session(request, session_id).messages.all()
    answer = page_of(messages, query, order=["position"]).answer("messages", shown_message)
    return {**answer, "session_id": session_id}


@router.post(
    f"{SESSIONS}/{{session_id}}/messages",
    auth=Bearer(Action.INSTRUCT),
    response=answers(MessageAnswer, body=True),
    summary="Say something",
)
def create_chat_message(
    request: ApiRequest, slug: str, session_id: str, payload: MessageIn
) -> dict[str, object]:
    """Add to a conversation; what was said is never changed or taken back."""
    fields = payload.checked()
    message = chat.add_message(_session(request, session_id), **fields, by=request.principal)
    return {"message": shown_message(message)}


def _session(request: ApiRequest, session_id: str) -> ChatSession:
    project = project_of(request, missing=NOT_FOUND)
    sessions = ChatSession.objects.filter(project=project).select_related("project")
    return row_of(sessions, session_id, missing=NOT_FOUND)


def shown_session(session: ChatSession) -> dict[str, object]:
    """A conversation as the API shows it."""
    return {
        "id": str(session.pk),
        "project_id": str(session.project_id),
        "title": session.title,
        "status": session.status,
        "created_at": moment(session.created_at),
        "updated_at": moment(session.updated_at),
    }


def shown_message(message: ChatMessage) -> dict[str, object]:
    """A word of a conversation as the API shows it."""
    return {
        "id": str(message.pk),
        "project_id": str(message.project_id),
        "session_id": str(message.session_id),
        "role": message.role,
        "content": message.content,
        "created_at": moment(message.created_at),
    }
