"""Jobs files, and the comparison of what was planned with what was done."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.errors import PlanningError
from pipeline.engine.jobs import ReadyJob, parity_warning, read_jobs
from pipeline.engine.manifest import DEFAULT_MANIFEST
from pipeline.engine.names import sanitised
from pipeline.engine.planning import RunRequest, plan_run
from pipeline.engine.postprocess import PostprocessPlan

JOB: dict[str, Any] = {"id": "quay-1", "prompt": " Ink. ", "input_images": ["a.png", " b.png "]}


def read(*entries: object) -> tuple[ReadyJob, ...]:
    return read_jobs(json.dumps(list(entries)).encode(), source="jobs.json")


@pytest.mark.acceptance("P-04")
def test_entries_become_jobs_with_their_defaults() -> None:
    assert read(JOB, {**JOB, "id": "B_2", "mode": "Style"}) == (
        ReadyJob("quay-1", "Ink.", ("a.png", "b.png"), "style", "day", "clear"),
        ReadyJob("B_2", "Ink.", ("a.png", "b.png"), "style", "day", "clear"),
    )


@pytest.mark.acceptance("P-04")
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("x", "Entry 2 of jobs.json must be an object"),
        ({**JOB, "id": " "}, "Entry 2 of jobs.json: 'id'"),
        ({**JOB, "id": "../up"}, "'id' is '../up'"),
        ({**JOB, "id": "a/b"}, "'id'"),
        ({**JOB, "id": "屋上"}, "'id'"),
        ({**JOB, "id": 3}, "'id'"),
        ({**JOB, "id": "quay-1"}, "entry 1"),
        ({**JOB, "id": "QUAY-1"}, "entry 1"),
        ({**JOB, "id": "_quay-1_"}, "entry 1"),
        ({**JOB, "id": "b", "prompt": ""}, "'prompt'"),
        ({**JOB, "id": "b", "input_images": []}, "'input_images'"),
        ({**JOB, "id": "b", "input_images": "a.png"}, "'input_images'"),
        ({**JOB, "id": "b", "input_images": ["a.png", " "]}, "'input_images'"),
        ({**JOB, "id": "b", "mode": "spring"}, "'mode' must be one of"),
        ({**JOB, "id": "b", "time": 1}, "'time' must be one of"),
        ({**JOB, "id": "b", "time": "night"}, "'time' is 'night' and the first entry has 'day'"),
    ],
)
def test_a_bad_entry_is_named_by_its_number(entry: object, words: str) -> None:
    with pytest.raises(PlanningError, match=words):
        read(JOB, entry)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[", '"x"', "\ufffd["])
def test_a_file_without_jobs_is_refused(text: str) -> None:
    with pytest.raises(PlanningError, match=r"jobs\.json"):
        read_jobs(text.encode(), source="jobs.json")


@given(st.lists(st.text(alphabet="aA_-1", min_size=1, max_size=4), min_size=1, max_size=6))
def test_no_two_jobs_share_a_file(ids: list[str]) -> None:
    try:
        jobs = read(*[{**JOB, "id": key} for key in ids])
    except PlanningError:
        assert len({sanitised(key) for key in ids}) < len(ids)
    else:
        post = PostprocessPlan(upscale=True, upscale_backend="python")
        plan = plan_run(RunRequest("run", (), (), jobs=jobs), DEFAULT_MANIFEST, post)
        finals = [job.candidates[0].names.final for job in plan.jobs]
        assert len(set(finals)) == len(finals)


@pytest.mark.acceptance("P-04")
def test_ready_jobs_are_planned_as_they_are() -> None:
    jobs = read(JOB, {**JOB, "id": "two", "prompt": "Wash.", "input_images": ["c.png"]})
    plan = plan_run(
        RunRequest("run", (), ("ignored.png",), jobs=jobs), DEFAULT_MANIFEST, PostprocessPlan.off()
    )
    assert [(job.id, job.prompt, job.input_images) for job in plan.jobs] == [
        ("quay-1", "Ink.", ("a.png", "b.png")),
        ("two", "Wash.", ("c.png",)),
    ]
    with pytest.raises(PlanningError, match="batch limit of 1"):
        plan_run(RunRequest("dry", (), (), jobs=jobs, batch_limit=1), DEFAULT_MANIFEST, PostprocessPlan.off())


@pytest.mark.acceptance("P-03")
def test_a_mismatch_is_one_sentence_with_both_counts_and_three_ids() -> None:
    ids = ["style_1_a", "style_2_b", "style_3_c", "style_4_d"]
    assert parity_warning(ids, 4) == parity_warning(ids, None) == ""
    told = parity_warning(ids, 3)
    assert told.startswith(
        "4 jobs were planned and 3 were executed (planned: style_1_a, style_2_b, style_3_c, …)"
    )
    assert parity_warning([], 2).startswith("0 jobs were planned and 2 were executed:")
