"""What the database itself refuses."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from bootstrap.models import SettingsSnapshot
from bootstrap.rows import load
from bootstrap.snapshots import take
from pipeline.models import (
    AccountHealth,
    Asset,
    AssetLink,
    Attempt,
    Candidate,
    CostEvent,
    LabWork,
    Review,
    Run,
    RunJob,
)  # fmt: skip
from projects.access import OPERATOR
from projects.models import Budget, Membership, Project, ReferenceSet, StyleGuide
from tests.factories import make_run, make_user

pytestmark = pytest.mark.django_db


def refuses(name: str, change: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        change()


@pytest.fixture
def run(project: Project) -> Run:
    return make_run(project)


def test_projects(project: Project) -> None:
    rows = Project.objects.filter(pk=project.pk)
    refuses("project_slug_not_blank", lambda: rows.update(slug=""))
    refuses("project_name_not_blank", lambda: rows.update(name=""))
    refuses("project_status_known", lambda: rows.update(status="gone"))
    refuses("slug", lambda: Project.objects.create(name="Other", slug=project.slug))


def test_memberships(project: Project) -> None:
    member = project.memberships.first()
    assert member is not None
    refuses("membership_role_known", lambda: Membership.objects.filter(pk=member.pk).update(role="king"))
    refuses("user", lambda: Membership.objects.create(project=project, user=member.user, role="viewer"))


def test_names_are_unique_in_a_project(project: Project) -> None:
    for model in (StyleGuide, ReferenceSet):
        model.objects.create(project=project, name="Ink")
        refuses("name", lambda model=model: model.objects.create(project=project, name="Ink"))


def test_snapshots(project: Project) -> None:
    snapshot = take(project, load(project), reason="import", changes={}, by=OPERATOR)
    rows = SettingsSnapshot.objects.filter(pk=snapshot.pk)
    refuses("settings_snapshot_reason_known", lambda: rows.update(reason="whim"))
    with pytest.raises(ProtectedError):
        project.delete()


def test_health_and_works_of_the_lab(project: Project) -> None:
    health = AccountHealth.objects.create(project=project, provider_code="openai", ok=True, message="works")
    rows = AccountHealth.objects.filter(pk=health.pk)
    refuses("account_health_says_something", lambda: rows.update(message=""))
    refuses("account_health_says_something", lambda: rows.update(provider_code=""))
    refuses("provider_code", lambda: AccountHealth.objects.create(
        project=project, provider_code="openai", ok=True, message="works"
    ))  # fmt: skip
    work = LabWork.objects.create(user=make_user(), tool="colour", label="quay", source="source.png")
    works = LabWork.objects.filter(pk=work.pk)
    refuses("lab_work_tool_known", lambda: works.update(tool="magic"))
    refuses("lab_work_finished_iff_closed", lambda: works.update(state="done", result="x.png"))
    refuses("lab_work_finished_iff_closed", lambda: works.update(finished_at=timezone.now()))
    refuses("lab_work_result_iff_done", lambda: works.update(result="x.png"))
    refuses(
        "lab_work_result_iff_done", lambda: works.update(state="done", result="", finished_at=timezone.now())
    )


def test_budgets_are_not_negative(project: Project) -> None:
    refuses("budget_per_day_not_negative", lambda: Budget.objects.create(project=project, per_day_usd=-1))


def test_runs(run: Run) -> None:
    rows = Run.objects.filter(pk=run.pk)
    refuses("run_finished_iff_closed", lambda: rows.update(status="ok"))
    refuses("run_finished_iff_closed", lambda: rows.update(finished_at=timezone.now()))
    refuses("run_mode_known", lambda: rows.update(run_mode="wet"))
    refuses("run_estimate_not_negative", lambda: rows.update(estimate_usd=-1))
    refuses("run_log_path", lambda: Run.objects.create(
        project=run.project, run_mode="run", stage="style", time_of_day="day", weather="clear",
        provider_code="local", plan_hash="0", run_log_path=run.run_log_path,
    ))  # fmt: skip


def test_jobs(run: Run) -> None:
    rows = RunJob.objects.filter(run=run)
    job = rows.get()
    refuses("job_done_has_winner", lambda: rows.update(status="done"))
    refuses("job_verdict_known", lambda: rows.update(verdict="nice"))
    refuses(
        "position", lambda: RunJob.objects.create(run=run, position=1, job_key="x", label="", prompt_text="")
    )
    refuses(
        "job_key",
        lambda: RunJob.objects.create(run=run, position=2, job_key=job.job_key, label="", prompt_text=""),
    )


def test_candidates(run: Run) -> None:
    rows = Candidate.objects.filter(run=run)
    job = run.jobs.get()
    refuses("candidate_worked_on_iff_leased", lambda: rows.update(status="running"))
    refuses("candidate_worked_on_iff_leased", lambda: rows.update(lease_until=timezone.now()))
    refuses("candidate_done_has_final", lambda: rows.update(status="done"))
    refuses("candidate_index", lambda: rows.update(candidate_index=0))
    refuses("candidate_index", lambda: Candidate.objects.create(
        run=run, job=job, candidate_index=1, seed="1", output_name="x"
    ))  # fmt: skip


def test_attempts(run: Run) -> None:
    candidate = run.candidates.get()
    fields = {
        "project": run.project,
        "run": run,
        "candidate": candidate,
        "provider_code": "x",
        "billed": True,
    }
    attempt = Attempt.objects.create(number=1, **fields)
    rows = Attempt.objects.filter(pk=attempt.pk)
    refuses("candidate", lambda: Attempt.objects.create(number=2, **fields))
    refuses("attempt_finished_iff_closed", lambda: rows.update(status="failed"))
    refuses("attempt_stored_has_hash", lambda: rows.update(status="stored", finished_at=timezone.now()))
    refuses("attempt_money_not_negative", lambda: rows.update(cost_usd=-1))


def test_files_and_money(run: Run) -> None:
    project = run.project
    asset = Asset.objects.create(project=project, kind="x", rel_path="outputs/a.png")
    refuses("rel_path", lambda: Asset.objects.create(project=project, kind="x", rel_path="outputs/a.png"))
    refuses("asset_path_not_blank", lambda: Asset.objects.filter(pk=asset.pk).update(rel_path=""))
    refuses("asset_link_not_to_itself", lambda: AssetLink.objects.create(
        project=project, parent=asset, child=asset, link_type="derived_from"
    ))  # fmt: skip
    refuses("cost_event_not_negative", lambda: CostEvent.objects.create(
        project=project, provider_code="x", event_type="y", total_cost_usd=-1
    ))  # fmt: skip
    refuses("review_rejection_has_reason", lambda: Review.objects.create(
        project=project, job=run.jobs.get(), verdict="rejected"
    ))  # fmt: skip


def test_what_carries_work_can_not_be_deleted(run: Run) -> None:
    with pytest.raises(Exception, match="protected"):
        run.project.delete()
    with pytest.raises(Exception, match="protected"):
        run.delete()


def test_people_who_made_runs_can_not_be_deleted(project: Project) -> None:
    user = make_user()
    Run.objects.filter(pk=make_run(project).pk).update(created_by=user)
    with pytest.raises(Exception, match="protected"):
        user.delete()
