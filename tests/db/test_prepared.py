"""Queries that are written once give what the ORM gives, for any value, on both databases."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pipeline.api.answers import at, at_text, id_text, timestamp_text
from pipeline.api.runrows import RunRow, newest_runs, run_row
from pipeline.engine.names import timestamp
from pipeline.models import Run
from projects.access import OPERATOR, Principal, Role
from projects.models import ApiToken, Character, Project, User
from projects.prepared import Prepared
from projects.services.projects import project_for
from projects.services.tokens import hashed, principal_of
from tests.factories import make_member, make_project, make_run, make_token, make_user

pytestmark = pytest.mark.django_db
NAMED = Prepared(
    lambda project, name: (
        Character.objects.filter(project=project, name=name)
        .exclude(description="gone")
        .values_list("id", "name", "created_at", "description")
    ),
    {"project": models.UUIDField(), "name": models.CharField()},
)


def test_the_rows_are_those_of_the_queryset_whatever_the_values(project: Project) -> None:
    names = ["Mira", "O'Neil", '"; DROP TABLE', "100 %", "%s", "ä\n名", ""]
    for name in names:
        Character.objects.create(project=project, name=name)
        Character.objects.create(project=make_project(name=f"Other {uuid4()}"), name=name)
    for name in (*names, "nobody"):
        plain = Character.objects.filter(project=project, name=name)
        expected = list(plain.values_list("id", "name", "created_at", "description"))
        assert NAMED.rows(project=project.pk, name=name) == expected
    assert Character.objects.count() == 2 * len(names)


def test_a_query_is_written_once() -> None:
    built = []

    def build(name: object) -> Any:
        built.append(name)
        return Character.objects.filter(name=name).values_list("id")

    query = Prepared(build, {"name": models.CharField()})
    for name in ("a", "b"):
        assert query.rows(name=name) == []
    assert len(built) == 1


def test_a_placeholder_that_is_not_used_is_a_fault() -> None:
    query = Prepared(lambda name: Character.objects.values_list("id"), {"name": models.CharField()})
    with pytest.raises(ValueError, match="does not use name"):
        query.rows(name="a")


def test_a_token_s_person_is_the_whole_person(alice: User) -> None:
    value = make_token(user=alice, role=Role.EDITOR)
    found = principal_of(f"Bearer {value}", address="::1")
    assert found.user == User.objects.get(pk=alice.pk)
    assert vars(found.user) | {"_state": 0} == vars(User.objects.get(pk=alice.pk)) | {"_state": 0}
    token = ApiToken.objects.get(token_hash=hashed(value))
    assert (found.token_id, found.scope, found.most) == (token.pk, None, Role.EDITOR)
    assert token.last_used_at is not None


@pytest.mark.parametrize("most", Role)
@pytest.mark.parametrize("held", Role)
@pytest.mark.parametrize("scoped", [None, "own", "other"])
def test_a_project_has_the_role_and_storage_that_the_orm_says(
    project: Project, held: Role, most: Role, scoped: str | None
) -> None:
    user = make_member(project=project, role=held, username=f"{held}-x")
    scope = {None: None, "own": project.pk, "other": uuid4()}[scoped]
    caller = Principal(user, scope=scope, most=most)
    plain = Project.objects.visible_to(caller).with_role(caller).select_related("storage")
    expected = plain.filter(slug="saltmarsh").first()
    with CaptureQueriesContext(connection) as queries:
        found = project_for(caller, "saltmarsh")
        if found is not None:
            assert expected is not None
            assert (found, found.role, found.storage) == (expected, expected.role, expected.storage)
            assert found.storage.project == found
            assert found.created_at == expected.created_at
    assert len(queries) == 1
    assert (found is None) == (expected is None)


def test_who_is_nobody_or_everybody(project: Project) -> None:
    assert project_for(Principal(), "saltmarsh") is None
    assert project_for(Principal(make_user()), "saltmarsh") is None
    assert project_for(OPERATOR, "saltmarsh").role == Role.OWNER
    assert project_for(OPERATOR, "nowhere") is None


def test_rows_of_runs_are_what_their_models_are(project: Project) -> None:
    runs = [make_run(project) for _ in range(3)]
    Run.objects.filter(pk=runs[0].pk).update(started_at=timezone.now().replace(microsecond=0))
    Run.objects.filter(pk=runs[1].pk).update(created_at=timezone.now().replace(microsecond=120_000))
    rows = newest_runs(project, 10)
    models_ = list(Run.objects.filter(project=project).order_by("-created_at", "-id"))
    assert [id_text(row.id) for row in rows] == [str(run.pk) for run in models_]
    for row, run in zip(rows, models_, strict=True):
        assert (at_text(row.created_at), timestamp_text(row.created_at)) == (
            at(run.created_at), timestamp(run.created_at),
        )  # fmt: skip
        assert (at_text(row.started_at), at_text(row.finished_at)) == (
            at(run.started_at),
            at(run.finished_at),
        )
        plain = [
            name for name in RunRow._fields if name in ("status", "seed", "n_jobs", "plan_hash", "stage")
        ]
        assert all(getattr(row, name) == getattr(run, name) for name in plain)
        assert (row.estimate_usd, bool(row.is_imported)) == (float(run.estimate_usd), run.is_imported)
        assert run_row(project, run.pk) == row
    assert newest_runs(project, 2) == rows[:2]
    assert run_row(make_project(name="Elsewhere"), runs[0].pk) is None
