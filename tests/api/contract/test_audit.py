"""Section 5: which answers name an audit event, and what that event holds."""

from collections.abc import Callable

import pytest

from projects.models import AuditEvent, Project
from tests.api.conftest import Api
from tests.api.contract import routes
from tests.api.contract.conftest import World
from tests.api.contract.routes import ROUTES, Body, Route, put_there

S3, LOCAL = f"{routes.P}/storage/s3", f"{routes.P}/storage/local"
CONFIRM, CANCEL = f"{routes.ORDER}/confirm", f"{routes.ORDER}/cancel"


def written(answer: dict[str, object]) -> AuditEvent:
    """The event that an answer names: the newest one."""
    event = AuditEvent.objects.get(pk=str(answer["audit_id"]))
    assert str(event.pk) == answer["audit_id"]
    assert event == AuditEvent.objects.order_by("-sequence").first()
    return event


def check(world: World, answer: dict[str, object], code: str, payload: Body) -> AuditEvent:
    event = written(answer)
    assert event.event_code == code
    assert {name: event.payload.get(name) for name in payload} == payload
    assert str(event.project_id) == str(world.project.pk)
    assert event.actor_user_id is None  # nobody, under the bypass
    return event


def test_project_upsert_is_recorded_each_time(plain: World) -> None:
    for name in ("New", "New", "Saltmarsh"):
        body = {"name": name} if name == "New" else {"name": "Salt", "slug": "saltmarsh", "username": "alice"}
        answer = plain.post("/api/projects", body)
        event = written(answer)
        project = answer["project"]
        assert event.event_code == "project.upsert"
        assert str(event.project_id) == project["id"]
        assert event.payload["project_id"] == project["id"]
        assert event.payload["slug"] == project["slug"]


def test_storage_updates_are_recorded_even_if_nothing_changes(plain: World) -> None:
    check(plain, plain.put(LOCAL, {"base_dir": "var/projects"}), "storage.local.update", {"updated": "local"})
    ids = {plain.put(S3, body)["audit_id"] for body in ({"bucket": "b"}, {}, {})}
    assert len(ids) == 3
    check(plain, plain.put(S3, {}), "storage.s3.update", {"updated": "s3"})


def test_changes_of_accounts_are_recorded(plain: World) -> None:
    account = f"{routes.ACCOUNTS}/OpenAI"
    answer = plain.post(routes.ACCOUNTS, {"provider_code": "OpenAI"})
    check(plain, answer, "provider_account.upsert", {"provider_code": "openai"})
    answer = plain.put(account, {"enabled": False})
    assert written(answer).event_code == "provider_account.update"
    answer = plain.delete(account)
    check(plain, answer, "provider_account.delete", {"provider_code": "OpenAI"})  # as sent


def test_changes_of_secrets_are_recorded_without_their_values(plain: World) -> None:
    secret = {"provider_code": "openai", "secret_name": "Main", "secret_value": "sk-hidden-4711"}
    named: Body = {"provider_code": "openai", "secret_name": "Main"}
    check(plain, plain.post(routes.SECRETS, secret), "secret.upsert", named)
    answer = plain.post(f"{routes.SECRETS}/rotate", {"from_key_ref": "old", "force": True})
    check(plain, answer, "secret.rotate", {"from_key_ref": "old", "force": True, "rotated": 0})
    answer = plain.post(f"{routes.SECRETS}/rotate", {"force": True})
    check(plain, answer, "secret.rotate", {"force": True, "rotated": 1})
    answer = plain.delete(f"{routes.SECRETS}/OpenAI/Main")
    check(plain, answer, "secret.delete", {"provider_code": "OpenAI", "secret_name": "Main"})
    for event in AuditEvent.objects.all():
        assert "hidden" not in str(event.payload)


def test_instructions_are_recorded_and_so_is_what_changes_nothing(plain: World) -> None:
    answer = plain.post(routes.ORDERS, {"instruction_text": "Draw"})
    pk = answer["instruction"]["id"]
    check(plain, answer, "agent_instruction.create", {"instruction_id": pk, "status": "pending"})
    confirm, confirmed = CONFIRM.replace("{instruction}", pk), {"instruction_id": pk, "status": "confirmed"}
    first = check(plain, plain.post(confirm), "agent_instruction.confirm", confirmed)
    again = check(plain, plain.post(confirm), "agent_instruction.confirm", confirmed)
    assert first.pk != again.pk

    pk = plain.post(routes.ORDERS, {"instruction_text": "Draw"})["instruction"]["id"]
    cancel, canceled = CANCEL.replace("{instruction}", pk), {"instruction_id": pk, "status": "canceled"}
    first = check(plain, plain.post(cancel), "agent_instruction.cancel", canceled)
    again = check(plain, plain.post(cancel), "agent_instruction.cancel", canceled)
    assert first.pk != again.pk


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=str)
def test_a_get_names_no_event_and_writes_none(world: World, route: Route) -> None:
    before = AuditEvent.objects.count()
    answered = route.send(world.api, world.slug, **world.ids)
    assert answered.status == 200
    assert "audit_id" not in answered.body
    assert AuditEvent.objects.count() == before


NAMING = {6, 11, 12, 35, 37, 38, 65, 68, 69, 72, 73, 74}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method != "GET"], ids=str)
def test_exactly_twelve_answers_name_an_event(world: World, route: Route) -> None:
    ids, body = dict(world.ids), dict(route.valid)
    if route.number == 4:
        ids["token"] = world.post("/auth/token", {})["auth_token"]["id"]
    if route.number == 21:
        body = {"parent_asset_id": ids["child"], "child_asset_id": ids["asset"]}
    answered = route.send(world.api, world.slug, body, **ids)
    assert answered.status == 200, answered.body
    assert ("audit_id" in answered.body) is (route.number in NAMING)


def test_what_a_token_changes_is_recorded_as_its_user_s(project: Project, caller: Callable[..., Api]) -> None:
    answer = put_there(caller("alice").put(f"/api/projects/{project.slug}/storage/s3", {"bucket": "b"}))
    event = written(answer)
    assert event.actor_user_id == project.memberships.get(role="owner").user_id


def test_what_is_refused_writes_no_event(world: World) -> None:
    before = AuditEvent.objects.count()
    for route in ROUTES:
        if route.is_of_project and route.method != "GET":
            assert route.send(world.api, "nowhere", **world.ids).status == 404
    assert world.api.post("/api/projects", {}).status == 400
    assert world.api.post(world.at(routes.SECRETS), {"provider_code": "a"}).status == 400
    assert AuditEvent.objects.count() == before
