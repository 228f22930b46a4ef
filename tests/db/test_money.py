"""Budgets and reservations: what is held back, given back and booked; prices of accounts."""

import io
import json
import re
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pipeline.models import Attempt, Candidate, CostEvent, Run
from pipeline.providers.base import (
    AccountRefused,
    GenerateRequest,
    OutcomeUnknown,
    ProviderRefused,
)
from pipeline.services import control, execution
from pipeline.services.accounts import access_to
from pipeline.services.budgets import Spending, money, reserve, spending_of
from pipeline.services.runs import start_run
from projects.access import OPERATOR, Principal
from projects.errors import BudgetExceeded, Invalid, ProviderUnusable
from projects.models import AuditEvent, Project, User
from projects.services.accounts import save_account
from projects.services.budgets import set_budget
from projects.services.secrets import set_secret
from tests.factories import configure, make_plan, make_run, png
from tests.fakes import FakePaidTool, FakeProvider, Use, UseTools, expire_leases, work_through

pytestmark = pytest.mark.django_db

CENTS_4 = Decimal("0.04")  # the price of the fake's billed call


def limit(project: Project, **limits: str) -> None:
    named = {period: Decimal(limits[period]) if period in limits else None for period in PERIODS}
    set_budget(project, **named, by=OPERATOR)


PERIODS = ("per_run", "per_day", "per_month")


def held(project: Project) -> Decimal:
    return spending_of(project).reserved


@pytest.fixture
def billed(use: Use) -> FakeProvider:
    return use(FakeProvider(repeatable=False))


@pytest.mark.acceptance("W-09")
@pytest.mark.parametrize("period", PERIODS)
def test_a_run_over_the_budget_is_refused_and_leaves_nothing(
    project: Project, billed: FakeProvider, period: str
) -> None:
    limit(project, **{period: "0.11"})
    plan = make_plan(project, n_scenes=3)
    with pytest.raises(BudgetExceeded, match=r"0\.12 USD.*0\.11"):
        start_run(plan, by=OPERATOR, confirm_spend=True)
    assert not Run.objects.exists()
    assert held(project) == 0
    limit(project, **{period: "0.12"})
    start_run(plan, by=OPERATOR, confirm_spend=True)
    assert held(project) == Decimal("0.12")


def test_what_is_held_back_counts_for_the_next_run(project: Project, billed: FakeProvider) -> None:
    limit(project, per_day="0.10")
    make_run(project, n_scenes=2)
    with pytest.raises(BudgetExceeded, match=r"0\.02 is left \(0\.00 spent, 0\.08 held back\)"):
        make_run(project)


@pytest.mark.acceptance("W-09")
def test_after_settling_nothing_stays_reserved(project: Project, billed: FakeProvider) -> None:
    limit(project, per_day="0.16")
    work_through(make_run(project, n_scenes=2, candidates=2))
    assert spending_of(project) == Spending(Decimal("0.16"), Decimal("0.16"), Decimal(0))
    with pytest.raises(BudgetExceeded, match=r"0\.00 is left"):
        make_run(project)


def test_a_canceled_run_gives_back_what_it_had_reserved(project: Project, billed: FakeProvider) -> None:
    run = make_run(project, n_scenes=3)
    execution.execute_candidate(run.candidates.order_by("job__position")[0].pk)
    assert held(project) == Decimal("0.08")
    control.cancel_run(run, by=OPERATOR)
    assert held(project) == 0
    assert spending_of(project).today == CENTS_4


def test_a_refused_call_gives_its_money_back(project: Project, use: Use) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise ProviderRefused("No", code="provider_refused")

    use(FakeProvider(repeatable=False, answer=refuse))
    run = make_run(project)
    work_through(run)
    assert run.status == "failed"
    assert spending_of(project) == Spending(Decimal(0), Decimal(0), Decimal(0))


def test_a_call_in_doubt_counts_until_it_is_decided(project: Project, use: Use) -> None:
    def lose(request: GenerateRequest) -> bytes:
        raise OutcomeUnknown("The connection broke", code="connection_lost")

    provider = use(FakeProvider(repeatable=False, answer=lose))
    limit(project, per_day="0.04")
    run = make_run(project)
    work_through(run)
    assert held(project) == CENTS_4
    with pytest.raises(BudgetExceeded):
        make_run(project)
    provider.answer = lambda request: png()
    control.decide_lost(run.attempts.get(), by=OPERATOR)
    assert held(project) == CENTS_4, "the image is made again, within the same reservation"
    work_through(run)
    assert run.status == "ok"
    assert spending_of(project) == Spending(CENTS_4, CENTS_4, Decimal(0))


