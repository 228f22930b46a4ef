"""A log from elsewhere by our rules: what its candidates make of each job, whatever it says itself; pure.

Reference, 8.5 and 11.2: the log stays as it is, its records are put right. A second time changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipeline.engine.ingest import JobEntry, LogRecords, explained, guard_limit, status_of
from pipeline.engine.logdocument import section
from pipeline.engine.ranking import CLOSED_CANDIDATE, CandidateResult, JobOutcome, job_outcome

MOST_WARNINGS = 20  # jobs that are named; the others are counted


def normalised(records: LogRecords) -> tuple[LogRecords, tuple[str, ...]]:
    """The records with derived outcomes and stamped plans; a sentence for each job that came out otherwise.

    A job that lists no candidates, or some that are not finished, is left as it is.
    """
    limit = guard_limit(records.settings)
    stamps = _stamps(records)
    jobs: list[JobEntry] = []
    warnings: list[str] = []
    for job in records.jobs:
        decided, said = _decided(job, limit)
        jobs.append(_stamped(decided, stamps))
        if said:
            warnings.append(said)
    if len(warnings) > MOST_WARNINGS:
        n_more = len(warnings) - MOST_WARNINGS
        warnings[MOST_WARNINGS:] = [f"{n_more} more jobs came out otherwise than the log says"]
    status = status_of(job.status for job in jobs) if jobs else records.status
    return replace(records, jobs=tuple(jobs), status=status), tuple(warnings)


def _decided(job: JobEntry, limit: float) -> tuple[JobEntry, str]:
    """The job as its candidates decide it, and what the log says otherwise."""
    results = [
        CandidateResult(entry.index, entry.status.lower(), entry.rank, entry.final_output)
        for entry in job.candidates
        if not entry.is_synthetic
    ]
    if not results or not all(result.status in CLOSED_CANDIDATE for result in results):
        return job, ""
    try:
        outcome = job_outcome(results)
    except RuntimeError as error:  # of a winner without a final output
        return job, f"The job {job.key} is left as the log has it: {error}"
    stated = list(_stated_otherwise(job, outcome))
    if not stated and _is_decided(job, outcome):
        return job, ""
    decided = replace(
        job,
        status=job.status if job.status.lower() == outcome.status else outcome.status,
        selected_candidate=outcome.selected_candidate,
        final_output=outcome.final_output,
        failure_reason=outcome.failure_reason,
        candidates=explained(job.candidates, outcome.selected_candidate, limit),
    )
    return decided, f"By its candidates the job {job.key} has {' and '.join(stated)}" if stated else ""


def _is_decided(job: JobEntry, outcome: JobOutcome) -> bool:
    return (job.status.lower(), job.selected_candidate, job.final_output, job.failure_reason) == (
        outcome.status,
        outcome.selected_candidate,
        outcome.final_output,
        outcome.failure_reason,
    )


def _stated_otherwise(job: JobEntry, outcome: JobOutcome) -> Iterator[str]:
    """What differs from a statement of the log; that it says nothing is none."""
    if job.status and job.status.lower() != outcome.status:
        yield f"the status {outcome.status} instead of {job.status}"
    if "selected_candidate" in job.metadata and job.selected_candidate != outcome.selected_candidate:
        found, logged = outcome.selected_candidate or "none", job.selected_candidate or "none"
        yield f"the winner {found} instead of {logged}"
    elif "final_output" in job.metadata and job.final_output != outcome.final_output:
        yield f"the final output {outcome.final_output or 'none'} instead of {job.final_output or 'none'}"
    if job.failure_reason and job.failure_reason != outcome.failure_reason:
        yield f"the reason {outcome.failure_reason or 'none'} instead of {job.failure_reason}"


def _stamps(records: LogRecords) -> Mapping[str, Any]:
    """What the run says of the plan of each job."""
    found = {f"planned_{key}": section(records.settings.get(key)) for key in ("postprocess", "output_guard")}
    if section(records.settings.get("generation")):
        found["planned_generation"] = {"candidates": records.n_candidates}
    return {key: value for key, value in found.items() if value}


def _stamped(job: JobEntry, stamps: Mapping[str, Any]) -> JobEntry:
    """The job with the plan that its own object lacks; what that says is kept."""
    lacking = {key: value for key, value in stamps.items() if key not in job.metadata}
    return replace(job, metadata={**job.metadata, **lacking}) if lacking else job
