"""Bearer tokens: made, listed, revoked, and what one of them may make of another."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from projects.access import Principal, Role
from projects.api import tokens as api_tokens
from projects.models import ApiToken, AuditEvent, Project, User
from projects.services import tokens as services
from projects.throttles import PerAddress
from tests.api.conftest import Answered, Api
from tests.factories import make_member, make_project, make_token, make_user

CREATED = {"id", "token", "token_prefix", "label", "project_id", "created_at", "expires_at", "role"}
LISTED = {
    "id", "user_id", "project_id", "token_prefix", "label", "expires_at", "revoked_at", "last_used_at",
    "created_at", "active", "role",
}  # fmt: skip
INVALID = (400, "validation", "validation_error")
MISSING = (401, "validation", "unauthorized", "Missing Authorization: Bearer token")


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    """Requests of other tests don't count against the throttle."""
    cache.clear()
    yield
    cache.clear()


def made(answer: Answered) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    assert answer.body["ok"] is True
    assert "audit_id" not in answer.body
    assert set(answer.body["auth_token"]) == CREATED
    return dict(answer.body["auth_token"])


# --- Making one -------------------------------------------------------------------------------------


@pytest.mark.acceptance("U-01", "U-03")
def test_a_token_is_shown_once_and_kept_as_a_hash(bypass: Api) -> None:
    token = made(bypass.post("/auth/token", {"label": "  nightly  "}))
    value = token["token"]
    assert value.startswith("kroma_")
    assert len(value) == 70
    assert set(value[6:]) <= set("0123456789abcdef")
    assert (token["label"], token["token_prefix"], token["project_id"]) == ("nightly", value[:12], None)
    assert (token["expires_at"], token["role"]) == (None, "owner")
    row = ApiToken.objects.get(pk=token["id"])
    assert row.token_hash == hashlib.sha256(value.encode()).hexdigest()
    assert row.user.username == "local"
    listed = bypass.get("/auth/tokens")
    assert value not in str(listed.body)
    assert row.token_hash not in str(listed.body)
    event = AuditEvent.objects.get(event_code="token.created")
    assert event.payload["label"] == "nightly"
    assert value not in str(event.payload)
    assert row.token_hash not in str(event.payload)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"label": null, "project_slug": "", "expires_at": " "}'])
def test_everything_may_be_left_out(bypass: Api, body: bytes) -> None:
    made(bypass.raw("POST", "/auth/token", body))


def test_a_body_that_is_none_needs_no_content_type(bypass: Api) -> None:
    made(bypass.raw("POST", "/auth/token", b"", content_type=""))


def test_a_label_is_cut(bypass: Api) -> None:
    assert made(bypass.post("/auth/token", {"label": "é" * 300}))["label"] == "é" * 200


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2031-01-02T03:04:05Z", "2031-01-02T03:04:05+00:00"),
        ("  2031-01-02T03:04:05Z ", "2031-01-02T03:04:05+00:00"),
        ("2031-01-02t03:04:05z", "2031-01-02T03:04:05+00:00"),
        ("2031-01-02T03:04:05+02:00", "2031-01-02T01:04:05+00:00"),
        ("2031-01-02T03:04:05.250-01:30", "2031-01-02T04:34:05.250+00:00"),
        ("2031-01-02T03:04:05.123456789Z", "2031-01-02T03:04:05.123456789+00:00"),
        ("2031-01-02", "2031-01-02T23:59:59+00:00"),
        ("2001-01-02", "2001-01-02T23:59:59+00:00"),
        (None, None),
        ("", None),
    ],
)
def test_an_expiry_is_kept_as_it_was_given_in_utc(bypass: Api, given: str | None, shown: str | None) -> None:
    token = made(bypass.post("/auth/token", {"expires_at": given}))
    (listed,) = bypass.get("/auth/tokens").body["auth_tokens"]
    assert token["expires_at"] == listed["expires_at"] == shown


