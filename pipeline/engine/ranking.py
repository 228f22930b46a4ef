"""Which candidate wins, what that makes of its job and its run, and how to say why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from pipeline.engine.guard import (
    CHROMA_EXCEEDS_THRESHOLD,
    IMAGE_READ_FAILED,
    INPUT_NOT_FOUND,
    NO_IMAGES_FOUND,
    NOT_GRAYSCALE_LIKE,
    GuardReport,
    rounded,
)
from pipeline.engine.signals import BLANK, CLAUSES, TEXT

CLOSED_CANDIDATE = frozenset({"done", "failed", "failed_output_guard", "canceled", "in_doubt"})
_CLOSED_JOB = frozenset({"done", "failed", "failed_output_guard", "canceled"})


@dataclass(frozen=True, order=True, slots=True)
class Rank:
    """Smaller is better; `avg_chroma_exceed` is in levels above the guard's limit."""

    hard_failures: int
    soft_warnings: int
    avg_chroma_exceed: float

    ZERO: ClassVar["Rank"]

    def as_dict(self) -> dict[str, object]:
        """The rank as it stands in a run log."""
        return {
            "hard_failures": self.hard_failures,
            "soft_warnings": self.soft_warnings,
            "avg_chroma_exceed": self.avg_chroma_exceed,
        }


ZERO: Final = Rank(0, 0, 0.0)
Rank.ZERO = ZERO


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A finished candidate; `index` counts from 1, only a done one has a `final_output`."""

    index: int
    status: str
    rank: Rank
    final_output: str | None


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What became of a job; without a winner both middle fields are None and a reason is given."""

    status: str
    selected_candidate: int | None
    final_output: str | None
    failure_reason: str


def rank_of(report: GuardReport, threshold: float) -> Rank:
    """The rank from a guard report; the excess is averaged over the rounded deltas of the files read."""
    deltas = [file.chroma_delta for file in report.files if file.chroma_delta is not None]
    excess = sum(max(0.0, delta - threshold) for delta in deltas)
    average = rounded(excess / len(deltas)) if deltas else 0.0
    return Rank(report.hard_failures, report.soft_warnings, average)


def job_outcome(results: Sequence[CandidateResult]) -> JobOutcome:
    """The winner (best rank, then lowest index, among the done), or why there is none.

    The order of `results` does not matter. Raises `ValueError` for no candidates or one that is not
    finished, `RuntimeError` for a winner without a final output.
    """
    statuses = {result.status for result in results}
    if not statuses or not statuses <= CLOSED_CANDIDATE:
        odd = ", ".join(sorted(statuses - CLOSED_CANDIDATE)) or "no candidate"
        raise ValueError(f"A job is closed when all its candidates are; found {odd}")
    done = [result for result in results if result.status == "done"]
    if done:
        winner = min(done, key=lambda result: (result.rank, result.index))
        if not winner.final_output:
            raise RuntimeError(f"Candidate {winner.index} won without a final output")
        return JobOutcome("done", winner.index, winner.final_output, "")
    if statuses == {"failed_output_guard"}:
        return JobOutcome("failed_output_guard", None, None, "all_candidates_failed_output_guard")
    if statuses == {"canceled"}:
        return JobOutcome("canceled", None, None, "canceled")
    if statuses == {"failed"}:
        return JobOutcome("failed", None, None, "all_candidates_failed")
    if "in_doubt" in statuses:
        return JobOutcome("failed", None, None, "candidate_in_doubt")
    return JobOutcome("failed", None, None, "mixed_candidate_failures")


def run_status(job_statuses: Iterable[str]) -> str:
    """The status of a run of ours: ok, partial, failed or canceled. Only a dry run has planned jobs: ok.

    Raises `ValueError` for a job that is not finished.
    """
    statuses = set(job_statuses)
    if statuses == {"planned"}:
        return "ok"
    if not statuses <= _CLOSED_JOB:
        raise ValueError(f"A run is closed when all its jobs are; found {', '.join(sorted(statuses))}")
    if statuses == {"done"}:
        return "ok"
    if "done" in statuses:
        return "partial"
    return "canceled" if statuses == {"canceled"} else "failed"


def wire_status(status: str) -> str:
    """The run status of the HTTP contract, which has no `partial` for a run with winners and failed jobs."""
    return "failed" if status == "partial" else status