def test_a_retry_needs_room_in_the_budget(project: Project, use: Use) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise ProviderRefused("No", code="provider_refused")

    provider = use(FakeProvider(repeatable=False, answer=refuse))
    run = make_run(project)
    work_through(run)
    limit(project, per_day="0.03")
    with pytest.raises(BudgetExceeded):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    run.refresh_from_db()
    assert run.status == "failed"
    limit(project, per_run="0.04")
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert held(project) == CENTS_4
    provider.answer = lambda request: png()
    work_through(run)
    assert (run.status, held(project)) == ("ok", Decimal(0))


def test_the_budget_of_a_run_counts_what_it_spent_before(project: Project, use: Use) -> None:
    def some(request: GenerateRequest) -> bytes:
        if request.seed == seeds[0]:
            raise ProviderRefused("No", code="provider_refused")
        return png()

    use(FakeProvider(repeatable=False, answer=some))
    run = make_run(project, n_scenes=2)
    seeds = [int(candidate.seed) for candidate in run.candidates.order_by("job__position")]
    work_through(run)
    limit(project, per_run="0.07")
    with pytest.raises(BudgetExceeded, match=r"would cost 0\.08 USD"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)


def test_a_price_that_rose_since_the_plan_is_reserved_before_the_call(project: Project, use: Use) -> None:
    class Dearer(FakeProvider):
        price = CENTS_4

        def estimate(self, request: GenerateRequest) -> Decimal | None:
            return self.price

    provider = use(Dearer(repeatable=False))
    limit(project, per_day="0.05")
    run = make_run(project)
    Dearer.price = Decimal("0.06")
    work_through(run)
    assert not provider.requests
    assert run.candidates.get().error["code"] == "budget_exceeded"
    assert held(project) == 0


def test_a_free_run_reserves_nothing(project: Project) -> None:
    limit(project, per_run="0", per_day="0", per_month="0")
    run = make_run(project)
    assert held(project) == 0
    work_through(run)
    assert run.status == "ok"


def test_an_account_that_is_refused_stops_further_calls_of_the_run(project: Project, use: Use) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise AccountRefused("The key is not accepted", code="provider_auth", http_status=401)

    provider = use(FakeProvider(repeatable=False, answer=refuse))
    run = make_run(project, n_scenes=3, candidates=2)
    work_through(run)
    assert len(provider.requests) == 1
    codes = [
        candidate.error["code"] for candidate in run.candidates.order_by("job__position", "candidate_index")
    ]
    assert codes == ["provider_auth", *["aborted_provider_unavailable"] * 5]
    assert (run.status, held(project)) == ("failed", Decimal(0))
    provider.answer = lambda request: png(number=request.seed % 1000)
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert (run.status, len(provider.requests)) == ("ok", 7)


def test_a_dead_worker_leaves_the_sum_with_the_call_in_doubt(project: Project, use: Use) -> None:
    def die(request: GenerateRequest) -> bytes:
        raise KeyboardInterrupt

    use(FakeProvider(repeatable=False, answer=die))
    run = make_run(project, n_scenes=2)
    pk = run.candidates.order_by("job__position")[0].pk
    with pytest.raises(KeyboardInterrupt):
        execution.execute_candidate(pk)
    assert held(project) == Decimal("0.08")
    expire_leases()
    execution.execute_candidate(pk)
    assert Candidate.objects.get(pk=pk).status == "in_doubt"
    assert held(project) == Decimal("0.08")


