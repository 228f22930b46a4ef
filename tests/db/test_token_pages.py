"""Tokens on pages: a person's own, and those of a universe for its owners."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from projects.access import Role
from projects.models import ApiToken, AuditEvent, Project, User
from projects.services.tokens import hashed
from tests.factories import make_token

OWN = "/tokens"


def test_a_person_makes_a_token_that_is_shown_once(alice_client: Client, project: Project) -> None:
    form = {"label": "nightly", "project": str(project.pk), "role": "editor", "expires": "2099-01-02"}
    answer = alice_client.post(OWN, form)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    (value,) = re.findall(r'value="(kroma_[0-9a-f]{64})"', answer.content.decode())
    token = ApiToken.objects.get()
    assert (token.token_hash, token.label, token.role) == (hashed(value), "nightly", "editor")
    assert (token.project, token.expires_at) == (project, datetime(2099, 1, 2, 23, 59, 59, tzinfo=UTC))
    assert AuditEvent.objects.get(event_code="token.created").actor == "alice"
    again = alice_client.get(OWN).content.decode()
    assert value not in again
    assert value[:12] in again


def test_the_token_lets_a_program_in(alice_client: Client, project: Project) -> None:
    answer = alice_client.post(OWN, {"label": "all", "role": "viewer"})
    (value,) = re.findall(r'value="(kroma_[0-9a-f]{64})"', answer.content.decode())
    api = Client(headers={"authorization": f"Bearer {value}"})
    assert api.get("/auth/tokens").json()["auth_tokens"][0]["role"] == "viewer"


def test_a_role_above_ones_own_stays_on_the_page(vic_client: Client, project: Project) -> None:
    answer = vic_client.post(OWN, {"label": "x", "project": str(project.pk), "role": "owner"})
    assert answer.status_code == 422
    assert "your own role in saltmarsh is viewer" in answer.content.decode()
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("wrong", [{"expires": "2001-01-01"}, {"label": ""}, {"role": "boss"}])
def test_a_wrong_form_makes_nothing(alice_client: Client, wrong: dict[str, str]) -> None:
    assert alice_client.post(OWN, {"label": "x", "role": "viewer", **wrong}).status_code == 422
    assert not ApiToken.objects.exists()


def test_a_foreign_universe_can_not_be_chosen(mallory_client: Client, project: Project) -> None:
    form = {"label": "x", "role": "viewer", "project": str(project.pk)}
    assert mallory_client.post(OWN, form).status_code == 422


def test_own_tokens_are_listed_by_their_state(alice_client: Client, project: Project) -> None:
    alice, erin = (User.objects.get(username=name) for name in ("alice", "erin"))
    now = timezone.now()
    make_token(user=alice, label="standing", last_used_at=now)
    make_token(user=alice, label="over", expires_at=now - timedelta(days=1))
    make_token(user=alice, label="gone", revoked_at=now)
    make_token(user=erin, label="of erin")
    context = alice_client.get(OWN).context
    assert [token.label for token in context["active"]] == ["standing"]
    assert {token.label for token in context["ended"]} == {"over", "gone"}


def test_revoking_ends_own_tokens_only(alice_client: Client, project: Project) -> None:
    alice, erin = (User.objects.get(username=name) for name in ("alice", "erin"))
    value = make_token(user=alice)
    make_token(user=erin)
    own, other = (ApiToken.objects.get(user=user) for user in (alice, erin))
    assert alice_client.post(reverse("projects:token-revoke", args=[other.pk])).status_code == 404
    assert alice_client.post(reverse("projects:token-revoke", args=[own.pk])).status_code == 302
    assert Client(headers={"authorization": f"Bearer {value}"}).get("/auth/tokens").status_code == 401
    assert AuditEvent.objects.get(event_code="token.revoked").payload["username"] == "alice"


def test_an_owner_revokes_what_reaches_the_universe_alone(alice_client: Client, project: Project) -> None:
    erin = User.objects.get(username="erin")
    make_token(user=erin, project=project, label="render farm", role=Role.EDITOR)
    make_token(user=erin, label="everywhere")
    page = alice_client.get(reverse("projects:project-tokens", args=[project.slug])).content.decode()
    assert "render farm" in page
    assert "everywhere" not in page
    scoped, wide = ApiToken.objects.get(project=project), ApiToken.objects.get(project=None)

    def revoke(token: ApiToken) -> int:
        url = reverse("projects:project-token-revoke", args=[project.slug, token.pk])
        return int(alice_client.post(url).status_code)

    assert (revoke(wide), revoke(scoped)) == (404, 302)
    scoped.refresh_from_db()
    assert scoped.revoked_at is not None
    event = AuditEvent.objects.get(event_code="token.revoked")
    assert (event.actor, event.project_slug) == ("alice", project.slug)


def test_nobody_makes_tokens_without_signing_in(db: None) -> None:
    assert Client().get(OWN)["Location"].startswith("/signin")


@pytest.mark.parametrize("of_project", [False, True])
def test_queries_do_not_grow_with_the_tokens(
    alice_client: Client,
    project: Project,
    django_assert_num_queries: DjangoAssertNumQueries,
    of_project: bool,
) -> None:
    alice = User.objects.get(username="alice")
    url = reverse("projects:project-tokens", args=[project.slug]) if of_project else OWN
    ended = {"revoked_at": timezone.now()}
    for more in ({}, ended):
        make_token(user=alice, project=project, **more)
    alice_client.get(url)
    with CaptureQueriesContext(connection) as few:
        alice_client.get(url)
    for _ in range(4):
        for more in ({}, ended):
            make_token(user=alice, project=project, **more)
    with django_assert_num_queries(len(few)):
        alice_client.get(url)
