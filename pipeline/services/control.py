"""What people do to a run that exists: cancel, pause, resume, retry; and decide about calls in doubt."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce
from django.utils import timezone

from pipeline.enqueue import ring_candidates
from pipeline.models import Attempt, Candidate, Run, RunJob
from pipeline.models.runs import REDONE, USELESS_ORIGINAL, CandidateQuerySet, RunJobQuerySet
from pipeline.providers.images import ImageUnreadable, probe_image
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services import attempts, budgets, runs, toolchain
from pipeline.services.accounts import access_of_run
from pipeline.services.inputs import checked_input, planned_request
from pipeline.store import ORIGINALS, AssetStore, store_for
from projects import audit
from projects.access import Principal
from projects.errors import Invalid, PlanChanged, PriceUnknown, ProviderUnusable, SpendNotConfirmed

ROWS_AT_ONCE = 500  # of one UPDATE
ENDED = (Run.Status.PARTIAL, Run.Status.FAILED, Run.Status.CANCELED)


class PictureUnreadable(Invalid):
    """What a person brings as the answer of a call is no image."""


@dataclass(frozen=True)
class Retry:
    """What a retry would make again. `price_usd` is None when it is not known."""

    jobs: tuple[UUID, ...]
    n_images: int
    price_usd: Decimal | None
    prices_usd: Mapping[UUID, Decimal]  # of each candidate, at most


def cancel_run(run: Run, *, by: Principal) -> None:
    """End an open run: nothing new is begun, and what was only planned is dropped with its reservation.

    What a worker has in hand is finished, booked and kept; its jobs and the run log follow then. Raises
    `Invalid`.
    """
    now = timezone.now()
    runs.close_run_if_finished(run)  # all was made already, only its end was missing
    with transaction.atomic():
        open_run = Run.objects.unfinished().filter(pk=run.pk)
        if not open_run.update(status=Run.Status.CANCELED, finished_at=now):
            raise Invalid("This run is finished already: there is nothing to cancel")
        n_dropped = Candidate.objects.filter(run=run, status=Candidate.Status.PLANNED).update(
            status=Candidate.Status.CANCELED,
            finished_at=now,
            rank_reason="Canceled before it was finished.",
            reserved_usd=0,
            waits_for="",
            not_before=None,
        )
        others = Candidate.objects.filter(job=OuterRef("pk")).exclude(status=Candidate.Status.CANCELED)
        RunJob.objects.filter(~Exists(others), run=run, finished_at__isnull=True).update(
            status=RunJob.Status.CANCELED,
            failure_reason="canceled",
            finished_at=now + timedelta(microseconds=1),  # after the run's: its log is owed
        )
        audit.record(run.project, "run.canceled", run, by=by, dropped=n_dropped)
    with runs.left_to_the_bell(run):
        for job in RunJob.objects.ready_to_close().filter(run=run).select_related("run__project"):
            runs.close_job_if_finished(job)
        if not RunJob.objects.filter(run=run, finished_at__isnull=True).exists():
            runs.close_canceled_run(run)


def pause_run(run: Run, *, by: Principal) -> None:
    """Begin nothing new in a run; what a worker has in hand is finished. Raises `Invalid`.

    A run whose last images are finished while it is paused ends as if it were not.
    """
    with transaction.atomic():
        going = Run.objects.going().filter(pk=run.pk)
        if not going.update(status=Run.Status.PAUSED):
            raise Invalid("Only a run that is queued or running can be paused")
        audit.record(run.project, "run.paused", run, by=by)


def resume_run(run: Run, *, by: Principal) -> None:
    """Let a paused run go on. Raises `Invalid`."""
    with transaction.atomic():
        paused = Run.objects.filter(pk=run.pk, status=Run.Status.PAUSED)
        if not paused.update(status=Run.Status.RUNNING, started_at=Coalesce("started_at", timezone.now())):
            raise Invalid("Only a paused run can be resumed")
        audit.record(run.project, "run.resumed", run, by=by)
        _ring_planned(Candidate.objects.filter(run=run))


def plan_retry(run: Run) -> Retry:
    """What `retry_failed` would make again, and for how much. As many queries whatever it holds."""
    jobs = list(_without_winner(run).with_redone())
    prices = _prices(run, jobs)
    return Retry(
        jobs=tuple(job.pk for job in jobs),
        n_images=sum(job.n_redone for job in jobs),
        price_usd=None if prices is None else sum(prices.values(), Decimal(0)),
        prices_usd=prices or {},
    )


def retry_failed(
    run: Run, *, by: Principal, confirm_spend: bool, max_cost_usd: Decimal | None = None
) -> Retry:
    """Make again what is missing of a finished run, by the same plan; what was made again.

    Missing is a panel without a winner: its failed and canceled candidates are planned anew. A panel that has
    a winner keeps it, and its failed candidates stay as they are; what the guard rejected or what is in doubt
    is not touched either. Bytes that were paid for and kept are finished without another call.

    Raises `Invalid`, `SpendNotConfirmed`, `PriceUnknown`, `ProviderUnusable` (no key, or switched off),
    `PlanChanged` (costs more than `max_cost_usd`) and `PlanRefused` (a scene that vanished or changed); then
    nothing was changed.
    """
    if not confirm_spend:
        raise SpendNotConfirmed("Making images again needs the confirmation that it may spend")
    retry = _checked_retry(run)
    if retry.price_usd is None:
        raise PriceUnknown(f"No price is known for {run.provider_code}: it can't run until one is set")
    if max_cost_usd is not None and retry.price_usd > max_cost_usd:
        raise PlanChanged(
            f"Making them again would cost {retry.price_usd} USD, more than the {max_cost_usd} confirmed"
        )
    with transaction.atomic():
        budgets.reserve(run.project, retry.price_usd, run=run)
        ended = Run.objects.filter(pk=run.pk, status__in=ENDED)
        if not ended.update(status=Run.Status.QUEUED, finished_at=None):
            raise Invalid("This run is going on already")
        _plan_anew(run, retry)
        audit.record(
            run.project, "run.retried", run, by=by, images=retry.n_images, price_usd=str(retry.price_usd)
        )
        _ring_planned(Candidate.objects.filter(run=run))
    return retry


def decide_lost(attempt: Attempt, *, by: Principal) -> None:
    """A person found that a call in doubt was never made: its sum is free, its image is made again.

    In a canceled run the image is canceled instead. Raises `Invalid` if it was decided before.
    """
    with transaction.atomic():
        _decide(attempt, Attempt.Status.LOST)
        waiting = Candidate.objects.filter(attempts=attempt, status=Candidate.Status.IN_DOUBT)
        attempts.give_back(attempt)
        waiting.filter(run__status=Run.Status.CANCELED).update(
            status=Candidate.Status.CANCELED, finished_at=timezone.now(), reserved_usd=0
        )
        waiting.update(status=Candidate.Status.PLANNED, n_claims=0, started_at=None)
        audit.record(attempt.project, "attempt.lost", attempt, by=by, reserved_usd=str(attempt.reserved_usd))
        _ring_planned(Candidate.objects.filter(attempts=attempt))
    _close_job_of(attempt)


def decide_arrived(attempt: Attempt, *, by: Principal, picture: bytes | None = None) -> None:
    """A person found that a call in doubt was billed: its sum is spent, and its image failed.

    `picture` is the file as the provider has it, if they bring it: then it is kept as the call's answer and
    the image goes on with it. Raises `Invalid` if it was decided before, or for a picture that can't be
    read; `StorageFailed`.
    """
    kept = _kept_picture(attempt, picture) if picture else {}
    with transaction.atomic():
        _decide(attempt, Attempt.Status.ARRIVED, cost_usd=attempt.reserved_usd, **kept)
        if attempt.reserved_usd:
            attempts.book(attempt, cost=attempt.reserved_usd, model=attempt.model_name)
        waiting = Candidate.objects.filter(attempts=attempt, status=Candidate.Status.IN_DOUBT)
        if kept:
            original = kept if attempt.step == attempts.GENERATE else {}
            waiting.update(status=Candidate.Status.PLANNED, rung_at=None, n_claims=0, **original)
        else:
            _fail_for_want_of_its_file(waiting, attempt)
        audit.record(
            attempt.project,
            "attempt.arrived",
            attempt,
            by=by,
            cost_usd=str(attempt.reserved_usd),
            with_picture=bool(kept),
        )
        _ring_planned(Candidate.objects.filter(attempts=attempt))
    _close_job_of(attempt)


def _kept_picture(attempt: Attempt, picture: bytes) -> dict[str, str]:
    try:
        info = probe_image(picture, name="The picture")
    except ImageUnreadable as error:
        raise PictureUnreadable(str(error)) from error
    sha256, path = store_for(attempt.project).keep(ORIGINALS, picture, info.extension)
    return {"original_sha256": sha256, "original_path": path}


def _fail_for_want_of_its_file(waiting: CandidateQuerySet, attempt: Attempt) -> None:
    waiting.update(
        status=Candidate.Status.FAILED,
        finished_at=timezone.now(),
        reserved_usd=0,
        error={
            "step": attempt.step,
            "kind": "provider",
            "code": "arrived_without_file",
            "message": "The provider made and billed this image, but its file never reached Kroma",
            "http_status": None,
        },
    )


def _decide(attempt: Attempt, status: Attempt.Status, **fields: object) -> None:
    in_doubt = Attempt.objects.in_doubt().filter(pk=attempt.pk)
    if not in_doubt.update(status=status, **fields):
        raise Invalid("Somebody has decided about this call already")


def _close_job_of(attempt: Attempt) -> None:
    if attempt.candidate is not None:
        job = attempt.candidate.job
        with runs.left_to_the_bell(job.run):
            runs.close_job_if_finished(job)


def _without_winner(run: Run) -> RunJobQuerySet:
    redone = Candidate.objects.filter(job=OuterRef("pk"), status__in=REDONE)
    finished = RunJob.objects.filter(Exists(redone), run=run, finished_at__isnull=False)
    return finished.exclude(status=RunJob.Status.DONE).order_by("position")


def _checked_retry(run: Run) -> Retry:
    """The retry, when nothing stands against it. Raises `Invalid`, `PlanRefused`, `ProviderUnusable`."""
    if run.is_imported:
        raise Invalid(
            "This run was read from a log and made elsewhere: compose a run like it to make its images here"
        )
    if not Run.objects.filter(pk=run.pk, status__in=ENDED).exists():
        raise Invalid("Only a run that ended with something missing can be retried")
    in_doubt = Candidate.objects.filter(job=OuterRef("pk"), status=Candidate.Status.IN_DOUBT)
    if run.jobs.filter(~Exists(in_doubt), finished_at__isnull=True).exists():
        raise Invalid("A worker still finishes an image of this run: try again in a moment")
    retry = plan_retry(run)
    if not retry.n_images:
        raise Invalid(
            "Nothing of this run can be made again: what the guard rejected stays rejected, and what is in "
            "doubt waits for a decision"
        )
    store = store_for(run.project)
    # Only where a call is made: what was kept of earlier calls is finished without the scene.
    called = [job for job in _without_winner(run).with_redone() if job.n_called]
    if called:
        _refuse_unusable(run)
    wanted = {image["path"]: image for job in called for image in job.inputs}
    for image in wanted.values():
        checked_input(image, store)
    return retry


def _refuse_unusable(run: Run) -> None:
    """Raise `ProviderUnusable` if no call could be made."""
    with suppress(UnknownProvider):  # it has no known price, either, and that is said
        provider = provider_for(run.provider_code, access_of_run(run))
        if lack := provider.missing():
            raise ProviderUnusable(lack)


def _plan_anew(run: Run, retry: Retry) -> None:
    """Reopen the jobs and candidates of a retry. Raises `Invalid` if they are not what was looked at."""
    n_jobs = (
        _without_winner(run)
        .filter(pk__in=retry.jobs)
        .update(
            status=RunJob.Status.PLANNED, failure_reason="", verdict=RunJob.Verdict.NONE, finished_at=None
        )
    )
    redone = Candidate.objects.filter(job__in=retry.jobs, status__in=REDONE)
    # Made again from the call on: what was published of the old bytes is not theirs.
    redone.filter(error__code__in=USELESS_ORIGINAL).update(
        original_sha256="", original_path="", output_asset=None
    )
    n_images = redone.update(
        status=Candidate.Status.PLANNED,
        error={},
        rank_reason="",
        lease_token=None,
        lease_until=None,
        n_claims=0,
        waits_for="",
        not_before=None,
        rung_at=None,
        started_at=None,
        finished_at=None,
    )
    if (n_jobs, n_images) != (len(retry.jobs), retry.n_images):
        raise Invalid("This run has changed in the meantime: look at it again")
    by_price: dict[Decimal, list[UUID]] = {}
    for pk, price in retry.prices_usd.items():
        by_price.setdefault(price, []).append(pk)
    for price, pks in by_price.items():
        for n in range(0, len(pks), ROWS_AT_ONCE):
            Candidate.objects.filter(pk__in=pks[n : n + ROWS_AT_ONCE]).update(reserved_usd=price)


def _prices(run: Run, jobs: list[RunJob]) -> dict[UUID, Decimal] | None:
    """What each candidate of a retry costs at most: its call, and the paid steps that were not bought yet.

    None if one of them has no known price.
    """
    if not jobs:
        return {}
    calls = _call_prices(run, jobs, store_for(run.project))
    steps = toolchain.of_run(run).step_prices_usd()
    if calls is None or steps is None:
        return None
    redone = Candidate.objects.filter(job__in=_without_winner(run).order_by(), status__in=REDONE)
    bought = set(
        Attempt.objects.filter(
            candidate__in=redone.order_by(),
            step__in=list(steps),
            status__in=(Attempt.Status.STORED, Attempt.Status.ARRIVED),
        )
        .exclude(original_path="")
        .order_by()
        .values_list("candidate", "step")
    )
    prices: dict[UUID, Decimal] = {}
    for pk, job, original, code in redone.values_list("pk", "job", "original_sha256", "error__code"):
        called = not original or code in USELESS_ORIGINAL
        # The answers of steps are of use for the same picture only.
        open_steps = [price for step, price in steps.items() if called or (pk, step) not in bought]
        prices[pk] = sum(open_steps, calls[job] if called else Decimal(0))
    return prices


def _call_prices(run: Run, jobs: list[RunJob], store: AssetStore) -> dict[UUID, Decimal] | None:
    """What one call of each job that needs one costs at most; None if one has no known price."""
    try:
        provider = provider_for(run.provider_code, access_of_run(run))
    except (UnknownProvider, ProviderUnusable):
        return None
    names = {image["path"] for job in jobs if job.n_called for image in job.inputs}
    paths = {name: store.path(name) for name in names}  # each once, as looking at links takes its time
    prices: dict[UUID, Decimal] = {}
    for job in jobs:
        if not job.n_called:
            continue
        request = planned_request(run, job, [paths[image["path"]] for image in job.inputs], seed=0)
        price = provider.estimate(request)
        if price is None:
            return None
        prices[job.pk] = price
    return prices


def _ring_planned(candidates: CandidateQuerySet) -> None:
    # One whose moment has not come would only be turned away; the bell rings for it then.
    planned = candidates.filter(status=Candidate.Status.PLANNED).due(timezone.now())
    ring_candidates(planned.order_by("job__position", "candidate_index").values_list("pk", flat=True))
