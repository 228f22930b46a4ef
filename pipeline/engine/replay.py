"""The plan of a run as its log holds it, made again and held against what the log says; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.engine.errors import PlanningError
from pipeline.engine.ingest import CandidateEntry, JobEntry, LogRecords
from pipeline.engine.logdocument import decimal, integer, section
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.names import candidate_names
from pipeline.engine.planning import (
    CANDIDATE_CEILING,
    PlannedCandidate,
    PlannedJob,
    RunPlan,
    RunRequest,
    candidate_seed,
    plan_hash,
)
from pipeline.engine.postprocess import PostprocessPlan


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise; `candidate` is None for a job or the run, `job` '' for the run."""

    what: str
    logged: str
    found: str
    job: str = ""
    candidate: int | None = None

    def __str__(self) -> str:
        place = f"candidate {self.candidate} of {self.job}" if self.candidate else self.job or "the run"
        return f"{self.what} of {place}: {self.logged or 'nothing'} in the log, {self.found or 'nothing'} now"

    def as_dict(self) -> dict[str, object]:
        """As plain values."""
        return {
            "what": self.what,
            "job": self.job,
            "candidate": self.candidate,
            "logged": self.logged,
            "found": self.found,
        }


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The same jobs once more. `plan` is None where the log lacks what a plan needs: `notes` say what."""

    plan: RunPlan | None
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def plan_again(log: Mapping[str, Any], records: LogRecords) -> ReplayPlan:
    """Plan the jobs of a log anew: ids, prompts and settings from the log, seeds and names by the rules."""
    notes: list[str] = []
    guard, post = _guard(log), _postprocess(log)
    if guard is None:
        notes.append("The log has no usable 'output_guard'")
    if post is None:
        notes.append("The log has no usable 'postprocess'")
    if integer(log.get("seed"), most=2**63 - 1) is None:
        notes.append("The log has no 'seed': an older Kroma wrote none")
    n_candidates = min(records.n_candidates, CANDIDATE_CEILING)
    if notes or guard is None or post is None:
        return ReplayPlan(None, (), tuple(notes))
    jobs = tuple(_planned(job, records, n_candidates, post) for job in records.jobs)
    request = RunRequest(
        mode=records.mode,
        scenes=tuple(job.input_images[0] for job in jobs if job.input_images),
        style_refs=(),
        stage=records.stage,
        time=records.time,
        weather=records.weather,
        candidates=n_candidates,
        seed=records.seed,
    )
    plan = RunPlan(request, jobs, n_candidates, n_candidates, post, guard)
    differences = [
        difference
        for job, planned in zip(records.jobs, jobs, strict=True)
        for difference in _of_job(job, planned, records.stage)
    ]
    differences += _of_hash(plan, log, records, notes)
    return ReplayPlan(plan, tuple(differences), tuple(notes))


def _planned(job: JobEntry, records: LogRecords, n_candidates: int, post: PostprocessPlan) -> PlannedJob:
    return PlannedJob(
        id=job.key,
        position=job.position,
        mode=records.stage,
        time=records.time,
        weather=records.weather,
        prompt=job.prompt,
        input_images=tuple(image.path for image in job.inputs),
        candidates=tuple(
            PlannedCandidate(
                index,
                candidate_seed(records.seed, job.key, index),
                candidate_names(job.key, index=index, total=n_candidates, postprocess=post),
            )
            for index in range(1, n_candidates + 1)
        ),
    )


def _of_job(job: JobEntry, planned: PlannedJob, stage: str) -> list[Difference]:
    found = []
    prefix = f"{stage}_{planned.position}_"
    if not job.key.startswith(prefix):
        found.append(Difference("Id", job.key, f"{prefix}…", job.key))
    by_index = {candidate.index: candidate for candidate in planned.candidates}
    for candidate in job.candidates:
        if candidate.is_synthetic:
            continue
        again = by_index.get(candidate.index)
        if again is None:
            found.append(Difference("Place", "planned", "not planned", job.key, candidate.index))
        else:
            found += _of_candidate(candidate, again, job.key)
    return found


def _of_candidate(logged: CandidateEntry, again: PlannedCandidate, key: str) -> list[Difference]:
    found = []
    if logged.seed and logged.seed != str(again.seed):
        found.append(Difference("Seed", logged.seed, str(again.seed), key, again.index))
    if logged.output and not f"/{logged.output}".endswith(f"/{again.names.generated}"):
        found.append(Difference("Output", logged.output, again.names.generated, key, again.index))
    return found


def _of_hash(
    plan: RunPlan, log: Mapping[str, Any], records: LogRecords, notes: list[str]
) -> list[Difference]:
    """Whether the plan has the hash that was confirmed, where the log holds all that enters it."""
    inputs = {image.path: image.sha256 for job in records.jobs for image in job.inputs}
    provider = section(log.get("provider"))
    if not records.plan_hash or not provider or not all(inputs.values()):
        notes.append("The hash of the plan can't be checked: the log lacks it, or what enters it")
        return []
    found = plan_hash(plan, inputs=inputs, provider=provider)
    return [] if found == records.plan_hash else [Difference("Plan hash", records.plan_hash, found)]


def _guard(log: Mapping[str, Any]) -> GuardSettings | None:
    values = section(log.get("output_guard"))
    limit = values.get("max_chroma_delta")
    flags = [values.get(key) for key in ("enabled", "enforce_grayscale", "fail_on_chroma_exceed")]
    if not isinstance(limit, int | float) or decimal(limit) is None:
        return None
    if not all(type(flag) is bool for flag in flags):
        return None
    return GuardSettings(
        enabled=bool(flags[0]),
        enforce_grayscale=bool(flags[1]),
        max_chroma_delta=float(limit),
        fail_on_chroma_exceed=bool(flags[2]),
    )


def _postprocess(log: Mapping[str, Any]) -> PostprocessPlan | None:
    values, files = log.get("postprocess"), section(log.get("postprocess_files"))
    if not isinstance(values, dict):
        return None
    try:
        return PostprocessPlan.from_dicts(values, files)
    except (PlanningError, TypeError, AttributeError):
        return None
