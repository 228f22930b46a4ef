"""What happens once after each end of a run: its log is taken in, and its files go to S3 if it was asked to.

Best effort: nothing here changes what the run is. What could not be done is told in the run's `warnings`.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from pipeline.models import Run
from pipeline.services import leases
from pipeline.services.postrun import ingest_after_run
from pipeline.services.s3 import SyncGoingOn, sync_project
from projects.access import Principal
from projects.errors import KromaError

MOST_FAULTS = 10  # sentences of one sync that a run keeps

logger = logging.getLogger(__name__)


@dataclass
class Lease:
    """The right to do the step for one end of a run; its moment is also what tells it from another one."""

    run: UUID
    finished_at: datetime
    until: datetime

    def extend(self) -> bool:
        """Hold it for another while; False if somebody else has it now."""
        until = _soon()
        if not Run.objects.filter(pk=self.run, post_run_until=self.until).update(post_run_until=until):
            return False
        self.until = until
        return True


def after_run(pk: UUID | str) -> None:
    """Do the step for this run if it is due and nobody is at it. A second delivery is a no-op.

    Cut short at any point, it is taken up again when its lease has expired: an ingest that was made changes
    nothing, and a sync goes on where it was.
    """
    lease = _claim(pk)
    if lease is None:
        return
    run = Run.objects.select_related("project__storage").get(pk=lease.run)
    with leases.kept_up(lease.extend, what=f"the last step of run {lease.run}"):
        try:
            warnings = _done(run)
        except SyncGoingOn:
            return  # the lease expires, and the bell rings again
        except Exception as error:  # the run is what it is, whatever goes wrong after it
            logger.exception("Run %s: the step after its end failed", run.pk)
            warnings = [f"The step after the run failed ({type(error).__name__}): the worker's log says more"]
    _finish(lease, warnings)


def _claim(pk: UUID | str) -> Lease | None:
    now, until = timezone.now(), _soon()
    if not Run.objects.owing_post_run(now).filter(pk=pk).update(post_run_until=until):
        return None
    finished_at = Run.objects.values_list("finished_at", flat=True).get(pk=pk)
    return Lease(UUID(str(pk)), finished_at, until) if finished_at else None


def _done(run: Run) -> list[str]:
    try:
        warnings = ingest_after_run(run)
    except (KromaError, OSError) as error:
        return [f"The run could not be taken in, so nothing was sent to S3: {error}"]
    if run.sync_s3 and run.run_mode == Run.Mode.RUN:
        warnings += _sync_faults(run)
    return warnings


def _sync_faults(run: Run) -> list[str]:
    try:
        failed = sync_project(run.project, by=Principal()).failed
    except SyncGoingOn:
        raise
    except (KromaError, OSError) as error:
        return [f"S3 sync: {error}"]
    told = [f"S3 sync: {fault}" for fault in failed[:MOST_FAULTS]]
    if len(failed) > MOST_FAULTS:
        told.append(f"S3 sync: {len(failed) - MOST_FAULTS} more faults; sync again to see them")
    return told


def _finish(lease: Lease, warnings: list[str]) -> None:
    """Write down that it was done, unless the run has ended anew since: then it is due again."""
    held = Run.objects.filter(pk=lease.run, post_run_until=lease.until)
    done = held.filter(finished_at=lease.finished_at)
    if not done.update(post_run_at=timezone.now(), post_run_until=None, warnings=warnings):
        held.update(post_run_until=None)


def _soon() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
