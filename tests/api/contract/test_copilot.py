"""Sections 11 and 12: chat, and instructions for an agent."""

import itertools
from typing import Any

import pytest

from pipeline.models import AgentInstruction
from tests.api.contract import routes
from tests.api.contract.conftest import World
from tests.api.contract.routes import absent, invalid


def session(world: World, **body: object) -> dict[str, Any]:
    shown: dict[str, Any] = world.post(routes.CHATS, body)["session"]
    return shown


def instruction(world: World, text: str = "Draw") -> dict[str, Any]:
    shown: dict[str, Any] = world.post(routes.ORDERS, {"instruction_text": text})["instruction"]
    return shown


# Chat


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ({}, "New Session"),
        ({"title": None}, "New Session"),
        ({"title": " "}, "New Session"),
        ({"title": " A "}, "A"),
    ],
)
def test_a_session_has_a_title_and_is_active(plain: World, body: dict[str, object], title: str) -> None:
    shown = session(plain, **body)
    assert (shown["title"], shown["status"]) == (title, "active")
    assert plain.get(f"{routes.CHATS}/{shown['id']}")["session"] == shown
    assert plain.get(f"{routes.CHATS}/{shown['id']}/messages")["messages"] == []


def test_published_fields_of_a_session_are_accepted_and_ignored(plain: World) -> None:
    assert session(plain, title="A", username="maya", context_json={"a": 1})["title"] == "A"


def test_messages_are_kept_trimmed_oldest_first(plain: World) -> None:
    path = f"{routes.CHATS}/{session(plain)['id']}/messages"
    sent = [(" USER ", " one "), ("assistant", "two\nlines"), ("System", "three"), ("tool", "{}")]
    made = [plain.post(path, {"role": role, "content": content})["message"] for role, content in sent]
    assert [(row["role"], row["content"]) for row in made] == [
        ("user", "one"), ("assistant", "two\nlines"), ("system", "three"), ("tool", "{}")
    ]  # fmt: skip
    body = plain.get(path)
    assert (body["count"], body["messages"]) == (4, made)


def test_the_published_name_of_the_content_is_accepted_where_content_is_absent(plain: World) -> None:
    path = f"{routes.CHATS}/{session(plain)['id']}/messages"
    assert plain.post(path, {"role": "user", "content_text": " a "})["message"]["content"] == "a"
    body = {"role": "user", "content_text": "a", "content": "b"}
    assert plain.post(path, body)["message"]["content"] == "b"
    answered = plain.api.post(plain.at(path), {"role": "user", "content_text": " "})
    assert answered.error == invalid("Field 'content' is required")


def test_a_message_moves_its_session_to_the_top(plain: World) -> None:
    first, second = session(plain, title="First"), session(plain, title="Second")
    assert [row["id"] for row in plain.get(routes.CHATS)["sessions"]] == [second["id"], first["id"]]
    plain.post(f"{routes.CHATS}/{first['id']}/messages", {"role": "user", "content": "c"})
    assert [row["id"] for row in plain.get(routes.CHATS)["sessions"]] == [first["id"], second["id"]]


def test_messages_of_sessions_are_apart(plain: World, other: World) -> None:
    first, second = session(plain), session(plain)
    plain.post(f"{routes.CHATS}/{first['id']}/messages", {"role": "user", "content": "c"})
    assert plain.get(f"{routes.CHATS}/{second['id']}/messages")["count"] == 0
    foreign = other.at(f"{routes.CHATS}/{first['id']}/messages")
    missing = absent("Chat session not found")
    assert other.api.get(foreign).error == missing
    assert other.api.post(foreign, {"role": "user", "content": "c"}).error == missing
    assert plain.get(f"{routes.CHATS}/{first['id']}/messages")["count"] == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_messages_can_only_be_added(world: World, method: str) -> None:
    path = world.at(f"{routes.CHAT}/messages")
    assert world.api.raw(method, path, b"{}").status == 405
    assert world.api.raw(method, f"{path}/{world.ids['message']}", b"{}").status in (404, 405)
    assert world.get(f"{routes.CHAT}/messages")["count"] == 1


# Instructions


def events(world: World, pk: str) -> list[tuple[str, str]]:
    body = world.get(f"{routes.ORDERS}/{pk}/events")
    assert body["count"] == len(body["events"])
    return [(row["event_type"], row["message"]) for row in body["events"]]


CREATED = ("created", "Instruction created")


def test_a_new_instruction_is_pending_with_one_event(plain: World) -> None:
    shown = instruction(plain, "  Draw the quay ")
    assert (shown["instruction_text"], shown["status"]) == ("Draw the quay", "pending")
    assert (shown["confirmed_at"], shown["canceled_at"]) == ("", "")
    assert events(plain, shown["id"]) == [CREATED]
    assert plain.get(f"{routes.ORDERS}/{shown['id']}")["instruction"] == shown
    assert instruction(plain, "  Draw the quay ")["id"] != shown["id"]
    assert plain.get(routes.ORDERS)["count"] == 2


