"""Every change writes one event, in its own transaction, and says who made it."""

import json

import pytest
from django.apps import apps
from django.core import serializers
from django.db import transaction

from projects import audit
from projects.models import AuditEvent, Project, User
from tests.api.conftest import Answered, Api
from tests.api.routes import SECRET_VALUE, Route, Things, body_of, make_things, routes
from tests.api.test_matrix import OPEN, REFUSED_BY_STATE
from tests.factories import make_token

# Routes that write nothing, with the reason.
READING = {"POST /api/projects/{}/runs/validate-config"}  # only judges files


def changing() -> list[Route]:
    """Routes whose good request changes something."""
    passed_over = {*READING, *REFUSED_BY_STATE, *OPEN}
    return [route for route in routes() if route.writes and route.name not in passed_over]


def dump() -> str:
    """All rows that a change could leave behind."""
    models = [*apps.get_app_config("projects").get_models(), *apps.get_app_config("pipeline").get_models()]
    return "".join(serializers.serialize("json", model._default_manager.order_by("pk")) for model in models)


def sent(caller: Api, route: Route, things: Things) -> Answered:
    body = json.dumps(body_of(route, things)).encode() if route.method in ("POST", "PUT") else b""
    return caller.raw(route.method, things.address(route.path), body)


@pytest.fixture
def things(project: Project) -> Things:
    return make_things(project)


@pytest.fixture
def alice_api(project: Project) -> Api:
    return Api(make_token(user=User.objects.get(username="alice")))


@pytest.mark.acceptance("U-02", "W-33")
def test_each_change_writes_one_event_that_says_who_made_it(things: Things, alice_api: Api) -> None:
    wrong = []
    for route in changing():
        with transaction.atomic():
            before = AuditEvent.objects.count()
            status = sent(alice_api, route, things).status
            events = list(AuditEvent.objects.order_by("sequence")[before:])
            transaction.set_rollback(True)
        whole = len(events) == 1 and (events[0].actor, events[0].address) == ("alice", "127.0.0.1")
        if status != 200 or not whole or events[0].token_id is None:
            wrong.append(f"{route.name}: {status}, {[event.event_code for event in events]}")
        assert SECRET_VALUE not in str([event.payload for event in events]), route.name
    assert wrong == []


def test_a_change_that_can_t_be_recorded_is_not_made(
    things: Things, alice_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no room in the trail")

    monkeypatch.setattr(AuditEvent, "save", broken)
    alice_api.get("/api/projects")  # notes that the token is used
    wrong = []
    before = dump()
    for route in changing():
        with transaction.atomic():
            answer = sent(alice_api, route, things)
            after = dump()
            transaction.set_rollback(True)
        if answer.error != (500, "infra", "internal_error", "Internal server error"):
            wrong.append(f"{route.name}: {answer.status}")
        if after != before:
            wrong.append(f"{route.name}: something of it is left")
    assert wrong == []


def test_the_chain_holds_after_all_of_them(things: Things, alice_api: Api) -> None:
    before = AuditEvent.objects.count()
    statuses = [sent(alice_api, route, things).status for route in changing() if route.method != "DELETE"]
    # One of them is refused by what another has done: a confirmed instruction is not canceled.
    assert sorted(set(statuses)) == [200, 400]
    assert AuditEvent.objects.count() == before + statuses.count(200)
    assert list(audit.faults()) == []
