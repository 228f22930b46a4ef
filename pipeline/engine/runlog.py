"""The run log and the summary: what a run leaves behind for people and other programs."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from pipeline.engine.guard import GuardReport
from pipeline.engine.names import timestamp
from pipeline.engine.planning import PlannedJob, RunPlan
from pipeline.engine.ranking import JobOutcome, Rank

MARKER = "KROMA_PIPELINE_SUMMARY_JSON:"
_PHASES = {"dry": "planned", "run": "completed"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class LogHeader:
    """What a log says of its run beside the plan. `project_root` is a display path, `started_at` aware."""

    run_id: str
    started_at: datetime
    project: str
    project_root: str
    provider_code: str
    plan_hash: str
    warnings: tuple[str, ...] = ()
    resolved_from_backend: bool = True
    # Code, look or model, version, weights: what it takes to make the same image again.
    provider: Mapping[str, object] = field(default_factory=dict)
    # Configuration, colour profile and tools of the steps after generation, for the same reason.
    steps: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CostRecord:
    """One paid call; `job_id` is the job's id in the log."""

    provider_code: str
    operation_code: str
    model_name: str
    units: int
    cost_usd: Decimal
    job_id: str
    candidate_index: int
    currency: str = "USD"

    def as_dict(self) -> dict[str, object]:
        """The entry of `cost_events`; the contract wants the money as a JSON number."""
        return {
            "provider_code": self.provider_code,
            "operation_code": self.operation_code,
            "model_name": self.model_name,
            "units": self.units,
            "cost_usd": float(self.cost_usd),
            "currency": self.currency,
            "job_id": self.job_id,
            "candidate_index": self.candidate_index,
        }


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """What became of one candidate. Paths are display paths; a block is None if its step did not run.

    `output` is the generated file and `original_sha256` the hash of the provider's bytes, both empty
    when there are none; `sha256` belongs to `final_output`. `attempts` counts calls to the provider.
    """

    index: int
    seed: int
    status: str
    rank: Rank
    output: str | None
    final_output: str | None = None
    sha256: str | None = None
    original_sha256: str | None = None
    attempts: int = 0
    bg_remove: Mapping[str, object] | None = None
    upscale: Mapping[str, object] | None = None
    color: Mapping[str, object] | None = None
    output_guard: Mapping[str, object] | None = None
    error: Mapping[str, object] | None = None

    def blocks(self) -> dict[str, object]:
        """The blocks of the steps that ran."""
        blocks = {
            "bg_remove": self.bg_remove,
            "upscale": self.upscale,
            "color": self.color,
            "output_guard": self.output_guard,
        }
        return {name: dict(block) for name, block in blocks.items() if block is not None}

    def as_dict(self) -> dict[str, object]:
        """The candidate as it stands in a run log."""
        entry: dict[str, object] = {
            "candidate_index": self.index,
            "output": self.output,
            "status": self.status,
            "rank": self.rank.as_dict(),
            "seed": self.seed,
            "sha256": self.sha256,
            "original_sha256": self.original_sha256,
            "attempts": self.attempts,
        }
        if self.status == "done":
            entry["final_output"] = self.final_output
        entry |= self.blocks()
        if self.status == "failed" and self.error is not None:
            entry["error"] = dict(self.error)
        return entry


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What became of one planned job, matched to the plan by `id`; paths are display paths."""

    id: str
    outcome: JobOutcome
    candidates: tuple[CandidateRecord, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a reader of the summary learns; None where it says nothing."""

    run_log_path: str
    project_slug: str | None = None
    project_root: str | None = None
    jobs: int | None = None
    mode: str | None = None


def guard_block(
    report: GuardReport, *, checked_input: str, bad_archive: str | None = None
) -> dict[str, object]:
    """The `output_guard` block of a candidate; `checked_input` is its path before any move to the archive."""
    return {
        "checked_input": checked_input,
        "summary": report.summary(),
        "files": [file.as_dict() for file in report.files],
        "bad_archive": bad_archive,
    }


def dry_log(plan: RunPlan, header: LogHeader, *, inputs: Mapping[str, str]) -> dict[str, object]:
    """The log of a dry run; `inputs` maps the path of an input image to its sha256."""
    log = _top(plan, header, mode="dry", model="", size="", quality="")
    log["jobs"] = [_planned_job(job, plan, inputs) for job in plan.jobs]
    return log


def run_log(
    plan: RunPlan,
    header: LogHeader,
    jobs: Iterable[JobRecord],
    *,
    inputs: Mapping[str, str],
    model: str = "",
    size: str = "",
    quality: str = "",
    cost_events: Sequence[CostRecord] = (),
) -> dict[str, object]:
    """The log of a paid run, in the order of the plan; a job without a record is still `planned`.

    `model`, `size` and `quality` are those of the first generated image. Raises `ValueError` for a
    record that the plan does not know, or a winner that is not among its candidates.
    """
    records = {record.id: record for record in jobs}
    unknown = records.keys() - {job.id for job in plan.jobs}
    if unknown:
        raise ValueError(f"The plan has no job {', '.join(sorted(unknown))}")
    log = _top(plan, header, mode="run", model=model, size=size, quality=quality)
    log["cost_events"] = [event.as_dict() for event in cost_events]
    log["jobs"] = [
        _planned_job(job, plan, inputs) | (_result(records[job.id]) if job.id in records else {})
        for job in plan.jobs
    ]
    return log


