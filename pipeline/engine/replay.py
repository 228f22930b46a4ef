"""The plan of a run as its log holds it, made again and held against what the log says; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.engine.colour import ColourProfile
from pipeline.engine.errors import PlanningError
from pipeline.engine.ingest import CandidateEntry, JobEntry, LogRecords
from pipeline.engine.logdocument import decimal, integer, section
from pipeline.engine.manifest import DEFAULT_MANIFEST, GuardSettings
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
from pipeline.engine.postprocess_config import PostprocessConfig
from pipeline.engine.signals import SIGNS


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


@dataclass(frozen=True, slots=True)
class RecordedSteps:
    """How the steps after generation worked; `tools` are their descriptions, each with its step."""

    config: PostprocessConfig
    profile: ColourProfile
    tools: tuple[Mapping[str, Any], ...]


def recorded_steps(log: Mapping[str, Any]) -> RecordedSteps | None:
    """What a log holds of its steps; None where it lacks that, as those of an older Kroma do."""
    config, tools = log.get("postprocess_config"), log.get("tools")
    if not isinstance(config, dict) or not isinstance(tools, list):
        return None
    try:
        return RecordedSteps(
            PostprocessConfig.from_dict(config),
            ColourProfile(**section(log.get("color_profile_values"))),
            tuple(section(tool) for tool in tools),
        )
    except (PlanningError, TypeError, ValueError, AttributeError):
        return None


def changed_tools(
    logged: Sequence[Mapping[str, Any]], installed: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """A sentence for each tool that is another one than the log names, by its version or its weights."""
    for tool in installed:
        named = tool["step"], tool["tool"]
        same = [other for other in logged if (other.get("step"), other.get("tool")) == named]
        if not same:
            yield f"The log does not name the tool {tool['tool']} of {tool['step']}, which is used here"
            continue
        then, now = _named(same[0]), _named(tool)
        if changed := [key for key in {**then, **now} if then.get(key) != now.get(key)]:
            was = ", ".join(f"{key} {then.get(key)}" for key in changed)
            became = ", ".join(f"{key} {now.get(key)}" for key in changed)
            yield (
                f"The step {tool['step']} was made by {tool['tool']} with {was}, and here it has {became}: "
                "other files are to be expected"
            )


def _named(tool: Mapping[str, Any]) -> dict[str, object]:
    return {"version": tool.get("version"), **section(tool.get("parameters"))}


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
    has_tools = isinstance(log.get("tools"), list)
    is_complete = has_tools or not plan.postprocess.has_steps
    if not records.plan_hash or not provider or not all(inputs.values()) or not is_complete:
        notes.append("The hash of the plan can't be checked: the log lacks it, or what enters it")
        return []
    tools = [section(tool) for tool in log.get("tools") or ()] if has_tools else []
    found = plan_hash(plan, inputs=inputs, provider=provider, tools=tools)
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
        signals=tuple(sign for sign in SIGNS if sign in (values.get("signals") or ())),
        min_side=integer(values.get("min_side"), most=2**31) or DEFAULT_MANIFEST.guard.min_side,
        ignore_transparent=values.get("ignore_transparent") is True,
    )


def _postprocess(log: Mapping[str, Any]) -> PostprocessPlan | None:
    values, files = log.get("postprocess"), section(log.get("postprocess_files"))
    if not isinstance(values, dict):
        return None
    try:
        return PostprocessPlan.from_dicts(values, files)
    except (PlanningError, TypeError, AttributeError):
        return None
