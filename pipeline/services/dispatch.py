"""Carrying out confirmed instructions: taken by one worker at a time, handed on, settled by what came of it.

Every delivery is harmless: taking is one conditional UPDATE, and the number of the attempt says whether what
comes back still counts. An agent may get the same instruction more than once; its id is the same then.
"""

import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import sleep
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from pipeline.enqueue import queue_is_empty, ring_instruction
from pipeline.models import AgentInstruction, Run
from pipeline.models.copilot import AgentInstructionQuerySet
from pipeline.services import agentcalls, instructions, trigger
from pipeline.services.agentcalls import Limits, Outcome, Pause
from pipeline.services.instructions import add_event, audited_end, callback_secret, close
from projects.access import Action, Principal, allows
from projects.errors import KromaError
from projects.models import Project
from projects.services.tokens import hashed

Status = AgentInstruction.Status
Executor = AgentInstruction.Executor

AT_ONCE = 500  # rows that one look of the bell takes up
LOST_AFTER = timedelta(seconds=10)  # that an instruction waits while no message does
LOST = "worker_lost"  # the error of an attempt of which nothing is known

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """How a worker goes about its work; times in seconds. `url` and `token` are the worker's own target."""

    max_locked: float = 120
    max_attempts: int = 3
    retry_backoff: float = 10
    call: Limits = field(default_factory=Limits)
    url: str = ""
    token: str = field(default="", repr=False)

    @property
    def locked_for(self) -> timedelta:
        return timedelta(seconds=self.max_locked)


DEFAULT = Rules()


def new_worker_id() -> str:
    """A name for somebody who takes instructions."""
    return f"worker-{secrets.token_hex(4)}"


def work_on(pk: UUID | str) -> None:
    """Carry out this instruction if it is due. A second delivery is a no-op."""
    instruction = lease_one(new_worker_id(), timezone.now(), only=pk)
    if instruction is not None:
        carry_out(instruction)


def work_once(worker_id: str, *, rules: Rules = DEFAULT, pause: Pause = sleep) -> bool:
    """Take up what is left behind, then carry out the oldest that is due; whether there was one."""
    now = timezone.now()
    reclaim_stale(now, rules=rules)
    follow_runs(now)
    instruction = lease_one(worker_id, now, rules=rules)
    if instruction is None:
        return False
    carry_out(instruction, rules=rules, pause=pause)
    return True


def lease_one(
    worker_id: str, now: datetime, *, rules: Rules = DEFAULT, only: UUID | str | None = None
) -> AgentInstruction | None:
    """Take the oldest instruction that is due, or `only` this one if it is; None if there is none to take."""
    due = AgentInstruction.objects.due(now).free(now, locked_for=rules.locked_for)
    if only is not None:
        due = due.filter(pk=only)
    while (pk := due.order_by("updated_at", "id").values_list("pk", flat=True).first()) is not None:
        with transaction.atomic():
            taken = due.filter(pk=pk).update(
                status=Status.RUNNING,
                locked_by=worker_id,
                locked_at=now,
                attempts=F("attempts") + 1,
                max_attempts=rules.max_attempts,
                updated_at=now,
            )
            if taken:
                instruction = _loaded(pk)
                if instruction.executor != Executor.KROMA:
                    instruction.callback_hash = hashed(callback_secret(instruction))
                    instruction.save(update_fields=["callback_hash"])
                add_event(instruction, "started", f"worker={worker_id}, attempts={instruction.attempts}")
                return instruction
    return None


def carry_out(instruction: AgentInstruction, *, rules: Rules = DEFAULT, pause: Pause = sleep) -> None:
    """Do what a leased instruction says, and settle it."""
    if instruction.executor == Executor.KROMA:
        _start_run(instruction, rules=rules)
    else:
        settle(instruction, dispatch(instruction, rules=rules, pause=pause), rules=rules)


def dispatch(instruction: AgentInstruction, *, rules: Rules = DEFAULT, pause: Pause = sleep) -> Outcome:
    """Hand a leased instruction to its agent. Writes nothing."""
    try:
        target = agentcalls.target_of(instruction.project, url=rules.url, token=rules.token)
    except agentcalls.TargetMissing as error:
        return Outcome(error=str(error))
    return agentcalls.call(
        instruction, target, limits=rules.call, pause=pause, goes_on=lambda: _held(instruction).exists()
    )


