import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.guard import FileReport, GuardReport
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.ranking import (
    ZERO,
    CandidateResult,
    JobOutcome,
    Rank,
    explain,
    job_outcome,
    rank_of,
    run_status,
    wire_status,
)

ranks = st.builds(Rank, st.integers(0, 1), st.integers(0, 2), st.sampled_from([0.0, 0.0002, 1.25]))
STATUSES = ["done", "failed", "failed_output_guard", "canceled", "in_doubt"]


def result(index: int, status: str = "done", rank: Rank = ZERO) -> CandidateResult:
    return CandidateResult(index, status, rank, f"{index}.png" if status == "done" else None)


def report(*deltas: float | None, hard: bool = False, soft: bool = False) -> GuardReport:
    files = (
        FileReport("a", delta, None, ("not_grayscale_like",) * hard, ("chroma_exceeds_threshold",) * soft)
        for delta in deltas
    )
    return GuardReport("a", GuardSettings(True, False, 2.0, False), tuple(files))


@pytest.mark.acceptance("X-06")
def test_rank_averages_the_excess_of_the_files_that_were_read() -> None:
    assert rank_of(report(3.25, 1.0, None, soft=True), 2.0) == Rank(0, 3, 0.625)
    assert rank_of(report(2.0, soft=True), 2.0) == Rank(0, 1, 0.0)
    assert rank_of(report(None, hard=True), 2.0) == Rank(1, 0, 0.0)
    assert rank_of(report(), 2.0) == Rank.ZERO == ZERO


@pytest.mark.acceptance("X-07", "W-05")
@given(
    results=st.lists(st.tuples(st.sampled_from(STATUSES), ranks), min_size=1, max_size=8),
    seed=st.integers(),
)
def test_the_outcome_does_not_depend_on_the_order_of_the_list(
    results: list[tuple[str, Rank]], seed: int
) -> None:
    listed = [result(index, status, rank) for index, (status, rank) in enumerate(results, start=1)]
    outcome = job_outcome(listed)
    assert outcome == job_outcome(random.Random(seed).sample(listed, len(listed)))
    best = sorted((r.rank, r.index) for r in listed if r.status == "done")
    assert outcome.selected_candidate == (best[0][1] if best else None)
    assert (outcome.status == "done") == (outcome.failure_reason == "") == bool(best)


@pytest.mark.acceptance("X-07")
def test_the_winner_has_the_best_rank_then_the_lowest_number() -> None:
    one, two, three = result(1, rank=Rank(0, 1, 0.5)), result(2), result(3)
    assert job_outcome([three, one, two]) == JobOutcome("done", 2, "2.png", "")
    assert job_outcome([result(2, rank=Rank(0, 1, 0.4)), one]).selected_candidate == 2


@pytest.mark.acceptance("X-08")
@pytest.mark.parametrize(
    ("statuses", "status", "reason"),
    [
        (["failed_output_guard"] * 2, "failed_output_guard", "all_candidates_failed_output_guard"),
        (["failed"] * 2, "failed", "all_candidates_failed"),
        (["failed", "failed_output_guard"], "failed", "mixed_candidate_failures"),
        (["canceled", "failed"], "failed", "mixed_candidate_failures"),
        (["canceled"] * 2, "canceled", "canceled"),
        (["in_doubt", "failed"], "failed", "candidate_in_doubt"),
    ],
)
def test_a_job_without_a_winner_says_why(statuses: list[str], status: str, reason: str) -> None:
    results = [result(index, each) for index, each in enumerate(statuses, start=1)]
    assert job_outcome(results) == JobOutcome(status, None, None, reason)


@pytest.mark.acceptance("X-08")
def test_what_must_not_happen_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Candidate 1 "):
        job_outcome([CandidateResult(1, "done", ZERO, None)])
    with pytest.raises(ValueError, match="running"):
        job_outcome([result(1), result(2, "running")])
    with pytest.raises(ValueError, match="no candidate"):
        job_outcome([])
    with pytest.raises(ValueError, match="running"):
        run_status(["done", "running"])


@pytest.mark.acceptance("W-27")
@pytest.mark.parametrize(
    ("jobs", "status", "wire"),
    [
        (["done", "done"], "ok", "ok"),
        (["done", "failed"], "partial", "failed"),
        (["done", "canceled"], "partial", "failed"),
        (["failed", "failed_output_guard"], "failed", "failed"),
        (["canceled", "failed"], "failed", "failed"),
        (["canceled", "canceled"], "canceled", "canceled"),
        (["planned", "planned"], "ok", "ok"),
        ([], "failed", "failed"),
    ],
)
def test_run_status(jobs: list[str], status: str, wire: str) -> None:
    assert run_status(iter(jobs)) == status
    assert wire_status(status) == wire


