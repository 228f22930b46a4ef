"""Starting runs and bringing them to an end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import repeat
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from pipeline.engine import names
from pipeline.engine.ingest import guard_limit
from pipeline.engine.manifest import DEFAULT_MANIFEST, GuardSettings
from pipeline.engine.ranking import CandidateResult, Rank, explain, job_outcome, run_status
from pipeline.engine.signals import signs_told
from pipeline.enqueue import queue_is_empty, ring_after_run, ring_candidates
from pipeline.models import Asset, Attempt, Candidate, QualityReport, Run, RunJob
from pipeline.services import attempts, budgets, limits, runlogs
from pipeline.services.after_run import after_run
from pipeline.services.planning import PreparedRun, prepare_run
from pipeline.services.toolchain import GUARD, snapshot_of
from pipeline.store import store_for
from projects import audit
from projects.access import Principal
from projects.errors import (
    Invalid,
    KromaError,
    PlanChanged,
    PriceUnknown,
    SpendNotConfirmed,
)

logger = logging.getLogger(__name__)

MODEL_BATCH = 500  # rows of one INSERT
RING_BATCH = 500  # candidates that one look of the bell rings again
ABORTED = "aborted_provider_unavailable"  # the code of an image that was not called any more


def start_run(
    prepared: PreparedRun,
    *,
    by: Principal,
    confirm_spend: bool,
    expected_hash: str | None = None,
    max_cost_usd: Decimal | None = None,
) -> Run:
    """Write down a confirmed plan and ring for its candidates.

    The plan is made anew from the files and the settings that were read for it, so that what runs is what was
    confirmed. Raises `SpendNotConfirmed`, `PlanRefused`
    (a scene that vanished), `PlanChanged` (another hash or a higher price than expected), `PriceUnknown`,
    `ProviderUnusable`, `BudgetExceeded`: then nothing was written.
    """
    if not confirm_spend:
        raise SpendNotConfirmed("A run that makes images needs the confirmation that it may spend")
    current = prepare_run(prepared.project, prepared.order, configuration=prepared.configuration)
    if current.price_usd is None:
        raise PriceUnknown(f"No price is known for {current.provider_code}: it can't run until one is set")
    if current.plan_hash != (expected_hash or prepared.plan_hash):
        raise PlanChanged("The plan has changed since it was shown: look at it again and confirm it again")
    if max_cost_usd is not None and current.price_usd > max_cost_usd:
        raise PlanChanged(
            f"The run would cost {current.price_usd} USD, more than the {max_cost_usd} confirmed"
        )
    store_for(current.project).make_layout()
    with transaction.atomic():
        budgets.reserve(current.project, current.price_usd)
        run = _write_rows(current, by=by, status=Run.Status.QUEUED)
        audit.record(
            current.project,
            "run.started",
            run,
            by=by,
            plan_hash=current.plan_hash,
            price_usd=str(current.price_usd),
            images=current.n_images,
        )
        ring_candidates(
            Candidate.objects.filter(run=run)
            .order_by("job__position", "candidate_index")
            .values_list("pk", flat=True)
        )
    return run


def record_dry_run(prepared: PreparedRun, *, by: Principal) -> Run:
    """Write down a plan that is only looked at, with its run log. Makes no image, calls nobody."""
    store = store_for(prepared.project)
    store.make_layout()
    with transaction.atomic():
        run = _write_rows(prepared, by=by, status=Run.Status.OK)
        # Inside the transaction, as a dry run without its log would be of no use; it is one small file.
        runlogs.write_run_log(run)
        audit.record(prepared.project, "run.planned", run, by=by, plan_hash=prepared.plan_hash)
    after_run(run.pk)
    run.refresh_from_db(fields=["warnings", "post_run_at"])
    return run


def close_job_if_finished(job: RunJob) -> None:
    """Decide a job once all its candidates have come to an end. Safe to call at any time, by anybody."""
    with transaction.atomic():
        if not RunJob.objects.ready_to_close().filter(pk=job.pk).exists():
            return
        files = ("output_asset", "final_asset")
        candidates = list(Candidate.objects.filter(job=job).select_related(*files))
        results = {candidate.pk: _result(candidate) for candidate in candidates}
        outcome = job_outcome(list(results.values()))
        # Asked again: meanwhile others may have closed it, and somebody may be making it again.
        closed = (
            RunJob.objects.ready_to_close()
            .filter(pk=job.pk)
            .update(
                status=outcome.status,
                selected_candidate_index=outcome.selected_candidate,
                failure_reason=outcome.failure_reason,
                finished_at=_after_the_cancel(job.run_id),
            )
        )
        if not closed:
            return
        write_reasons(candidates, outcome.selected_candidate, guard=guard_of(job.run))
    close_run_if_finished(job.run)


def close_run_if_finished(run: Run) -> None:
    """Give a run its status and its log once all its jobs are decided. Safe to call at any time."""
    undecided = RunJob.objects.filter(run=run, finished_at__isnull=True)
    if undecided.exists():
        return
    if Run.objects.owing_a_log().filter(pk=run.pk).exists():
        close_canceled_run(run)
    if not Run.objects.unfinished().filter(pk=run.pk).exists():
        return
    status = run_status(RunJob.objects.filter(run=run).values_list("status", flat=True))
    # The log first: it is the same whoever writes it, and a run that is closed has one.
    runlogs.write_run_log(run)
    with transaction.atomic():
        # Asked again: while the log was written others may have closed it, and a retry opened it anew.
        closed = (
            Run.objects.unfinished()
            .filter(~Exists(undecided), pk=run.pk)
            .update(status=status, finished_at=timezone.now(), post_run_at=None)
        )
        if closed:
            audit.record(run.project, "run.finished", run, by=Principal(), status=status)
            ring_after_run(run.pk)


def close_canceled_run(run: Run) -> None:
    """Write the log of a canceled run whose jobs have all come to an end. Safe to call at any time."""
    runlogs.write_run_log(run)
    last = RunJob.objects.filter(run=run).aggregate(at=Max("finished_at"))["at"]
    now = timezone.now()
    with transaction.atomic():
        canceled = Run.objects.filter(pk=run.pk, status=Run.Status.CANCELED)
        if canceled.update(finished_at=max(now, last or now), post_run_at=None):
            ring_after_run(run.pk)


def abort_remaining(run: Run, *, because: str) -> None:
    """Fail what a run has not called yet: its provider's account is of no use, so no other call would be.

    A retry makes them again once the account is mended.
    """
    message = f"Not called any more, as the account was refused: {because}"
    error = {
        "step": "generate",
        "kind": "provider",
        "code": ABORTED,
        "message": message,
        "http_status": None,
    }
    uncalled = Candidate.objects.filter(run=run, status=Candidate.Status.PLANNED, original_sha256="")
    with transaction.atomic():
        # What a worker takes at this moment is refused by itself.
        uncalled.unlocked().update(
            status=Candidate.Status.FAILED,
            finished_at=timezone.now(),
            error=error,
            rank_reason=message[:500],
            reserved_usd=0,
            waits_for="",
            not_before=None,
        )
        # Most jobs have nothing else: they are closed together, the others one by one below.
        aborted = Candidate.objects.filter(run=run, status=Candidate.Status.FAILED, error__code=ABORTED)
        others = Candidate.objects.filter(job=OuterRef("pk")).exclude(pk__in=aborted.order_by().values("pk"))
        RunJob.objects.filter(~Exists(others), run=run, finished_at__isnull=True).update(
            status=RunJob.Status.FAILED,
            failure_reason="all_candidates_failed",
            finished_at=_after_the_cancel(run.pk),
        )
    for job in RunJob.objects.ready_to_close().filter(run=run).select_related("run__project"):
        close_job_if_finished(job)


def cancel_left_behind(now: datetime) -> int:
    """End what a dead worker, or a result that came late, left in canceled runs; how many candidates.

    One that may have been paid for waits for a person. Kept originals stay: a retry finishes them for free.
    """
    idle = Candidate.objects.left_in_canceled(now)
    with transaction.atomic():
        pks = list(idle.values_list("pk", flat=True)[:RING_BATCH])
        if not pks:
            return 0
        calls = Attempt.objects.open().filter(candidate__in=pks)
        # Rows are locked in the order in which settle() writes them: the attempt, then its candidate.
        billed = list(calls.select_for_update().filter(billed=True).values_list("candidate", flat=True))
        free = {"lease_token": None, "lease_until": None}
        n_doubtful = idle.filter(pk__in=billed).update(status=Candidate.Status.IN_DOUBT, **free)
        n_canceled = (
            idle.filter(pk__in=pks)
            .exclude(pk__in=billed)
            .update(status=Candidate.Status.CANCELED, finished_at=now, reserved_usd=0, **free)
        )
        calls.filter(candidate__status=Candidate.Status.IN_DOUBT, billed=True).update(
            status=Attempt.Status.IN_DOUBT, finished_at=now
        )
        calls.filter(candidate__status=Candidate.Status.CANCELED, billed=False).update(
            status=Attempt.Status.ABANDONED, finished_at=now
        )
    return n_doubtful + n_canceled


def ring_again(now: datetime | None = None) -> int:
    """Take up what a dead worker or a lost queue left behind; how many things were taken up.

    What follows the ends of runs is rung for, too, and not counted.
    """
    now = now or timezone.now()
    n_ended = cancel_left_behind(now) + attempts.doubt_left_alone(now)
    stalled = list(Candidate.objects.stalled(now).values_list("pk", flat=True)[:RING_BATCH])
    queue_was_empty = queue_is_empty()
    if queue_was_empty:
        stalled += (
            Candidate.objects.unrung(now).order_by("created_at").values_list("pk", flat=True)[:RING_BATCH]
        )
    ring_candidates(stalled)
    n_waiting = limits.ring_waiting(now, again=queue_was_empty)
    jobs = list(
        RunJob.objects.ready_to_close()
        .filter(run__status__in=(*Run.OPEN_STATUSES, Run.Status.CANCELED))
        .select_related("run__project")
    )
    for job in jobs:
        with left_to_the_bell(job.run):
            close_job_if_finished(job)
    undecided = RunJob.objects.filter(run=OuterRef("pk"), finished_at__isnull=True)
    runs = list(Run.objects.unfinished().filter(~Exists(undecided)).select_related("project"))
    for run in runs:
        with left_to_the_bell(run):
            close_run_if_finished(run)
    owing = list(Run.objects.owing_a_log().select_related("project"))
    for run in owing:
        with left_to_the_bell(run):
            close_canceled_run(run)
    if queue_is_empty():  # while messages wait, theirs may be among them
        for pk in Run.objects.owing_post_run(now).values_list("pk", flat=True)[:RING_BATCH]:
            ring_after_run(pk)
    return n_ended + len(stalled) + n_waiting + len(jobs) + len(runs) + len(owing)


def write_reasons(candidates: list[Candidate], selected: int | None, *, guard: GuardSettings) -> None:
    """Write into each candidate of a job, in words, why it ranks where it ranks; mark the winner's file."""
    results = {candidate.candidate_index: _result(candidate) for candidate in candidates}
    winner = results.get(selected) if selected else None
    signs = _signs_of(candidates)
    for candidate in candidates:
        result = results[candidate.candidate_index]
        candidate.rank_reason = explain(
            result,
            winner,
            threshold=guard.max_chroma_delta,
            guarded=guard.enabled,
            signs=signs.get(candidate.pk, {}),
            rivals=results.values(),
            reasons=candidate.error.get("reasons", ()),
            error=candidate.error.get("message", ""),
        )[:500]
    Candidate.objects.bulk_update(candidates, ["rank_reason"])
    for asset, kind in _kinds(candidates, selected).items():
        # An imported job may share files with one that was made here, whose rows stay as they are.
        if asset.kind != kind and asset.job_id == candidates[0].job_id:
            Asset.objects.filter(pk=asset.pk).update(kind=kind)


