"""How many calls an account bears: at once, a minute, and while its provider asked everybody to wait.

Held in the database, so that it is true across processes and machines. An account is the pair of a project
and a provider code; where it has no row, or its row no limit, only the provider's own request to wait counts.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from pipeline.enqueue import ring_candidates
from pipeline.models import Attempt, Candidate
from projects.models import ProviderAccount

MINUTE = timedelta(minutes=1)
MOST_RINGS = 500  # for one account at one look of the bell


class AccountBusy(Exception):
    """Another call of this account must wait: until `until`, or else until one of its calls has ended."""

    def __init__(self, until: datetime | None) -> None:
        super().__init__(f"busy until {until or 'a call ends'}")
        self.until = until


def take_place(project_id: UUID, provider_code: str, *, now: datetime | None = None) -> None:
    """Inside the transaction that writes an attempt: hold the account, or raise `AccountBusy`."""
    account = (
        ProviderAccount.objects.select_for_update()
        .filter(project=project_id, provider_code=provider_code)
        .first()
    )
    _check(account, project_id, provider_code, now or timezone.now())


def look_for_place(project_id: UUID, provider_code: str) -> None:
    """`take_place` without a promise: spares the preparation of a call that could not be made now."""
    account = ProviderAccount.objects.filter(project=project_id, provider_code=provider_code).first()
    _check(account, project_id, provider_code, timezone.now())


def ring_one_waiting(project_id: UUID, provider_code: str) -> None:
    """After a call of an account has ended: ring for the one that has waited longest for it."""
    waiting = Candidate.objects.waiting().filter(run__project=project_id, waits_for=provider_code)
    first = waiting.due(timezone.now()).filter(rung_at__isnull=True).order_by("created_at", "candidate_index")
    ring_candidates(list(first.values_list("pk", flat=True)[:1]))


def ring_waiting(now: datetime, *, again: bool) -> int:
    """Ring for as many of those that wait as their accounts have places; how many.

    With `again` also for those whose ring was long ago. While messages wait, theirs may be among them: a bell
    that rang at each look would fill the queue.
    """
    waiting = Candidate.objects.waiting().due(now)
    waiting = waiting.not_rung_since(now) if again else waiting.filter(rung_at__isnull=True)
    accounts = waiting.order_by().values_list("run__project", "waits_for").distinct()
    ringing: list[UUID] = []
    for project_id, code in list(accounts):
        places = _places(project_id, code, now)
        mine = waiting.filter(run__project=project_id, waits_for=code).order_by("created_at")
        ringing += mine.values_list("pk", flat=True)[:places]
    if ringing:
        ring_candidates(ringing)
    return len(ringing)


def ring_due() -> int:
    """Ring for those that wait and whose moment has just come; how many."""
    return ring_waiting(timezone.now(), again=False)


def next_moment(now: datetime) -> float | None:
    """In how many seconds the first of those that wait for a moment is due; None if none does."""
    first = (
        Candidate.objects.waiting()
        .filter(not_before__gt=now)
        .order_by("not_before")
        .values_list("not_before", flat=True)
        .first()
    )
    return (first - now).total_seconds() if first else None


def _check(account: ProviderAccount | None, project_id: UUID, code: str, now: datetime) -> None:
    calls = Attempt.objects.filter(project=project_id, provider_code=code)
    asked = calls.filter(retry_at__gt=now).order_by("-retry_at").values_list("retry_at", flat=True).first()
    if asked:
        raise AccountBusy(asked)
    if account is None:
        return
    if account.max_concurrency is not None and calls.open().count() >= account.max_concurrency:
        raise AccountBusy(None)
    if account.requests_per_minute is not None:
        recent = calls.filter(started_at__gt=now - MINUTE).order_by("-started_at")
        # The call that must be a minute old before another one may begin.
        deciding = recent.values_list("started_at", flat=True)[account.requests_per_minute - 1 :][:1]
        for started_at in deciding:
            raise AccountBusy(started_at + MINUTE)


def _places(project_id: UUID, code: str, now: datetime) -> int:
    """How many calls could begin now, as far as the account's own limits go."""
    account = ProviderAccount.objects.filter(project=project_id, provider_code=code).first()
    calls = Attempt.objects.filter(project=project_id, provider_code=code)
    places = MOST_RINGS
    if account is not None and account.max_concurrency is not None:
        places = min(places, account.max_concurrency - calls.open().count())
    if account is not None and account.requests_per_minute is not None:
        recent = calls.filter(started_at__gt=now - MINUTE)
        places = min(places, account.requests_per_minute - recent.count())
    return max(0, places)
