import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine import runlog
from pipeline.engine.guard import FileReport, GuardReport, inspect_pixels
from pipeline.engine.manifest import DEFAULT_MANIFEST, GuardSettings
from pipeline.engine.planning import RunPlan, RunRequest, plan_run
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.ranking import ZERO, CandidateResult, JobOutcome, Rank, job_outcome
from pipeline.engine.runlog import (
    MARKER,
    CandidateRecord,
    CostRecord,
    JobRecord,
    LogHeader,
    Summary,
    dry_log,
    guard_block,
    parse_summary,
    render,
    run_log,
    summary_lines,
)

ROOT = "var/projects/saltmarsh"
SCENES = (f"{ROOT}/scenes/Quay Wide 01.png", f"{ROOT}/scenes/tower__stairs.webp")
STYLES = (f"{ROOT}/styles/ink_plate.png",)
HEADER = LogHeader(
    run_id="r-1",
    started_at=datetime(2026, 5, 4, 20, 58, 3, 417_000, tzinfo=UTC),
    project="saltmarsh",
    project_root=ROOT,
    provider_code="local",
    plan_hash="f00d",
    warnings=("One file is missing",),
)
ALWAYS = {"run_id", "seed", "provider_code", "plan_hash", "warnings"}


def make_plan(mode: str, **changes: Any) -> RunPlan:
    request = RunRequest(
        mode, SCENES, STYLES, stage="weather", time="night", weather="rain", candidates=2, seed=5
    )
    post = PostprocessPlan(color=True, color_profile="cold_rain")
    manifest = replace(DEFAULT_MANIFEST, guard=GuardSettings(True, True, 8.0, False))
    return plan_run(replace(request, **changes), manifest, post)


def make_candidate(plan: RunPlan, job: int, index: int, delta: float) -> CandidateRecord:
    planned = plan.jobs[job].candidates[index - 1]
    final = f"{ROOT}/{planned.names.final}"
    passed = delta <= 8.0
    hard = () if passed else ("not_grayscale_like",)
    soft = () if passed else ("chroma_exceeds_threshold",)
    report = GuardReport(final, plan.guard, (FileReport(final, delta, passed, hard, soft),))
    return CandidateRecord(
        index=index,
        seed=planned.seed,
        status="done" if passed else "failed_output_guard",
        rank=ZERO if passed else Rank(1, 1, round(delta - 8, 4)),
        output=f"{ROOT}/{planned.names.generated}",
        final_output=final if passed else None,
        sha256="5a" if passed else None,
        original_sha256="0b",
        attempts=1,
        color={"input": "i", "output": "o", "profile": "cold_rain", "settings": "builtin"},
        output_guard=guard_block(
            report, checked_input=final, bad_archive=None if passed else "archive/bad/x"
        ),
    )


def make_job(plan: RunPlan, job: int, deltas: list[float]) -> JobRecord:
    candidates = tuple(make_candidate(plan, job, index, delta) for index, delta in enumerate(deltas, start=1))
    results = [CandidateResult(c.index, c.status, c.rank, c.final_output) for c in candidates]
    return JobRecord(plan.jobs[job].id, job_outcome(results), candidates)


def jobs_of(log: dict[str, object]) -> list[dict[str, Any]]:
    jobs = log["jobs"]
    assert isinstance(jobs, list)
    return jobs


@pytest.mark.acceptance("P-09")
def test_dry_log_of_the_reference() -> None:
    request = RunRequest("dry", SCENES[:1], STYLES, stage="time", time="night", candidates=3)
    post = PostprocessPlan(color=True, color_profile="cinematic_warm")
    plan = plan_run(request, DEFAULT_MANIFEST, post)
    post_entry = {
        "upscale": False,
        "upscale_backend": None,
        "color": True,
        "color_profile": "cinematic_warm",
        "bg_remove": False,
        "bg_remove_backends": [],
        "bg_refine_openai": False,
        "bg_refine_openai_required": False,
        "pipeline_order": ["generate", "color"],
    }
    guard = {
        "enabled": True,
        "enforce_grayscale": False,
        "max_chroma_delta": 2.0,
        "fail_on_chroma_exceed": False,
    }
    assert dry_log(plan, HEADER, inputs={STYLES[0]: "cc"}) == {
        "timestamp": "2026-05-04T20:58:03.417Z",
        "run_id": "r-1",
        "project": "saltmarsh",
        "mode": "dry",
        "stage": "time",
        "time": "night",
        "weather": "clear",
        "model": "",
        "size": "",
        "quality": "",
        "provider_code": "local",
        "seed": 0,
        "plan_hash": "f00d",
        "generation": {"candidates": 3, "max_candidates": 6},
        "postprocess": post_entry,
        "output_guard": guard,
        "storage": {"project_root": ROOT, "resolved_from_backend": True},
        "warnings": ["One file is missing"],
        "jobs": [
            {
                "id": "time_1_quay_wide_01",
                "mode": "time",
                "time": "night",
                "weather": "clear",
                "input_images": [SCENES[0], STYLES[0]],
                "input_sha256": [None, "cc"],
                "prompt": plan.jobs[0].prompt,
                "status": "planned",
                "planned_generation": {"candidates": 3},
                "planned_postprocess": post_entry,
                "planned_output_guard": guard,
            }
        ],
    }


