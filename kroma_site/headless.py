"""Making a run from the command line: the plan, its start, and the wait for its end with an own worker."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from django.core.management import CommandError
from django.db import OperationalError
from tqdm import tqdm

from kroma_site.prepare import OperatorCommand
from kroma_site.processes import manage, spawn, worker_environ
from kroma_site.supervisor import is_running
from pipeline.models import Run, RunJob
from pipeline.models.runs import OPEN_CANDIDATE
from pipeline.services.trigger import summary
from pipeline.services.winners import PublishedWinners, publish_winners
from pipeline.store import store_for

LOOK = 0.25  # seconds
MOST_DEATHS = 5  # of the worker, in a row, without a panel between them
GRACE = 8  # seconds that the worker has to end by itself while no paid call is open

Say = Callable[[str], None]


class Interrupted(Exception):
    """Somebody asked this command to end."""


@dataclass
class Waiting:
    """The wait for one run. As a context it owns the worker that it starts, and catches signals."""

    run: Run
    n_workers: int
    say: Say
    bar: bool = False
    worker: subprocess.Popen[bytes] | None = field(default=None, init=False)
    n_deaths: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, self._signaled)
        signal.signal(signal.SIGINT, self._signaled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # the second one stops at once
        if self.worker is not None:
            self.worker.terminate()
            self.worker.wait()  # it waits for paid calls only, and names them

    def until_closed(self) -> Run:
        """Wait until the run has come to its end. Raises `CommandError` if it can't, `Interrupted`."""
        tqdm.monitor_interval = 0  # no thread of its own: this process starts others
        hidden = not self.bar
        with tqdm(total=self.run.n_jobs, unit="panel", file=sys.stderr, disable=hidden) as shown:
            told: set[object] = set()
            sending = False
            while True:
                run = self._look(told, shown)
                if _is_through(run):
                    return run
                if not run.is_open and run.sync_s3 and not sending:
                    sending = True
                    self.say("The files are being sent to S3.")
                self._keep_worker()
                time.sleep(LOOK)

    def _look(self, told: set[object], shown: "tqdm[object]") -> Run:
        try:
            finished = list(
                RunJob.objects.filter(run=self.run, finished_at__isnull=False).order_by("finished_at")
            )
            fields = ["status", "finished_at", "post_run_at", "warnings", "model_name", "image_size"]
            self.run.refresh_from_db(fields=fields)
            doubtful = self.run.candidates.filter(status="in_doubt").count()
            working = self.run.candidates.filter(status__in=OPEN_CANDIDATE).exists()
        except OperationalError as error:
            self.say(f"The database is busy: {error}")
            return self.run
        for job in finished:
            if job.pk not in told:
                told.add(job.pk)
                self.n_deaths = 0
                shown.update()
                if not self.bar:
                    self.say(f"[{len(told)}/{self.run.n_jobs}] {_outcome(job)}")
        if self.run.is_open and doubtful and not working:
            raise CommandError(
                f"{doubtful} images may have been paid for and did not arrive: decide about them on the page "
                "of the run, then it goes on"
            )
        return self.run

    def _keep_worker(self) -> None:
        """See to it that somebody works: the workspace if it is up, else a worker of our own."""
        if self.worker is not None:
            code = self.worker.poll()
            if code is None:
                return
            self.worker = None
            self.n_deaths += 1
            if self.n_deaths > MOST_DEATHS:
                raise CommandError(
                    f"The worker died {self.n_deaths} times without finishing a panel (exit code {code}): "
                    "look into its messages above. The run is kept and goes on with `manage.py up`"
                )
            self.say(f"The worker ended (exit code {code}); it is started again.")
        if not is_running():
            self.worker = spawn(manage("worker"), environ=worker_environ(self.n_workers))

    def _signaled(self, signum: int, frame: FrameType | None) -> None:
        raise Interrupted