def _signs_of(candidates: list[Candidate]) -> dict[UUID, dict[str, str]]:
    """What the guard found in these candidates besides colour, in words."""
    warned = [each.pk for each in candidates if each.rank_soft_warnings or each.rank_hard_failures]
    reports = QualityReport.objects.filter(candidate__in=warned, report_type=GUARD)
    blocks = reports.values_list("candidate_id", f"summary__{GUARD}")
    return {pk: signs_told(block or {}) for pk, block in blocks if pk}


def _kinds(candidates: list[Candidate], selected: int | None) -> dict[Asset, str]:
    """What the first and the last file of each candidate are; where both are one file, it is the last."""
    kinds: dict[Asset, str] = {}
    for candidate in candidates:
        is_winner = candidate.candidate_index == selected
        first, last = candidate.output_asset, candidate.final_asset
        if first is not None:
            kinds[first] = "candidate_output"
        if last is not None and (is_winner or last != first):
            kinds[last] = "job_final_output" if is_winner else "candidate_final_output"
    return kinds


@contextmanager
def left_to_the_bell(run: Run) -> Iterator[None]:
    """What stands against the end of one run, such as a log that can't be written, is left to the next bell.

    It must hold up neither other runs nor what was changed already.
    """
    try:
        yield
    except (KromaError, OSError) as error:
        logger.error("Run %s could not be closed, it is tried again: %s", run.pk, error)  # noqa: TRY400