def explain(
    result: CandidateResult,
    winner: CandidateResult | None,
    *,
    threshold: float,
    rivals: Iterable[CandidateResult] = (),
    reasons: Sequence[str] = (),
    error: str = "",
    guarded: bool = True,
    signs: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """One plain sentence for an artist: why this candidate ranks where it does.

    `threshold` is the guard's `max_chroma_delta`, `rivals` are the job's candidates, `reasons` the
    hard failures of this one's guard report, `error` the text of the step that failed, `guarded` is False
    where the guard was off, `signs` what else it found (`engine.signals.signs_told`).
    """
    match result.status:
        case "done" if winner is not None and result.index == winner.index:
            verdict = _verdict(result.rank, threshold, guarded, signs)
            text = f"Chosen: {verdict}{_over_rivals(result, rivals)}"
        case "done":
            verdict = _verdict(result.rank, threshold, guarded, signs)
            text = f"{verdict[0].upper()}{verdict[1:]}{_under_winner(result, winner)}"
        case "failed_output_guard":
            text = f"Rejected by the guard: {_rejection(result.rank, threshold, reasons, signs)}"
        case "failed":
            what = " ".join(error.split()).rstrip(".")
            text = "Failed before the guard could look at it" + (f": {what}" if what else "")
        case "in_doubt":
            text = "It is not known whether the provider made this image: a person must decide"
        case "canceled":
            text = "Canceled before it was finished"
        case _:
            text = "Not finished yet"
    return f"{text}."


def _verdict(rank: Rank, threshold: float, guarded: bool, signs: Mapping[str, str]) -> str:
    if not guarded:
        return "the guard is switched off"
    if not rank.soft_warnings and not rank.hard_failures:
        return "passed the guard with no warning"
    faults = list(signs.values())
    if rank.avg_chroma_exceed or not faults:
        faults.insert(0, _colour_above(rank, threshold))
    return f"{' and '.join(faults)}: {_warnings(rank)}"


def _over_rivals(result: CandidateResult, rivals: Iterable[CandidateResult]) -> str:
    done = [rival for rival in rivals if rival.status == "done" and rival.index != result.index]
    equal = sorted(rival.index for rival in done if rival.rank == result.rank)
    if equal:
        return f"; equal to {_candidates(equal)}, the lower number wins"
    return "; every other candidate ranks lower" if done else ""


def _under_winner(result: CandidateResult, winner: CandidateResult | None) -> str:
    if winner is None:
        return ""
    if winner.rank == result.rank:
        return f"; equal to candidate {winner.index}, which has the lower number"
    if winner.rank.soft_warnings < result.rank.soft_warnings:
        return f"; candidate {winner.index} has {'fewer' if winner.rank.soft_warnings else 'none'}"
    return f"; candidate {winner.index} is closer to grey"


def _rejection(rank: Rank, threshold: float, reasons: Sequence[str], signs: Mapping[str, str]) -> str:
    for unreadable, text in (
        (IMAGE_READ_FAILED, "the file can't be read as an image"),
        (INPUT_NOT_FOUND, "the file is missing"),
        (NO_IMAGES_FOUND, "there is no image to look at"),
        *((code, signs.get(code, CLAUSES[code])) for code in (BLANK, TEXT)),
    ):
        if unreadable in reasons:
            return text
    colour = _colour_above(rank, threshold)
    if NOT_GRAYSCALE_LIKE in reasons:
        return f"{colour} and the panel must be grey"
    if CHROMA_EXCEEDS_THRESHOLD in reasons:
        return f"{colour}, which is set to reject"
    return f"{rank.hard_failures} hard failure{'s' if rank.hard_failures != 1 else ''}"


def _colour_above(rank: Rank, threshold: float) -> str:
    if rank.avg_chroma_exceed < 0.05:
        return f"colour is just above the limit of {_levels(threshold)}"
    return f"colour is {rank.avg_chroma_exceed:.1f} levels above the limit of {_levels(threshold)}"


def _levels(value: float) -> str:
    text = f"{value:.4f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _warnings(rank: Rank) -> str:
    return "one warning" if rank.soft_warnings == 1 else f"{rank.soft_warnings} warnings"


def _candidates(indexes: list[int]) -> str:
    if len(indexes) == 1:
        return f"candidate {indexes[0]}"
    return f"candidates {', '.join(map(str, indexes[:-1]))} and {indexes[-1]}"
