"""Instructions: written, confirmed, canceled by people; reported on by the agent that carries one out."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from pipeline.engine.trigger import TriggerRequest
from pipeline.enqueue import ring_instruction
from pipeline.models import AgentInstruction, AgentInstructionEvent
from pipeline.models.copilot import AgentInstructionQuerySet
from pipeline.services.trigger import asked
from projects import audit
from projects.access import Principal
from projects.errors import Invalid, KromaError, SpendNotConfirmed, Unauthorized
from projects.models import AuditEvent, Project, Secret
from projects.names import slugified
from projects.services.tokens import hashed

Status = AgentInstruction.Status
Executor = AgentInstruction.Executor

AGENT = "agent_api"  # the provider code of the project's own address and token of an agent
URL, TOKEN = "url", "token"
CALLBACK_SECONDS = 3600  # that an agent may work before it has to report
LONGEST_MESSAGE = 2000  # of an event, when the text comes from outside
BAD_CALLBACK = "Invalid callback secret"

# What an agent's word for a state means here; words that are not here mean that it failed.
MEANINGS = {
    "": Status.DONE,
    "done": Status.DONE,
    "failed": Status.FAILED,
    "running": Status.RUNNING,
    "accepted": Status.RUNNING,
    "queued": Status.RUNNING,
}
REPORTED = ("done", "failed", "rejected", "running", "accepted", "queued")


def create_instruction(
    project: Project,
    *,
    instruction_text: str,
    instruction_type: str = AgentInstruction.Type.CUSTOM,
    payload: object = None,
    constraints: Mapping[str, object] | None = None,
    inputs: Mapping[str, object] | None = None,
    execution: Mapping[str, object] | None = None,
    by: Principal,
) -> tuple[AgentInstruction, AuditEvent]:
    """Write down what is to be done; nothing happens before somebody confirms it."""
    with transaction.atomic():
        instruction = AgentInstruction.objects.create(
            project=project,
            instruction_text=instruction_text,
            instruction_type=instruction_type,
            payload={} if payload is None else payload,
            constraints=constraints or {},
            inputs=inputs or {},
            execution=execution or {},
            requested_by=by.user,
        )
        add_event(instruction, "created", "Instruction created")
        return instruction, _audited(instruction, "create", by=by)


def confirm_instruction(
    instruction: AgentInstruction, *, message: str = "", confirm_spend: bool = False, by: Principal
) -> tuple[AgentInstruction, AuditEvent]:
    """Let it be carried out, also once more after it has failed; one that is confirmed already stays so.

    Raises `Invalid` in any other state, `SpendNotConfirmed` and what `asked()` raises for a run of our own.
    """
    executor = _executor_of(instruction)
    now = timezone.now()
    with transaction.atomic():
        opened = AgentInstruction.objects.filter(
            pk=instruction.pk, status__in=(Status.PENDING, Status.FAILED)
        ).update(
            status=Status.CONFIRMED,
            executor=executor,
            confirmed_by=by.user,
            confirmed_at=now,
            spend_confirmed=confirm_spend,
            next_attempt_at=None,
            locked_by="",
            locked_at=None,
            deadline_at=None,
            last_error="",
            run=None,
            rung_at=now,
            updated_at=now,
        )
        instruction.refresh_from_db()
        if opened:
            if executor == Executor.KROMA:
                _check_run(instruction)
            add_event(instruction, "confirmed", message or "Instruction confirmed")
            if executor == Executor.KROMA or has_agent(instruction.project):
                ring_instruction(instruction.pk)  # what nobody can take yet is left to the bell
        elif instruction.status != Status.CONFIRMED:
            raise Invalid(f"Instruction is already {instruction.status}")
        return instruction, _audited(instruction, "confirm", by=by)


def cancel_instruction(
    instruction: AgentInstruction, *, message: str = "", force: bool = False, by: Principal
) -> tuple[AgentInstruction, AuditEvent]:
    """Withdraw it; a run that it has started goes on, and what an agent still sends is only written down.

    A confirmed one only with `force`. One that is canceled already stays so. Raises `Invalid`.
    """
    now = timezone.now()
    open_states = [Status.PENDING, Status.RUNNING, *([Status.CONFIRMED] if force else [])]
    with transaction.atomic():
        closed = AgentInstruction.objects.filter(pk=instruction.pk, status__in=open_states).update(
            status=Status.CANCELED,
            canceled_at=now,
            next_attempt_at=None,
            locked_by="",
            locked_at=None,
            deadline_at=None,
            updated_at=now,
        )
        instruction.refresh_from_db()
        if closed:
            add_event(instruction, "canceled", message or "Instruction canceled")
        elif instruction.status != Status.CANCELED:
            raise Invalid(f"Instruction is already {instruction.status}")
        return instruction, _audited(instruction, "cancel", by=by)


def reporting(slug: str, pk: str, *, secret: str) -> AgentInstruction:
    """The instruction whose agent shows its secret. Raises `Unauthorized`, the same for whatever is wrong."""
    try:
        named = UUID(pk)
    except ValueError:
        raise Unauthorized(BAD_CALLBACK) from None
    found = AgentInstruction.objects.filter(pk=named, project__slug=slugified(slug))
    instruction = found.select_related("project").first()
    # One that was never sent out has no hash, which is that of no secret.
    if instruction is None or not constant_time_compare(instruction.callback_hash, hashed(secret)):
        raise Unauthorized(BAD_CALLBACK)
    return instruction


def report(
    instruction: AgentInstruction,
    *,
    status: str,
    message: str = "",
    error: str = "",
    result: object = None,
    by: Principal,
) -> AgentInstruction:
    """Take an agent's word, one of `REPORTED`, about an instruction that is running.

    That it still works gives it more time. The same end told again is a no-op. Raises `Invalid`.
    """
    meaning, now = MEANINGS.get(status, Status.FAILED), timezone.now()
    failed = meaning == Status.FAILED
    told = {"status": status, "message": message, "error": error, "result": result}
    told = without_secrets(told, callback_secret(instruction))
    said = told["error"] or told["message"]
    with transaction.atomic():
        running = AgentInstruction.objects.filter(
            pk=instruction.pk, status=Status.RUNNING, run__isnull=True
        ).exclude(executor=Executor.KROMA)
        if meaning == Status.RUNNING:
            deadline = now + timedelta(seconds=CALLBACK_SECONDS)
            taken = bool(running.update(deadline_at=deadline, updated_at=now))
        else:
            problem = (said or f"remote_status={status}") if failed else ""
            taken = close(running, meaning, now=now, last_error=problem, response=told)
        instruction.refresh_from_db()
        if taken and meaning != Status.RUNNING:
            details = f": {said}" if said else ""
            event = "error" if failed else "result"
            add_event(instruction, event, f"callback, remote_status={status}{details}")
            audited_end(instruction, by=by)
        elif not taken and instruction.status != meaning:
            waits = instruction.status in (Status.PENDING, Status.CONFIRMED)
            state = "not running" if waits else f"already {instruction.status}"
            raise Invalid(f"Instruction is {state}")
    return instruction


def close(rows: AgentInstructionQuerySet, status: str, *, now: datetime, **fields: object) -> bool:
    """Give what is left of `rows`, at most one, its final status; whether there was one."""
    return bool(
        rows.update(
            status=status,
            locked_by="",
            locked_at=None,
            next_attempt_at=None,
            deadline_at=None,
            updated_at=now,
            **fields,
        )
    )


def add_event(instruction: AgentInstruction, event_type: str, message: str) -> None:
    """Append to the story of an instruction, inside the transaction that has written or locked its row."""
    last = instruction.events.aggregate(position=Max("position"))["position"]
    AgentInstructionEvent.objects.create(
        project_id=instruction.project_id,
        instruction=instruction,
        position=1 if last is None else last + 1,
        event_type=event_type,
        message=message,
    )


def audited_end(instruction: AgentInstruction, *, by: Principal) -> AuditEvent:
    """Write down that an instruction has come to its end, in the transaction of that."""
    return _audited(instruction, "finish", by=by)


def callback_secret(instruction: AgentInstruction) -> str:
    """What the agent of this instruction reports with: always the same, and no other's.

    It is derived, as each try has to carry the same one; stored is its hash, once it was given away.
    """
    return salted_hmac("pipeline.instruction.callback", str(instruction.pk), algorithm="sha256").hexdigest()


def without_secrets(value: Any, *secrets: str) -> Any:
    """JSON as it may be kept: no secret in its texts, and nothing that a database does not take."""
    if isinstance(value, str):
        text = value
        for secret in secrets:
            if secret:
                text = text.replace(secret, "[hidden]")
        return text.replace("\x00", "�").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {
            without_secrets(str(key), *secrets): without_secrets(each, *secrets)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(each, *secrets) for each in value]
    return value


def text_of(instruction_type: str, payload: object) -> str:
    """What stands for the text of an instruction that came without one."""
    if payload in (None, {}, [], ""):
        return instruction_type
    return f"{instruction_type}: {json.dumps(payload, ensure_ascii=False)}"


def has_agent(project: Project) -> bool:
    """Whether there is an address to send instructions to; the secret itself is not opened."""
    if settings.AGENT_API_URL:
        return True
    addresses = Secret.objects.filter(project=project, provider_code=AGENT, secret_name=URL)
    return addresses.exclude(value_encrypted="").exists()


def run_asked(payload: object, *, confirm_spend: bool) -> TriggerRequest:
    """The run that an instruction's payload states; its own confirmation to spend counts for nothing.

    Raises what `asked()` raises.
    """
    body = {**payload, "confirm_spend": confirm_spend} if isinstance(payload, Mapping) else payload
    return asked(body)


def _executor_of(instruction: AgentInstruction) -> Executor:
    if instruction.instruction_type != AgentInstruction.Type.PIPELINE_RUN:
        return Executor.AGENT
    wanted = instruction.execution.get("by")
    if wanted in Executor.values:
        return Executor(wanted)
    if has_agent(instruction.project):
        return Executor.AGENT
    try:
        run_asked(instruction.payload, confirm_spend=True)
    except KromaError:  # nothing that we could run: it waits for an agent, as all others do
        return Executor.AGENT
    return Executor.KROMA


def _check_run(instruction: AgentInstruction) -> None:
    request = run_asked(instruction.payload, confirm_spend=True)
    if request.mode == "run" and not instruction.spend_confirmed:
        raise SpendNotConfirmed("Run mode requires explicit spend confirmation")


def _audited(instruction: AgentInstruction, verb: str, *, by: Principal) -> AuditEvent:
    return audit.record(
        instruction.project,
        f"agent_instruction.{verb}",
        instruction,
        by=by,
        instruction_id=str(instruction.pk),
        status=instruction.status,
    )