@pytest.mark.acceptance("X-10", "X-08")
def test_run_log_of_a_won_and_a_lost_job() -> None:
    plan = make_plan("run")
    records = [make_job(plan, 1, [14.3021, 8.0002]), make_job(plan, 0, [9.25, 7.1042])]
    cost = CostRecord("openai", "image_edit", "gpt-image-1", 1, Decimal("0.042500"), records[1].id, 2)
    log = run_log(
        plan, HEADER, records, inputs={}, model="gpt-image-1", size="1024x1536", quality="high",
        cost_events=[cost],
    )  # fmt: skip
    assert set(log) >= ALWAYS
    assert (log["mode"], log["model"], log["size"], log["seed"]) == ("run", "gpt-image-1", "1024x1536", 5)
    assert log["cost_events"] == [
        {
            "provider_code": "openai",
            "operation_code": "image_edit",
            "model_name": "gpt-image-1",
            "units": 1,
            "cost_usd": 0.0425,
            "currency": "USD",
            "job_id": "weather_1_quay_wide_01",
            "candidate_index": 2,
        }
    ]
    won, lost = jobs_of(log)
    winner = f"{ROOT}/color_corrected/weather_1_quay_wide_01__c2_cold_rain.png"
    assert (won["status"], won["selected_candidate"]) == ("done", 2)
    assert won["output"] == won["final_output"] == winner
    assert won["output_guard"] == won["candidates"][1]["output_guard"]
    assert won["color"] == won["candidates"][1]["color"]
    assert not {"failure_reason", "bg_remove", "upscale"} & won.keys()
    assert lost["failure_reason"] == "all_candidates_failed_output_guard"
    assert (lost["selected_candidate"], lost["final_output"]) == (None, None)
    assert not {"output", "color", "output_guard"} & lost.keys()
    rejected, done = won["candidates"]
    assert rejected["rank"] == {"hard_failures": 1, "soft_warnings": 1, "avg_chroma_exceed": 1.25}
    assert "final_output" not in rejected
    assert rejected["output_guard"]["bad_archive"] == "archive/bad/x"
    assert rejected["output_guard"]["summary"] == {"total_files": 1, "hard_failures": 1, "soft_warnings": 1}
    assert done["final_output"] == winner
    assert (done["seed"], done["sha256"], done["original_sha256"], done["attempts"]) == (
        plan.jobs[0].candidates[1].seed, "5a", "0b", 1,
    )  # fmt: skip
    for job in (won, lost):
        assert job["planned_generation"] == {"candidates": 2}
        assert job["planned_output_guard"] == plan.guard.as_dict()
        assert job["input_sha256"] == [None, None]


@pytest.mark.acceptance("X-10")
def test_a_failed_candidate_carries_its_error_and_an_open_job_stays_planned() -> None:
    plan = make_plan("run")
    error = {
        "step": "generate",
        "kind": "provider",
        "code": "timeout",
        "message": "No answer",
        "http_status": None,
    }
    failed = CandidateRecord(1, 7, "failed", ZERO, None, attempts=3, error=error)
    record = JobRecord(plan.jobs[0].id, JobOutcome("failed", None, None, "all_candidates_failed"), (failed,))
    first, second = jobs_of(run_log(plan, HEADER, [record], inputs={}))
    assert first["candidates"] == [
        {
            "candidate_index": 1,
            "output": None,
            "status": "failed",
            "rank": {"hard_failures": 0, "soft_warnings": 0, "avg_chroma_exceed": 0.0},
            "seed": 7,
            "sha256": None,
            "original_sha256": None,
            "attempts": 3,
            "error": error,
        }
    ]
    assert second["status"] == "planned"
    assert "candidates" not in second


