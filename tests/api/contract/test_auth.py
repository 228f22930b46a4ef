"""Section 4: who needs a token, the first one, what a token reaches, how it ends."""

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from projects.models import ApiToken, AuditEvent, Project
from tests.api.conftest import Api
from tests.api.contract import shapes
from tests.api.contract.routes import absent, invalid, put_there
from tests.api.contract.shapes import faults

MISSING = (401, "validation", "unauthorized", "Missing Authorization: Bearer token")
WRONG = (401, "validation", "unauthorized", "Invalid or expired token")
FORBIDDEN = (403, "validation", "forbidden", "Token is not authorized for this project")
UNCHECKED = (403, "validation", "forbidden", "Project access check failed")
UNKNOWN = "2f8c1a44-6a3e-4a0e-9d55-0c7f4f6f1b7a"


def bad_expiry(value: str) -> tuple[int, str, str, str]:
    return invalid(
        f"Invalid expires_at format: '{value}'. Expected ISO8601 (YYYY-MM-DDTHH:MM:SSZ) or date (YYYY-MM-DD)"
    )


def new_token(api: Api, **body: object) -> dict[str, Any]:
    token: dict[str, Any] = put_there(api.post("/auth/token", body))["auth_token"]
    return token


@pytest.fixture
def first(db: None) -> Api:
    """A caller with the first token of a new installation, as every client begins."""
    return Api(new_token(Api(), label="first")["token"])


def with_project(api: Api, name: str = "Mine") -> str:
    slug: str = put_there(api.post("/api/projects", {"name": name}))["project"]["slug"]
    return slug


# The first token


def test_the_first_token_needs_none_and_has_its_form(db: None) -> None:
    token = new_token(Api(), label="  laptop  ")
    assert faults(token, shapes.NEW_TOKEN) == []
    assert re.fullmatch(r"kroma_[0-9a-f]{64}", token["token"])
    assert token["token_prefix"] == token["token"][:12]
    assert token["label"] == "laptop"
    assert token["project_id"] is None
    assert token["expires_at"] is None
    stored = ApiToken.objects.get()
    assert stored.token_hash == hashlib.sha256(token["token"].encode()).hexdigest()
    assert stored.user.username == "local"
    assert stored.user.display_name == "Local User"


def test_a_client_begins_with_nothing_and_works_in_its_own_project(first: Api) -> None:
    assert with_project(first) == "mine"
    assert put_there(first.get("/api/projects"))["projects"][0]["username"] == "local"
    assert put_there(first.get("/api/projects/mine"))["project"]["slug"] == "mine"
    assert first.get("/api/projects/not-mine").error == FORBIDDEN


def test_the_second_token_needs_the_first(first: Api) -> None:
    assert Api().post("/auth/token", {}).error == MISSING
    second = new_token(first)
    assert Api(second["token"]).get("/api/projects").status == 200


def test_with_a_bearer_header_the_first_token_is_no_exception(db: None) -> None:
    assert Api("kroma_" + "0" * 64).post("/auth/token", {}).error == WRONG
    assert not ApiToken.objects.exists()


def test_when_no_token_is_active_any_more_the_first_one_can_be_made_again(first: Api) -> None:
    pk = put_there(first.get("/auth/tokens"))["auth_tokens"][0]["id"]
    put_there(first.delete(f"/auth/tokens/{pk}"))
    assert first.get("/auth/tokens").error == WRONG
    again = new_token(Api())
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Api(again["token"]).get("/auth/tokens").error == WRONG
    assert new_token(Api())["token"] != again["token"]


def test_an_operator_can_switch_the_first_token_off(db: None, settings: Settings) -> None:
    settings.API_AUTH_FIRST_TOKEN = False
    assert Api().post("/auth/token", {}).error == MISSING


def test_an_operator_can_make_it_one_shot(first: Api, settings: Settings) -> None:
    settings.API_AUTH_FIRST_TOKEN_ONCE = True
    ApiToken.objects.update(revoked_at=timezone.now())
    assert Api().post("/auth/token", {}).error == MISSING


@pytest.mark.parametrize("bind", ["0.0.0.0:8788", "10.0.0.7:8788", "nonsense", ""])
def test_the_first_token_needs_a_service_bound_to_loopback(db: None, settings: Settings, bind: str) -> None:
    settings.BIND = bind
    assert Api().post("/auth/token", {}).error == MISSING


def test_a_first_token_that_has_expired_already_is_refused(db: None) -> None:
    assert Api().post("/auth/token", {"expires_at": "2020-01-01"}).error[:3] == invalid("")[:3]
    assert not ApiToken.objects.exists()


