"""A refused account is named where people look, and the runs that it stopped go on once it works again."""

import json
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from pipeline.models import AccountHealth, Run
from pipeline.providers.base import AccountRefused, GenerateRequest, ProviderRefused
from pipeline.services import control, health
from pipeline.services.calls import paid_call
from pipeline.services.mended import go_on, stopped_runs
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import CallFailed
from projects.models import AuditEvent, Project
from projects.services.accounts import save_account
from projects.services.budgets import set_budget
from tests.factories import configure, make_project, make_run, make_user, png
from tests.fakes import FakePaidTool, FakeProvider, Use, UseTools, work_through

pytestmark = [pytest.mark.django_db, pytest.mark.acceptance("W-35")]


def refuse(request: GenerateRequest) -> bytes:
    raise AccountRefused("The key is not accepted: set another one", code="provider_auth", http_status=401)


def draw(request: GenerateRequest) -> bytes:
    return png(number=request.seed % 1000)


@pytest.fixture
def provider(use: Use) -> FakeProvider:
    """One that bills and does not accept the key."""
    return use(FakeProvider(repeatable=False, answer=refuse))


@pytest.fixture
def stopped(project: Project, provider: FakeProvider) -> Run:
    run = make_run(project, n_scenes=3, candidates=2)
    work_through(run)
    assert (run.status, len(provider.requests)) == ("failed", 1)
    assert list(stopped_runs(project)) == [run]
    return run


@pytest.mark.acceptance("W-35")
def test_a_stopped_run_goes_on_once_a_check_finds_that_the_account_works(
    project: Project, provider: FakeProvider, stopped: Run
) -> None:
    assert "set another one" in AccountHealth.objects.get(provider_code="local").message
    provider.answer = draw
    check = health.check_account(project, "local", by=OPERATOR)
    assert (check.ok, check.going_on) == (True, (stopped,))
    work_through(stopped)
    assert (stopped.status, len(provider.requests)) == ("ok", 7)
    assert AuditEvent.objects.filter(event_code="run.retried").count() == 1
    assert health.check_account(project, "local", by=OPERATOR).going_on == ()


def test_the_page_says_that_it_goes_on(
    alice_client: Client, project: Project, provider: FakeProvider, stopped: Run
) -> None:
    page = alice_client.get(reverse("pipeline:accounts", args=[project.slug])).content.decode()
    assert "Runs that an account stopped" in page
    assert reverse("pipeline:run", args=[project.slug, stopped.pk]) in page
    provider.answer = draw
    checked = alice_client.post(reverse("pipeline:account-check", args=[project.slug, "local"]), follow=True)
    page = checked.content.decode()
    assert "1 run that it had stopped goes on." in page
    assert "Runs that an account stopped" not in page


def test_a_check_that_fails_lets_nothing_go_on(
    project: Project, provider: FakeProvider, stopped: Run
) -> None:
    save_account(project, "local", changes={"enabled": False}, by=OPERATOR)
    check = health.check_account(project, "local", by=OPERATOR)
    assert (check.ok, check.going_on) == (False, ())
    stopped.refresh_from_db()
    assert stopped.status == "failed"


def test_what_people_changed_by_any_way_is_checked_by_the_bell(
    project: Project, provider: FakeProvider, stopped: Run
) -> None:
    assert health.check_changed() == 0  # nobody changed anything since it was refused
    provider.answer = draw
    save_account(project, "local", changes={"display_name": "Mended"}, by=OPERATOR)
    assert health.check_changed() == 1
    work_through(stopped)
    assert stopped.status == "ok"
    assert health.check_changed() == 0


def test_what_failed_for_another_reason_waits_for_a_person(project: Project, provider: FakeProvider) -> None:
    n = 0

    def once_refused(request: GenerateRequest) -> bytes:
        nonlocal n
        n += 1
        if n == 1:
            raise ProviderRefused("Not a picture that it makes", code="provider_refused", http_status=400)
        return refuse(request)

    provider.answer = once_refused
    run = make_run(project, n_scenes=2)
    work_through(run)
    assert list(stopped_runs(project)) == [run]
    assert go_on(project, "local", by=OPERATOR) == []
    run.refresh_from_db()
    assert run.status == "failed"


def test_no_more_is_spent_than_was_confirmed(
    project: Project, provider: FakeProvider, stopped: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "estimate", lambda request: Decimal("0.05"))  # 0.04 when it was confirmed
    assert go_on(project, "local", by=OPERATOR) == []
    stopped.refresh_from_db()
    assert stopped.status == "failed"
    assert control.retry_failed(stopped, by=OPERATOR, confirm_spend=True).price_usd == Decimal("0.30")


def test_an_empty_budget_holds_it_back(project: Project, provider: FakeProvider, stopped: Run) -> None:
    set_budget(project, per_run=Decimal("0.01"), per_day=None, per_month=None, by=OPERATOR)
    assert go_on(project, "local", by=OPERATOR) == []


def test_runs_of_other_universes_and_providers_stay(
    project: Project, provider: FakeProvider, stopped: Run
) -> None:
    assert go_on(make_project(name="Elsewhere", owner=make_user(username="eve")), "local", by=OPERATOR) == []
    assert go_on(project, "openai", by=OPERATOR) == []


def test_a_refused_paid_step_names_its_account_and_the_run_goes_on(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    class Cutter(FakePaidTool):
        def call(self, png: bytes, *, name: str):  # type: ignore[no-untyped-def]
            if self.fault:
                raise AccountRefused(self.fault, code="provider_auth", http_status=401)
            return super().call(png, name=name)

    cutter = Cutter("photoroom", fault="PhotoRoom does not accept the key")
    configure(project, steps={"bg_remove": True, "bg_remove_backends": ["photoroom"]})
    use_tools(cutter)
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project)
    work_through(run)
    assert run.status == "failed"
    broken = AccountHealth.objects.get(project=project, ok=False)
    assert (broken.provider_code, broken.message) == ("photoroom", "PhotoRoom does not accept the key")
    cutter.fault = ""
    assert go_on(project, "photoroom", by=OPERATOR) == [run]
    work_through(run)
    assert (run.status, len(provider.requests)) == ("ok", 1)  # the image itself is not bought again


def test_a_call_outside_a_run_names_its_account_too(project: Project) -> None:
    class Cutter(FakePaidTool):
        def call(self, png: bytes, *, name: str):  # type: ignore[no-untyped-def]
            raise AccountRefused("PhotoRoom does not accept the key", code="provider_auth", http_status=401)

    with pytest.raises(CallFailed, match="does not accept"):
        paid_call(
            project, Cutter("photoroom"), step="bg_remove", png=png(), name="x",
            store=store_for(project), by=OPERATOR,
        )  # fmt: skip
    assert AccountHealth.objects.get(ok=False).provider_code == "photoroom"


def test_json_of_the_command_names_the_runs(
    project: Project, provider: FakeProvider, stopped: Run, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("kroma_site.management.commands.account.prepare", lambda: None)
    provider.answer = draw
    call_command("account", project=project.slug, provider="local", check=True, json=True)
    assert json.loads(capsys.readouterr().out)["runs_going_on"] == [str(stopped.pk)]