@pytest.mark.acceptance("X-08")
def test_records_that_do_not_fit_the_plan_are_refused() -> None:
    plan = make_plan("run")
    with pytest.raises(ValueError, match="no job elsewhere"):
        run_log(plan, HEADER, [JobRecord("elsewhere", JobOutcome("failed", None, None, "x"), ())], inputs={})
    orphan = JobRecord(plan.jobs[0].id, JobOutcome("done", 3, "a.png", ""), ())
    with pytest.raises(ValueError, match="candidate 3"):
        run_log(plan, HEADER, [orphan], inputs={})


@pytest.mark.acceptance("X-11")
def test_the_guard_block_of_a_real_report() -> None:
    settings = GuardSettings(True, False, 2.0, False)
    report = inspect_pixels(np.full((2, 2, 3), (109, 100, 100), np.uint8), file="a.png", settings=settings)
    block = guard_block(report, checked_input="b.png")
    assert block["checked_input"] == "b.png"
    assert block["files"] == report.as_dict()["files"]
    assert block["bad_archive"] is None


@pytest.mark.acceptance("P-11")
def test_rendering_is_indented_utf8_with_a_final_newline() -> None:
    log = {"project": "湿地", "odd": "a\udcff", "rain": "🌧", "n": [1]}
    text = render(log)
    assert text.startswith('{\n  "project": "湿地",\n')
    assert text.endswith("]\n}\n")
    assert json.loads(text.encode().decode()) == log


@pytest.mark.acceptance("P-11")
def test_the_five_lines_of_the_reference() -> None:
    path = f"{ROOT}/runs/run_2026-05-04T20-58-03-417Z.json"
    lines = summary_lines(
        run_log_path=path, project_slug="saltmarsh", project_root=ROOT, n_jobs=1, mode="dry"
    )
    assert lines == [
        f"Run log: {path}",
        "Project: saltmarsh",
        f"Project root: {ROOT}",
        "Jobs: 1 (dry/planned)",
        f'{MARKER} {{"run_log_path":"{path}","project_slug":"saltmarsh","project_root":"{ROOT}",'
        '"jobs":1,"mode":"dry"}',
    ]


@pytest.mark.parametrize(("phase", "word"), [(None, "completed"), ("queued", "queued")])
def test_a_paid_run_is_queued_or_completed(phase: str | None, word: str) -> None:
    lines = summary_lines(
        run_log_path="a", project_slug="b", project_root="c", n_jobs=2, mode="run", phase=phase
    )
    assert lines[3] == f"Jobs: 2 (run/{word})"


texts = st.text(min_size=1).filter(str.strip)


@pytest.mark.acceptance("I-01")
@given(path=texts, slug=texts, root=texts, n_jobs=st.integers(0, 10**6), mode=st.sampled_from(["dry", "run"]))
def test_what_is_written_is_read_back(path: str, slug: str, root: str, n_jobs: int, mode: str) -> None:
    lines = summary_lines(run_log_path=path, project_slug=slug, project_root=root, n_jobs=n_jobs, mode=mode)
    assert len("\n".join(lines).split("\n")) == 5
    assert parse_summary("noise\n" + "\r\n".join(lines) + "\n") == Summary(path, slug, root, n_jobs, mode)


@pytest.mark.acceptance("I-01")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", None),
        ("Project: a\nJobs: 3", None),
        ("Run log:  \n", None),
        (f"{MARKER} not json", None),
        (f'{MARKER} {{"run_log_path":" "}}', None),
        (f"{MARKER} []\nRun log: a", Summary("a")),
        (f'  {MARKER}{{"run_log_path":"a","project_slug":" ","jobs":true}}  ', Summary("a")),
        (f'{MARKER} broken\n{MARKER} {{"run_log_path":"late"}}\nRun log: early', Summary("early")),
        (f'{MARKER} {{"run_log_path":"a"}}\n{MARKER} {{"run_log_path":"b"}}', Summary("a")),
        ("Run log: a\nRun log: b\nProject: p\nProject root: r\nJobs: 12 (run/completed)",
         Summary("b", "p", "r", 12)),
        ("Run log: a\nJobs: many", Summary("a")),
    ],
)  # fmt: skip
def test_reader_rules(text: str, wanted: Summary | None) -> None:
    assert parse_summary(text) == wanted


@given(text=st.text() | st.text().map(lambda text: f"{MARKER}{text}"))
def test_reading_never_fails(text: str) -> None:
    summary = parse_summary(text)
    assert summary is None or summary.run_log_path.strip()
    assert runlog.parse_summary(f"{text}\nRun log: a") is not None
