"""Making one image: claim, call, keep, judge. May run twice, may be cut short at any point."""

import logging
from uuid import UUID

from django.utils import timezone

from pipeline.models import AccountHealth, Candidate, Run, RunJob
from pipeline.providers.base import AccountRefused, GenerateRequest, ImageProvider, ProviderError
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services import attempts, calls, ending, finishing, leases, outcomes, runs
from pipeline.services.accounts import access_of_run
from pipeline.services.attempts import GENERATE, Call
from pipeline.services.inputs import InputFault, checked_input, planned_request
from pipeline.services.outcomes import CandidateFailed, Deferred
from pipeline.store import AssetStore, store_for
from projects.errors import ProviderUnusable

logger = logging.getLogger(__name__)


# A picture that ends its worker, by memory or by a fault of ours, must not do so for ever.
MAX_CLAIMS = 6


def execute_candidate(pk: UUID | str) -> None:
    """Make one image. A second delivery, a finished candidate or a canceled run is a no-op."""
    ending.wait_if_ending()
    token = Candidate.objects.claim(pk, now=timezone.now(), token=ending.new_lease_token())
    if token is None:
        return
    try:
        attempts.close_left_open(UUID(str(pk)), token=token)
    except Deferred:
        return
    # Read after that: a result that came until then would be bought again.
    candidate = Candidate.objects.select_related("run__project__storage", "job").get(pk=pk)
    _mark_started(candidate)
    store = store_for(candidate.run.project)
    try:
        _work(candidate, store, token)
    except (leases.LeaseLost, Deferred):
        return
    except CandidateFailed as error:
        logger.warning("Candidate %s of %s: %s", candidate.candidate_index, candidate.job.job_key, error)
        outcomes.close(candidate, token, Candidate.Status.FAILED, error=error.record)
    candidate.job.run = candidate.run
    runs.close_job_if_finished(candidate.job)


def _work(candidate: Candidate, store: AssetStore, token: UUID) -> None:
    """From the lease to the end of the candidate. Raises `CandidateFailed`, `Deferred`, `LeaseLost`."""
    if candidate.n_claims > MAX_CLAIMS:
        raise CandidateFailed(
            GENERATE,
            "infra",
            "worker_lost",
            f"{MAX_CLAIMS} workers ended while they made this image: look into the worker's log",
        )
    with leases.renewed(candidate.pk, token):
        if not candidate.original_sha256:
            obtain_original(candidate, store, token)
        finishing.finish(candidate, store, token)


def obtain_original(candidate: Candidate, store: AssetStore, token: UUID) -> None:
    """Call the provider and keep its bytes. Raises `CandidateFailed`, `Deferred`."""
    run = candidate.run
    provider = _provider(candidate)
    calls.wait_for_place(candidate, provider.code, token)
    request = _request(candidate, store)
    price = provider.estimate(request)
    if price is None:
        raise CandidateFailed(GENERATE, "policy", "price_unknown", "No price is known for this call")
    call = Call(GENERATE, provider.code, billed=provider.billed, price=price)
    try:
        result, kept = calls.make_call(
            candidate, call, lambda: provider.generate(request), store=store, token=token
        )
    except AccountRefused as error:
        runs.abort_remaining(run, because=error.message)
        raise _failure(error) from error
    except ProviderError as error:
        raise _failure(error) from error
    if not run.model_name:
        Run.objects.filter(pk=run.pk, model_name="").update(
            model_name=result.model, image_size=result.size, image_quality=result.quality
        )
    candidate.original_sha256, candidate.original_path = kept.sha256, kept.path


def _provider(candidate: Candidate) -> ImageProvider:
    run = candidate.run
    try:
        provider = provider_for(run.provider_code, access_of_run(run))
    except (UnknownProvider, ProviderUnusable) as error:
        lack = str(error)
    else:
        # Asked before the call: a client that fails for want of its key would leave it in doubt.
        lack = provider.missing()
        if not lack:
            return provider
    AccountHealth.objects.note(run.project, run.provider_code, ok=False, message=lack)
    runs.abort_remaining(run, because=lack)
    raise CandidateFailed(GENERATE, "provider", "provider_unusable", lack)


def _failure(error: ProviderError) -> CandidateFailed:
    return CandidateFailed(GENERATE, error.kind, error.code, error.message, error.http_status)


def _mark_started(candidate: Candidate) -> None:
    if candidate.run.status == Run.Status.QUEUED:
        queued = Run.objects.filter(pk=candidate.run_id, status=Run.Status.QUEUED)
        queued.update(status=Run.Status.RUNNING, started_at=timezone.now())
    if candidate.job.status == RunJob.Status.PLANNED:
        planned = RunJob.objects.filter(pk=candidate.job_id, status=RunJob.Status.PLANNED)
        planned.filter(finished_at__isnull=True).update(status=RunJob.Status.RUNNING)


def _request(candidate: Candidate, store: AssetStore) -> GenerateRequest:
    """The call as planned. Raises `CandidateFailed` for an input that is not what was planned."""
    try:
        paths = [checked_input(image, store) for image in candidate.job.inputs]
    except InputFault as error:
        raise CandidateFailed(GENERATE, "infra", error.fault, str(error)) from error
    return planned_request(candidate.run, candidate.job, paths, seed=int(candidate.seed))