WARNED, CLOSE = Rank(0, 1, 3.1), Rank(0, 1, 0.0)


@pytest.mark.parametrize(
    ("own", "rivals", "sentence"),
    [
        (result(1), [], "Chosen: passed the guard with no warning."),
        (
            result(1),
            [result(2)],
            "Chosen: passed the guard with no warning; equal to candidate 2, the lower number wins.",
        ),
        (
            result(1),
            [result(2), result(3), result(4)],
            "Chosen: passed the guard with no warning;"
            " equal to candidates 2, 3 and 4, the lower number wins.",
        ),
        (
            result(2, rank=CLOSE),
            [result(1, rank=WARNED)],
            "Chosen: colour is just above the limit of 2.0: one warning; every other candidate ranks lower.",
        ),
        (
            result(2, rank=WARNED),
            [result(1)],
            "Colour is 3.1 levels above the limit of 2.0: one warning; candidate 1 has none.",
        ),
        (
            result(2, rank=WARNED),
            [result(1, rank=CLOSE)],
            "Colour is 3.1 levels above the limit of 2.0: one warning; candidate 1 is closer to grey.",
        ),
        (
            result(2),
            [result(1)],
            "Passed the guard with no warning; equal to candidate 1, which has the lower number.",
        ),
        (result(2, "canceled"), [result(1)], "Canceled before it was finished."),
        (result(2, "planned"), [], "Not finished yet."),
        (
            result(2, "in_doubt"),
            [],
            "It is not known whether the provider made this image: a person must decide.",
        ),
    ],
)
def test_an_artist_is_told_why(own: CandidateResult, rivals: list[CandidateResult], sentence: str) -> None:
    everyone = [*rivals, own]
    done = [each for each in everyone if each.status == "done"]
    winner = min(done, key=lambda each: (each.rank, each.index)) if done else None
    assert explain(own, winner, threshold=2.0, rivals=everyone) == sentence


@pytest.mark.parametrize(
    ("reasons", "sentence"),
    [
        (["not_grayscale_like"], "colour is 1.3 levels above the limit of 2.25 and the panel must be grey."),
        (
            ["chroma_exceeds_threshold"],
            "colour is 1.3 levels above the limit of 2.25, which is set to reject.",
        ),
        (["image_read_failed"], "the file can't be read as an image."),
        (["input_not_found"], "the file is missing."),
        ([], "1 hard failure."),
    ],
)
def test_a_rejection_is_explained(reasons: list[str], sentence: str) -> None:
    rejected = result(1, "failed_output_guard", Rank(1, 0, 1.26))
    assert explain(rejected, None, threshold=2.25, reasons=reasons) == f"Rejected by the guard: {sentence}"


@pytest.mark.parametrize(
    ("exceed", "signs", "verdict"),
    [
        (0.0, {"blurred": "the picture is blurred"}, "the picture is blurred: one warning"),
        (
            0.0,
            {"noisy": "the picture is grainy", "small": "the picture is too small"},
            "the picture is grainy and the picture is too small: one warning",
        ),
        (
            3.0,
            {"blurred": "the picture is blurred"},
            "colour is 3.0 levels above the limit of 2.0 and the picture is blurred: one warning",
        ),
        (0.0, {}, "colour is just above the limit of 2.0: one warning"),
    ],
)
def test_signs_of_a_fault_are_named(exceed: float, signs: dict[str, str], verdict: str) -> None:
    own = result(1, rank=Rank(0, 1, exceed))
    assert explain(own, own, threshold=2.0, signs=signs) == f"Chosen: {verdict}."


def test_a_failure_tells_its_error_in_one_line() -> None:
    text = explain(result(1, "failed"), None, threshold=2.0, error="No answer\nin 120 s.")
    assert text == "Failed before the guard could look at it: No answer in 120 s."
    assert explain(result(1, "failed"), None, threshold=2.0) == "Failed before the guard could look at it."


@given(status=st.sampled_from(STATUSES), own=ranks, other=ranks, threshold=st.floats(0, 255))
def test_every_explanation_is_one_sentence(status: str, own: Rank, other: Rank, threshold: float) -> None:
    candidates = [result(1, status, own), result(2, rank=other)]
    winner = min(
        (each for each in candidates if each.status == "done"), key=lambda each: (each.rank, each.index)
    )
    for each in candidates:
        text = explain(each, winner, threshold=threshold, rivals=candidates)
        assert text[0].isupper()
        assert text.endswith(".")
        assert "\n" not in text
        assert text.startswith("Chosen") == (each is winner)
