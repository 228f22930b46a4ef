"""The record of each call to a provider: written before the call, settled after it."""

from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from pipeline.models import Attempt, Candidate, CostEvent
from pipeline.providers.base import ImageProvider, ProviderError, ProviderResult
from pipeline.services import leases


class WaitsForPerson(Exception):
    """An earlier call may have been billed: nothing is bought again before somebody decides."""


def close_left_open(candidate: Candidate, *, token: UUID) -> None:
    """Settle what a dead worker left open: abandoned where a call is free, else in doubt.

    Raises `WaitsForPerson` when the candidate may have been paid for.
    """
    left = Attempt.objects.open().filter(candidate=candidate)
    now = timezone.now()
    with transaction.atomic():
        if doubtful := left.filter(billed=True).update(status=Attempt.Status.IN_DOUBT, finished_at=now):
            _give_to_a_person(candidate.pk, token)
        left.update(status=Attempt.Status.ABANDONED, finished_at=now)
    if doubtful:
        raise WaitsForPerson


def begin(candidate: Candidate, provider: ImageProvider, *, token: UUID, price: Decimal) -> Attempt:
    """Commit an open attempt, before the call is made. Raises `LeaseLost`.

    A worker that was held up since its claim may find that another one has taken over: then it must not call.
    """
    with transaction.atomic():
        leases.renew_or_stop(candidate.pk, token)
        earlier = Attempt.objects.filter(candidate=candidate, step="generate")
        return Attempt.objects.create(
            project_id=candidate.run.project_id,
            run=candidate.run,
            candidate=candidate,
            number=(earlier.aggregate(last=Max("number"))["last"] or 0) + 1,
            provider_code=provider.code,
            billed=provider.billed,
            reserved_usd=price,
            lease_token=token,
        )


def settle(attempt: Attempt, result: ProviderResult, *, sha256: str, path: str, token: UUID) -> bool:
    """Book the stored bytes on the attempt, and on the candidate if the lease is still ours; whether it is.

    A result that comes after the lease was lost is booked all the same: it may have been paid for.
    """
    candidate_pk = _candidate_pk(attempt)
    with transaction.atomic():
        Attempt.objects.filter(pk=attempt.pk).update(
            status=Attempt.Status.STORED,
            original_sha256=sha256,
            model_name=result.model,
            cost_usd=result.cost_usd,
            request_id=result.request_id,
            finished_at=timezone.now(),
        )
        if result.cost_usd:
            book(attempt, cost=result.cost_usd, model=result.model)
        stored = {"original_sha256": sha256, "original_path": path}
        candidate = Candidate.objects.filter(pk=candidate_pk)
        if candidate.filter(lease_token=token).update(status=Candidate.Status.GENERATED, **stored):
            return True
        # Whoever works on it next finds the bytes and does not call again.
        candidate.filter(original_sha256="", status=Candidate.Status.IN_DOUBT).update(
            status=Candidate.Status.PLANNED, rung_at=None
        )
        candidate.filter(original_sha256="").update(**stored)
        return False


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
            "event_type": "image_generation",
            "units": 1,
            "unit_cost_usd": cost,
            "total_cost_usd": cost,
        },
    )


def fail(attempt: Attempt, error: ProviderError) -> None:
    """Close an attempt that brought nothing; its money is free again."""
    Attempt.objects.open().filter(pk=attempt.pk).update(
        status=Attempt.Status.FAILED,
        error_kind=error.kind,
        error_code=error.code,
        error_message=error.message,
        http_status=error.http_status,
        finished_at=timezone.now(),
    )


def doubt(attempt: Attempt, error: ProviderError, *, token: UUID) -> None:
    """Leave an attempt to a person: it is not known whether it was billed."""
    with transaction.atomic():
        Attempt.objects.open().filter(pk=attempt.pk).update(
            status=Attempt.Status.IN_DOUBT,
            error_kind=error.kind,
            error_code=error.code,
            error_message=error.message,
            finished_at=timezone.now(),
        )
        _give_to_a_person(_candidate_pk(attempt), token)


def _give_to_a_person(candidate_pk: UUID, token: UUID) -> None:
    Candidate.objects.filter(pk=candidate_pk, lease_token=token).update(
        status=Candidate.Status.IN_DOUBT, lease_token=None, lease_until=None
    )


def _candidate_pk(attempt: Attempt) -> UUID:
    if attempt.candidate_id is None:
        raise ValueError(f"Attempt {attempt.pk} belongs to no candidate")
    return attempt.candidate_id
