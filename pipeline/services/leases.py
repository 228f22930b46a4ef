"""Keeping a claimed candidate ours while a slow call works on it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from pipeline.models import Candidate

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else has taken the candidate: what is in hand is theirs to do."""


def renew_or_stop(candidate_pk: UUID, token: UUID) -> None:
    """Extend the lease inside the caller's transaction, which then holds the row. Raises `LeaseLost`."""
    until = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
    if not Candidate.objects.filter(pk=candidate_pk, lease_token=token).update(lease_until=until):
        raise LeaseLost


@contextmanager
def renewed(candidate_pk: UUID, token: UUID) -> Iterator[None]:
    """Extend the lease every third of its length until the block ends or somebody else has taken it."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(settings.LEASE_SECONDS / 3):
            try:
                renew_or_stop(candidate_pk, token)
            except LeaseLost:
                return
            except Error as error:
                logger.warning("Candidate %s: its lease could not be renewed: %s", candidate_pk, error)
            finally:
                connection.close()  # a broken one would stay broken

    thread = threading.Thread(target=renew, name=f"lease {candidate_pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