def settle(instruction: AgentInstruction, outcome: Outcome, *, rules: Rules = DEFAULT) -> None:
    """Write down what came of an attempt. If it no longer counts, as an event only."""
    now = timezone.now()
    if outcome.error:
        with transaction.atomic():
            held = _held(instruction)
            if not _failed(held, instruction, outcome.error, now=now, rules=rules, is_final=outcome.is_final):
                _too_late(instruction, outcome.error)
        return
    http = "none" if outcome.http_status is None else outcome.http_status
    told = f"remote_status={outcome.remote_status}, attempts={instruction.attempts}, http_status={http}"
    with transaction.atomic():
        held = _held(instruction)
        if outcome.status == Status.RUNNING:
            counts = bool(
                held.update(
                    locked_by="",
                    locked_at=None,
                    deadline_at=now + timedelta(seconds=instructions.CALLBACK_SECONDS),
                    last_error="",
                    response=outcome.response,
                    updated_at=now,
                )
            )
        else:
            counts = close(held, outcome.status, now=now, last_error="", response=outcome.response)
        if not counts:
            _too_late(instruction, told)
            return
        instruction.refresh_from_db()
        add_event(instruction, "result", told)
        if instruction.status != Status.RUNNING:
            audited_end(instruction, by=Principal())


def reclaim_stale(now: datetime, *, rules: Rules = DEFAULT) -> int:
    """Take up instructions whose worker has died, and end those whose agent never reported; how many.

    The lost attempt counts: after the last one the instruction has failed.
    """
    n_taken = 0
    left = AgentInstruction.objects.left_behind(now, locked_for=rules.locked_for)
    for pk in list(left.values_list("pk", flat=True)[:AT_ONCE]):
        with transaction.atomic():
            n_taken += _failed(left.filter(pk=pk), _loaded(pk), LOST, now=now, rules=rules)
    overdue = AgentInstruction.objects.overdue(now)
    for pk in list(overdue.values_list("pk", flat=True)[:AT_ONCE]):
        with transaction.atomic():
            instruction = _loaded(pk)
            n_taken += _failed(
                overdue.filter(pk=pk), instruction, "callback_timeout", now=now, rules=rules, is_final=True
            )
    return n_taken


def follow_runs(now: datetime) -> int:
    """End instructions whose run has ended: done if all of it came out, else failed; how many."""
    ended = AgentInstruction.objects.with_ended_run()
    n_ended = 0
    for instruction in list(ended.select_related("run", "project")[:AT_ONCE]):
        run = instruction.run
        if run is None:
            continue
        told = f"run={run.pk}, run_status={run.status}"
        is_ok = run.status == Run.Status.OK
        with transaction.atomic():
            rows = ended.filter(pk=instruction.pk)
            status, problem = (Status.DONE, "") if is_ok else (Status.FAILED, f"run_{run.status}")
            if close(rows, status, now=now, last_error=problem):
                n_ended += 1
                instruction.refresh_from_db()
                add_event(instruction, "result" if is_ok else "error", told)
                audited_end(instruction, by=Principal())
    return n_ended


def ring_instructions(now: datetime | None = None) -> int:
    """Take up what was left behind, and queue what is due; how many were queued.

    One that was queued already is so again only when the queue must have lost it.
    """
    now = now or timezone.now()
    reclaim_stale(now)
    follow_runs(now)
    unrung = Q(rung_at__isnull=True) | Q(rung_at__lt=F("next_attempt_at"))
    if queue_is_empty():
        unrung |= Q(rung_at__lte=now - LOST_AFTER)
    due = AgentInstruction.objects.due(now).filter(unrung)
    pks = list(due.order_by("updated_at", "id").values_list("pk", flat=True)[:AT_ONCE])
    if not pks:
        return 0
    with transaction.atomic():
        AgentInstruction.objects.filter(pk__in=pks).update(rung_at=now)
        for pk in pks:
            ring_instruction(pk)
    return len(pks)