def _write_rows(prepared: PreparedRun, *, by: Principal, status: str) -> Run:
    order, plan, now = prepared.order, prepared.plan, timezone.now()
    run = Run(
        project=prepared.project,
        run_mode=order.mode,
        status=status,
        stage=plan.request.stage,
        time_of_day=plan.request.time,
        weather=plan.request.weather,
        provider_code=prepared.provider_code,
        seed=order.seed,
        n_jobs=len(plan.jobs),
        n_candidates=plan.n_candidates,
        style_guide=order.style_guide,
        sync_s3=order.sync_s3 and order.mode == Run.Mode.RUN,
        plan_hash=prepared.plan_hash,
        estimate_usd=prepared.price_usd or Decimal(0),
        settings_snapshot={
            "generation": {"candidates": plan.n_candidates, "max_candidates": plan.max_candidates},
            "postprocess": plan.postprocess.as_dict(),
            "postprocess_files": plan.postprocess.files_as_dict(),
            **snapshot_of(prepared.chain),
            "settings": prepared.configuration.effective.as_dict(),
            "output_guard": plan.guard.as_dict(),
            "provider": dict(prepared.provider),
            **({"provider_options": dict(order.provider_options)} if order.provider_options else {}),
            "price_known": prepared.price_usd is not None,
            "warnings": list(prepared.warnings),
        },
        created_by=by.user,
        created_at=now,
        finished_at=now if status == Run.Status.OK else None,
    )
    _save_with_free_log_name(run)
    held = prepared.image_prices_usd if status == Run.Status.QUEUED else ()
    jobs = [
        RunJob(
            run=run,
            position=planned.position,
            job_key=planned.id,
            label=prepared.images[planned.input_images[0]].label[:300],
            prompt_text=planned.prompt,
            inputs=[
                {"path": path, "sha256": prepared.inputs.get(path, ""), "label": prepared.images[path].label}
                for path in planned.input_images
            ],
            finished_at=now if status == Run.Status.OK else None,
        )
        for planned in plan.jobs
    ]
    RunJob.objects.bulk_create(jobs, batch_size=MODEL_BATCH)
    Candidate.objects.bulk_create(
        [
            Candidate(
                run=run,
                job=job,
                candidate_index=candidate.index,
                seed=str(candidate.seed),
                output_name=candidate.names.generated,
                reserved_usd=price or Decimal(0),
            )
            for job, planned, price in zip(jobs, plan.jobs, held or repeat(None, len(jobs)), strict=True)
            for candidate in planned.candidates
        ],
        batch_size=MODEL_BATCH,
    )
    return run


