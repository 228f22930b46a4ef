"""Making one image: claim, call, keep, judge. May run twice, may be cut short at any point."""

import logging
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from pipeline.models import Attempt, Candidate, Run, RunJob
from pipeline.providers.base import (
    GenerateRequest,
    ImageProvider,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
)
from pipeline.providers.registry import provider_for
from pipeline.services import attempts, ending, finishing, leases, outcomes, runs
from pipeline.services.inputs import InputFault, checked_input
from pipeline.services.outcomes import CandidateFailed
from pipeline.store import ORIGINALS, AssetStore, StorageFailed, store_for

logger = logging.getLogger(__name__)


# A picture that ends its worker, by memory or by a fault of ours, must not do so for ever.
MAX_CLAIMS = 6


def execute_candidate(pk: UUID | str) -> None:
    """Make one image. A second delivery, a finished candidate or a canceled run is a no-op."""
    ending.wait_if_ending()
    token = Candidate.objects.claim(pk, now=timezone.now(), token=ending.new_lease_token())
    if token is None:
        return
    candidate = Candidate.objects.select_related("run__project__storage", "job").get(pk=pk)
    _mark_started(candidate)
    store = store_for(candidate.run.project)
    try:
        _work(candidate, store, token)
    except leases.LeaseLost:
        return
    except CandidateFailed as error:
        logger.warning("Candidate %s of %s: %s", candidate.candidate_index, candidate.job.job_key, error)
        outcomes.close(candidate, token, Candidate.Status.FAILED, error=error.record)
    candidate.job.run = candidate.run
    runs.close_job_if_finished(candidate.job)


def _work(candidate: Candidate, store: AssetStore, token: UUID) -> None:
    """From the lease to the end of the candidate, or to where it waits for somebody else."""
    try:
        attempts.close_left_open(candidate, token=token)
    except attempts.WaitsForPerson:
        return
    if candidate.n_claims > MAX_CLAIMS:
        raise CandidateFailed(
            "generate",
            "infra",
            "worker_lost",
            f"{MAX_CLAIMS} workers ended while they made this image: look into the worker's log",
        )
    with leases.renewed(candidate.pk, token):
        if candidate.original_sha256 or obtain_original(candidate, store, token):
            finishing.finish(candidate, store, token)


def obtain_original(candidate: Candidate, store: AssetStore, token: UUID) -> bool:
    """Call the provider and keep its bytes; False if the candidate is no longer ours to finish.

    Raises `CandidateFailed`.
    """
    provider = provider_for(candidate.run.provider_code)
    request = _request(candidate, store)
    price = provider.estimate(request)
    if price is None:
        raise CandidateFailed("generate", "policy", "price_unknown", "No price is known for this call")
    with ending.billed_call(provider.billed):
        return _call(candidate, store, token, provider, request=request, price=price)


def _call(
    candidate: Candidate,
    store: AssetStore,
    token: UUID,
    provider: ImageProvider,
    *,
    request: GenerateRequest,
    price: Decimal,
) -> bool:
    """One attempt, from its row to the stored bytes."""
    attempt = attempts.begin(candidate, provider, token=token, price=price)
    try:
        result = provider.generate(request)
    except OutcomeUnknown as error:
        attempts.doubt(attempt, error, token=token)
        return False
    except ProviderError as error:
        attempts.fail(attempt, error)
        raise CandidateFailed("generate", error.kind, error.code, error.message, error.http_status) from error
    try:
        sha256, path = store.keep(ORIGINALS, result.data, result.extension)
    except StorageFailed as error:
        _could_not_keep(attempt, error, token)
        raise CandidateFailed("generate", error.kind, error.code, str(error)) from error
    ours = attempts.settle(attempt, result, sha256=sha256, path=path, token=token)
    Run.objects.filter(pk=candidate.run_id, model_name="").update(
        model_name=result.model, image_size=result.size, image_quality=result.quality
    )
    candidate.original_sha256, candidate.original_path = sha256, path
    return ours


def _mark_started(candidate: Candidate) -> None:
    now = timezone.now()
    Run.objects.filter(pk=candidate.run_id, status=Run.Status.QUEUED).update(
        status=Run.Status.RUNNING, started_at=now
    )
    RunJob.objects.filter(pk=candidate.job_id, status=RunJob.Status.PLANNED, finished_at__isnull=True).update(
        status=RunJob.Status.RUNNING
    )


def _request(candidate: Candidate, store: AssetStore) -> GenerateRequest:
    """The call as planned. Raises `CandidateFailed` for an input that is not what was planned."""
    run, job = candidate.run, candidate.job
    try:
        paths = [checked_input(image, store) for image in job.inputs]
    except InputFault as error:
        raise CandidateFailed("generate", "infra", error.fault, str(error)) from error
    return GenerateRequest(
        prompt=job.prompt_text,
        images=tuple(paths),
        seed=int(candidate.seed),
        stage=run.stage,
        time=run.time_of_day,
        weather=run.weather,
    )


def _could_not_keep(attempt: Attempt, error: StorageFailed, token: UUID) -> None:
    """Bytes that came but found no room: gone for a free provider, a person's matter for a billed one."""
    if attempt.billed:
        attempts.doubt(attempt, OutcomeUnknown(str(error), code=error.code), token=token)
    else:
        attempts.fail(attempt, ProviderRefused(str(error), code=error.code))