def _start_run(instruction: AgentInstruction, *, rules: Rules) -> None:
    """Start the run that an instruction asks for, once: its rows and the link to them are one transaction."""
    try:
        by = _confirmer(instruction)
        project = _allowed(instruction.project_id, by)
        request = instructions.run_asked(instruction.payload, confirm_spend=instruction.spend_confirmed)
        prepared = trigger.prepare(project, request)
        with transaction.atomic():
            # This holds the row: a cancel waits, and comes too late for what is started here. The run plans
            # anew inside, as its start always does; a link written after its commit could be lost between.
            if not _held(instruction).update(updated_at=timezone.now()):
                return
            run = trigger.carry_out(prepared, request, by=by)
            AgentInstruction.objects.filter(pk=instruction.pk).update(
                run=run, locked_by="", locked_at=None, last_error=""
            )
            add_event(instruction, "started", f"run={run.pk}")
    except KromaError as error:
        # What is wrong inside, as with the master key, is not told to a project's members; it may be mended.
        inside = error.status >= 500
        if inside:
            logger.error("Instruction %s: %s", instruction.pk, error)  # noqa: TRY400
        told = error.code if inside else str(error)
        settle(instruction, Outcome(error=told, is_final=not inside), rules=rules)
        return
    follow_runs(timezone.now())


def _confirmer(instruction: AgentInstruction) -> Principal:
    """The one who confirmed it; an instruction without a person was confirmed by the operator.

    A token's own limit needs no second look: whoever may confirm at all may run.
    """
    user = instruction.confirmed_by
    return Principal(user) if user else Principal(operator=True)


def _allowed(project_id: UUID, by: Principal) -> Project:
    """The project as `by` sees it now. Raises `Refused` if nothing may be started there by them any more."""
    projects = Project.objects.visible_to(by).with_role(by).select_related("storage")
    project = projects.filter(pk=project_id).first()
    if project is None or (by.user and not by.user.is_active) or not allows(project.role, Action.RUN):
        raise Refused("Who confirmed it may not start runs in this project any more")
    if project.status != Project.Status.ACTIVE:
        raise Refused("The project is archived")
    return project


class Refused(KromaError):
    """An instruction that must not be carried out as things are now."""


def _failed(
    rows: AgentInstructionQuerySet,
    instruction: AgentInstruction,
    error: str,
    *,
    now: datetime,
    rules: Rules,
    is_final: bool = False,
) -> bool:
    """After a failure: wait for another attempt, or fail for good. False if `rows` has it no more."""
    most = instruction.max_attempts or rules.max_attempts
    is_final = is_final or instruction.attempts >= most
    if is_final:
        next_at, counts = None, close(rows, Status.FAILED, now=now, last_error=error)
    else:
        next_at = now + timedelta(seconds=rules.retry_backoff * instruction.attempts)
        counts = bool(
            rows.update(
                status=Status.CONFIRMED,
                locked_by="",
                locked_at=None,
                deadline_at=None,
                next_attempt_at=next_at,
                last_error=error,
                updated_at=now,
            )
        )
    if not counts:
        return False
    instruction.refresh_from_db()
    then = f"{next_at:%Y-%m-%dT%H:%M:%SZ}" if next_at else "none"
    add_event(
        instruction,
        "error" if is_final else "retry_scheduled",
        f"error={error}, attempts={instruction.attempts}, max_attempts={most}, next_attempt_at={then}",
    )
    if is_final:
        audited_end(instruction, by=Principal())
    return True


def _too_late(instruction: AgentInstruction, told: str) -> None:
    """Write down a result that does not count any more, inside the caller's transaction."""
    AgentInstruction.objects.select_for_update().get(pk=instruction.pk)
    add_event(instruction, "result", f"too late, {told}")
    logger.info("Instruction %s: what came of attempt %s was too late", instruction.pk, instruction.attempts)


def _held(instruction: AgentInstruction) -> AgentInstructionQuerySet:
    held = AgentInstruction.objects.held_by(instruction.locked_by, instruction.attempts)
    return held.filter(pk=instruction.pk)


def _loaded(pk: UUID) -> AgentInstruction:
    return AgentInstruction.objects.select_related("project", "requested_by", "confirmed_by").get(pk=pk)
