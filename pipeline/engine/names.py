"""What jobs, files and folders are called. All paths are posix and relative to the project root."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.engine.errors import PlanningError
from pipeline.engine.postprocess import PostprocessPlan

STAGES = ("style", "time", "weather")
TIMES = ("day", "night")
WEATHERS = ("clear", "rain")
# How closely a provider looks at the input images, where it offers a choice; low costs fewer tokens.
FIDELITIES = ("high", "low")

OUTPUTS = "outputs"
RUNS = "runs"
BACKGROUND_REMOVED = "background_removed"
UPSCALED = "upscaled"
COLOUR_CORRECTED = "color_corrected"
ARCHIVE_BAD = "archive/bad"
ARCHIVE_REPLACED = "archive/replaced"
EXPORTS = "exports"
INTERNAL = ".kroma"

# `_` is not among the characters kept, so that runs of it collapse too.
_NOT_IN_A_JOB_ID = re.compile(r"[^A-Za-z0-9-]+")
_NOT_IN_A_FILE_NAME = re.compile(r"[^a-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class CandidateNames:
    """The files of one candidate in the order of the chain; None where a step is off."""

    generated: str
    background_removed: str | None
    upscaled: str | None
    colour_corrected: str | None

    @property
    def final(self) -> str:
        """The last file of the chain."""
        return self.colour_corrected or self.upscaled or self.background_removed or self.generated


def job_id(stage: str, position: int, scene: str) -> str:
    """`<stage>_<position>_<suffix>`, the suffix from the scene's file name; `position` counts from 1."""
    stem, _ = _stem_and_extension(_last_segment(scene))
    suffix = _NOT_IN_A_JOB_ID.sub("_", stem).strip("_").lower()
    return f"{stage}_{position}_{suffix or position}"


def sanitised(text: str, *, empty: str = "image") -> str:
    """`text` as a part of a file name: `a-z 0-9 _ -`, its own underscores kept; `empty` if nothing stays."""
    return _NOT_IN_A_FILE_NAME.sub("_", text.lower()).strip("_") or empty


def candidate_names(job_id: str, *, index: int, total: int, postprocess: PostprocessPlan) -> CandidateNames:
    """Name every file of candidate `index` (from 1) of `total`. Raises `PlanningError`."""
    if not 1 <= index <= total:
        raise PlanningError(
            f"Candidate {index} of {total} of job '{job_id}' does not exist; candidates count from 1"
        )
    stem = job_id if total == 1 else f"{job_id}__c{index}"
    generated = f"{OUTPUTS}/{stem}.png"
    background_removed = upscaled = colour_corrected = None
    if postprocess.bg_remove:
        stem = f"{sanitised(stem)}_nobg"
        background_removed = f"{BACKGROUND_REMOVED}/{stem}.{postprocess.bg_remove_format}"
    if postprocess.upscale:
        stem = f"{sanitised(stem)}_x{postprocess.upscale_scale}"
        upscaled = f"{UPSCALED}/{stem}.{postprocess.upscale_format}"
    if postprocess.color:
        # A profile of signs only leaves its underscore behind: `!!!` on `a.png` gives `a_.png`.
        profile = sanitised(postprocess.color_profile or "", empty="")
        colour_corrected = f"{COLOUR_CORRECTED}/{sanitised(stem)}_{profile}.png"
    return CandidateNames(generated, background_removed, upscaled, colour_corrected)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, cut to milliseconds, with `Z`. `moment` must be aware, else `ValueError`."""
    if moment.utcoffset() is None:
        raise ValueError(f"A moment needs a time zone: {moment!r}")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def stamp(moment: datetime) -> str:
    """`timestamp()` as a part of a file name: `2026-05-04T21-07-52-118Z`."""
    return timestamp(moment).replace(":", "-").replace(".", "-")


def replaced_name(filename: str, moment: datetime) -> str:
    """What a file is called in `archive/replaced` that gave way to a newer one (name only)."""
    return _archived_name(filename, "replaced", moment)


def bad_name(filename: str, moment: datetime) -> str:
    """What a file is called in `archive/bad` that the guard rejected (name only)."""
    return _archived_name(filename, "bad", moment)


def run_log_name(moment: datetime) -> str:
    """Where the log of the run started at `moment` goes."""
    return f"{RUNS}/run_{stamp(moment)}.json"


def numbered(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or with -2, -3 … before its extension until it is not `taken`. A folder in front is kept."""
    folder, slash, filename = name.rpartition("/")
    stem, extension = _stem_and_extension(filename)
    number, free = 1, name
    while taken(free):
        number += 1
        free = f"{folder}{slash}{stem}-{number}{extension}"
    return free


def _archived_name(filename: str, reason: str, moment: datetime) -> str:
    stem, extension = _stem_and_extension(_last_segment(filename))
    return f"{sanitised(stem, empty='file')}_{reason}_{stamp(moment)}{extension}"


def _last_segment(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _stem_and_extension(filename: str) -> tuple[str, str]:
    # Path.suffix would differ by Python version for a name that ends with a dot.
    dot = filename.rfind(".")
    return (filename[:dot], filename[dot:]) if dot > 0 else (filename, "")