def _save_with_free_log_name(run: Run) -> None:
    """Reserve the log's name with the row; another run of the same millisecond gets the next one."""
    wanted = names.run_log_name(run.created_at)
    store = store_for(run.project)

    def taken(name: str) -> bool:
        return store.exists(name) or Run.objects.filter(project=run.project, run_log_path=name).exists()

    for _ in range(5):
        run.run_log_path = names.numbered(wanted, taken)
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError:
            continue
        return
    raise Invalid("Too many runs were started at the same moment: start this one again")


def _result(candidate: Candidate) -> CandidateResult:
    rank = Rank(candidate.rank_hard_failures, candidate.rank_soft_warnings, candidate.rank_avg_chroma_exceed)
    final = candidate.final_asset.rel_path if candidate.final_asset else None
    return CandidateResult(candidate.candidate_index, candidate.status, rank, final)


def _after_the_cancel(run_pk: UUID) -> datetime:
    """Now, and later than a cancel of the run whatever the clocks say: so its log is known to be owed."""
    ended = Run.objects.values_list("finished_at", flat=True).get(pk=run_pk)
    now = timezone.now()
    return max(now, ended + timedelta(microseconds=1)) if ended else now


def guard_of(run: Run) -> GuardSettings:
    """What the guard of a run asks of a file; a log from elsewhere may say only a part of it."""
    if run.is_imported:
        return replace(DEFAULT_MANIFEST.guard, max_chroma_delta=guard_limit(run.settings_snapshot))
    return GuardSettings(**run.settings_snapshot["output_guard"])