def test_a_first_token_of_a_bad_expiry_or_an_unknown_project_leaves_nothing_behind(db: None) -> None:
    assert Api().post("/auth/token", {"expires_at": "soon"}).error == bad_expiry("soon")
    assert Api().post("/auth/token", {"project_slug": "unknown"}).error == absent("Project not found")
    assert not ApiToken.objects.exists()
    assert Api().post("/auth/token", {}).status == 200


# Headers


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic {}",
        "Bearer",
        "Bearer ",
        "{}",
        "Token {}",
        "BearerX {}",
        "Bearer\u00e9 {}",
        "Bearer {}\u00e9",
        "é",
    ],
)
def test_what_is_no_bearer_token_counts_as_none(first: Api, header: str) -> None:
    response = Client().get("/api/projects", headers={"authorization": header.format(first.token)})
    assert response.status_code == 401
    assert response.json()["error"] == MISSING[3]


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER {}", "  Bearer   {}  ", "bEaReR {} "])
def test_a_bearer_token_is_found_however_it_is_written(first: Api, header: str) -> None:
    response = Client().get("/api/projects", headers={"authorization": header.format(first.token)})
    assert response.status_code == 200


@pytest.mark.parametrize("token", ["kroma_" + "0" * 64, "x", "kroma_", "two words", "'; drop table"])
def test_an_unknown_token_is_invalid(first: Api, token: str) -> None:
    assert Api(token).get("/api/projects").error == WRONG
    assert Api(first.token.upper()).get("/api/projects").error == WRONG
    assert Api(first.token + "0").get("/api/projects").error == WRONG


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/auth/nothing"), ("GET", "/api/projects"), ("GET", "/api/projects/x"),
        ("GET", "/api/projects/x/nothing/at/all"), ("GET", "/api/projectsandmore"), ("POST", "/api/nothing"),
        ("PUT", "/api/projects"), ("DELETE", "/auth/tokens"), ("PATCH", "/api/projects"),
        ("POST", "/api/projects/x/runs/trigger"),
    ],
)  # fmt: skip
def test_a_token_is_needed_before_there_is_a_route(first: Api, method: str, path: str) -> None:
    body = b"" if method == "GET" else b"not json"
    assert Api().raw(method, path, body, content_type="text/plain").error == MISSING


def test_reading_outside_the_projects_needs_no_token(first: Api) -> None:
    assert Api().get("/health").status == 200
    assert Api().get("/api/nothing").status == 404


# What a token reaches


def test_the_project_is_judged_before_route_method_query_and_body(first: Api) -> None:
    for method, path, body in (
        ("GET", "/api/projects/unknown/nothing", b""), ("PATCH", "/api/projects/unknown", b"{}"),
        ("POST", "/api/projects/unknown/characters", b"{"),
        ("GET", "/api/projects/unknown/runs?limit=x", b""),
    ):  # fmt: skip
        assert first.raw(method, path, body, content_type="text/plain").error == FORBIDDEN
    for slug in ("%21%21", "___", "%E6%97%A5"):
        assert first.get(f"/api/projects/{slug}").error == UNCHECKED
        assert first.post(f"/api/projects/{slug}/characters", {}).error == UNCHECKED


def test_another_user_s_project_does_not_exist_for_a_token(project: Project, first: Api) -> None:
    assert first.get(f"/api/projects/{project.slug}").error == FORBIDDEN
    assert put_there(first.get("/api/projects"))["projects"] == []
    assert put_there(first.get("/api/projects", username="alice"))["projects"] == []


def test_the_slug_that_is_judged_is_the_one_that_is_looked_up(first: Api) -> None:
    with_project(first, "My Fancy Project")
    for slug in ("my_fancy_project", "MY_FANCY_PROJECT", "My%20Fancy%20Project", "%6Dy_fancy_project"):
        assert put_there(first.get(f"/api/projects/{slug}"))["project"]["slug"] == "my_fancy_project"


def test_a_scoped_token_reaches_its_project_only(first: Api) -> None:
    with_project(first, "One")
    with_project(first, "Two")
    token = new_token(first, project_slug=" ONE ")
    scoped = Api(token["token"])
    assert token["project_id"] == put_there(first.get("/api/projects/one"))["project"]["id"]
    assert scoped.get("/api/projects/one").status == 200
    assert scoped.get("/api/projects/two").error == FORBIDDEN
    assert [row["slug"] for row in put_there(scoped.get("/api/projects"))["projects"]] == ["one"]
    assert scoped.get("/auth/tokens").status == 200


