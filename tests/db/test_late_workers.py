"""Workers that are late: what they bring or decide when somebody else has gone on meanwhile."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from pipeline.models import Attempt, Candidate, Run
from pipeline.providers.base import GenerateRequest, OutcomeUnknown, ProviderRefused, ProviderUnavailable
from pipeline.services import attempts, control, runs
from pipeline.services.attempts import Call, Receipt
from pipeline.services.budgets import spending_of
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import Project
from tests.factories import make_run, png
from tests.fakes import FakeProvider, Use, expire_leases, work_through

pytestmark = pytest.mark.django_db

FAULT = ProviderUnavailable("The server has a fault", code="provider_failed", http_status=503)


def late(run: Run) -> tuple[Candidate, Attempt, Any]:
    """A call whose worker has lost its lease and lives; its token."""
    candidate = run.candidates.select_related("run").get()
    token = Candidate.objects.claim(candidate.pk, now=timezone.now())
    assert token
    attempt = attempts.begin(candidate, Call("generate", "local", True, Decimal("0.04")), token=token)
    expire_leases()
    return candidate, attempt, token


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen just before the next worker looks at calls that were left open."""
    look = attempts.close_left_open

    def looked(*args: Any, **kwargs: Any) -> None:
        happens()
        look(*args, **kwargs)

    monkeypatch.setattr(attempts, "close_left_open", looked)


def test_a_result_that_comes_while_another_worker_takes_over_is_used(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project)
    _, attempt, token = late(run)
    sha256, path = store_for(project).keep(".kroma/originals", png(number=3), "png")
    receipt = Receipt(sha256, path, Decimal("0.04"))
    meanwhile(monkeypatch, lambda: attempts.settle(attempt, receipt, token=token))
    work_through(run)
    assert provider.requests == []
    assert (run.status, run.candidates.get().original_sha256) == ("ok", sha256)
    assert spending_of(project).today == Decimal("0.04")


def test_a_call_in_doubt_of_a_worker_that_lost_its_lease_is_not_made_again(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project)
    _, attempt, token = late(run)
    gone = OutcomeUnknown("The connection broke", code="connection_lost")
    meanwhile(monkeypatch, lambda: attempts.doubt(attempt, gone, token=token))
    work_through(run)
    assert provider.requests == []
    assert run.candidates.get().status == "in_doubt"


def test_a_failure_that_comes_after_the_lease_was_lost_needs_no_decision(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project)
    _, attempt, _ = late(run)
    work_through(run)
    assert run.candidates.get().status == "in_doubt"
    attempts.fail(attempt, FAULT)
    assert [row.status for row in run.attempts.all()] == ["failed"]
    assert spending_of(project).reserved == Decimal("0.04")
    work_through(run)
    assert (run.status, len(provider.requests)) == ("ok", 1)
    assert spending_of(project).reserved == 0


def test_a_failure_that_comes_after_the_decision_changes_nothing(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False))
    run = make_run(project)
    _, attempt, _ = late(run)
    work_through(run)
    control.decide_arrived(attempt, by=OPERATOR)
    attempts.fail(attempt, FAULT)
    assert run.attempts.get().status == "arrived"
    assert spending_of(project).today == Decimal("0.04")


def refuse(request: GenerateRequest) -> bytes:
    raise ProviderRefused("No", code="provider_refused")


def test_a_slow_close_does_not_end_a_run_that_was_retried_meanwhile(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider(repeatable=False, answer=refuse))
    run = make_run(project)
    write = runs.runlogs.write_run_log
    monkeypatch.setattr(runs.runlogs, "write_run_log", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work_through(run)

    def slow(run: Run) -> None:
        monkeypatch.setattr(runs.runlogs, "write_run_log", write)
        runs.close_run_if_finished(run)  # somebody else's
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)

    monkeypatch.setattr(runs.runlogs, "write_run_log", slow)
    runs.close_run_if_finished(run)
    run.refresh_from_db()
    assert (run.status, run.jobs.get().status) == ("queued", "planned")


def test_a_slow_close_does_not_end_a_job_that_was_retried_meanwhile(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider(repeatable=False, answer=refuse))
    run = make_run(project)
    decide = runs.job_outcome

    def slow(results: Any) -> Any:
        monkeypatch.setattr(runs, "job_outcome", decide)
        runs.close_job_if_finished(run.jobs.get())  # somebody else's
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
        return decide(results)

    monkeypatch.setattr(runs, "job_outcome", slow)
    work_through(run)
    assert (run.status, run.jobs.get().status, run.jobs.get().finished_at) == ("queued", "planned", None)