@pytest.mark.parametrize(
    "given",
    ["soon", "2031-01-02T03:04:05", "2031-13-02", "2031-02-30T00:00:00Z", "20310102", "2031-W01-1",
     "0001-01-01T00:00:00+14:00", "2031-01-02T03:04Z", "٢٠٣١-01-02", "2031-01-02T03:04:05+99:00"],
)  # fmt: skip
def test_another_form_of_expiry_is_refused_before_the_project_is_looked_up(bypass: Api, given: str) -> None:
    assert bypass.post("/auth/token", {"expires_at": given, "project_slug": "nothing"}).error == (
        *INVALID,
        f"Invalid expires_at format: '{given}'. Expected ISO8601 (YYYY-MM-DDTHH:MM:SSZ) or date (YYYY-MM-DD)",
    )


def test_a_past_expiry_makes_an_inactive_token(bypass: Api) -> None:
    made(bypass.post("/auth/token", {"expires_at": "2001-01-01"}))
    (listed,) = bypass.get("/auth/tokens").body["auth_tokens"]
    assert listed["active"] is False


@pytest.mark.parametrize("slug", ["nothing", "!!!", "saltmarsh"])
def test_a_project_that_is_not_the_persons_is_not_found(bypass: Api, project: Project, slug: str) -> None:
    assert bypass.post("/auth/token", {"project_slug": slug}).error == (
        404, "validation", "not_found", "Project not found"
    )  # fmt: skip
    assert not ApiToken.objects.exists()


def test_a_slug_is_normalised(project: Project, caller: Callable[..., Api]) -> None:
    token = made(caller("alice").post("/auth/token", {"project_slug": "  SaltMarsh "}))
    assert token["project_id"] == str(project.pk)
    assert AuditEvent.objects.get(event_code="token.created").project_slug == "saltmarsh"


@pytest.mark.parametrize("field", ["label", "project_slug", "expires_at", "role"])
def test_a_field_of_another_type_is_refused(bypass: Api, field: str) -> None:
    assert bypass.post("/auth/token", {field: 3}).error[:3] == (422, "validation", "validation_error")


# --- Roles and scopes -------------------------------------------------------------------------------


def test_a_role_may_be_asked_for(bypass: Api) -> None:
    assert made(bypass.post("/auth/token", {"role": " Viewer "}))["role"] == "viewer"
    assert bypass.post("/auth/token", {"role": "boss"}).error == (
        *INVALID, "Field 'role' must be one of: owner, editor, reviewer, viewer"
    )  # fmt: skip


def test_no_token_makes_one_that_can_do_more(project: Project, caller: Callable[..., Api]) -> None:
    editor = caller("alice", role=Role.EDITOR)
    assert editor.post("/auth/token", {"role": "owner"}).error == (
        *INVALID, "Field 'role' can't be owner: your own role is editor"
    )  # fmt: skip
    assert made(editor.post("/auth/token"))["role"] == "editor"
    assert made(editor.post("/auth/token", {"role": "viewer"}))["role"] == "viewer"


def test_a_token_for_a_project_has_at_most_the_persons_role_there(
    project: Project, caller: Callable[..., Api]
) -> None:
    vic = caller("vic")
    assert vic.post("/auth/token", {"role": "editor", "project_slug": project.slug}).error == (
        *INVALID, "Field 'role' can't be editor: your own role in saltmarsh is viewer"
    )  # fmt: skip
    assert made(vic.post("/auth/token", {"project_slug": project.slug}))["role"] == "viewer"


def test_a_projects_token_makes_tokens_for_its_project_only(
    project: Project, caller: Callable[..., Api]
) -> None:
    other = make_project(name="Other", owner=User.objects.get(username="alice"))
    scoped = caller("alice", project=project, role=Role.EDITOR)
    assert scoped.post("/auth/token", {"project_slug": other.slug}).status == 404
    token = made(scoped.post("/auth/token"))
    assert (token["project_id"], token["role"]) == (str(project.pk), "editor")
    assert made(scoped.post("/auth/token", {"project_slug": project.slug}))["project_id"] == str(project.pk)
    assert scoped.post("/auth/token", {"role": "owner"}).status == 400


def test_a_projects_token_makes_none_that_outlives_it(project: Project) -> None:
    alice = User.objects.get(username="alice")
    first = made(Api(make_token(user=alice)).post(
        "/auth/token", {"project_slug": project.slug, "expires_at": "2031-01-02T03:04:05.5Z"}
    ))  # fmt: skip
    scoped = Api(first["token"])
    assert made(scoped.post("/auth/token"))["expires_at"] == "2031-01-02T03:04:05.5+00:00"
    earlier = made(scoped.post("/auth/token", {"expires_at": "2030-01-01"}))
    assert earlier["expires_at"] == "2030-01-01T23:59:59+00:00"
    assert scoped.post("/auth/token", {"expires_at": "2031-01-03"}).error == (
        *INVALID, "Field 'expires_at' can't be later than that of your own token, 2031-01-02T03:04:05.5+00:00"
    )  # fmt: skip


