"""How the work on a candidate ends, or is put off."""

from datetime import datetime
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from pipeline.models import Candidate


class CandidateFailed(Exception):
    """This candidate comes to nothing, for a reason that its row keeps; the others go on."""

    def __init__(self, step: str, kind: str, code: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.record: dict[str, object] = {
            "step": step,
            "kind": kind,
            "code": code,
            "message": message,
            "http_status": http_status,
        }


class Deferred(Exception):
    """The candidate waits, for a person or for a later try; its row says for what already."""


def close(candidate: Candidate, token: UUID, status: str, **fields: object) -> bool:
    """Bring a candidate to its end if the lease is still ours; whether it was. It then reserves nothing."""
    return bool(
        Candidate.objects.filter(pk=candidate.pk, lease_token=token).update(
            status=status,
            lease_token=None,
            lease_until=None,
            reserved_usd=0,
            finished_at=timezone.now(),
            **fields,
        )
    )


def put_off(candidate: Candidate, token: UUID, *, waits_for: str, until: datetime | None) -> bool:
    """Let a candidate wait for an account, until a moment or until a place is free; whether it was ours.

    Having been taken is not held against it: no worker died of it.
    """
    return bool(
        Candidate.objects.filter(pk=candidate.pk, lease_token=token).update(
            status=Candidate.Status.PLANNED,
            lease_token=None,
            lease_until=None,
            not_before=until,
            waits_for=waits_for,
            rung_at=None,
            n_claims=Greatest(F("n_claims") - 1, 0),
        )
    )
