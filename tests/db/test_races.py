"""Two workers at the same row at the same moment. Collected on PostgreSQL only, which really lets them."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from bootstrap import services
from bootstrap.models import SettingsSnapshot
from pipeline.enqueue import ring_candidates
from pipeline.models import AgentInstruction, Candidate, Run
from pipeline.providers.base import OutcomeUnknown
from pipeline.services import attempts, chat, control, dispatch, instructions, leases, runs
from pipeline.services.outcomes import Deferred
from projects import audit
from projects.access import OPERATOR, Principal, Role
from projects.models import ApiToken, Character, StyleGuide
from projects.services import people, tokens
from projects.services.library import delete_entry, save_entry
from tests.exchange import document
from tests.factories import make_project, make_run, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def make_candidate() -> Candidate:
    with mock.patch("pipeline.enqueue.async_task"):
        return make_run(make_project()).candidates.get()


class Beside(threading.Thread):
    """Does something over a connection of its own; `result` is what came of it, or the error."""

    def __init__(self, what: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.what = what
        self.result: Any = None

    def run(self) -> None:
        try:
            self.result = self.what()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.result = error
        finally:
            connection.close()

    def start_and_wait_until_it_is_blocked(self) -> None:
        self.start()
        with connection.cursor() as cursor:
            while self.is_alive():
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    return


def test_a_candidate_is_claimed_once() -> None:
    candidate = make_candidate()
    other = Beside(lambda: Candidate.objects.claim(candidate.pk, now=timezone.now()))
    with transaction.atomic():
        assert Candidate.objects.claim(candidate.pk, now=timezone.now())
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert other.result is None


def test_a_link_lets_in_once() -> None:
    make_user(username="bob")
    token = people.make_signin_link("bob", by=OPERATOR)
    other = Beside(lambda: people.use_signin_link(token))
    with transaction.atomic():
        assert people.use_signin_link(token)
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert other.result is None


def test_of_two_first_tokens_one_is_made() -> None:
    people.first_owner()
    other = Beside(lambda: tokens.issue_token(by=Principal()))
    with transaction.atomic():
        tokens.issue_token(by=Principal())
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert str(other.result) == "Bootstrap token already initialized"
    assert ApiToken.objects.count() == 1


def test_of_two_first_tokens_one_is_made_even_before_there_is_an_owner() -> None:
    other = Beside(lambda: tokens.issue_token(by=Principal()))
    with transaction.atomic():
        tokens.issue_token(by=Principal())
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert str(other.result) == "Bootstrap token already initialized"
    assert ApiToken.objects.count() == 1


def test_a_lease_is_renewed_again_after_the_connection_was_lost(settings: Settings) -> None:
    settings.LEASE_SECONDS = 3
    candidate = make_candidate()
    token = Candidate.objects.claim(candidate.pk, now=timezone.now())
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def lease_until_beyond(moment: Any) -> bool:
        candidate.refresh_from_db()
        return bool(candidate.lease_until > moment)

    with leases.renewed(candidate.pk, token), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {others}")
        deadline = timezone.now() + timedelta(seconds=3)
        while not lease_until_beyond(deadline + timedelta(seconds=1)) and timezone.now() < deadline:
            cursor.execute("SELECT pg_sleep(0.1)")
    assert lease_until_beyond(deadline)


def make_canceled_and_late() -> tuple[Candidate, UUID]:
    """A candidate of a canceled run whose worker lives, though its lease has run out; the lease's token."""
    candidate = make_candidate()
    token = Candidate.objects.claim(candidate.pk, now=timezone.now())
    assert token is not None
    with mock.patch("pipeline.enqueue.async_task"):
        control.cancel_run(candidate.run, by=OPERATOR)
    Candidate.objects.update(lease_until=timezone.now() - timedelta(seconds=5))
    return Candidate.objects.select_related("run").get(pk=candidate.pk), token


def test_a_call_that_begins_while_its_canceled_run_is_swept_is_not_forgotten() -> None:
    candidate, token = make_canceled_and_late()
    sweep = Beside(lambda: runs.cancel_left_behind(timezone.now()))
    with transaction.atomic():
        call = attempts.Call("generate", "local", billed=True, price=Decimal("0.04"))
        attempt = attempts.begin(candidate, call, token=token)
        sweep.start_and_wait_until_it_is_blocked()
    sweep.join()
    candidate.refresh_from_db()
    attempt.refresh_from_db()
    assert (candidate.status, attempt.status) == ("running", "open")


def test_a_reason_written_while_a_canceled_run_is_swept_stays() -> None:
    candidate, token = make_canceled_and_late()
    sweep = Beside(lambda: runs.cancel_left_behind(timezone.now()))
    with transaction.atomic():
        Candidate.objects.filter(pk=candidate.pk, lease_token=token).update(
            status="failed", lease_token=None, lease_until=None, finished_at=timezone.now()
        )
        sweep.start_and_wait_until_it_is_blocked()
    sweep.join()
    candidate.refresh_from_db()
    assert candidate.status == "failed"


def test_deleting_a_guide_while_a_run_is_closed_is_no_deadlock() -> None:
    candidate = make_candidate()
    run = candidate.run
    guide = save_entry(run.project, StyleGuide(name="Ink", instructions="Ink"), by=OPERATOR)
    Run.objects.filter(pk=run.pk).update(style_guide=guide)
    other = Beside(lambda: delete_entry(guide, by=OPERATOR))
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(status="failed", finished_at=timezone.now())
        other.start_and_wait_until_it_is_blocked()
        audit.record(run.project, "run.finished", run, by=OPERATOR)
    other.join()
    assert other.result is None
    assert list(audit.faults()) == []