@pytest.mark.parametrize(
    ("action", "status", "moment", "other_moment"),
    [
        ("confirm", "confirmed", "confirmed_at", "canceled_at"),
        ("cancel", "canceled", "canceled_at", "confirmed_at"),
    ],
)
def test_a_pending_instruction_is_confirmed_or_canceled_once(
    plain: World, action: str, status: str, moment: str, other_moment: str
) -> None:
    pk = instruction(plain)["id"]
    path = f"{routes.ORDERS}/{pk}/{action}"
    first = plain.post(path, {"message": "  By Maya "})
    shown = first["instruction"]
    assert shown["status"] == status
    assert shown[moment]
    assert shown[other_moment] == ""
    assert events(plain, pk) == [CREATED, (status, "By Maya")]
    again = plain.post(path, {"message": "Again"})
    assert again["instruction"] == shown
    assert again["audit_id"] != first["audit_id"]
    assert events(plain, pk) == [CREATED, (status, "By Maya")]


@pytest.mark.parametrize(
    ("action", "text"), [("confirm", "Instruction confirmed"), ("cancel", "Instruction canceled")]
)
@pytest.mark.parametrize("message", [None, "", "  "])
def test_a_decision_without_a_message_has_its_own(
    plain: World, action: str, text: str, message: str | None
) -> None:
    pk = instruction(plain)["id"]
    plain.post(f"{routes.ORDERS}/{pk}/{action}", {"message": message})
    assert events(plain, pk)[1][1] == text


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("confirm", "cancel", "Instruction is already confirmed"),
        ("cancel", "confirm", "Instruction is already canceled"),
    ],
)
def test_a_decision_can_t_be_turned_round(plain: World, first: str, second: str, text: str) -> None:
    pk = instruction(plain)["id"]
    shown = plain.post(f"{routes.ORDERS}/{pk}/{first}")["instruction"]
    assert plain.api.post(plain.at(f"{routes.ORDERS}/{pk}/{second}")).error == invalid(text)
    assert plain.get(f"{routes.ORDERS}/{pk}")["instruction"] == shown
    assert len(events(plain, pk)) == 2


@pytest.mark.parametrize(
    ("status", "action"),
    [("running", "confirm"), ("done", "confirm"), ("done", "cancel"), ("failed", "cancel")],
)
def test_work_that_is_under_way_or_finished_is_not_decided_again(
    plain: World, status: str, action: str
) -> None:
    pk = instruction(plain)["id"]
    plain.post(f"{routes.ORDERS}/{pk}/confirm")
    AgentInstruction.objects.filter(pk=pk).update(status=status)
    assert plain.api.post(plain.at(f"{routes.ORDERS}/{pk}/{action}")).error[:3] == invalid("")[:3]
    assert plain.get(f"{routes.ORDERS}/{pk}")["instruction"]["status"] == status
    assert len(events(plain, pk)) == 2


def test_failed_work_can_be_confirmed_again(plain: World) -> None:
    pk = instruction(plain)["id"]
    plain.post(f"{routes.ORDERS}/{pk}/confirm")
    AgentInstruction.objects.filter(pk=pk).update(status="failed")
    assert plain.post(f"{routes.ORDERS}/{pk}/confirm")["instruction"]["status"] == "confirmed"
    assert [kind for kind, _ in events(plain, pk)] == ["created", "confirmed", "confirmed"]


def test_what_changed_last_is_first_in_the_list(plain: World) -> None:
    first, second = instruction(plain, "First"), instruction(plain, "Second")
    assert [row["id"] for row in plain.get(routes.ORDERS)["instructions"]] == [second["id"], first["id"]]
    plain.post(f"{routes.ORDERS}/{first['id']}/confirm")
    assert [row["id"] for row in plain.get(routes.ORDERS)["instructions"]] == [first["id"], second["id"]]


def test_the_published_fields_make_a_text_where_none_is_given(plain: World) -> None:
    body = {
        "instruction_type": "redraw", "payload_json": {"scene": "quay-7"}, "requires_confirmation": True,
        "dispatch_to_agent": False,
    }  # fmt: skip
    shown = plain.post(routes.ORDERS, body)["instruction"]
    assert "redraw" in shown["instruction_text"]
    assert "quay-7" in shown["instruction_text"]
    shown = plain.post(routes.ORDERS, {**body, "instruction_text": "Mine"})["instruction"]
    assert shown["instruction_text"] == "Mine"


def test_decisions_about_another_project_s_instruction_change_nothing(plain: World, other: World) -> None:
    pk = instruction(plain)["id"]
    for action, message in itertools.product(("confirm", "cancel"), ("", "m")):
        path = other.at(f"{routes.ORDERS}/{pk}/{action}")
        assert other.api.post(path, {"message": message}).error == absent("Agent instruction not found")
    assert plain.get(f"{routes.ORDERS}/{pk}")["instruction"]["status"] == "pending"
    assert events(plain, pk) == [CREATED]
