"""Holding the log of a run that was made here against its rows and files; nothing is changed."""

from collections.abc import Iterator
from decimal import Decimal

from django.db.models import Sum

from pipeline.engine.ingest import CandidateEntry, JobEntry, LogRecords
from pipeline.models import Asset, Candidate, Run, RunJob
from pipeline.store import AssetStore, sha256_of, store_for
from projects.errors import Invalid


def differences_of(run: Run, records: LogRecords, *, with_hashes: bool) -> list[str]:
    """What the log says otherwise than the rows, and what is wrong with the files: a sentence each.

    `with_hashes` reads every file that the rows name; without it, only its size is looked at.
    """
    store = store_for(run.project)
    rows = {
        job.job_key: job
        for job in run.jobs.order_by("position").prefetch_related(
            "candidates__final_asset", "candidates__output_asset"
        )
    }
    found = list(_of_run(run, records))
    logged = {job.key: job for job in records.jobs}
    found += [f"The log lacks the job {key}" for key in rows if key not in logged]
    for key, job in logged.items():
        if key in rows:
            found += _of_job(rows[key], job, is_dry=run.run_mode == Run.Mode.DRY)
        else:
            found.append(f"The log has a job {key}, which the run has not")
    for row in rows.values():
        for candidate in row.candidates.all():
            for asset in dict.fromkeys((candidate.output_asset, candidate.final_asset)):
                if asset is not None:
                    found += _of_file(asset, store, with_hashes=with_hashes)
    return found


def _of_run(run: Run, records: LogRecords) -> Iterator[str]:
    pairs = (
        ("run id", records.run_id, str(run.pk)),
        ("mode", records.mode, run.run_mode),
        ("stage", records.stage, run.stage),
        ("time", records.time, run.time_of_day),
        ("weather", records.weather, run.weather),
        ("provider", records.provider_code, run.provider_code),
        ("seed", records.seed, run.seed),
        ("plan hash", records.plan_hash, run.plan_hash),
    )
    for what, logged, row in pairs:
        if logged != row:
            yield f"The {what} is {_shown(logged)} in the log and {_shown(row)} in the run"
    booked = run.cost_events.aggregate(sum=Sum("total_cost_usd"))["sum"] or Decimal(0)
    logged_sum = sum((cost.total for cost in records.costs), Decimal(0))
    if booked != logged_sum:
        yield f"The log adds up to {logged_sum.normalize():f} USD and the run to {booked.normalize():f} USD"


def _of_job(row: RunJob, job: JobEntry, *, is_dry: bool) -> Iterator[str]:
    for what, logged, kept in (
        ("status", job.status, row.status),
        ("chosen candidate", job.selected_candidate, row.selected_candidate_index),
        ("prompt", job.prompt, row.prompt_text),
    ):
        if logged != kept:
            yield f"The {what} of {row.job_key} is {_shown(logged)} in the log and {_shown(kept)} in the run"
    if is_dry or job.status == RunJob.Status.PLANNED:
        return  # such a log lists no candidates
    logged_candidates = {candidate.index: candidate for candidate in job.candidates}
    for candidate in row.candidates.all():
        entry = logged_candidates.pop(candidate.candidate_index, None)
        if entry is None:
            yield f"The log lacks candidate {candidate.candidate_index} of {row.job_key}"
        else:
            yield from _of_candidate(candidate, entry, row.job_key)
    for index in logged_candidates:
        yield f"The log has a candidate {index} of {row.job_key}, which the run has not"


def _of_candidate(row: Candidate, entry: CandidateEntry, job_key: str) -> Iterator[str]:
    final = row.final_asset.sha256 if row.final_asset else ""
    for what, logged, kept in (
        ("status", entry.status, row.status),
        ("seed", entry.seed, row.seed),
        ("sha256 of the original", entry.original_sha256, row.original_sha256),
        ("sha256 of the final output", entry.sha256, final),
    ):
        if logged != kept:
            yield (
                f"The {what} of candidate {entry.index} of {job_key} is {_shown(logged)} in the log and "
                f"{_shown(kept)} in the run"
            )


def _of_file(asset: Asset, store: AssetStore, *, with_hashes: bool) -> Iterator[str]:
    try:
        path = store.path(asset.rel_path)
        n_bytes = path.stat().st_size if path.is_file() else None
        sha256 = sha256_of(path) if with_hashes and n_bytes is not None else asset.sha256
    except (Invalid, OSError) as error:
        yield f"{asset.rel_path} can't be read: {error}"
        return
    if n_bytes is None:
        yield f"{asset.rel_path} is not there any more"
    elif sha256 != asset.sha256:
        yield f"{asset.rel_path} has another content: sha256 {sha256} instead of {asset.sha256}"
    elif asset.n_bytes is not None and n_bytes != asset.n_bytes:
        yield f"{asset.rel_path} has {n_bytes} bytes instead of {asset.n_bytes}"


def _shown(value: object) -> str:
    """A value in a sentence, cut short."""
    written = "nothing" if value in (None, "") else str(value)
    return written if len(written) <= 80 else f"{written[:77]}…"
