"""Calls that failed for the moment: when they are tried again, how often, and what an account bears."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from pipeline.models import Attempt, Candidate
from pipeline.providers.base import GenerateRequest, OutcomeUnknown, ProviderRefused, ProviderUnavailable
from pipeline.services import attempts, calls, control, execution, limits, runs
from pipeline.services.outcomes import Deferred
from pipeline.store import AssetStore, StorageFull, store_for
from pipeline.tools.base import ToolAnswer
from projects.access import OPERATOR
from projects.errors import BudgetExceeded, CallFailed, Invalid, PriceUnknown, ProviderUnusable
from projects.models import AuditEvent, Project
from projects.services.accounts import save_account
from projects.services.budgets import set_budget
from tests.factories import make_run, png
from tests.fakes import FakePaidTool, FakeProvider, Use, work_through

pytestmark = pytest.mark.django_db


def unavailable(retry_after: float | None = None) -> ProviderUnavailable:
    return ProviderUnavailable(
        "The server has a fault", code="provider_failed", http_status=503, retry_after=retry_after
    )


def failing(*errors: Exception | None) -> Callable[[GenerateRequest], bytes]:
    """An answer that raises these one after another (None for none), then brings images."""
    left = list(errors)

    def answer(request: GenerateRequest) -> bytes:
        if left and (error := left.pop(0)):
            raise error
        return png(number=request.seed % 1000)

    return answer


def waits(candidate: Candidate) -> tuple[str, float | None]:
    """The status, and in how many seconds the candidate is to be tried again."""
    candidate.refresh_from_db()
    if candidate.not_before is None:
        return candidate.status, None
    return candidate.status, (candidate.not_before - timezone.now()).total_seconds()


def let_time_pass() -> None:
    Candidate.objects.exclude(not_before=None).update(not_before=timezone.now() - timedelta(seconds=1))
    Attempt.objects.exclude(retry_at=None).update(retry_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.acceptance("W-02")
def test_a_fault_of_the_server_is_tried_again_later_and_then_works(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False, answer=failing(unavailable(), unavailable())))
    run = make_run(project)
    candidate = run.candidates.get()
    work_through(run)
    status, seconds = waits(candidate)
    assert status == "planned"
    assert seconds is not None
    assert 0 < seconds <= 3
    assert candidate.n_claims == 0, "no worker died of it"
    work_through(run)
    assert len(provider.requests) == 1, "it is not taken before its time"
    let_time_pass()
    work_through(run)
    status, seconds = waits(candidate)
    assert seconds is not None
    assert 3 < seconds <= 12
    let_time_pass()
    work_through(run)
    assert (run.status, len(provider.requests)) == ("ok", 3)
    assert [attempt.status for attempt in run.attempts.order_by("number")] == ["failed", "failed", "stored"]
    assert run.cost_events.get().total_cost_usd == Decimal("0.04")


def test_the_third_failure_is_the_last(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False, answer=failing(*[unavailable()] * 9)))
    run = make_run(project)
    for _ in range(5):
        work_through(run)
        let_time_pass()
    assert len(provider.requests) == 3
    assert run.candidates.get().error["code"] == "provider_failed"
    run.refresh_from_db()
    assert run.status == "failed"
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert len(provider.requests) == 4, "a person's retry has tries of its own"
    assert run.status == "running"


@pytest.mark.acceptance("W-02")
@pytest.mark.parametrize("error", [ProviderRefused("No", code="provider_refused")])
def test_a_refusal_is_not_tried_again(project: Project, use: Use, error: Exception) -> None:
    provider = use(FakeProvider(repeatable=False, answer=failing(error)))
    run = make_run(project)
    work_through(run)
    work_through(run)
    assert (len(provider.requests), run.status) == (1, "failed")


def test_retry_after_holds_the_whole_account(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False, answer=failing(unavailable(retry_after=60))))
    run = make_run(project, n_scenes=3)
    work_through(run)
    assert len(provider.requests) == 1
    for candidate in run.candidates.all():
        status, seconds = waits(candidate)
        assert status == "planned"
        assert seconds is not None
        assert 55 < seconds <= 60
    let_time_pass()
    work_through(run)
    assert run.status == "ok"


def test_who_asks_for_more_than_an_hour_is_out_of_service(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False, answer=failing(unavailable(retry_after=90_000))))
    run = make_run(project)
    work_through(run)
    assert run.status == "failed"


def test_a_waiting_candidate_is_canceled_with_its_run(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False, answer=failing(unavailable())))
    run = make_run(project)
    work_through(run)
    control.cancel_run(run, by=OPERATOR)
    run.refresh_from_db()
    candidate = run.candidates.get()
    assert (run.status, candidate.status, candidate.waits_for, candidate.reserved_usd) == (
        "canceled",
        "canceled",
        "",
        Decimal(0),
    )


def begun(run_candidate: Candidate, *, at: datetime | None = None, status: str = "open") -> Attempt:
    """A call of this account as another worker has it in hand."""
    return Attempt.objects.create(
        project=run_candidate.run.project,
        provider_code="local",
        billed=True,
        status=status,
        started_at=at or timezone.now(),
        finished_at=None if status == "open" else timezone.now(),
    )


@pytest.mark.acceptance("W-05")
def test_no_more_calls_at_once_than_the_account_bears(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False))
    save_account(project, "local", changes={"max_concurrency": 1}, by=OPERATOR)
    run = make_run(project)
    other = begun(run.candidates.get())
    work_through(run)
    candidate = run.candidates.get()
    assert (candidate.status, candidate.waits_for, candidate.n_claims) == ("planned", "local", 0)
    assert not provider.requests
    assert limits.ring_waiting(timezone.now(), again=True) == 0, "there is no place to ring for"
    Attempt.objects.filter(pk=other.pk).update(status="lost", finished_at=timezone.now())
    assert limits.ring_waiting(timezone.now(), again=True) == 1
    work_through(run)
    assert run.status == "ok"


def test_the_end_of_a_call_rings_for_the_next(
    project: Project, use: Use, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    use(FakeProvider(repeatable=False))
    save_account(project, "local", changes={"max_concurrency": 1}, by=OPERATOR)
    run = make_run(project, n_scenes=2)
    first, second = run.candidates.order_by("job__position")
    other = begun(first)
    execution.execute_candidate(second.pk)
    Attempt.objects.filter(pk=other.pk).update(status="lost", finished_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        execution.execute_candidate(first.pk)
    second.refresh_from_db()
    assert second.status == "done"


def test_no_more_calls_a_minute_than_the_account_bears(project: Project, use: Use) -> None:
    provider = use(FakeProvider(repeatable=False))
    save_account(project, "local", changes={"requests_per_minute": 2}, by=OPERATOR)
    run = make_run(project)
    candidate = run.candidates.get()
    now = timezone.now()
    begun(candidate, at=now - timedelta(seconds=50), status="failed")
    begun(candidate, at=now - timedelta(seconds=20), status="failed")
    work_through(run)
    status, seconds = waits(candidate)
    assert status == "planned"
    assert seconds is not None
    assert 8 < seconds <= 10
    assert limits.next_moment(timezone.now()) == pytest.approx(seconds, abs=1)
    assert not provider.requests
    Attempt.objects.update(started_at=now - timedelta(seconds=70))
    let_time_pass()
    work_through(run)
    assert run.status == "ok"


def test_the_bell_leaves_those_alone_whose_time_has_not_come(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False, answer=failing(unavailable(retry_after=60))))
    run = make_run(project)
    work_through(run)
    assert runs.ring_again(timezone.now() + timedelta(seconds=5)) == 0
    assert runs.ring_again(timezone.now() + timedelta(seconds=61)) == 1


class FakeTool:
    """A paid tool that counts its calls."""

    code = "photoroom"
    version = "fake"

    def __init__(self, *errors: Exception, price: Decimal | None = Decimal("0.02"), lack: str = "") -> None:
        self.errors, self._price, self.lack = list(errors), price, lack
        self.calls = 0

    def missing(self) -> str:
        return self.lack

    def parameters(self) -> dict[str, object]:
        return {}

    def price(self) -> Decimal | None:
        return self._price

    def call(self, data: bytes, *, name: str) -> ToolAnswer:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return ToolAnswer(b"cut" + data, "png", Decimal("0.02"), model="m", request_id="r")


def leased(project: Project) -> tuple[Candidate, AssetStore, object]:
    run = make_run(project)
    token = Candidate.objects.claim(run.candidates.get().pk, now=timezone.now())
    assert token
    candidate = Candidate.objects.select_related("run__project__storage", "job").get()
    return candidate, store_for(project), token


def step(candidate: Candidate, tool: FakeTool, store: AssetStore, token: object) -> calls.KeptAnswer:
    return calls.paid_step(candidate, tool, step="bg_remove", png=b"picture", store=store, token=token)


def test_the_answer_of_a_paid_step_is_bought_once(project: Project) -> None:
    candidate, store, token = leased(project)
    tool = FakeTool()
    first = step(candidate, tool, store, token)
    again = step(candidate, tool, store, token)
    assert first == again
    assert (first.data, store.read(first.path), tool.calls) == (b"cutpicture", b"cutpicture", 1)
    assert project.cost_events.get().event_type == "bg_remove"
    assert (
        calls.paid_step(
            candidate,
            tool,
            step="bg_remove",
            png=b"another",
            store=store,
            token=token,
        ).data
        == b"cutanother"
    )


def test_a_paid_step_that_was_refused_is_not_asked_again_after_a_death(project: Project) -> None:
    candidate, store, token = leased(project)
    tool = FakeTool(ProviderRefused("Too dark", code="provider_refused"))
    for _ in range(2):
        with pytest.raises(ProviderRefused, match="Too dark"):
            step(candidate, tool, store, token)
    assert tool.calls == 1


@pytest.mark.acceptance("W-16")
def test_a_paid_step_waits_for_its_next_try_and_for_a_person(project: Project) -> None:
    candidate, store, token = leased(project)
    with pytest.raises(Deferred):
        step(candidate, FakeTool(unavailable()), store, token)
    candidate.refresh_from_db()
    assert (candidate.status, candidate.waits_for) == ("planned", "photoroom")
    let_time_pass()
    token = Candidate.objects.claim(candidate.pk, now=timezone.now())
    with pytest.raises(Deferred):
        step(candidate, FakeTool(OutcomeUnknown("Gone", code="connection_lost")), store, token)
    candidate.refresh_from_db()
    assert candidate.status == "in_doubt"
    assert [a.status for a in candidate.attempts.order_by("number")] == ["failed", "in_doubt"]


def alone(project: Project, tool: FakeTool) -> calls.KeptAnswer:
    return calls.paid_call(
        project, tool, step="bg_remove", png=b"picture", name="quay", store=store_for(project), by=OPERATOR
    )


def test_a_call_without_a_run_has_its_attempt_its_money_and_its_audit(project: Project) -> None:
    kept = alone(project, FakeTool())
    assert kept.data == b"cutpicture"
    attempt = project.attempts.get()
    assert (attempt.status, attempt.run, attempt.cost_usd) == ("stored", None, Decimal("0.02"))
    assert project.cost_events.get().total_cost_usd == Decimal("0.02")
    assert AuditEvent.objects.get(event_code="call.begun").payload == {
        "step": "bg_remove",
        "provider": "photoroom",
    }


@pytest.mark.parametrize(
    ("tool", "error"),
    [
        (FakeTool(lack="No key"), ProviderUnusable),
        (FakeTool(price=None), PriceUnknown),
        (FakeTool(price=Decimal(2)), BudgetExceeded),
    ],
)
def test_a_call_without_a_run_is_refused_before_it_is_made(
    project: Project, tool: FakeTool, error: type[Exception]
) -> None:
    set_budget(project, per_run=None, per_day=Decimal(1), per_month=None, by=OPERATOR)
    with pytest.raises(error):
        alone(project, tool)
    assert tool.calls == 0
    assert not project.attempts.exists()


@pytest.mark.parametrize(
    ("fault", "status"),
    [(unavailable(), "failed"), (OutcomeUnknown("Gone", code="connection_lost"), "in_doubt")],
)
def test_a_call_without_a_run_that_fails_says_so(project: Project, fault: Exception, status: str) -> None:
    with pytest.raises(CallFailed):
        alone(project, FakeTool(fault))
    attempt = project.attempts.get()
    assert attempt.status == status
    if status == "in_doubt":
        control.decide_arrived(attempt, by=OPERATOR)
        assert project.cost_events.get().total_cost_usd == Decimal("0.02")
        with pytest.raises(Invalid):
            control.decide_lost(attempt, by=OPERATOR)


def test_a_paid_answer_without_room_is_in_doubt(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise StorageFull("The disk is full")

    monkeypatch.setattr(AssetStore, "keep", full)
    with pytest.raises(CallFailed, match="disk is full"):
        alone(project, FakeTool())
    assert project.attempts.get().status == "in_doubt"


def test_the_bell_rings_once_for_one_that_waits_while_its_message_may_be_in_the_queue(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider(repeatable=False, answer=failing(*[unavailable()] * 9)))
    run = make_run(project, n_scenes=3)
    work_through(run)
    now = timezone.now() + timedelta(seconds=5)
    monkeypatch.setattr(runs, "queue_is_empty", lambda: False)
    assert limits.ring_waiting(now, again=False) == 3
    assert limits.ring_waiting(now, again=False) == 0
    assert limits.ring_waiting(now, again=True) == 0, "it may be on its way"
    assert limits.ring_waiting(now + timedelta(hours=1), again=True) == 3


def test_the_bell_rings_for_no_more_than_may_call_in_this_minute(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False, answer=failing(*[unavailable()] * 9)))
    run = make_run(project, n_scenes=4)
    work_through(run)
    save_account(project, "local", changes={"requests_per_minute": 5}, by=OPERATOR)
    assert limits.ring_waiting(timezone.now() + timedelta(seconds=5), again=False) == 1


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
    attempt = attempts.begin_alone(project, attempts.Call("bg_remove", "photoroom", True, Decimal("0.02")))
    runs.ring_again()
    attempt.refresh_from_db()
    assert attempt.status == "open", "it may still be going on"
    Attempt.objects.update(started_at=timezone.now() - timedelta(hours=3))
    assert runs.ring_again() == 1
    attempt.refresh_from_db()
    assert attempt.status == "in_doubt"


def test_a_paid_step_that_asks_for_more_than_an_hour_does_not_hold_up_the_next_backend(
    project: Project,
) -> None:
    candidate, store, token = leased(project)
    tool = FakeTool(unavailable(retry_after=90_000))
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            step(candidate, tool, store, token)
    assert tool.calls == 1