def test_a_projects_token_sees_and_revokes_itself_only(project: Project) -> None:
    alice = User.objects.get(username="alice")
    wide = Api(make_token(user=alice))
    scoped = Api(made(wide.post("/auth/token", {"project_slug": project.slug}))["token"])
    (own,) = scoped.get("/auth/tokens").body["auth_tokens"]
    assert own["project_id"] == str(project.pk)
    other = ApiToken.objects.exclude(pk=own["id"]).get()
    assert scoped.delete(f"/auth/tokens/{other.pk}").error == (
        404, "validation", "not_found", "Auth token not found"
    )  # fmt: skip
    assert scoped.delete(f"/auth/tokens/{own['id']}").status == 200
    assert scoped.get("/auth/tokens").status == 401


def test_a_person_sees_and_revokes_own_tokens_only(project: Project, caller: Callable[..., Api]) -> None:
    alice, erin = caller("alice"), caller("erin")
    (own,) = alice.get("/auth/tokens").body["auth_tokens"]
    assert own["user_id"] == str(User.objects.get(username="alice").pk)
    assert erin.delete(f"/auth/tokens/{own['id']}").status == 404
    assert alice.get("/auth/tokens").status == 200


# --- The list, and revoking -------------------------------------------------------------------------


@pytest.mark.acceptance("U-04")
def test_the_list_has_all_newest_first(bypass: Api, alice: User) -> None:
    make_token(user=alice, label="old", created_at=timezone.now() - timedelta(days=2))
    make_token(user=alice, label="ended", revoked_at=timezone.now())
    body = bypass.get("/auth/tokens").body
    assert body["count"] == 2
    assert [token["label"] for token in body["auth_tokens"]] == ["ended", "old"]
    assert [token["active"] for token in body["auth_tokens"]] == [False, True]
    assert set(body["auth_tokens"][0]) == LISTED
    first = bypass.get("/auth/tokens", limit=1).body
    assert first["count"] == 1
    rest = bypass.get("/auth/tokens", cursor=first["next_cursor"]).body
    assert [token["label"] for token in rest["auth_tokens"]] == ["old"]


