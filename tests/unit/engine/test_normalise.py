"""What the candidates of a log make of its jobs, whatever it says itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pipeline.engine.ingest import LogRecords, records_of
from pipeline.engine.logdocument import parse_log
from pipeline.engine.normalise import MOST_WARNINGS, normalised
from tests.unit.engine.test_ingest import logs

EXAMPLES = Path(__file__).parents[2] / "runlogs"


def candidate(index: int, status: str = "done", rank: tuple[int, int, float] = (0, 0, 0.0)) -> dict[str, Any]:
    keys = ("hard_failures", "soft_warnings", "avg_chroma_exceed")
    entry = {"candidate_index": index, "status": status, "output": f"c{index}.png"}
    entry["rank"] = dict(zip(keys, rank, strict=True))
    return {**entry, "final_output": f"c{index}_x2.png"} if status == "done" else entry


def log(*candidates: dict[str, Any], **job: Any) -> dict[str, Any]:
    entry = {"id": "style_1_quay", "status": "done", "candidates": list(candidates), **job}
    return {"mode": "run", "jobs": [entry]}


def result(document: dict[str, Any]) -> tuple[LogRecords, tuple[str, ...]]:
    return normalised(records_of(document))


@pytest.mark.parametrize("name", ["run", "dry"])
def test_the_examples_of_the_reference_are_right_already(name: str) -> None:
    records = records_of(json.loads((EXAMPLES / f"{name}.json").read_text()))
    assert normalised(records) == (records, ())


@pytest.mark.parametrize(
    ("ranks", "winner"),
    [
        ([(0, 1, 0.0), (0, 0, 9.0)], 2),
        ([(0, 1, 2.0), (0, 1, 1.5), (0, 2, 0.0)], 2),
        ([(0, 0, 0.0), (0, 0, 0.0)], 1),
        ([(1, 0, 0.0), (0, 9, 9.0)], 2),
    ],
)
def test_the_best_rank_wins_whatever_the_log_says(ranks: list[tuple[int, int, float]], winner: int) -> None:
    candidates = [candidate(index, rank=rank) for index, rank in enumerate(ranks, start=1)]
    wrong = len(ranks) if winner != len(ranks) else 1
    document = log(*reversed(candidates), selected_candidate=wrong, final_output=f"c{wrong}_x2.png")
    records, [warning] = result(document)
    [job] = records.jobs
    assert (job.status, job.selected_candidate, job.final_output) == ("done", winner, f"c{winner}_x2.png")
    assert warning == f"By its candidates the job style_1_quay has the winner {winner} instead of {wrong}"
    assert [c.index for c in job.candidates if c.rank_reason.startswith("Chosen")] == [winner]
    assert document["jobs"][0]["selected_candidate"] == wrong, "the log itself stays as it is"


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        (["failed_output_guard"] * 2, ("failed_output_guard", "all_candidates_failed_output_guard")),
        (["failed"] * 2, ("failed", "all_candidates_failed")),
        (["failed", "failed_output_guard"], ("failed", "mixed_candidate_failures")),
    ],
)
def test_a_job_without_a_winner_has_failed(statuses: list[str], outcome: tuple[str, str]) -> None:
    candidates = [candidate(index, status) for index, status in enumerate(statuses, start=1)]
    records, warnings = result(log(*candidates, selected_candidate=1, final_output="c1.png"))
    [job] = records.jobs
    assert (job.status, job.failure_reason) == outcome
    assert (job.selected_candidate, job.final_output, records.status) == (None, None, "failed")
    assert "the status" in warnings[0]
    assert "the winner none instead of 1" in warnings[0]


def test_what_the_log_does_not_say_is_filled_in_without_a_word() -> None:
    document = log(candidate(1), candidate(2, "failed_output_guard"))
    document["jobs"][0] |= {"status": ""}
    records, warnings = result(document)
    [job] = records.jobs
    assert (job.status, job.selected_candidate, job.final_output) == ("done", 1, "c1_x2.png")
    assert (records.status, warnings) == ("ok", ())


@pytest.mark.parametrize(
    "document",
    [
        log(status="failed"),
        log(status="done", final_output="x.png", selected_candidate=3),
        log(candidate(1), candidate(2, "running"), status="running"),
        log(candidate(1, "planned"), status="planned"),
        log(candidate(1, "something new"), status="failed"),
        {"mode": "run"},
        {"mode": "run", "jobs": []},
    ],
)
def test_jobs_that_are_not_decided_by_candidates_are_left_as_they_are(document: dict[str, Any]) -> None:
    records = records_of(document)
    assert normalised(records) == (records, ())


def test_a_winner_without_a_final_output_decides_nothing() -> None:
    document = log({"candidate_index": 1, "status": "done"}, status="failed", failure_reason="who knows")
    records, [warning] = result(document)
    assert (records.jobs[0].status, records.jobs[0].failure_reason) == ("failed", "who knows")
    assert "left as the log has it: Candidate 1 won without a final output" in warning


def test_how_words_are_written_is_the_logs_own_affair() -> None:
    records, warnings = result(log(candidate(1, "Done") | {"final_output": "c1.png"}, status="DONE"))
    assert (records.jobs[0].status, records.jobs[0].selected_candidate, warnings) == ("DONE", 1, ())


def test_jobs_are_stamped_with_the_plan_that_they_lack() -> None:
    document = log(candidate(1)) | {
        "generation": {"candidates": 4},
        "postprocess": {"upscale": True},
        "output_guard": {"max_chroma_delta": 2.0},
        "storage": {"project_root": "var/projects/quay"},
    }
    document["jobs"][0]["planned_output_guard"] = {"max_chroma_delta": 8.0}
    records, _ = result(document)
    assert records.settings["storage"] == {"project_root": "var/projects/quay"}
    stamped = records.jobs[0].metadata
    assert stamped["planned_generation"] == {"candidates": 4}
    assert stamped["planned_postprocess"] == {"upscale": True}
    assert stamped["planned_output_guard"] == {"max_chroma_delta": 8.0}, "what a job says itself is kept"
    assert "planned_generation" not in document["jobs"][0]


def test_many_differences_are_counted() -> None:
    document = {"jobs": [{"status": "failed", "candidates": [candidate(1)]} for _ in range(50)]}
    warnings = result(document)[1]
    assert len(warnings) == MOST_WARNINGS + 1
    assert warnings[-1] == "30 more jobs came out otherwise than the log says"


@given(document=logs)
def test_a_second_time_changes_nothing(document: dict[str, Any]) -> None:
    records = records_of(parse_log(json.dumps(document).encode(), source="the log"))
    once, _ = normalised(records)
    again, warnings = normalised(once)
    assert again == once
    assert all("left as the log has it" in warning or "more jobs" in warning for warning in warnings)
    assert [job.position for job in once.jobs] == [job.position for job in records.jobs]
