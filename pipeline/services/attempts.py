"""The record of each paid or counted call: written before the call, settled after it.

Rows are locked in one order everywhere: the attempt, then its candidate, then the account, then the budget.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from pipeline.models import Attempt, Candidate, CostEvent
from pipeline.providers.base import ProviderError
from pipeline.services import budgets, leases, limits
from pipeline.services.outcomes import Deferred
from projects.models import Project

GENERATE = "generate"


@dataclass(frozen=True)
class Call:
    """What is about to be asked of whom; `price` in USD is the most that it may cost.

    `input_sha256` names what a step after generation works on.
    """

    step: str
    provider_code: str
    billed: bool
    price: Decimal
    input_sha256: str = ""


@dataclass(frozen=True)
class Receipt:
    """What came of a call: where its bytes are kept, and what the provider says of it."""

    sha256: str
    path: str
    cost_usd: Decimal
    model: str = ""
    request_id: str = ""
    usage: dict[str, object] | None = None


def close_left_open(candidate_pk: UUID, *, token: UUID) -> None:
    """Settle what a dead worker left open: abandoned where a call is free, else in doubt.

    Raises `Deferred` while a call may have been paid for: nothing is bought again before somebody decides.
    What the candidate has got counts from here on: no earlier call can settle it behind our back.
    """
    calls = Attempt.objects.filter(candidate=candidate_pk)
    left = calls.filter(status=Attempt.Status.OPEN)
    now = timezone.now()
    if not calls.filter(status__in=(Attempt.Status.OPEN, Attempt.Status.IN_DOUBT)).exists():
        return
    with transaction.atomic():
        left.filter(billed=True).update(status=Attempt.Status.IN_DOUBT, finished_at=now)
        left.update(status=Attempt.Status.ABANDONED, finished_at=now)
        # Asked of the rows, as a worker that lost its lease may have put its call in doubt just now.
        if doubtful := calls.filter(status=Attempt.Status.IN_DOUBT).exists():
            _give_to_a_person(candidate_pk, token)
    if doubtful:
        raise Deferred


def doubt_left_alone(now: datetime) -> int:
    """Settle what belongs to no run and is open for longer than a task may take; how many are in doubt.

    Its age must do for such a call: no lease says that its process has died. A result that comes all the same
    is booked.
    """
    before = now - timedelta(seconds=settings.TASK_TIMEOUT)
    left = Attempt.objects.open().filter(candidate__isnull=True, started_at__lt=before)
    left.filter(billed=False).update(status=Attempt.Status.ABANDONED, finished_at=now)
    return left.update(status=Attempt.Status.IN_DOUBT, finished_at=now)


def begin(candidate: Candidate, call: Call, *, token: UUID) -> Attempt:
    """Commit an open attempt of a candidate, before the call is made.

    It takes its sum over from what the candidate has reserved. Raises `LeaseLost` (a worker that was held up
    since its claim may find that another one has taken over: then it must not call), `AccountBusy`, and
    `BudgetExceeded` when the price has risen over what was reserved and the budget does not bear it.
    """
    with transaction.atomic():
        leases.renew_or_stop(candidate.pk, token)
        project_id = candidate.run.project_id
        limits.take_place(project_id, call.provider_code)
        reserved = Candidate.objects.values_list("reserved_usd", flat=True).get(pk=candidate.pk)
        if call.price > reserved:
            budgets.reserve(candidate.run.project, call.price - reserved, run=candidate.run)
        Candidate.objects.filter(pk=candidate.pk).update(reserved_usd=max(reserved - call.price, Decimal(0)))
        earlier = Attempt.objects.filter(candidate=candidate, step=call.step)
        return Attempt.objects.create(
            project_id=project_id,
            run=candidate.run,
            candidate=candidate,
            number=(earlier.aggregate(last=Max("number"))["last"] or 0) + 1,
            lease_token=token,
            **_asked(call),
        )


def begin_alone(project: Project, call: Call) -> Attempt:
    """Commit an open attempt that belongs to no run. Raises `AccountBusy`, `BudgetExceeded`."""
    with transaction.atomic():
        limits.take_place(project.pk, call.provider_code)
        budgets.reserve(project, call.price)
        return Attempt.objects.create(project=project, **_asked(call))


def settle(attempt: Attempt, receipt: Receipt, *, token: UUID | None) -> bool:
    """Book the stored bytes on the attempt, and on its candidate if the lease is still ours; whether it is.

    A result that comes after the lease was lost is booked all the same: it may have been paid for. Whoever
    works on the candidate next finds the bytes and does not call again.
    """
    with transaction.atomic():
        Attempt.objects.filter(pk=attempt.pk).update(
            status=Attempt.Status.STORED,
            original_sha256=receipt.sha256,
            original_path=receipt.path,
            model_name=receipt.model,
            cost_usd=receipt.cost_usd,
            request_id=receipt.request_id[:200],
            usage=receipt.usage or {},
            finished_at=timezone.now(),
        )
        if receipt.cost_usd:
            book(attempt, cost=receipt.cost_usd, model=receipt.model)
        if attempt.candidate_id is None:
            return True
        return _given_to_candidate(attempt.candidate_id, attempt.step, receipt, token)


def book(attempt: Attempt, *, cost: Decimal, model: str = "") -> None:
    """Write what a call cost, once: what is known later replaces what was assumed."""
    CostEvent.objects.update_or_create(
        attempt=attempt,
        defaults={
            "project_id": attempt.project_id,
            "run_id": attempt.run_id,
            "job": attempt.candidate.job if attempt.candidate else None,
            "provider_code": attempt.provider_code,
            "model_name": model,
            "event_type": "image_generation" if attempt.step == GENERATE else attempt.step,
            "units": 1,
            "unit_cost_usd": cost,
            "total_cost_usd": cost,
        },
    )


def fail(attempt: Attempt, error: ProviderError, *, retry_at: datetime | None = None) -> None:
    """Close an attempt that brought nothing; its sum is the candidate's again, for another try.

    One that was put in doubt, as its worker had lost its lease, need not be decided about any more.
    `retry_at` is when the provider lets its account call again, if it asked everybody to wait.
    """
    with transaction.atomic():
        closed = (
            Attempt.objects.reserving()
            .filter(pk=attempt.pk)
            .update(
                status=Attempt.Status.FAILED,
                finished_at=timezone.now(),
                retryable=error.retryable,
                retry_at=retry_at,
                **_said(error),
            )
        )
        if closed:
            give_back(attempt)
            if attempt.candidate_id is not None:
                _free_from_doubt(attempt.candidate_id)


def doubt(attempt: Attempt, error: ProviderError, *, token: UUID | None) -> None:
    """Leave an attempt to a person: it is not known whether it was billed."""
    with transaction.atomic():
        Attempt.objects.open().filter(pk=attempt.pk).update(
            status=Attempt.Status.IN_DOUBT, finished_at=timezone.now(), **_said(error)
        )
        if attempt.candidate_id is not None and token is not None:
            _give_to_a_person(attempt.candidate_id, token)


def give_back(attempt: Attempt) -> None:
    """Inside the transaction that ends an attempt: its candidate holds the sum back for its next call.

    A candidate that has come to its end holds nothing back.
    """
    if attempt.candidate_id is None:
        return
    open_states = ("planned", "running", "generated", "in_doubt")
    Candidate.objects.filter(pk=attempt.candidate_id, status__in=open_states).update(
        reserved_usd=Greatest(F("reserved_usd") + Value(attempt.reserved_usd), Value(Decimal(0)))
    )


def _asked(call: Call) -> dict[str, object]:
    return {
        "step": call.step,
        "provider_code": call.provider_code,
        "billed": call.billed,
        "reserved_usd": call.price,
        "input_sha256": call.input_sha256,
    }


def _said(error: ProviderError) -> dict[str, object]:
    return {
        "error_kind": error.kind,
        "error_code": error.code,
        "error_message": error.message,
        "http_status": error.http_status,
    }


def _given_to_candidate(candidate_pk: UUID, step: str, receipt: Receipt, token: UUID | None) -> bool:
    candidate = Candidate.objects.filter(pk=candidate_pk)  # no join: see Candidate.objects.claim
    stored: dict[str, object] = {}
    if step == GENERATE:
        stored = {"original_sha256": receipt.sha256, "original_path": receipt.path}
    if candidate.filter(lease_token=token).update(status=Candidate.Status.GENERATED, **stored):
        return True
    _free_from_doubt(candidate_pk)
    if stored:
        candidate.filter(original_sha256="").update(**stored)
    return False


def _free_from_doubt(candidate_pk: UUID) -> None:
    """Let a candidate go on that waited for a person, once what came of its calls is known."""
    doubtful = Candidate.objects.filter(pk=candidate_pk, status=Candidate.Status.IN_DOUBT)
    doubtful.exclude(attempts__status="in_doubt").update(status=Candidate.Status.PLANNED, rung_at=None)


def _give_to_a_person(candidate_pk: UUID, token: UUID) -> None:
    Candidate.objects.filter(pk=candidate_pk, lease_token=token).update(
        status=Candidate.Status.IN_DOUBT, lease_token=None, lease_until=None
    )