def test_the_list_takes_as_many_queries_for_many(
    bypass: Api, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_token(user=alice)
    with CaptureQueriesContext(connection) as few:
        bypass.get("/auth/tokens")
    for _ in range(5):
        make_token(user=alice)
    with django_assert_num_queries(len(few)):
        bypass.get("/auth/tokens")


@pytest.mark.acceptance("U-05")
def test_a_revoked_token_is_refused_at_once_and_stays_as_it_was(project: Project) -> None:
    alice = User.objects.get(username="alice")
    caller, other = Api(make_token(user=alice)), Api(make_token(user=alice))
    pk = str(ApiToken.objects.earliest("created_at").pk)
    answer = other.delete(f"/auth/tokens/{pk}")
    assert answer.body == {"ok": True, "deleted": True, "token_id": pk}
    assert caller.get("/auth/tokens").error[3] == "Invalid or expired token"
    at = ApiToken.objects.get(pk=pk).revoked_at
    assert other.delete(f"/auth/tokens/%20{pk}%20").body["token_id"] == f" {pk} "
    assert ApiToken.objects.get(pk=pk).revoked_at == at
    event = AuditEvent.objects.get(event_code="token.revoked")
    assert event.actor == "alice"
    assert event.token_id is not None


@pytest.mark.parametrize("wanted", ["x", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_token_is_not_found(bypass: Api, wanted: str) -> None:
    assert bypass.delete(f"/auth/tokens/{wanted}").error[3] == "Auth token not found"


def test_an_id_must_not_be_blank(bypass: Api) -> None:
    assert bypass.delete("/auth/tokens/%20").error == (*INVALID, "token_id is required")


def test_a_use_is_noted(project: Project, caller: Callable[..., Api]) -> None:
    (listed,) = caller("alice").get("/auth/tokens").body["auth_tokens"]
    assert listed["last_used_at"]
    assert listed["last_used_at"].endswith("Z")


# --- The first one ----------------------------------------------------------------------------------


@pytest.mark.acceptance("U-08")
def test_the_first_token_is_made_without_one_and_only_the_first(db: None) -> None:
    token = made(Api().post("/auth/token", {"label": "first"}))
    assert ApiToken.objects.get().user.username == "local"
    assert AuditEvent.objects.get(event_code="token.created").payload["first"] is True
    assert Api().post("/auth/token").error == MISSING
    assert Api(token["token"]).get("/auth/tokens").status == 200
    assert Api(token["token"]).delete(f"/auth/tokens/{token['id']}").status == 200
    made(Api().post("/auth/token"))  # none is active any more


def test_the_first_token_can_be_switched_off_or_to_once(db: None, settings: Settings) -> None:
    settings.API_AUTH_FIRST_TOKEN = False
    assert Api().post("/auth/token").error == MISSING
    settings.API_AUTH_FIRST_TOKEN, settings.API_AUTH_FIRST_TOKEN_ONCE = True, True
    made(Api().post("/auth/token"))
    ApiToken.objects.update(revoked_at=timezone.now())
    assert Api().post("/auth/token").error == MISSING


def test_the_first_token_must_not_be_over_already(db: None) -> None:
    answer = Api().post("/auth/token", {"expires_at": "2001-01-01"})
    assert answer.error[:3] == INVALID
    assert "has passed already" in answer.error[3]
    assert not ApiToken.objects.exists()


def test_a_wrong_token_never_makes_the_first(db: None) -> None:
    assert Api("kroma_wrong").post("/auth/token").error[3] == "Invalid or expired token"


def test_the_loser_of_a_race_for_the_first_token_is_told(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = services.first_token_is_open

    def open_and_then_taken() -> bool:
        is_open = judged()
        if is_open:
            monkeypatch.setattr(services, "first_token_is_open", judged)
            make_token(user=make_user())
        return is_open

    monkeypatch.setattr(services, "first_token_is_open", open_and_then_taken)
    assert Api().post("/auth/token").error == (*INVALID, "Bootstrap token already initialized")


def test_a_person_whose_membership_ended_makes_nothing_with_a_projects_token(project: Project) -> None:
    gone = make_member(project=project, role=Role.EDITOR, username="gone")
    token = make_token(user=gone, project=project)
    project.memberships.filter(user=gone).delete()
    assert Api(token).post("/auth/token").status == 404


# --- How often --------------------------------------------------------------------------------------


def test_one_address_can_ask_only_so_often(bypass: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_tokens.throttle, "num_requests", 2)
    assert [bypass.get("/auth/tokens").status for _ in range(3)] == [200, 200, 429]
    refused = bypass.delete("/auth/tokens/x")
    assert refused.error[:3] == (429, "policy", "rate_limited")
    assert int(refused.response["Retry-After"]) >= 1
    elsewhere = Api(make_token(user=make_user()))
    elsewhere.client.defaults["REMOTE_ADDR"] = "10.0.0.7"
    assert elsewhere.get("/auth/tokens").status == 200


def test_a_forwarded_address_does_not_help(bypass: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_tokens.throttle, "num_requests", 1)
    caller = Api(make_token(user=make_user()))
    statuses = []
    for n in range(2):
        caller.client.defaults["HTTP_X_FORWARDED_FOR"] = f"10.0.0.{n}"
        statuses.append(caller.get("/auth/tokens").status)
    assert statuses == [200, 429]


def test_threads_count_together_and_judge_apart(rf: RequestFactory) -> None:
    request = rf.get("/auth/tokens")
    throttle = PerAddress("threads", "2/min")
    allowed = [throttle.allow_request(request)]
    judged_here: list[bool] = []

    def ask() -> None:
        judged_here.append(hasattr(throttle, "key"))
        allowed.append(throttle.allow_request(request))

    beside = threading.Thread(target=ask)
    beside.start()
    beside.join()
    assert judged_here == [False]  # what another thread is just judging
    assert [*allowed, throttle.allow_request(request)] == [True, True, False]


def test_what_the_operator_makes_belongs_to_the_first_owner(db: None) -> None:
    token, _ = services.issue_token(by=Principal(operator=True))
    assert token.user.username == "local"