def test_no_more_than_the_budget_is_promised_in_one_transaction_after_another(project: Project) -> None:
    limit(project, per_month="1")
    reserve(project, Decimal("1.000000"))
    with pytest.raises(BudgetExceeded):
        reserve(project, Decimal("1.000001"))


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0.00"), ("1", "1.00"), ("0.1", "0.10"), ("0.249601", "0.249601"), ("1E+2", "100.00")],
)
def test_money_is_written_for_people(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text


def test_a_budget_is_audited_with_before_and_after(project: Project, alice: User) -> None:
    set_budget(project, per_run=Decimal(1), per_day=None, per_month=Decimal("20.50"), by=Principal(alice))
    set_budget(project, per_run=None, per_day=None, per_month=Decimal("20.50"), by=Principal(alice))
    event = AuditEvent.objects.filter(event_code="budget.set").latest("sequence")
    assert event.payload == {
        "before": {"per_run": "1", "per_day": None, "per_month": "20.5"},
        "after": {"per_run": None, "per_day": None, "per_month": "20.5"},
    }


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "1e12", "0.0000001"])
def test_a_budget_that_is_no_amount_is_refused(project: Project, amount: str) -> None:
    with pytest.raises(Invalid, match="per day"):
        set_budget(project, per_run=None, per_day=Decimal(amount), per_month=None, by=OPERATOR)


def test_the_budget_command_sets_and_shows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kroma_site.management.commands.budget.prepare", lambda: None)
    out = io.StringIO()
    call_command("budget", project=project.slug, per_day="5", json=True, stdout=out)
    shown = json.loads(out.getvalue())
    assert shown["limits"] == {"per_run": None, "per_day": "5.00", "per_month": None}
    assert shown["reserved"] == "0.00"
    call_command("budget", project=project.slug, per_day="none", stdout=io.StringIO())
    project.budget.refresh_from_db()
    assert project.budget.per_day_usd is None
    with pytest.raises(CommandError, match="--per-run is much"):
        call_command("budget", project=project.slug, per_run="much")


@pytest.fixture
def openai(project: Project) -> None:
    save_account(project, "openai", changes={"config": {"prices": {"per_image": "0.05"}}}, by=OPERATOR)
    settings_file = project.storage.root() / ".kroma/pipeline.settings.json"
    settings_file.parent.mkdir(parents=True, exist_ok=True)
    settings_file.write_text(json.dumps({"provider_code": "openai"}))


def test_a_missing_key_is_refused_before_any_row_is_written(
    project: Project, openai: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ProviderUnusable, match="no key"):
        make_plan(project)
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    with pytest.raises(ProviderUnusable, match="no key"):
        make_plan(project)
    assert "no key" in " ".join(make_plan(project, mode="dry").warnings)
    set_secret(project, "openai", "api_key", value="sk-canary", by=OPERATOR)
    plan = make_plan(project, n_scenes=2, candidates=2)
    assert (plan.provider_code, plan.price_usd) == ("openai", Decimal("0.20"))
    assert "sk-canary" not in repr(plan)


def test_a_disabled_account_is_refused(project: Project, openai: None) -> None:
    save_account(project, "openai", changes={"enabled": False}, by=OPERATOR)
    with pytest.raises(ProviderUnusable, match="switched off"):
        make_plan(project)
    assert not Run.objects.exists()


