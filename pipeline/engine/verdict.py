"""The last file of a candidate, judged: its status, its rank and what the guard saw."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.engine.guard import GuardReport, inspect_pixels
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.ranking import Rank, rank_of
from pipeline.engine.signals import NOTHING, Expected


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a candidate: `done` or `failed_output_guard`. No report where the guard is off."""

    status: str
    rank: Rank
    report: GuardReport | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether the guard refuses the file."""
        return self.rank.hard_failures > 0

    @property
    def reasons(self) -> list[str]:
        """The hard failures, as a run log names them."""
        files = self.report.files if self.report else ()
        return [reason for file in files for reason in file.hard_fail_reasons]


def judged(
    pixels: NDArray[np.uint8] | NDArray[Any],
    *,
    file: str,
    settings: GuardSettings,
    expected: Expected = NOTHING,
) -> Verdict:
    """Judge a picture of `(height, width, 3 or 4)`, uint8, sRGB; `file` is what the report calls it.

    Raises what `expected.read` raises.
    """
    if not settings.enabled:
        return Verdict("done", Rank.ZERO)
    report = inspect_pixels(pixels, file=file, settings=settings, expected=expected)
    rank = rank_of(report, settings.max_chroma_delta)
    return Verdict("failed_output_guard" if rank.hard_failures else "done", rank, report)
