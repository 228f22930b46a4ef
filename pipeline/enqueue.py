"""The only door to the queue. A task names a row; the database decides whether there is work."""

import logging
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.tasks import async_task

from pipeline.models import Candidate

logger = logging.getLogger(__name__)


def enqueue_on_commit(func: str, pk: UUID, *, group: str) -> None:
    """Queue `func` (dotted path) for one row once the surrounding transaction has committed."""

    def send() -> None:  # not functools.partial: robust callbacks need a __qualname__
        async_task(func, str(pk), q_options={"group": group})

    # A broker that is down must not spoil a saved change.
    transaction.on_commit(send, robust=True)


def ring_candidates(pks: Iterable[UUID]) -> None:
    """Queue candidates once the surrounding transaction has committed, over one connection to the broker.

    Loses nothing if the broker is down: `ring_again()` finds them.
    """
    ringing = list(pks)
    if not ringing:
        return

    def send() -> None:
        broker = get_broker()
        for pk in ringing:
            async_task("pipeline.tasks.execute_candidate", str(pk), q_options={"broker": broker})

    with transaction.atomic():
        Candidate.objects.filter(pk__in=ringing).unlocked().update(rung_at=timezone.now())
        transaction.on_commit(send, robust=True)


def ring_after_run(pk: UUID) -> None:
    """Queue what follows the end of a run, once the surrounding transaction has committed."""

    def send() -> None:
        # A sync takes as long as its files do; the lease of the step says whether somebody is at it.
        async_task("pipeline.tasks.after_run", str(pk), q_options={"group": f"run:{pk}", "timeout": -1})

    transaction.on_commit(send, robust=True)


def ring_instruction(pk: UUID) -> None:
    """Queue a confirmed instruction once the surrounding transaction has committed."""

    def send() -> None:
        # Its calls have limits of their own, and a process that is cut short takes all others with it.
        async_task(
            "pipeline.tasks.dispatch_instruction",
            str(pk),
            q_options={"group": f"instruction:{pk}", "timeout": -1},
        )

    transaction.on_commit(send, robust=True)


def queue_is_empty() -> bool:
    """Whether no message waits to be taken."""
    return bool(get_broker().queue_size() == 0)
