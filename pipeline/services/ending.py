"""How a worker ends: it begins nothing new, and a call that may cost money is waited for.

The processes of one worker share an unlinked file. Its main process locks byte 0 once the worker is to end;
each process holds byte 1 while it makes a billed call. The kernel drops the locks of whoever dies.
"""

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import IO, NoReturn

from django.db import DatabaseError, connections, transaction
from django.db.models import F
from django.utils import timezone

from pipeline.models import Attempt, Candidate, Run

ENDING, CALLS = 0, 1  # bytes of the file
HALF = 1 << 64


class _Worker:
    """The worker that this process belongs to; set up once, before it forks."""

    id = 0  # random, the first half of each lease token; 0 where no worker runs
    locks: IO[bytes] | None = None


def become_worker() -> None:
    """Make this process the main one of a worker; what it forks belongs to it."""
    _Worker.id = uuid.uuid4().int >> 64
    _Worker.locks = tempfile.TemporaryFile()  # noqa: SIM115 - kept until the process ends


def new_lease_token() -> uuid.UUID:
    """A token for a lease that says which worker holds it."""
    return uuid.UUID(int=(_Worker.id or uuid.uuid4().int >> 64) * HALF + uuid.uuid4().int % HALF)


def begin() -> None:
    """In the main process: from now on its others begin nothing."""
    if _Worker.locks is not None:
        fcntl.lockf(_Worker.locks, fcntl.LOCK_EX, 1, ENDING)


def wait_if_ending() -> None:
    """In a worker process, before it takes something: if the worker is to end, wait for that here."""
    if _Worker.locks is None:
        return
    try:
        fcntl.lockf(_Worker.locks, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, ENDING)
    except OSError:
        _wait_for_the_end()
    fcntl.lockf(_Worker.locks, fcntl.LOCK_UN, 1, ENDING)


@contextmanager
def billed_call(billed: bool) -> Iterator[None]:
    """Around a call that may cost money, its attempt included: the worker does not end inside it."""
    if _Worker.locks is None or not billed:
        yield
        return
    fcntl.lockf(_Worker.locks, fcntl.LOCK_SH, 1, CALLS)
    try:
        wait_if_ending()
        yield
    finally:
        fcntl.lockf(_Worker.locks, fcntl.LOCK_UN, 1, CALLS)


def calls_in_flight() -> bool:
    """In the main process: whether one of its others is inside a billed call."""
    if _Worker.locks is None:
        return False
    try:
        fcntl.lockf(_Worker.locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, CALLS)
    except OSError:
        return True
    fcntl.lockf(_Worker.locks, fcntl.LOCK_UN, 1, CALLS)
    return False


def open_calls() -> list[str]:
    """The billed calls of which nothing has been heard yet, by name."""
    calls = Attempt.objects.open().filter(billed=True).select_related("project", "candidate__job")
    return [
        f"{call.provider_code}: {call.candidate.job.job_key}, candidate {call.candidate.candidate_index} "
        f"({call.project.slug})"
        if call.candidate
        else f"{call.provider_code}: {call.step} ({call.project.slug})"
        for call in calls
    ]


def open_calls_if_known() -> list[str]:
    """`open_calls` for a process that ends: none where the database does not answer; leaves no connection."""
    try:
        return open_calls()
    except DatabaseError:
        return []
    finally:
        connections.close_all()


def release_leases(*, on_purpose: bool, now: datetime | None = None) -> int:
    """After all processes of this worker have ended: let others take up at once what it had in hand.

    `on_purpose`: somebody asked it to end, so what it had in hand is not held against it.
    """
    now = now or timezone.now()
    past = now - timedelta(seconds=1)
    ours = (uuid.UUID(int=_Worker.id * HALF), uuid.UUID(int=_Worker.id * HALF + HALF - 1))
    with transaction.atomic():
        Attempt.objects.open().filter(billed=False, lease_token__range=ours).update(
            status=Attempt.Status.ABANDONED, error_code="worker_stopped", finished_at=now
        )
        released = Candidate.objects.filter(
            status__in=["running", "generated"], lease_token__range=ours, lease_until__gt=past
        ).update(lease_until=past, rung_at=None, n_claims=F("n_claims") - int(on_purpose))
        # What waited in our own hands is lost to the queue for a while: it may be rung for at once.
        waiting = Candidate.objects.filter(status="planned", run__in=Run.objects.going())
        waiting.unlocked().update(rung_at=None)
    return released


def _wait_for_the_end() -> NoReturn:
    if _Worker.locks is not None:
        fcntl.lockf(_Worker.locks, fcntl.LOCK_UN, 1, CALLS)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