def wait_for(run: Run, *, n_workers: int, say: Say, bar: bool) -> Run:
    """Bring a started run to its end. Raises `CommandError`, also when it is interrupted."""
    try:
        with Waiting(run, n_workers, say, bar) as waiting:
            return waiting.until_closed()
    except Interrupted:
        raise CommandError(
            "Interrupted. The run is kept and nothing is lost: it goes on with `manage.py up`, or with "
            "`manage.py worker`"
        ) from None


class RunCommand(OperatorCommand):
    """A command that makes images: progress on standard error, the outcome on standard output."""

    def finish(self, run: Run, *, n_workers: int, as_json: bool) -> None:
        """Bring a run to its end and say what came of it. Raises `CommandError` if a winner is missing."""
        run = wait_for(run, n_workers=n_workers, say=self.say, bar=sys.stderr.isatty())
        published = publish_winners(run)
        lost = failures(run)
        if as_json:
            self.print_json(
                {
                    "ok": run.status == Run.Status.OK,
                    "status": run.status,
                    "run_id": str(run.pk),
                    "winners_dir": str(published.folder),
                    "contact_sheet": str(published.contact_sheet),
                    "winners": winner_list(published),
                    "failures": lost,
                    "warnings": list(run.warnings),
                    **summary_fields(run),
                }
            )
        else:
            for line in summary(run):
                self.stdout.write(line)
        for failure in lost:
            self.say(f"No winner for {failure['scene']} ({failure['job']}): {failure['reason']}")
        for warning in run.warnings:
            self.say(f"Note: {warning}")
        self.say(f"{len(published.files)} winners and a contact sheet: {published.folder}")
        # A canceled run may have come to all its winners, too.
        if lost or run.status not in {Run.Status.OK, Run.Status.CANCELED}:
            canceled = "The run was canceled: " if run.status == Run.Status.CANCELED else ""
            raise CommandError(f"{canceled}{len(lost)} of {run.n_jobs} jobs have no winner")


def _is_through(run: Run) -> bool:
    """Whether the run has ended with what follows its end; for a canceled one that may wait for a person.

    What was in hand at a cancel is finished first.
    """
    if run.is_open:
        return False
    if run.status == Run.Status.CANCELED:
        in_hand = run.candidates.filter(status__in=OPEN_CANDIDATE).exists()
        return not in_hand and not run.jobs.ready_to_close().exists()
    return run.post_run_at is not None


def summary_fields(run: Run) -> dict[str, object]:
    """The fields of the summary, with paths that can be opened from anywhere."""
    store = store_for(run.project)
    return {
        "run_log_path": str(store.path(run.run_log_path)),
        "project_slug": run.project.slug,
        "project_root": str(store.root),
        "jobs": run.n_jobs,
        "mode": run.run_mode,
    }


def failures(run: Run) -> list[dict[str, str]]:
    """The jobs of a run without a winner, each with its reason in words."""
    found = []
    for job in run.jobs.exclude(status=RunJob.Status.DONE).prefetch_related("candidates"):
        messages = {str(candidate.error.get("message", "")) for candidate in job.candidates.all()} - {""}
        reason = "; ".join(sorted(messages)) or job.failure_reason or job.status
        found.append({"job": job.job_key, "scene": job.label, "reason": reason})
    return found


def winner_list(published: PublishedWinners) -> list[dict[str, str]]:
    """The winners as programs read them."""
    return [
        {
            "job": winner.job_key,
            "scene": winner.scene,
            "path": str(path),
            "sha256": winner.asset.sha256,
        }
        for winner, path in published.files
    ]


def split_paths(values: Sequence[str]) -> list[Path]:
    """Paths from options that may hold several, separated by commas; a name with a comma in it wins."""
    paths = []
    for value in values:
        parts = [value] if Path(value).exists() else [part.strip() for part in value.split(",")]
        paths += [Path(part).expanduser() for part in parts if part]
    return paths


def _outcome(job: RunJob) -> str:
    if job.status == RunJob.Status.DONE:
        return f"{job.job_key}: candidate {job.selected_candidate_index} wins"
    return f"{job.job_key}: {job.failure_reason or job.status}"
