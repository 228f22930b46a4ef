"""The audit trail on pages: who sees which part of it, and what a filter leaves."""

from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from projects import audit
from projects.access import OPERATOR, Principal
from projects.models import ApiToken, AuditEvent, Project, User
from projects.trail import told
from projects.views.audit import N_EVENTS
from tests.factories import make_project, make_token, make_user


def happen(
    project: Project | None, code: str = "test.event", *, by: Principal = OPERATOR, n: int = 1
) -> None:
    with transaction.atomic():
        for number in range(n):
            audit.record(project, code, project, by=by, number=number)


def url_of(project: Project) -> str:
    return reverse("projects:audit", args=[project.slug])


def codes(client: Client, url: str, **query: str) -> list[str]:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return [event.event_code for event, _, _ in answer.context["rows"]]


def test_an_owner_sees_the_events_of_the_universe_newest_first(
    alice_client: Client, project: Project
) -> None:
    alice = User.objects.get(username="alice")
    make_token(user=alice, label="nightly")
    by = Principal(alice, address="10.0.0.7", token_id=ApiToken.objects.get().pk)
    happen(project, "secret.upsert", by=by)
    happen(make_project(name="Other"), "other.event")
    answer = alice_client.get(url_of(project))
    page = answer.content.decode()
    shown = [event.event_code for event, _, _ in answer.context["rows"]]
    assert shown == ["secret.upsert", "project.upsert"]
    for words in ("alice", "10.0.0.7", "nightly", "audit verify"):
        assert words in page
    assert "Audit</a>" in page


def test_others_do_not_find_it_in_the_navigation(erin_client: Client, project: Project) -> None:
    assert url_of(project) not in erin_client.get(f"/projects/{project.slug}/library").content.decode()
    assert erin_client.get(url_of(project)).status_code == 403


def test_the_whole_trail_is_for_those_who_manage_the_installation(
    alice_client: Client, project: Project
) -> None:
    assert alice_client.get("/audit").status_code == 404
    operator = Client()
    operator.force_login(make_user(username="root", superuser=True))
    happen(None, "user.created")
    assert codes(operator, "/audit")[:2] == ["user.created", "project.upsert"]
    assert operator.get(url_of(project)).status_code == 404  # a superuser has no universe by that


def test_filters_leave_what_fits(alice_client: Client, project: Project) -> None:
    erin = Principal(User.objects.get(username="erin"))
    happen(project, "character.created", by=erin)
    happen(project, "character.deleted")
    old = AuditEvent.objects.get(event_code="project.upsert")
    AuditEvent.objects.filter(pk=old.pk).update(created_at=datetime(2020, 5, 6, 12, tzinfo=UTC))
    url = url_of(project)
    assert codes(alice_client, url, event="Character.") == ["character.deleted", "character.created"]
    assert codes(alice_client, url, actor="Erin") == ["character.created"]
    assert codes(alice_client, url, subject=str(project.pk)[:8], event="project") == ["project.upsert"]
    assert codes(alice_client, url, subject="nothing") == []
    assert codes(alice_client, url, since="2020-05-06", until="2020-05-06") == ["project.upsert"]
    assert codes(alice_client, url, until="2020-05-05") == []
    assert codes(alice_client, url, since="2020-05-07", until="9999-12-31")[-1] == "character.created"


@pytest.mark.parametrize(
    "query", [{"since": "soon"}, {"before": "x"}, {"before": str(2**63)}, {"actor": "\0"}]
)
def test_a_wrong_filter_is_said(alice_client: Client, project: Project, query: dict[str, str]) -> None:
    assert alice_client.get(url_of(project), query).status_code == 422


def test_pages_follow_each_other_without_a_gap(alice_client: Client, project: Project) -> None:
    happen(project, n=N_EVENTS + 3)
    first = alice_client.get(url_of(project), {"event": "test"})
    second = alice_client.get(f"{url_of(project)}?{first.context['older']}")
    numbers = [event.payload["number"] for page in (first, second) for event, _, _ in page.context["rows"]]
    assert numbers == list(range(N_EVENTS + 2, -1, -1))
    assert second.context["older"] == ""
    assert "Newest" in second.content.decode()


def test_queries_do_not_grow_with_the_events(
    alice_client: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    alice = User.objects.get(username="alice")

    def by_a_token(n: int) -> None:
        for _ in range(n):
            make_token(user=alice)
        for token in ApiToken.objects.all():
            happen(project, by=Principal(alice, token_id=token.pk))

    by_a_token(1)
    alice_client.get(url_of(project))
    with CaptureQueriesContext(connection) as few:
        alice_client.get(url_of(project))
    by_a_token(5)
    with django_assert_num_queries(len(few)):
        alice_client.get(url_of(project))


@pytest.mark.parametrize(
    ("payload", "lines"),
    [
        ({}, []),
        ({"slug": "x", "n_files": 3}, [("slug", "x"), ("n files", "3")]),
        ({"fields": ["a", "b"], "first": True}, [("fields", "a, b"), ("first", "yes")]),
        ({"before": {"a": 1, "b": None}, "after": {"a": 1, "b": 2}}, [("b", "– → 2")]),
        ({"before": None, "after": {"a": "1"}}, [("changed", '– → {"a": "1"}')]),
        ({"name": {"before": "x", "after": ""}}, [("name", "x → –")]),
        ({"note": "n" * 400}, [("note", "n" * 300 + "…")]),
    ],
)
def test_a_payload_is_told_in_lines(payload: dict[str, object], lines: list[tuple[str, str]]) -> None:
    assert told(payload) == lines
