"""Waiting for the end of a run inside a request."""

import threading
import time
from collections.abc import Iterator

from pipeline.engine.names import ARCHIVE_BAD
from pipeline.models import Run, RunJob
from pipeline.services.planning import display_path
from pipeline.store import store_for
from projects.errors import KromaError

SHORTEST, LONGEST = 0.1, 1.0  # seconds between two looks
GROWTH = 1.3
# A waiting request holds a thread of the web server. Those beyond are answered at once, as if they had not
# waited, so that pages go on being served.
PLACES = threading.BoundedSemaphore(4)  # of each process, which has 8 threads


class RunFailed(KromaError):
    """A run that somebody waited for has ended without all of its winners."""

    kind = "provider"
    code = "pipeline_command_failed"


def wait_for_end(run: Run, seconds: float) -> Run:
    """The run as it is at its end, or after so many seconds; at once if too many wait already.

    Looks at the row again and again, outside any transaction.
    """
    if not run.is_open or not PLACES.acquire(blocking=False):
        return run
    try:
        until = time.monotonic() + seconds
        for interval in _intervals():
            left = until - time.monotonic()
            if left <= 0:
                break
            pause(min(interval, left))
            if not Run.objects.unfinished().filter(pk=run.pk).exists():
                break
    finally:
        PLACES.release()
    project = run.project  # with its storage; a refresh would forget it
    run.refresh_from_db()
    run.project = project
    return run


def refuse_failed(run: Run) -> None:
    """Raise `RunFailed` if a run has ended with something missing."""
    if run.is_open or run.status == Run.Status.OK:
        return
    store = store_for(run.project)
    if run.status == Run.Status.CANCELED:
        told = "the run was canceled"
    else:
        without = RunJob.objects.filter(run=run).exclude(status=RunJob.Status.DONE)
        told = f"{without.count()} of {run.n_jobs} jobs have no winner"
        if without.filter(status=RunJob.Status.FAILED_OUTPUT_GUARD).exists():
            told += f"; files that the guard rejected are in {display_path(store.root)}/{ARCHIVE_BAD}"
    extra = {"run_id": str(run.pk), "run_log_path": display_path(store.path(run.run_log_path))}
    raise RunFailed(f"Pipeline command failed: {told}", extra=extra)


def pause(seconds: float) -> None:
    """Do nothing for a while."""
    time.sleep(seconds)


def _intervals() -> Iterator[float]:
    interval = SHORTEST
    while True:
        yield interval
        interval = min(interval * GROWTH, LONGEST)