def render(log: Mapping[str, object]) -> str:
    """The text of a log file: JSON with two spaces of indentation and a final newline."""
    text = json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is no UTF-8 arrives with lone surrogates; escaped they can be written and read back.
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def summary_lines(
    *,
    run_log_path: str,
    project_slug: str,
    project_root: str,
    n_jobs: int,
    mode: str,
    phase: str | None = None,
) -> list[str]:
    """The five lines on standard output; `phase` is planned or completed by mode, or `queued`."""
    document = {
        "run_log_path": run_log_path,
        "project_slug": project_slug,
        "project_root": project_root,
        "jobs": n_jobs,
        "mode": mode,
    }
    return [
        f"Run log: {_one_line(run_log_path)}",
        f"Project: {_one_line(project_slug)}",
        f"Project root: {_one_line(project_root)}",
        f"Jobs: {n_jobs} ({mode}/{phase or _PHASES[mode]})",
        f"{MARKER} {json.dumps(document, separators=(',', ':'))}",
    ]


def parse_summary(text: str) -> Summary | None:
    """Read a summary out of other output: the marker line if it is sound, else the text lines."""
    # Not splitlines(): it also breaks at characters that a path may hold.
    lines = [line.strip() for line in text.split("\n")]
    marked = next((line for line in lines if line.startswith(MARKER)), None)
    if marked is not None:
        summary = _from_json(marked.removeprefix(MARKER))
        if summary is not None:
            return summary
    return _from_text(lines)


def _top(
    plan: RunPlan, header: LogHeader, *, mode: str, model: str, size: str, quality: str
) -> dict[str, object]:
    return {
        "timestamp": timestamp(header.started_at),
        "run_id": header.run_id,
        "project": header.project,
        "mode": mode,
        "stage": plan.request.stage,
        "time": plan.request.time,
        "weather": plan.request.weather,
        "model": model,
        "size": size,
        "quality": quality,
        "provider_code": header.provider_code,
        "provider": dict(header.provider),
        "seed": plan.request.seed,
        "plan_hash": header.plan_hash,
        "generation": {"candidates": plan.n_candidates, "max_candidates": plan.max_candidates},
        "postprocess": plan.postprocess.as_dict(),
        "postprocess_files": plan.postprocess.files_as_dict(),
        **header.steps,
        "output_guard": plan.guard.as_dict(),
        "storage": {
            "project_root": header.project_root,
            "resolved_from_backend": header.resolved_from_backend,
        },
        "warnings": list(header.warnings),
    }


def _planned_job(job: PlannedJob, plan: RunPlan, inputs: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": job.id,
        "mode": job.mode,
        "time": job.time,
        "weather": job.weather,
        "input_images": list(job.input_images),
        "input_sha256": [inputs.get(path) for path in job.input_images],
        "prompt": job.prompt,
        "status": "planned",
        "planned_generation": {"candidates": plan.n_candidates},
        "planned_postprocess": plan.postprocess.as_dict(),
        "planned_output_guard": plan.guard.as_dict(),
    }


def _result(record: JobRecord) -> dict[str, object]:
    outcome = record.outcome
    entry: dict[str, object] = {
        "status": outcome.status,
        "selected_candidate": outcome.selected_candidate,
        "final_output": outcome.final_output,
    }
    if outcome.selected_candidate is None:
        entry["failure_reason"] = outcome.failure_reason
    else:
        winners = [c for c in record.candidates if c.index == outcome.selected_candidate]
        if not winners:
            raise ValueError(
                f"Job {record.id} was won by candidate {outcome.selected_candidate}, which it lacks"
            )
        entry |= {"output": outcome.final_output, **winners[0].blocks()}
    ordered = sorted(record.candidates, key=lambda candidate: candidate.index)
    entry["candidates"] = [candidate.as_dict() for candidate in ordered]
    return entry


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _from_json(text: str) -> Summary | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    path = _given(document.get("run_log_path"))
    if path is None:
        return None
    jobs = document.get("jobs")
    return Summary(
        run_log_path=path,
        project_slug=_given(document.get("project_slug")),
        project_root=_given(document.get("project_root")),
        jobs=jobs if isinstance(jobs, int) and not isinstance(jobs, bool) else None,
        mode=_given(document.get("mode")),
    )


def _from_text(lines: Sequence[str]) -> Summary | None:
    found: dict[str, str] = {}
    for line in lines:
        for label in ("Run log:", "Project:", "Project root:", "Jobs:"):
            value = line.removeprefix(label).strip() if line.startswith(label) else ""
            if value:
                found[label] = value
    if "Run log:" not in found:
        return None
    n_jobs = found.get("Jobs:", "").partition(" ")[0]
    return Summary(
        run_log_path=found["Run log:"],
        project_slug=found.get("Project:"),
        project_root=found.get("Project root:"),
        jobs=int(n_jobs) if n_jobs.isascii() and n_jobs.isdigit() and len(n_jobs) < 19 else None,
    )


def _given(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
