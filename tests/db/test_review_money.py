"""Faults that a review of the money and execution core looked for."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from pipeline.models import Attempt, Candidate, Run
from pipeline.providers.base import GenerateRequest, OutcomeUnknown, ProviderRefused, ProviderUnavailable
from pipeline.services import attempts, calls, control, limits, runs
from pipeline.services.accounts import access_to
from pipeline.services.attempts import Call, Receipt
from pipeline.services.budgets import spending_of
from pipeline.store import StorageFull, store_for
from projects.access import OPERATOR
from projects.errors import ProviderUnusable
from projects.models import Project
from projects.services.accounts import save_account
from tests.factories import configure, make_run, png
from tests.fakes import FakePaidTool, FakeProvider, Use, UseTools, expire_leases, work_through

pytestmark = pytest.mark.django_db


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


def unavailable() -> ProviderUnavailable:
    return ProviderUnavailable("The server has a fault", code="provider_failed", http_status=503)


def fail_for_now(request: GenerateRequest) -> bytes:
    raise unavailable()


def test_the_bell_rings_once_for_one_that_waits_while_its_message_may_be_in_the_queue(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider(repeatable=False, answer=fail_for_now))
    run = make_run(project, n_scenes=3)
    work_through(run)
    now = timezone.now() + timedelta(seconds=5)
    monkeypatch.setattr(runs, "queue_is_empty", lambda: False)
    assert limits.ring_waiting(now, again=False) == 3
    assert limits.ring_waiting(now, again=False) == 0
    assert limits.ring_waiting(now, again=True) == 0, "it may be on its way"
    assert limits.ring_waiting(now + timedelta(hours=1), again=True) == 3


def test_the_bell_rings_for_no_more_than_may_call_in_this_minute(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False, answer=fail_for_now))
    run = make_run(project, n_scenes=4)
    work_through(run)
    save_account(project, "local", changes={"requests_per_minute": 5}, by=OPERATOR)
    assert limits.ring_waiting(timezone.now() + timedelta(seconds=5), again=False) == 1


def test_a_command_that_is_stopped_in_a_call_leaves_it_in_doubt(project: Project) -> None:
    def stopped(png: bytes) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calls.paid_call(
            project,
            FakePaidTool("photoroom", answer=stopped),
            step="bg_remove",
            png=b"picture",
            name="quay",
            store=store_for(project),
            by=OPERATOR,
        )
    assert project.attempts.get().status == "in_doubt"


def test_a_call_without_a_run_whose_process_died_is_listed_as_in_doubt(project: Project) -> None:
    attempt = attempts.begin_alone(project, Call("bg_remove", "photoroom", True, Decimal("0.02")))
    runs.ring_again()
    attempt.refresh_from_db()
    assert attempt.status == "open", "it may still be going on"
    Attempt.objects.update(started_at=timezone.now() - timedelta(hours=3))
    assert runs.ring_again() == 1
    attempt.refresh_from_db()
    assert attempt.status == "in_doubt"


def test_a_retry_reserves_for_the_paid_steps_that_are_still_to_be_bought(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    cutter = FakePaidTool("photoroom")
    refiner = FakePaidTool("openai", fault="No", cost=Decimal("0.03"))
    use_tools(cutter, refiner=refiner)
    steps = {"bg_remove": True, "bg_remove_backends": ["photoroom"], "bg_refine_openai": True}
    configure(project, steps={**steps, "bg_refine_openai_required": True})
    answers = iter([png(number=5)])

    def one(request: GenerateRequest) -> bytes:
        if picture := next(answers, None):
            return picture
        raise ProviderRefused("No", code="provider_refused")

    provider = use(FakeProvider(repeatable=False, answer=one))
    run = make_run(project, n_scenes=2)
    assert spending_of(project).reserved == Decimal("0.18")
    work_through(run)
    # The first has its picture and its cut-out, the second nothing.
    assert spending_of(project).today == Decimal("0.06")
    assert control.plan_retry(run).price_usd == Decimal("0.03") + Decimal("0.09")
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert spending_of(project).reserved == Decimal("0.12")
    assert [row.reserved_usd for row in run.candidates.order_by("job__position")] == [
        Decimal("0.03"),
        Decimal("0.09"),
    ]
    refiner.fault = ""
    provider.answer = lambda request: png(number=6)
    work_through(run)
    assert run.status == "ok"
    assert (len(provider.requests), len(cutter.calls), len(refiner.calls)) == (3, 2, 3)
    assert spending_of(project).reserved == 0


def test_a_retry_waits_for_nothing_that_was_waited_for_before_its_cancel(project: Project, use: Use) -> None:
    run = make_run(project)

    def canceled(request: GenerateRequest) -> bytes:
        control.cancel_run(run, by=OPERATOR)
        raise unavailable()

    use(FakeProvider(repeatable=False, answer=canceled))
    work_through(run)
    runs.ring_again()
    runs.ring_again()
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    candidate = run.candidates.get()
    assert (candidate.status, candidate.waits_for, candidate.not_before) == ("planned", "", None)


def test_a_backend_that_has_refused_is_not_waited_for(project: Project) -> None:
    run = make_run(project)
    token = Candidate.objects.claim(run.candidates.get().pk, now=timezone.now())
    assert token
    candidate = Candidate.objects.select_related("run__project__storage", "job").get()
    tool = FakePaidTool("photoroom", fault="No")
    store = store_for(project)

    def step() -> None:
        calls.paid_step(candidate, tool, step="bg_remove", png=b"picture", store=store, token=token)

    with pytest.raises(ProviderRefused):
        step()
    Attempt.objects.update(retry_at=timezone.now() + timedelta(minutes=10))
    with pytest.raises(ProviderRefused):
        step()


def test_a_key_that_vanished_since_the_plan_ends_the_run_in_words_and_leaves_nothing_in_doubt(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project, n_scenes=2)
    monkeypatch.setattr(provider, "missing", lambda: "OpenAI has no key here")
    work_through(run)
    assert (run.status, provider.requests) == ("failed", [])
    assert not run.attempts.exists()
    error = run.candidates.order_by("job__position").first().error
    assert (error["code"], error["message"]) == ("provider_unusable", "OpenAI has no key here")
    assert spending_of(project).reserved == 0


def test_a_failure_that_comes_after_the_lease_was_lost_needs_no_decision(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project)
    _, attempt, _ = late(run)
    work_through(run)
    assert run.candidates.get().status == "in_doubt"
    attempts.fail(attempt, unavailable())
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
    attempts.fail(attempt, unavailable())
    assert run.attempts.get().status == "arrived"
    assert spending_of(project).today == Decimal("0.04")


def test_an_account_whose_calls_would_outlast_their_task_is_refused(project: Project) -> None:
    save_account(project, "openai", changes={"config": {"timeout": 900}}, by=OPERATOR)
    with pytest.raises(ProviderUnusable, match=r"waits 900 s.*task of 600 s bears 200"):
        access_to(project, "openai")
    save_account(project, "openai", changes={"config": {"timeout": 200}}, by=OPERATOR)
    assert access_to(project, "openai").config["timeout"] == 200


def test_without_room_for_its_log_a_run_is_canceled_all_the_same_and_gets_it_later(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    run = make_run(project)
    write = runs.runlogs.write_run_log

    def full(run: Run) -> None:
        raise StorageFull("The disk is full")

    monkeypatch.setattr(runs.runlogs, "write_run_log", full)
    control.cancel_run(run, by=OPERATOR)
    run.refresh_from_db()
    assert run.status == "canceled"
    monkeypatch.setattr(runs.runlogs, "write_run_log", write)
    runs.ring_again()
    assert store_for(project).exists(run.run_log_path)
