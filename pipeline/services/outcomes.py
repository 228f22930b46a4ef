"""How the work on a candidate ends."""

from uuid import UUID

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


def close(candidate: Candidate, token: UUID, status: str, **fields: object) -> bool:
    """Bring a candidate to its end if the lease is still ours; whether it was."""
    return bool(
        Candidate.objects.filter(pk=candidate.pk, lease_token=token).update(
            status=status, lease_token=None, lease_until=None, finished_at=timezone.now(), **fields
        )
    )
