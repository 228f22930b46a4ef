"""Who may do what with a token: every route, for every role in a project."""

from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from projects.access import Role
from projects.models import AuditEvent
from tests.api.conftest import Api
from tests.api.contract import routes
from tests.api.contract.conftest import World
from tests.api.contract.routes import OF_A_PROJECT, Route
from tests.factories import make_user

READS = [route for route in OF_A_PROJECT if route.method == "GET"]
CHECKS = {15}  # validate-config changes nothing
WRITES = [route for route in OF_A_PROJECT if route.method != "GET" and route.number not in CHECKS]
OWNER_ONLY = {11, 12, 35, 37, 38, 72, 73, 74}  # storage, accounts, secrets


@pytest.fixture
def closed(world: World, settings: Settings) -> World:
    """The universe with one of everything, and the bypass switched off again."""
    settings.API_AUTH_DEV_BYPASS = False
    return world


def asked(world: World, api: Api, route: Route) -> int:
    return route.send(api, world.slug, **world.ids).status


@pytest.mark.parametrize("who", ["alice", "erin", "rita", "vic"])
def test_every_member_may_read_everything(closed: World, caller: Callable[..., Api], who: str) -> None:
    api = caller(who)
    assert {route.number: asked(closed, api, route) for route in READS} == {
        route.number: 200 for route in READS
    }  # fmt: skip


@pytest.mark.parametrize("who", ["rita", "vic"])
def test_reviewers_and_viewers_change_nothing(closed: World, caller: Callable[..., Api], who: str) -> None:
    api, before = caller(who), AuditEvent.objects.count()
    for route in WRITES:
        answered = route.send(api, closed.slug, **closed.ids)
        assert answered.error[:3] == (403, "validation", "forbidden"), str(route)
    assert AuditEvent.objects.count() == before


def test_an_editor_s_work_ends_where_money_keys_and_places_begin(
    closed: World, caller: Callable[..., Api]
) -> None:
    erin = caller("erin")
    ordered = sorted(WRITES, key=lambda route: (route.method == "DELETE", -route.path.count("/")))
    refused = {route.number for route in ordered if asked(closed, erin, route) == 403}
    assert refused == OWNER_ONLY


def test_an_owner_s_token_that_is_to_do_less_does_less(closed: World, caller: Callable[..., Api]) -> None:
    viewer = caller("alice", role=Role.VIEWER)
    for route in WRITES:
        assert asked(closed, viewer, route) == 403, str(route)
    assert asked(closed, viewer, routes.BY_NUMBER[7]) == 200


def test_for_who_is_no_member_a_project_is_as_good_as_none(closed: World, caller: Callable[..., Api]) -> None:
    make_user(username="mallory")
    mallory = caller("mallory")
    for route in OF_A_PROJECT:
        for slug in (closed.slug, "nowhere"):
            answered = route.send(mallory, slug, **closed.ids)
            assert answered.error == (
                403, "validation", "forbidden", "Token is not authorized for this project"
            ), str(route)  # fmt: skip
