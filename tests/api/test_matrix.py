"""Every route with every kind of caller, against one table of what each may do."""

import json
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise, product

import pytest
from django.db import transaction
from django.utils import timezone

from projects.access import LEAST_ROLE, Role
from projects.models import Project, User
from tests.api.conftest import Answered, Api
from tests.api.routes import Route, Things, body_of, make_things, routes
from tests.factories import make_project, make_token, make_user

MISSING = (401, "validation", "unauthorized", "Missing Authorization: Bearer token")
INVALID = (401, "validation", "unauthorized", "Invalid or expired token")
NOT_YOURS = (403, "validation", "forbidden", "Token is not authorized for this project")

# Callers that are nobody: what they are told, whatever they ask for.
STRANGERS = {
    "without a token": MISSING,
    "with an unknown token": INVALID,
    "with an expired token": INVALID,
    "with a revoked token": INVALID,
    "with the token of somebody who was deactivated": INVALID,
}
# Valid callers to whom the project is closed.
OUTSIDERS = ("with a token of another project", "not a member")
# Members, by the role that they act with.
MEMBERS = {
    "viewer": Role.VIEWER,
    "reviewer": Role.REVIEWER,
    "editor": Role.EDITOR,
    "owner": Role.OWNER,
    "owner with a viewer's token": Role.VIEWER,
    "editor with a reviewer's token": Role.REVIEWER,
    "viewer with an owner's token": Role.VIEWER,
}

# Good requests whose own object is in a state that does not allow them: 400 is what a caller gets there.
REFUSED_BY_STATE = {
    f"POST /api/projects/{{}}/runs/{{}}/{verb}" for verb in ("cancel", "pause", "resume", "retry")
}
# Open to all: whoever may call it shows something else than a token, or nothing.
OPEN = ["GET /health", "POST /api/projects/{}/agent/instructions/{}/callback"]


@dataclass
class World:
    """Two projects with one of everything each, and all kinds of callers of the first."""

    own: Things
    other: Things
    callers: dict[str, Api]


@pytest.fixture
def world(project: Project) -> World:
    users = {user.username: user for user in User.objects.all()}
    second = make_project(name="Elsewhere")
    gone = make_user(username="gone")
    late = timezone.now() - timedelta(minutes=1)
    tokens = {
        "with an unknown token": f"kroma_{'f' * 64}",
        "with an expired token": make_token(user=users["alice"], expires_at=late),
        "with a revoked token": make_token(user=users["alice"], revoked_at=late),
        "with the token of somebody who was deactivated": make_token(user=gone),
        "with a token of another project": make_token(
            user=users["alice"], project=make_project(name="Third", owner=users["alice"])
        ),
        "not a member": make_token(user=make_user(username="mallory")),
        "viewer": make_token(user=users["vic"], role=Role.VIEWER),
        "reviewer": make_token(user=users["rita"], role=Role.REVIEWER),
        "editor": make_token(user=users["erin"], role=Role.EDITOR),
        "owner": make_token(user=users["alice"]),
        "owner with a viewer's token": make_token(user=users["alice"], role=Role.VIEWER),
        "editor with a reviewer's token": make_token(user=users["erin"], role=Role.REVIEWER),
        "viewer with an owner's token": make_token(user=users["vic"]),
    }
    User.objects.filter(pk=gone.pk).update(is_active=False)
    callers = {name: Api(token) for name, token in tokens.items()}
    return World(make_things(project), make_things(second), {"without a token": Api(), **callers})


def tried(caller: Api, route: Route, address: str, body: bytes) -> Answered:
    """One request whose effects are undone, so that its object is there for the next caller."""
    with transaction.atomic():
        answer = caller.raw(route.method, address, body if route.method in ("POST", "PUT") else b"")
        answer.response.close()  # a file that is streamed is still open
        transaction.set_rollback(True)
    return answer


def good(route: Route, things: Things) -> bytes:
    return json.dumps(body_of(route, things)).encode() if route.method in ("POST", "PUT") else b""


def guarded() -> list[Route]:
    return [route for route in routes() if route.action is not None]


def inside() -> list[Route]:
    return [route for route in guarded() if route.in_project]


def told(route: Route, who: str, answer: Answered) -> str:
    said = answer.error if answer.status >= 400 else (answer.status,)
    return f"{route.name}, {who}: {said}"


