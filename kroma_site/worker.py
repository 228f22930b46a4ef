"""The worker: the queue's processes, a bell beside them, and an end that loses nothing."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import timezone
from django_q.cluster import Cluster

from kroma_site.processes import children_of, forks_die_with_us, worker_environ
from pipeline.providers import openai_edits
from pipeline.providers.openai_images import OpenAIProvider
from pipeline.services import dispatch, ending, health, lab, limits, runs
from projects.models import ProviderAccount

BELL = 10  # seconds
LOOK = 0.2  # seconds between two looks at signals and processes

logger = logging.getLogger(__name__)


class _Signals:
    """How often this process was asked to end."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.n += 1


def with_environment(n_workers: int) -> None:
    """Start this program anew if libraries have read other values than `n_workers` needs at their import."""
    wanted = worker_environ(n_workers)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})  # noqa: S606


def work() -> int:
    """Make images until a signal comes; the exit code. 1 asks to be started again."""
    ending.become_worker()
    forks_die_with_us()
    _preload()
    connections.close_all()  # a connection must not be shared across the fork
    cluster = Cluster()
    asked = _Signals()  # in place of the cluster's own handlers, which would finish all that it holds first
    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    cluster.start()
    try:
        return _watch(cluster, asked)
    finally:
        _end(cluster, asked)


def _preload() -> None:
    """Import before the fork what each process would import for itself."""
    if ProviderAccount.objects.filter(provider_code=OpenAIProvider.code, enabled=True).exists():
        openai_edits.preload()


def _watch(cluster: Cluster, asked: _Signals) -> int:
    """Ring the bell until it is time to end; the exit code."""
    sentinel = cluster.sentinel.pid
    processes: set[int] = set()
    pause = min(BELL, settings.LEASE_SECONDS)
    next_bell = next_due = next_look = 0.0
    while not asked.n:
        now = time.monotonic()
        if now >= next_bell:
            _ring(runs.ring_again)
            _ring(dispatch.ring_instructions)
            _ring(lab.tidy)
            _ring(health.check_changed)
            next_bell = time.monotonic() + pause
            next_due = time.monotonic() + _until_next()
        elif now >= next_due:
            # Only this: moments may follow each other closely, and the whole look takes its time.
            _ring(limits.ring_due)
            next_due = time.monotonic() + _until_next()
        if now >= next_look:
            found = children_of(sentinel)
            # A process that was killed may have died with a lock of the common queue in its hands, and the
            # others would wait for it for ever. Only a new set of processes is safe.
            if not cluster.sentinel.is_alive() or processes - found:
                logger.error("A worker process died: all of them are started anew")
                return 1
            processes = found
            next_look = now + 1
        time.sleep(LOOK)
    return 0


def _ring(bell: Callable[[], object]) -> None:
    try:
        bell()
    except Exception:  # whatever it is, the bell must ring for the others
        logger.exception("The bell could not ring")
    finally:
        connections.close_all()


def _until_next() -> float:
    """Seconds until the first call is due that is to be tried again."""
    try:
        wait = limits.next_moment(timezone.now())
    except DatabaseError:
        return BELL
    finally:
        connections.close_all()
    return BELL if wait is None else max(wait, LOOK)


def _end(cluster: Cluster, asked: _Signals) -> None:
    """Begin nothing new, wait for calls that may cost money, drop the rest and let others take it up."""
    ending.begin()
    signals, named = asked.n, False
    while ending.calls_in_flight() and asked.n == signals:
        if not named:
            calls = ending.open_calls_if_known()
            logger.warning("Waiting for %d paid calls: %s", len(calls), "; ".join(calls))
            named = True
        time.sleep(LOOK)
    cluster.sentinel.kill()  # its processes die with it
    cluster.sentinel.join(5)
    try:
        ending.release_leases(on_purpose=asked.n > 0)
    except DatabaseError as error:
        logger.warning("The leases of this worker end by themselves, they could not be released: %s", error)
    finally:
        connections.close_all()
