"""What runs, their jobs and candidates look like, and how rows become that."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from ninja import Schema
from pydantic import Field, JsonValue

from pipeline.api.answers import Paths, at_text, id_text, rendered, timestamp_text
from pipeline.api.runrows import CandidateRow, JobRow, RunRow, candidate_rows, candidate_texts, job_rows
from pipeline.engine.ranking import wire_status
from pipeline.models import Candidate, Run

# Of what the jobs of a run share: what the contract names, and what says how its images came to be. Files of
# settings and the addresses of accounts stay out.
SNAPSHOT = ("generation", "postprocess", "output_guard")
ADDED = ("timestamp", "postprocess_files", "provider", "price_known", "warnings")

# Runs and jobs that are kept as they were rendered last. Each is found by all that was read of it, so it is
# never older than its rows. A job takes 14 KiB with four candidates; one of a log from elsewhere may have any
# size, and what is read of a kept one is bounded.
KEPT = 1024
LARGEST_KEPT = 16 * 1024  # characters

ID = "0b0e5f7c-6f0e-4a43-9f3c-0b6f2f3f8a10"
MOMENT = "2026-05-04T21:06:40Z"


class CandidateOut(Schema):
    """One variant of a job."""

    id: str = Field(examples=[ID])
    job_id: str = Field(examples=[ID])
    candidate_index: int = Field(description="From 1.")
    status: str = Field(
        description="planned, running, generated, done, failed, failed_output_guard, in_doubt or canceled."
    )
    output_asset_id: str = Field(description="The file as it was generated; '' while there is none.")
    final_asset_id: str = Field(description="The last file of its steps; '' while there is none.")
    output_path: str = Field(examples=["var/projects/saltmarsh/outputs/style_1_quay.png"])
    final_output_path: str = Field(examples=["var/projects/saltmarsh/outputs/style_1_quay.png"])
    rank_hard_failures: int
    rank_soft_warnings: int
    rank_avg_chroma_exceed: float = Field(description="Levels above the guard's limit, on average.")
    rank_reason: str = Field(description="Why it ranks where it ranks, in one sentence.")
    meta_json: dict[str, JsonValue] = Field(
        description="The candidate as the run log has it, without the blocks of the steps, which the "
        "metadata of their assets and the quality reports hold; of a log from elsewhere, all of it."
    )
    created_at: str = Field(examples=[MOMENT])


class JobOut(Schema):
    """One scene that is made with one prompt."""

    id: str = Field(examples=[ID])
    run_id: str = Field(examples=[ID])
    job_key: str = Field(examples=["style_1_quay"])
    position: int = Field(description="Place in the plan, from 1.")
    label: str = Field(description="What people call the scene.", examples=["quay"])
    status: str = Field(description="planned, running, done, failed, failed_output_guard or canceled.")
    prompt_text: str
    selected_candidate_index: int | None = Field(description="The winner; null while there is none.")
    final_asset_id: str = Field(description="The winner's file; '' while there is none.")
    final_output: str = Field(examples=["var/projects/saltmarsh/outputs/style_1_quay.png"])
    failure_reason: str = Field(examples=["all_candidates_failed_output_guard"])
    verdict: Literal["", "approved", "rejected"] = Field(description="What a reviewer said.")
    meta_json: dict[str, JsonValue] = Field(description="The job as the run log has it; see the candidates.")
    created_at: str = Field(examples=[MOMENT])
    finished_at: str = Field(description="'' while it is worked on.")
    candidates: list[CandidateOut]


class RunOut(Schema):
    """One plan, dry or confirmed, and what came of it."""

    id: str = Field(examples=[ID])
    project_id: str = Field(examples=[ID])
    run_mode: Literal["dry", "run"]
    status: Literal["queued", "running", "paused", "canceled", "ok", "failed", "partial", "unknown"] = Field(
        description="A run made here that has winners and failed jobs is `failed`; see `display_status`."
    )
    display_status: str = Field(
        description="For people: `partial` for winners beside failed jobs, `planned` for a dry run."
    )
    stage: str = Field(examples=["style"])
    time_of_day: str = Field(examples=["day"])
    weather: str = Field(examples=["clear"])
    model_name: str
    provider_code: str = Field(examples=["local"])
    settings_snapshot_json: dict[str, JsonValue] = Field(
        description="`timestamp`, `generation`, `postprocess`, `output_guard`, and what made the images."
    )
    started_at: str = Field(description="'' until a worker begins.", examples=[MOMENT])
    finished_at: str = Field(description="'' while something may still happen.", examples=[MOMENT])
    created_at: str = Field(examples=[MOMENT])
    run_log_path: str = Field(examples=["var/projects/saltmarsh/runs/run_1777928800-902.json"])
    image_size: str
    image_quality: str
    seed: int
    n_jobs: int
    n_candidates: int = Field(description="Per job.")
    plan_hash: str = Field(description="What was confirmed; '' for a log from elsewhere.")
    estimate_usd: float = Field(description="What it was to cost at most.")
    spent_usd: float = Field(description="What it has cost so far.")
    style_guide_id: str
    is_imported: bool = Field(description="Read from a log that another installation wrote.")
    warnings: list[str] = Field(description="What the step after the run could not do.")


def run_json(run: RunRow, paths: Paths) -> bytes:
    """A run as `RunOut` says, rendered."""
    render = _run_json if _is_kept(run.snapshot, run.warnings) else _run_json.__wrapped__
    return render(run, paths)


def jobs_json(run: RunRow, paths: Paths) -> list[bytes]:
    """The jobs of a run as `JobOut` says, rendered, in the order of the plan; two queries."""
    candidates = candidate_texts(run)
    shared = (run.stage, run.time_of_day, run.weather, run.n_candidates, run.snapshot)
    around = _Around(run.id, bool(run.is_imported), run.run_mode, *shared)
    bodies = []
    for job in job_rows(run):
        text = candidates.get(job.id, "[]")
        is_kept = _is_kept(job.document, job.prompt_text, text, run.snapshot)
        render = _job_json if is_kept else _job_json.__wrapped__
        bodies.append(render(job, text, around, paths))
    return bodies


def _is_kept(*texts: str) -> bool:
    return sum(map(len, texts)) <= LARGEST_KEPT


@lru_cache(maxsize=KEPT)
def _run_json(run: RunRow, paths: Paths) -> bytes:
    imported = bool(run.is_imported)
    body = {
        "id": id_text(run.id),
        "project_id": id_text(run.project_id),
        "run_mode": run.run_mode,
        "status": run.status if imported else wire_status(run.status),
        "display_status": "planned" if run.run_mode == Run.Mode.DRY else run.status,
        "stage": run.stage,
        "time_of_day": run.time_of_day,
        "weather": run.weather,
        "model_name": run.model_name,
        "provider_code": run.provider_code,
        "started_at": at_text(run.started_at),
        "finished_at": at_text(run.finished_at),
        "created_at": at_text(run.created_at),
        "run_log_path": paths.shown(run.run_log_path),
        "image_size": run.image_size,
        "image_quality": run.image_quality,
        "seed": run.seed,
        "n_jobs": run.n_jobs,
        "n_candidates": run.n_candidates,
        "plan_hash": run.plan_hash,
        "estimate_usd": run.estimate_usd,
        "spent_usd": run.spent_usd,
        "style_guide_id": id_text(run.style_guide_id),
        "is_imported": imported,
    }
    snapshot = _snapshot(run.snapshot)
    if not imported:  # a log from elsewhere says it itself
        snapshot = b'{"timestamp":"%s",%s' % (timestamp_text(run.created_at).encode(), snapshot[1:])
    return b'%s,"warnings":%s,"settings_snapshot_json":%s}' % (
        rendered(body)[:-1],
        run.warnings.encode(),
        snapshot,
    )


class _Around(NamedTuple):
    """What of a run stands in each of its jobs."""

    run_id: str
    imported: bool
    run_mode: str
    stage: str
    time_of_day: str
    weather: str
    n_candidates: int
    snapshot: str


@lru_cache(maxsize=512)
def _snapshot(text: str) -> bytes:
    """What is shown of a snapshot. The runs of a project mostly share theirs, and each is read once."""
    found = json.loads(text)
    shown = {key: found.get(key) for key in SNAPSHOT} | {key: found[key] for key in ADDED if key in found}
    provider = shown.get("provider")
    if isinstance(provider, dict):
        shown["provider"] = {key: value for key, value in provider.items() if key != "base_url"}
    return rendered(shown)


@lru_cache(maxsize=64)
def _planned(snapshot: str) -> Mapping[str, object]:
    """What each job of a run repeats of its settings."""
    said = json.loads(snapshot)
    return {
        "planned_postprocess": said.get("postprocess"),
        "planned_output_guard": said.get("output_guard"),
    }


@lru_cache(maxsize=KEPT)
def _job_json(job: JobRow, candidate_text: str, around: _Around, paths: Paths) -> bytes:
    candidates = [_candidate_body(row, job, around, paths) for row in candidate_rows(candidate_text)]
    selected = job.selected_candidate_index
    winner = next((c for c in candidates if c["candidate_index"] == selected), None) if selected else None
    final_output = winner["final_output_path"] if winner else ""
    if around.imported:
        meta = json.loads(job.document)
        final_output = final_output or _text(meta.get("final_output"))
    else:
        inputs = json.loads(job.document)
        meta = {
            "id": job.job_key,
            "mode": around.stage,
            "time": around.time_of_day,
            "weather": around.weather,
            "input_images": [paths.shown(image["path"]) for image in inputs],
            "input_sha256": [image["sha256"] or None for image in inputs],
            "prompt": job.prompt_text,
            "status": job.status,
            "planned_generation": {"candidates": around.n_candidates},
            **_planned(around.snapshot),
        }
        if around.run_mode == Run.Mode.RUN:
            meta["selected_candidate"] = selected
            meta["final_output"] = final_output or None
            meta |= {"output": final_output} if winner else {"failure_reason": job.failure_reason}
            meta["candidates"] = [candidate["meta_json"] for candidate in candidates]
    return rendered(
        {
            "id": id_text(job.id),
            "run_id": id_text(around.run_id),
            "job_key": job.job_key,
            "position": job.position,
            "label": job.label,
            "status": job.status,
            "prompt_text": job.prompt_text,
            "selected_candidate_index": selected,
            "final_asset_id": winner["final_asset_id"] if winner else "",
            "final_output": final_output,
            "failure_reason": job.failure_reason,
            "verdict": job.verdict,
            "meta_json": meta,
            "created_at": at_text(job.created_at),
            "finished_at": at_text(job.finished_at),
            "candidates": candidates,
        }
    )


def _candidate_body(row: CandidateRow, job: JobRow, around: _Around, paths: Paths) -> dict[str, Any]:
    final_output = paths.shown(row.final)
    chroma_exceed = float(row.rank_avg_chroma_exceed)
    if around.imported:
        meta = json.loads(row.document)
    else:
        meta = {
            "candidate_index": row.candidate_index,
            "output": paths.shown(row.output_name) if row.output else None,
            "status": row.status,
            "rank": {
                "hard_failures": row.rank_hard_failures,
                "soft_warnings": row.rank_soft_warnings,
                "avg_chroma_exceed": chroma_exceed,
            },
            "seed": int(row.seed),
            "sha256": row.final_sha256,
            "original_sha256": row.original_sha256 or None,
        }
        if row.status == Candidate.Status.DONE:
            meta["final_output"] = final_output
        elif row.status == Candidate.Status.FAILED:
            meta["error"] = json.loads(row.document)
    return {
        "id": id_text(row.id),
        "job_id": id_text(job.id),
        "candidate_index": row.candidate_index,
        "status": row.status,
        "output_asset_id": id_text(row.output_asset_id),
        "final_asset_id": id_text(row.final_asset_id),
        "output_path": paths.shown(row.output),
        "final_output_path": final_output,
        "rank_hard_failures": row.rank_hard_failures,
        "rank_soft_warnings": row.rank_soft_warnings,
        "rank_avg_chroma_exceed": chroma_exceed,
        "rank_reason": row.rank_reason,
        "meta_json": meta,
        "created_at": at_text(row.created_at),
    }


def _text(value: object) -> str:
    return value.replace("\\", "/").strip() if isinstance(value, str) else ""
