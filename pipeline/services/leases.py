"""Keeping a claimed candidate ours while a slow call works on it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


def renewed(candidate_pk: UUID, token: UUID) -> AbstractContextManager[None]:
    """Extend the lease until the block ends or somebody else has taken the candidate."""

    def extend() -> bool:
        try:
            renew_or_stop(candidate_pk, token)
        except LeaseLost:
            return False
        return True

    return kept_up(extend, what=f"candidate {candidate_pk}")


@contextmanager
def kept_up(extend: Callable[[], bool], *, what: str) -> Iterator[None]:
    """Call `extend` in a thread every third of a lease until the block ends or it returns False."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(settings.LEASE_SECONDS / 3):
            try:
                if not extend():
                    return
            except Error as error:
                logger.warning("The lease of %s could not be renewed: %s", what, error)
            finally:
                connection.close()  # a broken one would stay broken

    thread = threading.Thread(target=renew, name=f"lease of {what}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
