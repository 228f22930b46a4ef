"""Cancel, pause, resume, retry, and decisions about calls in doubt."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from pipeline.models import Attempt, Candidate, CostEvent, Run
from pipeline.providers.base import GenerateRequest, OutcomeUnknown, ProviderRefused
from pipeline.services import control, execution, reviews, runlogs, runs
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import Invalid, PlanChanged, PlanRefused, PriceUnknown, SpendNotConfirmed
from projects.models import AuditEvent, Project
from tests.factories import make_plan, make_run, png, upload
from tests.fakes import FakeProvider, Use, expire_leases, work_through

pytestmark = pytest.mark.django_db


class Died(BaseException):
    """The end of a worker in the middle of something."""


def die(request: GenerateRequest) -> bytes:
    raise Died


def vanish(request: GenerateRequest) -> bytes:
    raise OutcomeUnknown("The connection was lost after sending", code="connection_lost")


def refuse(request: GenerateRequest) -> bytes:
    raise ProviderRefused("The picture was refused: change the prompt", code="provider_refused")


def die_in_the_call(run: Run) -> None:
    with pytest.raises(Died):
        work_through(run)


def states(run: Run) -> tuple[str, list[str], list[str]]:
    """The status of the run, of its jobs and of its candidates, in the order of the plan."""
    run.refresh_from_db()
    candidates = run.candidates.order_by("job__position", "candidate_index")
    return (
        run.status,
        list(run.jobs.order_by("position").values_list("status", flat=True)),
        list(candidates.values_list("status", flat=True)),
    )


def log_of(run: Run) -> dict[str, object]:
    return json.loads(store_for(run.project).read(run.run_log_path))


def reserved(run: Run) -> Decimal:
    return Attempt.objects.reserving().filter(run=run).aggregate(sum=Sum("reserved_usd"))["sum"] or Decimal(0)


def only_the_second(answer: Callable[[GenerateRequest], bytes]) -> Callable[[GenerateRequest], bytes]:
    """A provider that makes all pictures but the one of the second scene."""

    def answered(request: GenerateRequest) -> bytes:
        if request.images[0].name == "scene 1.png":
            return answer(request)
        return png(number=request.seed % 1000)

    return answered


def doubtful_run(project: Project, use: Use, **kwargs: int) -> tuple[Run, Attempt, FakeProvider]:
    provider = use(FakeProvider(repeatable=False, answer=vanish))
    run = make_run(project, **kwargs)
    work_through(run)
    return run, Attempt.objects.filter(run=run).latest("started_at"), provider


# --- Cancel -------------------------------------------------------------------------------------------


@pytest.mark.acceptance("W-01")
def test_a_canceled_run_ends_at_once_and_nothing_of_it_is_made(project: Project, use: Use) -> None:
    provider = use(FakeProvider())
    run = make_run(project, n_scenes=2)
    control.cancel_run(run, by=OPERATOR)
    assert states(run) == ("canceled", ["canceled"] * 2, ["canceled"] * 2)
    assert [job["status"] for job in log_of(run)["jobs"]] == ["canceled"] * 2
    work_through(run)
    assert provider.requests == []
    assert runs.ring_again() == 0
    event = AuditEvent.objects.get(event_code="run.canceled")
    assert event.payload == {"dropped": 2}


@pytest.mark.parametrize("paused", [False, True])
def test_a_second_cancel_is_refused_and_a_paused_run_can_be_canceled(project: Project, paused: bool) -> None:
    run = make_run(project)
    if paused:
        control.pause_run(run, by=OPERATOR)
    control.cancel_run(run, by=OPERATOR)
    with pytest.raises(Invalid, match="finished already"):
        control.cancel_run(run, by=OPERATOR)
    assert AuditEvent.objects.filter(event_code="run.canceled").count() == 1


def test_what_was_finished_before_a_cancel_keeps_its_winner(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project, n_scenes=2, candidates=2)
    pks = run.candidates.order_by("job__position", "candidate_index").values_list("pk", flat=True)
    execution.execute_candidate(pks[0])
    control.cancel_run(run, by=OPERATOR)
    assert states(run) == ("canceled", ["done", "canceled"], ["done", "canceled", "canceled", "canceled"])
    assert run.jobs.get(position=1).selected_candidate_index == 1
    assert [job["status"] for job in log_of(run)["jobs"]] == ["done", "canceled"]


def test_a_cancel_during_the_call_keeps_and_books_what_comes(project: Project, use: Use) -> None:
    run = make_run(project, n_scenes=2)
    seen: list[bool] = []

    def answer(request: GenerateRequest) -> bytes:
        control.cancel_run(run, by=OPERATOR)
        seen.append(store_for(project).exists(run.run_log_path))
        return png(number=3)

    provider = use(FakeProvider(repeatable=False, answer=answer))
    work_through(run)
    assert seen == [False], "the log waits for what is in hand"
    assert states(run) == ("canceled", ["done", "canceled"], ["done", "canceled"])
    assert len(provider.requests) == 1
    assert CostEvent.objects.get().total_cost_usd == Decimal("0.04")
    assert reserved(run) == 0
    winner = run.candidates.get(status="done")
    assert store_for(project).sha256(winner.original_path) == winner.original_sha256
    assert [job["status"] for job in log_of(run)["jobs"]] == ["done", "canceled"]
    assert runs.ring_again() == 0


def test_a_worker_that_dies_in_a_canceled_run_leaves_nothing_open(project: Project, use: Use) -> None:
    use(FakeProvider(answer=die))
    run = make_run(project)
    die_in_the_call(run)
    control.cancel_run(run, by=OPERATOR)
    runs.ring_again()
    assert states(run)[2] == ["running"], "its worker may still live"
    expire_leases()
    runs.ring_again()
    assert states(run) == ("canceled", ["canceled"], ["canceled"])
    assert Attempt.objects.get().status == "abandoned"
    assert log_of(run)["jobs"][0]["status"] == "canceled"
    assert runs.ring_again() == 0


def test_a_paid_call_that_dies_in_a_canceled_run_waits_for_a_person(project: Project, use: Use) -> None:
    use(FakeProvider(repeatable=False, answer=die))
    run = make_run(project)
    die_in_the_call(run)
    control.cancel_run(run, by=OPERATOR)
    expire_leases()
    runs.ring_again()
    assert states(run)[2] == ["in_doubt"]
    assert reserved(run) == Decimal("0.04")
    assert runs.ring_again() == 0
    control.decide_lost(Attempt.objects.get(), by=OPERATOR)
    assert states(run) == ("canceled", ["canceled"], ["canceled"])
    assert reserved(run) == 0
    assert log_of(run)["jobs"][0]["status"] == "canceled"


def test_a_result_that_comes_after_all_was_ended_is_booked_and_finished_by_a_retry_for_free(
    project: Project, use: Use
) -> None:
    run = make_run(project)

    def slow(request: GenerateRequest) -> bytes:
        control.cancel_run(run, by=OPERATOR)
        expire_leases()
        runs.ring_again()
        return png(number=7)

    provider = use(FakeProvider(repeatable=False, answer=slow))
    work_through(run)
    runs.ring_again()
    runs.ring_again()
    assert states(run) == ("canceled", ["canceled"], ["canceled"])
    assert Attempt.objects.get().status == "stored"
    assert CostEvent.objects.get().total_cost_usd == Decimal("0.04")
    assert control.plan_retry(run).price_usd == 0
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert states(run)[0] == "ok"
    assert len(provider.requests) == 1


def test_the_bell_writes_the_log_that_a_death_after_the_cancel_left_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(project)
    with monkeypatch.context() as patch:
        patch.setattr(runlogs, "write_run_log", lambda run: (_ for _ in ()).throw(Died))
        with pytest.raises(Died):
            control.cancel_run(run, by=OPERATOR)
    assert not store_for(project).exists(run.run_log_path)
    runs.ring_again()
    assert log_of(run)["jobs"][0]["status"] == "canceled"
    assert runs.ring_again() == 0


# --- Pause and resume ---------------------------------------------------------------------------------


def test_a_pause_finishes_what_is_in_hand_and_a_resume_the_rest(project: Project, use: Use) -> None:
    run = make_run(project, n_scenes=2)

    def answer(request: GenerateRequest) -> bytes:
        control.pause_run(run, by=OPERATOR)
        return png(number=request.seed % 1000)

    provider = use(FakeProvider(answer=answer))
    work_through(run)
    assert states(run) == ("paused", ["done", "planned"], ["done", "planned"])
    runs.ring_again(timezone.now() + timedelta(hours=1))
    work_through(run)
    assert len(provider.requests) == 1
    provider.answer = lambda request: png(number=5)
    Candidate.objects.filter(run=run).update(rung_at=None)
    control.resume_run(run, by=OPERATOR)
    assert run.candidates.get(status="planned").rung_at is not None
    work_through(run)
    assert states(run) == ("ok", ["done", "done"], ["done", "done"])
    assert len(provider.requests) == 2
    assert list(
        AuditEvent.objects.filter(event_code__in=["run.paused", "run.resumed"])
        .order_by("sequence")
        .values_list("event_code", flat=True)
    ) == ["run.paused", "run.resumed"]


def test_a_run_whose_last_image_is_finished_while_it_is_paused_ends(project: Project, use: Use) -> None:
    run = make_run(project)

    def answer(request: GenerateRequest) -> bytes:
        control.pause_run(run, by=OPERATOR)
        return png()

    use(FakeProvider(answer=answer))
    work_through(run)
    assert states(run) == ("ok", ["done"], ["done"])
    assert log_of(run)["jobs"][0]["status"] == "done"


def test_only_what_fits_the_state_is_done(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project)
    with pytest.raises(Invalid, match="Only a paused run"):
        control.resume_run(run, by=OPERATOR)
    work_through(run)
    for refused in (control.pause_run, control.resume_run, control.cancel_run):
        with pytest.raises(Invalid):
            refused(run, by=OPERATOR)
    with pytest.raises(Invalid, match="something missing"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert states(run) == ("ok", ["done"], ["done"])


# --- Retry --------------------------------------------------------------------------------------------


@pytest.mark.acceptance("W-37")
def test_a_retry_calls_only_for_what_is_missing(project: Project, use: Use) -> None:
    provider = use(FakeProvider(answer=only_the_second(refuse)))
    run = make_run(project, n_scenes=3)
    work_through(run)
    assert states(run) == ("partial", ["done", "failed", "done"], ["done", "failed", "done"])
    reviews.reject(run.jobs.get(position=2), by=OPERATOR, note="It is missing")
    reviews.approve(run.jobs.get(position=1), by=OPERATOR)
    earlier = store_for(project).read(run.run_log_path)
    Candidate.objects.filter(run=run).update(n_claims=6)
    provider.requests.clear()
    provider.answer = lambda request: png(number=9)
    retry = control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert (retry.n_images, retry.price_usd) == (1, Decimal(0))
    assert states(run) == ("queued", ["done", "planned", "done"], ["done", "planned", "done"])
    assert run.finished_at is None
    work_through(run)
    assert states(run) == ("ok", ["done"] * 3, ["done"] * 3)
    assert [request.images[0].name for request in provider.requests] == ["scene 1.png"]
    assert list(run.jobs.order_by("position").values_list("verdict", flat=True)) == ["approved", "", ""]
    assert [job["status"] for job in log_of(run)["jobs"]] == ["done"] * 3
    kept = list((store_for(project).root / "archive/replaced").glob("run_*.json"))
    assert [path.read_bytes() for path in kept] == [earlier]
    assert AuditEvent.objects.get(event_code="run.retried").payload == {"images": 1, "price_usd": "0"}


def test_a_panel_with_a_winner_keeps_it_and_its_failed_candidates(project: Project, use: Use) -> None:
    calls = iter(range(10))

    def answer(request: GenerateRequest) -> bytes:
        return png() if next(calls) == 1 else refuse(request)

    provider = use(FakeProvider(answer=answer))
    run = make_run(project, n_scenes=2, candidates=2)
    work_through(run)
    assert states(run)[2] == ["failed", "done", "failed", "failed"]
    provider.answer = lambda request: png()
    assert control.retry_failed(run, by=OPERATOR, confirm_spend=True).n_images == 2
    work_through(run)
    assert states(run) == ("ok", ["done", "done"], ["failed", "done", "done", "done"])


def test_a_canceled_run_is_taken_up_again_by_a_retry(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project, n_scenes=2)
    control.cancel_run(run, by=OPERATOR)
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert states(run) == ("ok", ["done", "done"], ["done", "done"])
    with pytest.raises(Invalid):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)


def test_a_retry_waits_for_what_is_in_hand(project: Project, use: Use) -> None:
    use(FakeProvider(answer=die))
    run = make_run(project, n_scenes=2)
    die_in_the_call(run)
    control.cancel_run(run, by=OPERATOR)
    with pytest.raises(Invalid, match="still finishes"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert states(run)[0] == "canceled"


def test_what_the_guard_rejected_is_not_made_again(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project)
    run.settings_snapshot["output_guard"] |= {"enforce_grayscale": True, "max_chroma_delta": 0.5}
    run.save()
    work_through(run)
    assert states(run)[2] == ["failed_output_guard"]
    with pytest.raises(Invalid, match="guard rejected"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)


def test_a_retry_needs_its_price_confirmed_and_its_scenes_unchanged(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = use(FakeProvider(repeatable=False, answer=refuse))
    run = make_run(project, n_scenes=2)
    work_through(run)
    before = states(run)
    assert control.plan_retry(run).price_usd == Decimal("0.08")
    with pytest.raises(SpendNotConfirmed):
        control.retry_failed(run, by=OPERATOR, confirm_spend=False)
    with pytest.raises(PlanChanged, match="more than the"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True, max_cost_usd=Decimal("0.07"))
    with monkeypatch.context() as patch:
        patch.setattr(provider, "estimate", lambda request: None)
        with pytest.raises(PriceUnknown):
            control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    scene = store_for(project).path("scenes/scene 1.png")
    scene.rename(scene.with_name("away.png"))
    with pytest.raises(PlanRefused, match="scene 1 has vanished"):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert states(run) == before
    scene.with_name("away.png").rename(scene)
    control.retry_failed(run, by=OPERATOR, confirm_spend=True, max_cost_usd=Decimal("0.08"))


def test_bytes_that_were_no_picture_are_asked_for_again(project: Project, use: Use) -> None:
    provider = use(FakeProvider(answer=lambda request: b"<html>busy</html>"))
    run = make_run(project)
    work_through(run)
    provider.answer = lambda request: png()
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert states(run)[0] == "ok"
    assert len(provider.requests) == 2


# --- Calls in doubt -----------------------------------------------------------------------------------


def test_a_lost_call_frees_its_sum_and_is_made_again(project: Project, use: Use) -> None:
    run, attempt, provider = doubtful_run(project, use)
    assert reserved(run) == Decimal("0.04")
    control.decide_lost(attempt, by=OPERATOR)
    attempt.refresh_from_db()
    candidate = run.candidates.get()
    assert (attempt.status, candidate.status, reserved(run)) == ("lost", "planned", Decimal(0))
    assert candidate.rung_at is not None
    provider.answer = lambda request: png()
    work_through(run)
    assert states(run)[0] == "ok"
    assert run.cost_events.count() == 1
    assert AuditEvent.objects.get(event_code="attempt.lost").payload == {"reserved_usd": "0.040000"}


def test_an_arrived_call_is_spent_and_ends_its_run(project: Project, use: Use) -> None:
    run, attempt, _ = doubtful_run(project, use)
    control.decide_arrived(attempt, by=OPERATOR)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.cost_usd, reserved(run)) == ("arrived", Decimal("0.04"), Decimal(0))
    assert run.cost_events.get().total_cost_usd == Decimal("0.04")
    assert states(run) == ("failed", ["failed"], ["failed"])
    assert run.candidates.get().error["code"] == "arrived_without_file"
    assert AuditEvent.objects.filter(event_code="attempt.arrived").count() == 1


def test_an_arrived_call_goes_on_with_the_picture_that_a_person_brings(
    project: Project, use: Use, alice_client: Client
) -> None:
    run, attempt, provider = doubtful_run(project, use)
    url = reverse("pipeline:attempt-arrived", args=[project.slug, attempt.pk])
    answer = alice_client.post(url, {"picture": upload(data=b"no picture")}, follow=True)
    assert "The picture" in answer.text
    assert answer.redirect_chain == [(run.get_absolute_url(), 302)]
    attempt.refresh_from_db()
    assert attempt.status == "in_doubt"
    picture = png(number=7)
    alice_client.post(url, {"picture": upload(data=picture)})
    attempt.refresh_from_db()
    assert (attempt.status, attempt.cost_usd, reserved(run)) == ("arrived", Decimal("0.04"), Decimal(0))
    calls = len(provider.requests)
    work_through(run)
    assert states(run) == ("ok", ["done"], ["done"])
    assert len(provider.requests) == calls, "it is not bought again"
    assert store_for(project).read(run.candidates.get().final_asset.rel_path) == picture
    assert run.cost_events.get().total_cost_usd == Decimal("0.04")


def test_the_command_lists_calls_in_doubt_and_decides(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("kroma_site.management.commands.doubt.prepare", lambda: None)
    run, attempt, _ = doubtful_run(project, use)

    def said(*arguments: str, **options: object) -> dict[str, Any]:
        out = io.StringIO()
        call_command("doubt", *arguments, json=True, stdout=out, **options)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    (call,) = said("list")["calls"]
    assert (call["id"], call["reserved_usd"]) == (str(attempt.pk), "0.040000")
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(number=7))
    for arguments, options in (
        (("lost", call["id"]), {"picture": str(picture)}),
        (("arrived", call["id"]), {"picture": str(tmp_path / "nowhere.png")}),
        (("lost", "no id"), {}),
        (("lost",), {}),
    ):
        with pytest.raises(CommandError):
            said(*arguments, **options)
    assert said("arrived", call["id"], picture=str(picture))["status"] == "arrived"
    assert said("list")["calls"] == []
    work_through(run)
    assert states(run)[0] == "ok"


@pytest.mark.parametrize("first", [control.decide_lost, control.decide_arrived])
def test_a_call_is_decided_once(project: Project, use: Use, first: Callable[..., None]) -> None:
    _, attempt, _ = doubtful_run(project, use)
    first(attempt, by=OPERATOR)
    for second in (control.decide_lost, control.decide_arrived):
        with pytest.raises(Invalid, match="decided about this call already"):
            second(attempt, by=OPERATOR)
    assert CostEvent.objects.count() == (first is control.decide_arrived)


def test_a_result_that_comes_after_the_decision_is_booked_once(project: Project, use: Use) -> None:
    run = make_run(project)

    def slow(request: GenerateRequest) -> bytes:
        control.cancel_run(run, by=OPERATOR)
        expire_leases()
        runs.ring_again()
        control.decide_arrived(Attempt.objects.get(), by=OPERATOR)
        return png(number=7)

    use(FakeProvider(repeatable=False, answer=slow))
    work_through(run)
    assert Attempt.objects.get().status == "stored"
    assert CostEvent.objects.get().total_cost_usd == Decimal("0.04")
    candidate = run.candidates.get()
    assert candidate.status == "failed"
    assert store_for(project).exists(candidate.original_path)
    assert control.plan_retry(run).price_usd == 0


# --- Pages --------------------------------------------------------------------------------------------


def test_the_buttons_of_the_run_page_work_for_an_editor(
    project: Project, erin_client: Client, vic_client: Client, use: Use
) -> None:
    use(FakeProvider(answer=only_the_second(refuse)))
    run = make_run(project, n_scenes=2)
    page = run.get_absolute_url()

    def press(button: str, **data: str) -> None:
        url = reverse(f"pipeline:run-{button}", args=[project.slug, run.pk])
        assert f'id="run-{button}"' in erin_client.get(page).content.decode()
        assert f'id="run-{button}"' not in vic_client.get(page).content.decode()
        assert vic_client.post(url, data).status_code == 403
        assert erin_client.post(url, data).url == page

    press("pause")
    assert states(run)[0] == "paused"
    press("resume")
    assert states(run)[0] == "running"
    work_through(run)
    assert "Make the missing image again — free" in erin_client.get(page).content.decode()
    press("retry", price="0")
    press("cancel")
    text = erin_client.get(page).content.decode()
    assert states(run)[0] == "canceled"
    assert "Canceled. What was finished before is kept." in text
    assert "<dt>Canceled</dt><dd>1</dd>" in text
    assert "1 of 2 images" in text, "what was dropped was not made"
    refused = erin_client.post(reverse("pipeline:run-cancel", args=[project.slug, run.pk]))
    assert refused.status_code == 400
    assert "nothing to cancel" in refused.content.decode()


def test_a_retry_without_the_price_that_was_shown_is_refused(
    project: Project, erin_client: Client, use: Use
) -> None:
    use(FakeProvider(answer=refuse))
    run = make_run(project)
    work_through(run)
    url = reverse("pipeline:run-retry", args=[project.slug, run.pk])
    for data in ({}, {"price": "NaN"}, {"price": "-1"}):
        assert erin_client.post(url, data).status_code == 400
    assert states(run)[0] == "failed"


def test_a_page_follows_a_canceled_run_until_its_last_image_is_finished(
    project: Project, vic_client: Client, use: Use
) -> None:
    run = make_run(project)
    texts: list[str] = []
    htmx = {"HTTP_HX_REQUEST": "true"}
    query = {"since": timezone.now().isoformat(), "seen": "running True"}

    def answer(request: GenerateRequest) -> bytes:
        control.cancel_run(run, by=OPERATOR)
        texts.append(vic_client.get(run.get_absolute_url(), query, **htmx).content.decode())
        return png()

    use(FakeProvider(answer=answer))
    work_through(run)
    texts.append(vic_client.get(run.get_absolute_url(), query, **htmx).content.decode())
    assert "What is being made is finished and kept" in texts[0]
    assert ["hx-get" in text for text in texts] == [True, False]
    assert ['id="run-log"' in text for text in texts] == [False, True]


def test_the_live_part_brings_the_buttons_only_when_they_change(
    project: Project, erin_client: Client
) -> None:
    run = make_run(project)
    since = timezone.now().isoformat()
    for seen, brought in (("queued True", False), ("running True", True)):
        query = {"since": since, "seen": seen}
        text = erin_client.get(run.get_absolute_url(), query, HTTP_HX_REQUEST="true").content.decode()
        assert ('id="run-controls"' in text) is brought


def test_owners_decide_about_calls_in_doubt_and_editors_see_them(
    project: Project, alice_client: Client, erin_client: Client, use: Use
) -> None:
    run, attempt, _ = doubtful_run(project, use, n_scenes=2)
    dashboard = reverse("pipeline:dashboard", args=[project.slug])
    for url in (dashboard, run.get_absolute_url()):
        owners, editors = (client.get(url).content.decode() for client in (alice_client, erin_client))
        assert "2 paid calls in doubt" in owners
        assert "2 paid calls in doubt" in editors
        assert f'id="lost-{attempt.pk}"' in owners
        assert f'id="lost-{attempt.pk}"' not in editors
    lost, arrived = (
        reverse(f"pipeline:attempt-{word}", args=[project.slug, attempt.pk]) for word in ("lost", "arrived")
    )
    assert erin_client.post(lost).status_code == erin_client.post(arrived).status_code == 403
    assert Attempt.objects.in_doubt().count() == 2
    assert alice_client.post(arrived, {"back": "dashboard"}).url == dashboard
    assert alice_client.post(lost).status_code == 400
    other = Attempt.objects.in_doubt().get()
    answer = alice_client.post(reverse("pipeline:attempt-lost", args=[project.slug, other.pk]))
    assert answer.url == run.get_absolute_url()
    assert "in doubt" not in alice_client.get(dashboard).content.decode()


@pytest.mark.parametrize("where", ["dashboard", "run"])
def test_queries_do_not_grow_with_doubts_and_failures(
    project: Project, alice_client: Client, use: Use, where: str
) -> None:
    def failing(n_scenes: int) -> tuple[str, str]:
        run, _, provider = doubtful_run(project, use, n_scenes=n_scenes)
        provider.answer = refuse
        failed = make_run(project, n_scenes=n_scenes)
        work_through(failed)
        if where == "dashboard":
            return (reverse("pipeline:dashboard", args=[project.slug]),) * 2
        return run.get_absolute_url(), failed.get_absolute_url()

    few = failing(1)
    for url in few:
        alice_client.get(url)
    counts = []
    for urls in (few, failing(6)):
        with CaptureQueriesContext(connection) as queries:
            for url in urls:
                assert alice_client.get(url).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Commands -----------------------------------------------------------------------------------------


def test_the_commands_do_what_the_buttons_do(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], use: Use
) -> None:
    use(FakeProvider())
    monkeypatch.setattr("kroma_site.management.commands.run.prepare", lambda: None)

    def finish_here(run: Run, **kwargs: object) -> Run:
        work_through(run)
        return run

    monkeypatch.setattr("kroma_site.headless.wait_for", finish_here)
    run = make_run(project)
    call_command("run", "pause", str(run.pk), "--json")
    assert json.loads(capsys.readouterr().out) == {"ok": True, "status": "paused", "run_id": str(run.pk)}
    call_command("run", "cancel", str(run.pk))
    assert capsys.readouterr().out == f"Run {run.pk}: canceled\n"
    with pytest.raises(CommandError, match="--confirm-spend"):
        call_command("run", "retry", str(run.pk))
    call_command("run", "retry", str(run.pk), "--confirm-spend", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["status"], len(told["winners"])) == (True, "ok", 1)
    again = make_run(project)
    control.pause_run(again, by=OPERATOR)
    call_command("run", "resume", str(again.pk))
    assert states(again)[0] == "ok"
    with pytest.raises(CommandError, match="There is no run"):
        call_command("run", "cancel", "nonsense")
    with pytest.raises(CommandError, match="finished already"):
        call_command("run", "cancel", str(again.pk))


def test_a_dry_run_can_be_neither_canceled_nor_retried(project: Project) -> None:
    run = runs.record_dry_run(make_plan(project, mode="dry"), by=OPERATOR)
    with pytest.raises(Invalid):
        control.cancel_run(run, by=OPERATOR)
    with pytest.raises(Invalid):
        control.retry_failed(run, by=OPERATOR, confirm_spend=True)
