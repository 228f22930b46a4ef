"""Section 15: what every route answers to an empty request; and that there are 74 of them."""

from collections.abc import Callable

import pytest
from django.test import Client

from projects.models import Project
from tests.api.conftest import Api
from tests.api.contract.routes import METHODS, OF_A_PROJECT, PATHS, ROUTES, Route, put_there
from tests.factories import make_token


def test_the_table_of_the_contract_has_74_routes_and_health_counts_them(db: None) -> None:
    assert [route.number for route in ROUTES] == list(range(1, 75))
    assert len({(route.method, route.path) for route in ROUTES}) == 74
    assert put_there(Api().get("/health"))["route_count"] == 74


@pytest.mark.acceptance("A-04")
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_an_empty_request_gets_the_status_of_the_matrix(bypass: Api, route: Route) -> None:
    answered = route.send(bypass, body={})
    assert answered.status == route.empty
    if route.empty == 404:
        assert answered.error == (404, "validation", "not_found", route.missing)
    else:
        assert answered.body["ok"] is (route.empty == 200)


@pytest.mark.parametrize("route", OF_A_PROJECT, ids=str)
@pytest.mark.parametrize("body", ["valid", "empty"])
def test_with_a_token_an_unknown_project_is_forbidden_whatever_is_asked(
    alice: object, project: Project, caller: Callable[..., Api], route: Route, body: str
) -> None:
    answered = route.send(caller("alice"), body=route.valid if body == "valid" else {})
    assert answered.error == (
        403, "validation", "forbidden", "Token is not authorized for this project"
    )  # fmt: skip


@pytest.mark.acceptance("U-06")
@pytest.mark.parametrize("route", ROUTES[1:], ids=str)
def test_without_a_token_everything_but_health_is_unauthorized(project: Project, route: Route) -> None:
    make_token(user=project.memberships.get(role="owner").user)  # so that no first token can be made
    answered = route.send(Api(), body=route.valid)
    assert answered.error == (401, "validation", "unauthorized", "Missing Authorization: Bearer token")


@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_a_path_does_not_have_is_405_with_allow(bypass: Api, path: str) -> None:
    route = next(route for route in ROUTES if route.path == path)
    answered = bypass.raw("PATCH", route.at(), b"{}")
    assert answered.status == 405
    assert METHODS[path] <= {method.strip() for method in answered.response["Allow"].split(",")}
    assert {"ok", "error", "error_kind", "error_code"} <= set(answered.body)
    assert answered.body["error_kind"] == "validation"


@pytest.mark.parametrize("path", PATHS)
def test_a_trailing_slash_is_another_path_and_never_a_redirect(bypass: Api, path: str) -> None:
    route = next(route for route in ROUTES if route.path == path)
    answered = bypass.get(route.at() + "/")
    assert answered.status == 404
    if path != "/health":  # beyond it lie pages, not the API
        assert answered.error[:3] == (404, "validation", "not_found")


@pytest.mark.parametrize("path", ["runs/trigger", "runs/validate-config", "secrets/rotate"])
def test_a_static_segment_wins_over_a_parameter_of_another_method(bypass: Api, path: str) -> None:
    answered = bypass.get(f"/api/projects/x/{path}")
    assert answered.status == 405
    assert "POST" in answered.response["Allow"]


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=str)
def test_head_is_answered_like_get_without_a_body(bypass: Api, route: Route) -> None:
    head = Client(headers={"host": "127.0.0.1:8788"}).head(route.at())
    assert head.status_code == route.empty
    assert head.content == b""
