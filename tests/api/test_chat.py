"""Conversations over the API."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from pipeline.models import ChatMessage, ChatSession
from projects.models import AuditEvent, Project
from tests.api.conftest import Api
from tests.factories import make_project

BLANK_ROLE = (400, "validation", "validation_error", "Field 'role' is required")
NOT_FOUND = (404, "validation", "not_found", "Chat session not found")


@pytest.fixture
def erin(caller: Callable[..., Api]) -> Api:
    return caller("erin")


@pytest.fixture
def sessions(project: Project) -> str:
    return f"/api/projects/{project.slug}/chat/sessions"


def begun(erin: Api, sessions: str) -> str:
    return str(erin.post(sessions, {}).body["session"]["id"])


def test_a_session_has_a_title_in_any_case(erin: Api, sessions: str, project: Project) -> None:
    answer = erin.post(sessions, {"title": "  Chapter two ", "username": "x", "context_json": {"a": 1}})
    assert answer.status == 200
    shown = answer.body["session"]
    assert set(shown) == {"id", "project_id", "title", "status", "created_at", "updated_at"}
    assert (shown["title"], shown["status"], shown["project_id"]) == (
        "Chapter two",
        "active",
        str(project.pk),
    )
    assert "audit_id" not in answer.body
    for title in ({}, {"title": " "}, {"title": None}):
        assert erin.post(sessions, title).body["session"]["title"] == "New Session"
    assert erin.post(sessions, {"title": "x" * 301}).status == 400
    assert erin.post(sessions, {"title": 5}).status == 422
    assert erin.get(f"{sessions}/{shown['id']}").body == {"ok": True, "session": shown}
    assert AuditEvent.objects.filter(event_code="chat_session.created").count() == 4


def test_messages_are_judged_before_their_session_is_looked_up(erin: Api, sessions: str) -> None:
    nowhere = f"{sessions}/x/messages"
    assert erin.post(nowhere, {}).error == BLANK_ROLE
    assert erin.post(nowhere, {"role": "boss", "content": "a"}).error[3] == (
        "Field 'role' must be one of: user, assistant, system, tool"
    )
    assert erin.post(nowhere, {"role": "user"}).error[3] == "Field 'content' is required"
    assert erin.post(nowhere, {"role": "user", "content": None}).status == 422
    assert erin.post(nowhere, {"role": "user", "content": "a"}).error == NOT_FOUND
    assert erin.get(nowhere).error == NOT_FOUND
    assert erin.get(f"{sessions}/x").error == NOT_FOUND


def test_an_unknown_project_has_no_session(bypass: Api) -> None:
    assert bypass.get("/api/projects/x/chat/sessions").error[3] == "Project not found"
    assert bypass.post("/api/projects/x/chat/sessions").error[3] == "Project not found"
    assert bypass.get("/api/projects/x/chat/sessions/x").error == NOT_FOUND
    assert bypass.post("/api/projects/x/chat/sessions/x/messages").error == BLANK_ROLE
    said = {"role": "user", "content": "a"}
    assert bypass.post("/api/projects/x/chat/sessions/x/messages", said).error == NOT_FOUND


@pytest.mark.acceptance("U-16")
def test_messages_keep_their_order_and_move_their_session_up(erin: Api, sessions: str) -> None:
    first, second = begun(erin, sessions), begun(erin, sessions)
    assert [row["id"] for row in erin.get(sessions).body["sessions"]] == [second, first]
    for role, content in ((" USER ", " Colder. "), ("assistant", "Done."), ("tool", "{}")):
        answer = erin.post(f"{sessions}/{first}/messages", {"role": role, "content": content})
        assert set(answer.body) == {"ok", "message"}
    answer = erin.get(f"{sessions}/{first}/messages")
    assert answer.body["session_id"] == first
    assert answer.body["count"] == 3
    said = [(row["role"], row["content"]) for row in answer.body["messages"]]
    assert said == [("user", "Colder."), ("assistant", "Done."), ("tool", "{}")]
    assert set(answer.body["messages"][0]) == {
        "id", "project_id", "session_id", "role", "content", "created_at"
    }  # fmt: skip
    assert [row["id"] for row in erin.get(sessions).body["sessions"]] == [first, second]
    page = erin.get(f"{sessions}/{first}/messages", limit=2).body
    rest = erin.get(f"{sessions}/{first}/messages", limit=2, cursor=page["next_cursor"]).body
    assert [row["role"] for row in rest["messages"]] == ["tool"]


def test_the_published_name_of_the_content_is_read_too(erin: Api, sessions: str) -> None:
    messages = f"{sessions}/{begun(erin, sessions)}/messages"
    answer = erin.post(messages, {"role": "user", "content_text": "Hi", "content_json": [1]})
    assert answer.body["message"]["content"] == "Hi"
    assert erin.post(messages, {"role": "user", "content": " ", "content_text": "Hi"}).error[3] == (
        "Field 'content' is required"
    )


def test_the_audit_trail_gets_no_word_of_what_was_said(erin: Api, sessions: str) -> None:
    session = begun(erin, sessions)
    erin.post(f"{sessions}/{session}/messages", {"role": "user", "content": "between us"})
    event = AuditEvent.objects.get(event_code="chat_message.created")
    assert event.payload == {"session_id": session, "role": "user", "length": 10}
    assert event.actor == "erin"


def test_a_session_of_another_project_is_not_found(bypass: Api, project: Project, sessions: str) -> None:
    other = ChatSession.objects.create(project=make_project(name="Other"))
    assert bypass.get(f"{sessions}/{other.pk}").error == NOT_FOUND
    assert bypass.get(f"{sessions}/{other.pk}/messages").error == NOT_FOUND
    said = {"role": "user", "content": "a"}
    assert bypass.post(f"{sessions}/{other.pk}/messages", said).error == NOT_FOUND
    own = ChatSession.objects.create(project=project)
    assert bypass.get(f"{sessions}/{str(own.pk).upper()}").error == NOT_FOUND


def test_readers_read_and_editors_talk(caller: Callable[..., Api], erin: Api, sessions: str) -> None:
    session = begun(erin, sessions)
    rita = caller("rita")
    assert rita.get(f"{sessions}/{session}/messages").status == 200
    assert rita.post(sessions).status == 403
    said = {"role": "user", "content": "a"}
    assert rita.post(f"{sessions}/{session}/messages", said).status == 403


def test_a_position_is_given_once(project: Project) -> None:
    session = ChatSession.objects.create(project=project)
    fields = {"project": project, "session": session, "role": "user", "content": "a", "position": 1}
    ChatMessage.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        ChatMessage.objects.create(**fields)


def test_lists_need_a_constant_number_of_queries(
    erin: Api, sessions: str, django_assert_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    session = begun(erin, sessions)
    messages = f"{sessions}/{session}/messages"
    erin.post(messages, {"role": "user", "content": "a"})
    for path in (sessions, messages):
        with CaptureQueriesContext(connection) as few:
            erin.get(path)
        n_few = len(few)
        begun(erin, sessions)
        for _ in range(3):
            erin.post(messages, {"role": "user", "content": "a"})
        with django_assert_num_queries(n_few):
            erin.get(path)