def test_an_unknown_price_refuses_and_is_never_0(
    project: Project, openai: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    save_account(project, "openai", changes={"config": {"model": "house-model"}}, by=OPERATOR)
    plan = make_plan(project)
    assert plan.price_usd is None
    with pytest.raises(Exception, match="No price is known") as refusal:
        start_run(plan, by=OPERATOR, confirm_spend=True)
    assert refusal.value.code == "price_unknown"
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"prices": {"per_imag": "0.05"}}, "prices.per_imag"),
        ({"prices": 5}, "prices"),
        ({"prices": {"per_image": "-1"}}, "prices.per_image"),
        ({"prices": {"per_image": "NaN"}}, "prices.per_image"),
        ({"prices": {"house": {"per_pixel": "1"}}}, "prices.house.per_pixel"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": -4}, "timeout"),
        ({"model": 5}, "model"),
        ({"input_fidelity": "medium"}, "input_fidelity"),
        ({"longest_side": 255}, "longest_side"),
        ({"longest_side": "1024"}, "longest_side"),
        ({"longest_side": True}, "longest_side"),
        ({"size": {"a": 1}}, "size"),
    ],
)
def test_a_slip_in_an_account_is_named_before_it_costs_money(
    project: Project, openai: None, monkeypatch: pytest.MonkeyPatch, config: dict[str, object], names: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr("kroma_site.management.commands.account.prepare", lambda: None)
    with pytest.raises(CommandError, match=f"'{re.escape(names)}'"):
        call_command("account", project=project.slug, provider="openai", config=json.dumps(config))
    save_account(project, "openai", changes={"config": config}, by=OPERATOR)  # as the API may
    with pytest.raises(ProviderUnusable, match=f"'{re.escape(names)}'"):
        make_plan(project)


def test_what_others_have_spent_is_not_for_this_budget(project: Project) -> None:
    elsewhere = make_run(project)
    Run.objects.filter(pk=elsewhere.pk).update(is_imported=True)
    CostEvent.objects.create(project=project, run=elsewhere, provider_code="openai", total_cost_usd=100)
    CostEvent.objects.create(project=project, provider_code="openai", total_cost_usd=Decimal("0.3"))
    assert spending_of(project).today == Decimal("0.3")


def test_many_cents_add_up_exactly(project: Project, billed: FakeProvider) -> None:
    for cents in ("0.1", "0.2", "0.02") * 7:
        CostEvent.objects.create(project=project, provider_code="openai", total_cost_usd=Decimal(cents))
    assert str(spending_of(project).today) == "2.240000"
    limit(project, per_day="2.28")
    make_run(project)  # the fake's 0.04 fits to the cent


@pytest.mark.parametrize(
    "changes",
    [
        {"max_concurrency": 0},
        {"requests_per_minute": -3},
        {"base_url": "ftp://x"},
        {"base_url": "https://user:word@host/"},
        {"base_url": "/v1"},
    ],
)
def test_an_account_that_makes_no_sense_is_refused(project: Project, changes: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        save_account(project, "openai", changes=changes, by=OPERATOR)
    assert not project.provider_accounts.exists()


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
    with pytest.raises(ProviderUnusable, match="has no key here"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert spending_of(project).reserved == 0


def test_an_account_whose_calls_would_outlast_their_task_is_refused(project: Project) -> None:
    save_account(project, "openai", changes={"config": {"timeout": 900}}, by=OPERATOR)
    with pytest.raises(ProviderUnusable, match=r"waits 900 s.*task of 600 s bears 200"):
        access_to(project, "openai")
    save_account(project, "openai", changes={"config": {"timeout": 200}}, by=OPERATOR)
    assert access_to(project, "openai").config["timeout"] == 200


def test_the_rest_of_a_refused_run_is_closed_with_few_queries(project: Project, use: Use) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise AccountRefused("The key is not accepted", code="provider_auth", http_status=401)

    use(FakeProvider(repeatable=False, answer=refuse))

    def refused(n_scenes: int) -> tuple[Run, int]:
        run = make_run(project, n_scenes=n_scenes)
        with CaptureQueriesContext(connection) as queries:
            execution.execute_candidate(run.candidates.order_by("job__position")[0].pk)
        run.refresh_from_db()
        return run, len(queries)

    refused(1)  # the first refusal makes the row that says so, later ones write it
    (few, n_few), (many, n_many) = refused(3), refused(12)
    assert (few.status, many.status) == ("failed", "failed")
    assert n_many == n_few
    reasons = set(many.jobs.values_list("status", "failure_reason"))
    assert reasons == {("failed", "all_candidates_failed")}
    assert "key is not accepted" in many.candidates.order_by("-job__position")[0].rank_reason


def test_what_was_planned_billed_and_counted_stands_on_the_page(
    alice_client: Client, project: Project, use: Use
) -> None:
    use(FakeProvider(repeatable=False))
    run = make_run(project)
    work_through(run)
    page = reverse("pipeline:run", args=[project.slug, run.pk])
    plain = alice_client.get(page).content.decode()
    assert "$0.0400" in plain
    assert "planned: at most" not in plain
    Attempt.objects.update(cost_usd=Decimal("0.0312"), usage={"input_tokens": 5420, "output_tokens": 1584})
    told = alice_client.get(page).content.decode()
    assert "$0.0312 (planned: at most $0.0400), 5,420 tokens in and 1,584 out" in told
    Attempt.objects.update(usage={"input_tokens": "many"})
    assert "tokens in and" not in alice_client.get(page).content.decode()
