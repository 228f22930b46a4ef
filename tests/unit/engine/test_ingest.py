import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.ingest import LogRecords, records_of, run_status
from pipeline.engine.logdocument import DEEPEST, LogRefused, decimal, moment, number, parse_log
from pipeline.engine.replay import plan_again

EXAMPLES = Path(__file__).parents[2] / "runlogs"
WORDS = [
    "id", "status", "candidates", "candidate_index", "output", "final_output", "rank", "hard_failures",
    "avg_chroma_exceed", "selected_candidate", "error", "reasons", "output_guard", "files", "bad_archive",
    "bg_remove", "color", "prompt", "input_images", "input_sha256", "seed", "mode", "hard_fail_reasons",
    "cost_events", "generation", "cost_usd", "amount_cents", "units", "postprocess", "max_chroma_delta",
    "enabled", "enforce_grayscale", "fail_on_chroma_exceed", "provider", "plan_hash", "upscale", "timestamp",
]  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["done", "planned", "failed", "FAILED_x", "running", "run", "dry", "1.5", "a/b.png", ""]
    )
    | st.text(max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=20,
)
jobs = st.lists(values | st.dictionaries(st.sampled_from(WORDS), values, max_size=8), max_size=4)
logs = st.builds(
    lambda top, listed: {**top, **({} if listed is None else {"jobs": listed})},
    st.dictionaries(st.sampled_from(WORDS), values, max_size=10),
    st.none() | jobs,
)


def example(name: str) -> dict[str, Any]:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def check(records: LogRecords, log: dict[str, Any]) -> None:
    listed = log.get("jobs")
    objects = [job for job in listed if isinstance(job, dict)] if isinstance(listed, list) else []
    assert [job.metadata for job in records.jobs] == objects
    assert len({job.position for job in records.jobs}) == len(objects)
    assert all(1 <= candidate.index < 2**31 for candidate in records.candidates())
    assert all(cost.total >= 0 and cost.units >= 0 for cost in records.costs)
    assert records.mode in ("dry", "run")
    assert records.status in ("ok", "failed", "partial", "unknown")
    named = {path for path in records.paths() if path}
    assert records.n_asset_upserts == 0 or named
    for job, entry in zip(objects, records.jobs, strict=True):
        candidates = job.get("candidates")
        if isinstance(candidates, list) and candidates:
            assert len(entry.candidates) == sum(isinstance(row, dict) for row in candidates)
        else:
            assert [row.is_synthetic for row in entry.candidates] == [True]


@pytest.mark.acceptance("I-04")
@given(log=logs)
def test_any_object_is_read_by_the_rules(log: dict[str, Any]) -> None:
    read = parse_log(json.dumps(log).encode(), source="the log")
    records = records_of(read)
    check(records, read)
    plan_again(read, records)


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        log = parse_log(data, source="the log")
    except LogRefused as error:
        assert str(error).startswith("the log is not")  # noqa: PT017
    else:
        check(records_of(log), log)


@given(depth=st.integers(1, 300))
def test_depth_is_bounded(depth: int) -> None:
    data = ('{"a":[' * depth + "]}" * depth).encode()
    if 2 * depth <= DEEPEST:
        parse_log(data, source="x")
    else:
        with pytest.raises(LogRefused, match="deep"):
            parse_log(data, source="x")


@pytest.mark.acceptance("I-04")
@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (None, "unknown"),
        ([], "partial"),
        (["done", " Done "], "ok"),
        (["planned"], "ok"),
        (["done", "FAILED_output_guard"], "failed"),
        (["done", "running"], "partial"),
        (["done", ""], "partial"),
    ],
)
def test_the_status_of_a_run(statuses: list[str] | None, expected: str) -> None:
    listed = None if statuses is None else ["no job", *({"status": status} for status in statuses)]
    assert run_status({"jobs": listed}) == expected


@pytest.mark.acceptance("I-05")
def test_places_that_hold_no_object_count_for_numbers_only() -> None:
    log = {
        "jobs": [
            7,
            {"candidates": [None, {}, {"candidate_index": True}, {"candidate_index": 9}]},
            {"id": " "},
        ]
    }
    first, second = records_of(log).jobs
    assert (first.position, first.key, second.key) == (2, "job_2", "job_3")
    assert [candidate.index for candidate in first.candidates] == [2, 3, 9]


def test_the_examples_have_the_counts_of_the_reference() -> None:
    paid, dry = records_of(example("run")), records_of(example("dry"))
    assert (len(paid.jobs), sum(1 for _ in paid.candidates()), paid.n_asset_upserts) == (2, 4, 6)
    assert (len(dry.jobs), sum(1 for _ in dry.candidates()), dry.n_asset_upserts) == (1, 1, 0)
    assert (paid.status, dry.status, paid.notes) == ("failed", "ok", ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-05-04T20:58:03.417Z", datetime(2026, 5, 4, 20, 58, 3, 417000, UTC)),
        ("2026-05-04T22:58:03+02:00", datetime(2026, 5, 4, 20, 58, 3, tzinfo=UTC)),
        ("2026-05-04 20:58", datetime(2026, 5, 4, 20, 58, tzinfo=UTC)),
        ("1777928283Z", datetime(2026, 5, 4, 20, 58, 3, tzinfo=UTC)),
        (1777928283, datetime(2026, 5, 4, 20, 58, 3, tzinfo=UTC)),
        ("1777928283000Z", datetime(2026, 5, 4, 20, 58, 3, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (True, None),
        (1e300, None),
        (None, None),
    ],
)
def test_moments(value: object, expected: datetime | None) -> None:
    assert moment(value) == expected


@given(value=values)
def test_numbers_of_any_value(value: object) -> None:
    assert isinstance(number(value), float)
    found = decimal(value)
    assert found is None or found.is_finite()
    assert moment(value) is None or moment(value).tzinfo is UTC


def test_numbers_as_texts() -> None:
    assert [decimal(text) for text in ("1.5", " 2 ", "-.5", "1e3")] == [
        Decimal("1.5"), Decimal(2), Decimal("-0.5"), Decimal("1e3"),
    ]  # fmt: skip
    assert {decimal(text) for text in ("", "1_0", "nan", "inf", "0x1", "١", "1e9999")} == {None}