def test_a_scoped_token_makes_no_token_that_reaches_more(first: Api) -> None:
    with_project(first, "One")
    with_project(first, "Two")
    one = put_there(first.get("/api/projects/one"))["project"]["id"]
    scoped = Api(new_token(first, project_slug="one")["token"])
    for body in ({}, {"project_slug": "two"}, {"project_slug": "one"}):
        answered = scoped.post("/auth/token", body)
        if answered.status == 200:
            assert answered.body["auth_token"]["project_id"] == one
            assert Api(answered.body["auth_token"]["token"]).get("/api/projects/two").error == FORBIDDEN
        else:
            assert answered.status in (400, 403, 404)


def test_a_scoped_token_sees_and_revokes_only_its_own_project_s(first: Api) -> None:
    with_project(first, "One")
    widest = put_there(first.get("/auth/tokens"))["auth_tokens"][0]["id"]
    scoped = Api(new_token(first, project_slug="one")["token"])
    seen = put_there(scoped.get("/auth/tokens"))["auth_tokens"]
    assert widest not in [row["id"] for row in seen]
    assert scoped.delete(f"/auth/tokens/{widest}").status in (403, 404)
    assert first.get("/auth/tokens").status == 200


def test_a_token_sees_and_revokes_only_its_user_s(
    project: Project, first: Api, caller: Callable[..., Api]
) -> None:
    alice = caller("alice")
    own = put_there(alice.get("/auth/tokens"))
    assert own["count"] == 1
    pk = own["auth_tokens"][0]["id"]
    assert first.delete(f"/auth/tokens/{pk}").error == absent("Auth token not found")
    assert alice.get("/auth/tokens").status == 200


def test_a_token_acts_for_its_own_user_whatever_the_body_says(first: Api) -> None:
    body = {"name": "Mine", "username": "somebody", "user_display_name": "Mallory"}
    put_there(first.post("/api/projects", body))
    assert put_there(first.get("/api/projects"))["projects"][0]["username"] == "local"
    assert ApiToken.objects.get().user.display_name == "Local User"


# Expiry, label, use, revocation


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (None, None), ("", None),
        ("2031-01-02T03:04:05Z", "2031-01-02T03:04:05+00:00"),
        ("2031-01-02T03:04:05+00:00", "2031-01-02T03:04:05+00:00"),
        ("2031-01-02T03:04:05+02:00", "2031-01-02T01:04:05+00:00"),
        ("2031-01-01T23:04:05-05:30", "2031-01-02T04:34:05+00:00"),
        ("2031-01-02T03:04:05.123456Z", "2031-01-02T03:04:05.123456+00:00"),
        ("2031-01-02", "2031-01-02T23:59:59+00:00"), ("2032-02-29", "2032-02-29T23:59:59+00:00"),
        (" 2031-01-02 ", "2031-01-02T23:59:59+00:00"),
        (" 2031-01-02T03:04:05Z\n", "2031-01-02T03:04:05+00:00"),
    ],
)  # fmt: skip
def test_an_expiry_is_shown_in_utc_with_a_numeric_offset(first: Api, sent: object, shown: str | None) -> None:
    token = new_token(first, expires_at=sent)
    assert token["expires_at"] == shown
    listed = put_there(first.get("/auth/tokens"))["auth_tokens"]
    assert next(row for row in listed if row["id"] == token["id"])["expires_at"] == shown
    assert Api(token["token"]).get("/api/projects").status == 200


@pytest.mark.parametrize(
    "sent",
    [
        "tomorrow", "2031-13-01", "2031-02-30", "2031-01-02T03:04:05", "2031/01/02", "20310102", "1924992000",
        "2031-01", "2031-01-02T25:00:00Z", "2031-W01-1", "never",
    ],
)  # fmt: skip
def test_another_form_of_expiry_is_refused_before_the_project_is_looked_up(first: Api, sent: str) -> None:
    assert first.post("/auth/token", {"expires_at": sent}).error == bad_expiry(sent)
    assert first.post("/auth/token", {"expires_at": sent, "project_slug": "no"}).error == bad_expiry(sent)


def test_an_expiry_in_the_past_makes_a_token_that_is_not_active(first: Api) -> None:
    token = new_token(first, expires_at="2020-01-01")
    assert Api(token["token"]).get("/api/projects").error == WRONG
    rows = {row["id"]: row for row in put_there(first.get("/auth/tokens"))["auth_tokens"]}
    assert rows[token["id"]]["active"] is False


def test_a_label_is_trimmed_and_cut(first: Api) -> None:
    assert new_token(first, label="  " + "l" * 300)["label"] == "l" * 200
    assert new_token(first)["label"] == ""
    assert new_token(first, label=None)["label"] == ""


