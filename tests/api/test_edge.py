"""The edge of the API: who is let in, and one form for every error."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from projects.access import Principal, Role
from projects.models import ApiToken, Project, User
from tests.api.conftest import Api
from tests.factories import make_project, make_token, make_user

BODY_KEYS = {"ok", "error", "error_kind", "error_code"}


def test_health_needs_no_token(db: None) -> None:
    answer = Api().get("/health")
    assert answer.status == 200
    assert answer.body["status"] == "ok"
    assert answer.body["service"] == "kroma-backend-core"


def test_head_is_answered_where_get_is(db: None) -> None:
    client = Client()
    head, got = client.head("/health"), client.get("/health")
    assert head.status_code == 200
    assert head.content == b""
    assert abs(int(head["Content-Length"]) - len(got.content)) <= 1


@pytest.mark.parametrize(
    "header", ["", "Basic abc", "Bearer", "Bearer  ", "kroma_x", "Bearér x", "Token kroma_x"]
)
def test_what_is_no_bearer_token_counts_as_none(db: None, header: str) -> None:
    response = Client().get("/api/projects", headers={"authorization": header})
    assert response.status_code == 401
    assert response.json()["error"] == "Missing Authorization: Bearer token"


def test_a_token_that_is_not_valid_is_refused(project: Project, settings: Settings) -> None:
    alice = User.objects.get(username="alice")
    token = make_token(user=alice)
    assert Api(token).get("/api/projects/nothing").status == 403
    ApiToken.objects.update(revoked_at="2026-01-01T00:00:00Z")
    refused = (401, "validation", "unauthorized", "Invalid or expired token")
    assert Api(token).get("/api/projects").error == refused
    ApiToken.objects.update(revoked_at=None, expires_at="2026-01-01T00:00:00Z")
    assert Api(token).get("/api/projects").error == refused
    ApiToken.objects.update(expires_at=None)
    User.objects.filter(username="alice").update(is_active=False)
    assert Api(token).get("/api/projects").error == refused


def test_a_session_never_lets_anybody_into_the_api(alice_client: Client, project: Project) -> None:
    assert alice_client.get(f"/api/projects/{project.slug}").status_code == 401


def test_a_project_that_is_not_ones_own_is_forbidden_even_where_there_is_no_route(
    project: Project, caller: Callable[..., Api]
) -> None:
    other = make_project(name="Other")
    alice = caller("alice")
    refused = (403, "validation", "forbidden", "Token is not authorized for this project")
    assert alice.get(f"/api/projects/{other.slug}/nothing/here").error == refused
    assert alice.get("/api/projects/unknown/runs").error == refused
    assert alice.get("/api/projects/%21%21/runs").error == (
        403, "validation", "forbidden", "Project access check failed"
    )  # fmt: skip
    assert alice.get(f"/api/projects/{project.slug}/nothing/here").status == 404


def test_a_scoped_token_reaches_its_project_only(project: Project, caller: Callable[..., Api]) -> None:
    second = make_project(name="Second", owner=User.objects.get(username="alice"))
    scoped = caller("alice", project=second)
    assert scoped.get(f"/api/projects/{project.slug}/nothing").status == 403
    assert scoped.get(f"/api/projects/{second.slug}/nothing").status == 404


@pytest.mark.acceptance("U-07")
def test_the_bypass_is_for_this_machine_only(bypass: Api) -> None:
    assert bypass.get("/api/nothing").status == 404
    for more in (
        {"REMOTE_ADDR": "10.0.0.7"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_HOST": "kroma.example"},
    ):
        client = Client(**{"HTTP_HOST": "127.0.0.1", **more})
        assert client.get("/api/projects").status_code in (400, 401), more


@pytest.mark.parametrize("bound", ["0.0.0.0:8788", "nonsense", "10.0.0.7:8788"])
def test_the_bypass_needs_a_loopback_bind(bypass: Api, settings: Settings, bound: str) -> None:
    settings.BIND = bound
    assert bypass.get("/api/projects").status == 401


@pytest.mark.acceptance("A-05", "A-11")
def test_a_route_or_method_that_does_not_exist_has_the_envelope(bypass: Api) -> None:
    for path in ("/api/nothing", "/api/voice/requests"):
        answer = bypass.get(path)
        assert answer.status == 404
        assert set(answer.body) == BODY_KEYS
    answer = bypass.raw("DELETE", "/health", b"")
    assert answer.status == 405
    assert answer.response["Allow"] == "GET, HEAD"
    assert set(answer.body) == BODY_KEYS


def test_there_are_no_trailing_slashes(bypass: Api) -> None:
    assert bypass.get("/health/").status == 404


def test_a_body_over_the_limit_is_refused_before_it_is_read(bypass: Api, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = bypass.raw("POST", "/auth/token", b"x" * 101)
    assert answer.error[:3] == (413, "validation", "payload_too_large")


def test_an_unexpected_fault_says_nothing_but_its_id_which_is_in_the_log(
    bypass: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object) -> Any:
        raise RuntimeError("the inside, kept inside")

    monkeypatch.setattr("kroma_site.health._version", broken)
    with caplog.at_level(logging.ERROR):
        answer = bypass.get("/health")
    assert answer.error == (500, "infra", "internal_error", "Internal server error")
    assert "inside" not in str(answer.body)
    assert answer.body["request_id"] == answer.response["X-Request-ID"]
    assert answer.body["request_id"] in caplog.text


def test_a_token_acts_with_no_more_than_its_own_role(project: Project) -> None:
    alice = User.objects.get(username="alice")
    vic = User.objects.get(username="vic")
    for user, most, held in (
        (alice, Role.OWNER, "owner"),
        (alice, Role.EDITOR, "editor"),
        (alice, Role.VIEWER, "viewer"),
        (vic, Role.OWNER, "viewer"),
        (make_user(), Role.OWNER, ""),
    ):
        who = Principal(user, most=most)
        assert Project.objects.with_role(who).get(pk=project.pk).role == held


def test_the_documentation_is_for_people_who_are_signed_in(alice_client: Client) -> None:
    assert Client().get("/api/openapi.json").status_code == 302
    assert alice_client.get("/api/openapi.json").json()["info"]["title"] == "Kroma"
    assert alice_client.get("/api/docs").status_code == 200