def test_only_the_health_of_the_service_is_open() -> None:
    assert sorted(route.name for route in routes() if route.action is None) == OPEN


def test_who_shows_no_valid_token_is_nobody(world: World) -> None:
    wrong = []
    for (who, expected), route in product(STRANGERS.items(), guarded()):
        answer = tried(world.callers[who], route, world.own.address(route.path), b"no JSON at all")
        if answer.error != expected or answer.response["WWW-Authenticate"] != "Bearer":
            wrong.append(told(route, who, answer))
    assert wrong == []


def test_a_project_of_others_is_closed_whatever_is_asked(world: World) -> None:
    wrong = []
    for who, route in product(OUTSIDERS, guarded()):
        body = b"no JSON at all" if route.in_project else good(route, world.own)
        answer = tried(world.callers[who], route, world.own.address(route.path), body)
        right = answer.error == NOT_YOURS if route.in_project else answer.status in (200, 400, 403, 404)
        if not right:
            wrong.append(told(route, who, answer))
    assert wrong == []


def test_a_member_may_what_the_table_of_roles_says(world: World) -> None:
    wrong = []
    for (who, held), route in product(MEMBERS.items(), inside()):
        needed = LEAST_ROLE[route.action]
        allowed = held.rank <= needed.rank
        # Who may not do it is told so before anybody looks at the body.
        body = good(route, world.own) if allowed else b"no JSON at all"
        answer = tried(world.callers[who], route, world.own.address(route.path), body)
        if allowed:
            right = answer.status == (400 if route.name in REFUSED_BY_STATE else 200)
        else:
            text = (
                f"To {route.action} in this project a role of {needed} or higher is needed; "
                f"the token has {held}"
            )
            right = answer.status == 403 and answer.error == (403, "validation", "forbidden", text)
        if not right:
            wrong.append(told(route, who, answer))
    assert wrong == []


def test_nothing_of_another_project_opens_through_ones_own(world: World) -> None:
    """The caller's own project in the address, the other project's objects behind it."""
    wrong = []
    named_alike = {"provider-accounts", "secrets"}  # by codes, which every project has
    for (who, held), route in product(MEMBERS.items(), inside()):
        if not route.names_object or any(f"/{kind}/" in route.short for kind in named_alike):
            continue
        address = world.other.address(route.path, slug=world.own.project.slug)
        answer = tried(world.callers[who], route, address, good(route, world.own))
        expected = 404 if held.rank <= LEAST_ROLE[route.action].rank else 403
        if answer.status != expected:
            wrong.append(told(route, who, answer))
    assert wrong == []


def test_an_item_opens_through_its_own_parent_only(world: World) -> None:
    """Each part of an address is another project's in turn; the rest is one's own."""
    wrong = []
    for route in inside():
        parts = route.path.split("/")
        kinds = [part for part, after in pairwise(parts) if part in world.own.ids and after.startswith("{")]
        if not {"reference-sets", "items"} <= set(kinds):
            continue
        for kind in kinds:
            mixed = Things(world.own.project, {**world.own.ids, kind: world.other.ids[kind]})
            answer = tried(world.callers["owner"], route, mixed.address(route.path), good(route, world.own))
            if answer.status != 404:
                wrong.append(told(route, f"{kind} of others", answer))
    assert wrong == []


def test_ids_of_another_project_in_a_body_are_refused(world: World) -> None:
    """A body of another project's ids, to one's own objects: nothing of theirs is linked or read."""
    ids = {pk for kind in world.other.ids.values() for pk in kind if len(pk) == 36}
    wrong = []
    for route in inside():
        body = good(route, world.other)
        if not any(pk.encode() in body for pk in ids):
            continue
        answer = tried(world.callers["owner"], route, world.own.address(route.path), body)
        if answer.status not in (400, 404):
            wrong.append(told(route, "ids of others", answer))
    assert wrong == []


def test_the_objects_are_still_there_after_the_walk(world: World) -> None:
    """What proves that the cases above do not spoil one another."""
    owner = world.callers["owner"]
    for route in inside():
        if route.method == "DELETE":
            assert tried(owner, route, world.own.address(route.path), b"").status == 200
            assert tried(owner, route, world.own.address(route.path), b"").status == 200