@pytest.mark.parametrize("slug", ["unknown", "!!!"])
def test_a_token_for_a_project_that_does_not_exist_is_not_made(first: Api, slug: str) -> None:
    assert first.post("/auth/token", {"project_slug": slug}).error == absent("Project not found")
    assert ApiToken.objects.count() == 1


def test_tokens_are_listed_without_their_secret_newest_first(first: Api) -> None:
    made = [new_token(first, label=str(n)) for n in range(3)]
    ApiToken.objects.filter(pk=made[0]["id"]).update(revoked_at=timezone.now())
    body = put_there(first.get("/auth/tokens"))
    assert body["count"] == len(body["auth_tokens"]) == 4
    assert [row["label"] for row in body["auth_tokens"]] == ["2", "1", "0", "first"]
    for row in body["auth_tokens"]:
        assert faults(row, shapes.TOKEN) == []
        assert not {"token", "token_hash", "hash"} & set(row)
    assert [row["active"] for row in body["auth_tokens"]] == [True, True, False, True]
    text = str(body)
    for token in made:
        assert token["token"] not in text
        assert hashlib.sha256(token["token"].encode()).hexdigest() not in text


def test_use_is_written_down(first: Api) -> None:
    token = new_token(first)
    rows = {row["id"]: row for row in put_there(first.get("/auth/tokens"))["auth_tokens"]}
    assert rows[token["id"]]["last_used_at"] is None
    Api(token["token"]).get("/api/projects")
    rows = {row["id"]: row for row in put_there(first.get("/auth/tokens"))["auth_tokens"]}
    assert shapes.MOMENT.fullmatch(rows[token["id"]]["last_used_at"])


def test_revoking_takes_effect_at_once_and_repeating_it_keeps_the_first_moment(first: Api) -> None:
    token = new_token(first)
    second = Api(token["token"])
    assert second.get("/api/projects").status == 200
    body = put_there(first.delete(f"/auth/tokens/{token['id']}"))
    assert body["deleted"] is True
    assert body["token_id"] == token["id"]
    assert second.get("/api/projects").error == WRONG
    moment = timezone.now() - timedelta(days=1)
    ApiToken.objects.filter(pk=token["id"]).update(revoked_at=moment)
    assert put_there(first.delete(f"/auth/tokens/{token['id']}"))["deleted"] is True
    assert ApiToken.objects.get(pk=token["id"]).revoked_at == moment


def test_a_token_may_revoke_itself(first: Api) -> None:
    token = new_token(first)
    second = Api(token["token"])
    assert put_there(second.delete(f"/auth/tokens/{token['id']}"))["deleted"] is True
    assert second.delete(f"/auth/tokens/{token['id']}").error == WRONG


def test_the_id_of_a_token_in_an_address_is_trimmed(first: Api) -> None:
    token = new_token(first)
    assert put_there(first.delete(f"/auth/tokens/%20{token['id']}%20"))["deleted"] is True


@pytest.mark.parametrize(("pk", "error"), [
    ("%20", invalid("token_id is required")), ("%20%09", invalid("token_id is required")),
    ("x", absent("Auth token not found")), (UNKNOWN, absent("Auth token not found")),
])  # fmt: skip
def test_a_token_that_does_not_exist_can_t_be_revoked(
    first: Api, pk: str, error: tuple[int, str, str, str]
) -> None:
    assert first.delete(f"/auth/tokens/{pk}").error == error


def test_answers_about_tokens_name_no_audit_event(first: Api) -> None:
    made = first.post("/auth/token", {})
    assert "audit_id" not in put_there(made)
    pk = made.body["auth_token"]["id"]
    assert "audit_id" not in put_there(first.delete(f"/auth/tokens/{pk}"))
    for event in AuditEvent.objects.all():
        assert made.body["auth_token"]["token"] not in str(event.payload)


def test_under_the_bypass_tokens_belong_to_the_local_user(bypass: Api, settings: Settings) -> None:
    token = new_token(bypass)
    assert put_there(bypass.get("/auth/tokens"))["count"] == 1
    settings.API_AUTH_DEV_BYPASS = False
    assert Api(token["token"]).get("/auth/tokens").status == 200
    assert Api().get("/auth/tokens").error == MISSING
    assert ApiToken.objects.get().user.username == "local"


def test_the_bypass_lets_in_whatever_header_is_sent(bypass: Api) -> None:
    for token in ("", "kroma_nonsense"):
        assert Api(token).get("/api/projects").status == 200
    assert bypass.get("/api/projects/unknown").error == absent("Project not found")