def test_a_ring_does_not_wait_for_rows_that_somebody_else_changes() -> None:
    """Bells and cancels change many rows in no common order: waiting for each other would be a deadlock."""
    with mock.patch("pipeline.enqueue.async_task"):
        run = make_run(make_project(), n_scenes=2)
        first, second = run.candidates.order_by("job__position")
        bell = Beside(lambda: ring_candidates([first.pk, second.pk]))
        with transaction.atomic():
            Candidate.objects.filter(pk=second.pk).update(status="canceled", finished_at=timezone.now())
            bell.start()
            bell.join(5)
            assert not bell.is_alive()
            Candidate.objects.filter(pk=first.pk).update(status="canceled", finished_at=timezone.now())
    assert bell.result is None


def test_a_result_and_the_next_worker_at_the_same_moment_buy_nothing_twice() -> None:
    candidate = Candidate.objects.select_related("run").get(pk=make_candidate().pk)
    first = Candidate.objects.claim(candidate.pk, now=timezone.now())
    assert first is not None
    call = attempts.Call("generate", "local", billed=True, price=Decimal("0.04"))
    attempt = attempts.begin(candidate, call, token=first)
    Candidate.objects.update(lease_until=timezone.now() - timedelta(seconds=5))
    second = Candidate.objects.claim(candidate.pk, now=timezone.now())
    assert second is not None
    gone = OutcomeUnknown("The connection broke", code="connection_lost")
    other = Beside(lambda: attempts.close_left_open(candidate.pk, token=second))
    with transaction.atomic():
        attempts.doubt(attempt, gone, token=first)
        other.start_and_wait_until_it_is_blocked()
    other.join()
    candidate.refresh_from_db()
    assert isinstance(other.result, Deferred)
    assert candidate.status == "in_doubt"


def make_instruction() -> AgentInstruction:
    project = make_project()
    return instructions.create_instruction(project, instruction_text="Look", by=OPERATOR)[0]


def test_two_confirmations_make_one_event(settings: Settings) -> None:
    settings.AGENT_API_URL = "http://127.0.0.1:9"
    instruction = make_instruction()
    stale = AgentInstruction.objects.get(pk=instruction.pk)
    with mock.patch("pipeline.enqueue.async_task") as rung:
        other = Beside(lambda: instructions.confirm_instruction(stale, by=OPERATOR))
        with transaction.atomic():
            instructions.confirm_instruction(instruction, by=OPERATOR)
            other.start_and_wait_until_it_is_blocked()
        other.join()
    confirmed, event = other.result
    assert (confirmed.status, event.event_code) == ("confirmed", "agent_instruction.confirm")
    assert instruction.events.filter(event_type="confirmed").count() == 1
    assert rung.call_count == 1


def test_an_instruction_is_leased_once() -> None:
    instruction = make_instruction()
    with mock.patch("pipeline.enqueue.async_task"):
        instructions.confirm_instruction(instruction, by=OPERATOR)
    other = Beside(lambda: dispatch.lease_one("w2", timezone.now()))
    with transaction.atomic():
        assert dispatch.lease_one("w1", timezone.now())
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert other.result is None
    instruction.refresh_from_db()
    assert (instruction.locked_by, instruction.attempts) == ("w1", 1)


def test_a_report_and_a_cancel_at_once_end_it_once() -> None:
    instruction = make_instruction()
    AgentInstruction.objects.update(status="running")
    other = Beside(lambda: instructions.report(instruction, status="done", by=Principal()))
    with transaction.atomic():
        instructions.cancel_instruction(AgentInstruction.objects.get(pk=instruction.pk), by=OPERATOR)
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert str(other.result) == "Instruction is already canceled"
    instruction.refresh_from_db()
    assert instruction.status == "canceled"


def test_two_messages_at_once_get_a_position_each() -> None:
    session = chat.create_session(make_project(), by=OPERATOR)

    def say() -> int:
        return chat.add_message(session, role="user", content="a", by=OPERATOR).position

    other = Beside(say)
    with transaction.atomic():
        assert say() == 1
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert other.result == 2


def test_two_imports_wait_for_each_other_and_the_later_one_sees_the_earlier() -> None:
    project = make_project()
    wanted = [document({"characters": [{"name": "Mira", "description": text}]}) for text in ("one", "two")]

    def take_in(number: int) -> services.Outcome:
        return services.apply(project, wanted[number], by=OPERATOR, role=Role.OWNER)

    with transaction.atomic():
        take_in(0)
        other = Beside(lambda: take_in(1))
        other.start_and_wait_until_it_is_blocked()
        assert other.is_alive()
    other.join()
    assert other.result.plan.sections["characters"].updated == 1
    assert [one.description for one in Character.objects.all()] == ["two"]
    snapshots = SettingsSnapshot.objects.order_by("created_at")
    assert [len(one.content["characters"]) for one in snapshots] == [0, 1]


def test_of_two_imports_of_one_look_the_second_is_refused() -> None:
    project = make_project()
    wanted = document({"characters": [{"name": "Mira"}]})
    fingerprint = services.preview(project, wanted, role=Role.OWNER).fingerprint

    def take_in() -> services.Outcome:
        return services.apply(project, wanted, by=OPERATOR, role=Role.OWNER, fingerprint=fingerprint)

    with transaction.atomic():
        take_in()
        other = Beside(take_in)
        other.start_and_wait_until_it_is_blocked()
    other.join()
    assert isinstance(other.result, services.SettingsChanged)
    assert SettingsSnapshot.objects.count() == 1
