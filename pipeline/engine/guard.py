"""The output guard: how far the last file of a candidate is from grey."""

import math
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.engine.discovery import discover_images
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.signals import NOTHING, Expected, Signal, signals_of

# For the record of what judged a file: changes when the same file would be judged otherwise.
GUARD_CODE, GUARD_VERSION = "chroma", "1"
NOT_GRAYSCALE_LIKE = "not_grayscale_like"
CHROMA_EXCEEDS_THRESHOLD = "chroma_exceeds_threshold"
IMAGE_READ_FAILED = "image_read_failed"
INPUT_NOT_FOUND = "input_not_found"
NO_IMAGES_FOUND = "no_images_found"

# All that Pillow's readers are known to raise for a file that is not what it says.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class FileReport:
    """What the guard says of one file; `chroma_delta` is in levels, rounded, None if it was not read."""

    file: str
    chroma_delta: float | None
    grayscale_like: bool | None
    hard_fail_reasons: tuple[str, ...] = ()
    soft_warnings: tuple[str, ...] = ()
    error: str | None = None
    signals: tuple[Signal, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The entry as it stands in a report and a run log."""
        entry: dict[str, object] = {
            "file": self.file,
            "chroma_delta": self.chroma_delta,
            "grayscale_like": self.grayscale_like,
            "hard_fail_reasons": list(self.hard_fail_reasons),
            "soft_warnings": list(self.soft_warnings),
        }
        if self.signals:
            entry["signals"] = [signal.as_dict() for signal in self.signals]
        return entry if self.error is None else entry | {"error": self.error}


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What the guard says of a file or folder; its three counts are counts of files."""

    input: str
    settings: GuardSettings
    files: tuple[FileReport, ...]

    @property
    def total_files(self) -> int:
        """Files that were looked at; the entry of a missing input or an empty folder is none."""
        pseudo = {INPUT_NOT_FOUND, NO_IMAGES_FOUND}
        return sum(pseudo.isdisjoint(file.hard_fail_reasons) for file in self.files)

    @property
    def hard_failures(self) -> int:
        return sum(bool(file.hard_fail_reasons) for file in self.files)

    @property
    def soft_warnings(self) -> int:
        return sum(bool(file.soft_warnings) for file in self.files)

    def summary(self) -> dict[str, int]:
        """The three counts."""
        return {
            "total_files": self.total_files,
            "hard_failures": self.hard_failures,
            "soft_warnings": self.soft_warnings,
        }

    def as_dict(self) -> dict[str, object]:
        """The report as the guard command prints it."""
        settings = self.settings.as_dict()
        del settings["enabled"]
        return {
            "input": self.input,
            "settings": settings,
            "summary": self.summary(),
            "files": [file.as_dict() for file in self.files],
        }


def rounded(value: float) -> float:
    """`value` at four decimals, half away from zero."""
    size = math.floor(abs(value) * 10000 + 0.5) / 10000
    return math.copysign(size, value) if size else 0.0


def chroma_delta(rgb: NDArray[np.uint8]) -> float:
    """The mean of |R−G|, |R−B| and |G−B| over all pixels, in levels from 0 to 170.

    `rgb` is (height, width, 3), uint8, sRGB. Exact: the sums are whole numbers. Raises `ValueError`
    for another shape or type.
    """
    _check_rgb(rgb)
    red, green, blue = cv2.split(np.ascontiguousarray(rgb))
    total = (
        cv2.norm(red, green, cv2.NORM_L1)
        + cv2.norm(red, blue, cv2.NORM_L1)
        + cv2.norm(green, blue, cv2.NORM_L1)
    )
    return total / (3 * red.size)


def inspect_pixels(
    pixels: NDArray[np.uint8], *, file: str, settings: GuardSettings, expected: Expected = NOTHING
) -> GuardReport:
    """Judge one decoded image, (height, width, 3 or 4) uint8 sRGB; `file` is the path to be reported.

    Alpha is dropped, so that the hidden colour of clear pixels counts, unless the settings ignore it. Raises
    what `expected.read` raises.
    """
    return GuardReport(file, settings, (_judged(pixels, file, settings, expected),))


def inspect_path(
    path: Path,
    *,
    settings: GuardSettings,
    watch: Callable[[list[Path]], Iterable[Path]] = iter,
    expected: Expected = NOTHING,
) -> GuardReport:
    """Judge a file, or every image of a folder; what is missing or unreadable is a hard failure.

    `watch` gets the images and hands them out one by one, so that it sees how far the work is.
    Raises `PlanningError` for a folder that can't be read.
    """
    name = path.as_posix()
    if not path.exists():
        return GuardReport(name, settings, (_unjudged(name, INPUT_NOT_FOUND),))
    files = tuple(_inspected(image, settings, expected) for image in watch(discover_images(path)))
    return GuardReport(name, settings, files or (_unjudged(name, NO_IMAGES_FOUND),))


def _inspected(path: Path, settings: GuardSettings, expected: Expected) -> FileReport:
    name = path.as_posix()
    try:
        with Image.open(path) as image:
            clear = settings.ignore_transparent and image.has_transparency_data
            pixels: NDArray[np.uint8] = np.asarray(image.convert("RGBA" if clear else "RGB"), dtype=np.uint8)
        _check_rgb(pixels[..., :3])
    except _UNREADABLE as error:
        return _unjudged(name, IMAGE_READ_FAILED, str(error) or type(error).__name__)
    return _judged(pixels, name, settings, expected)


def _judged(pixels: NDArray[np.uint8], file: str, settings: GuardSettings, expected: Expected) -> FileReport:
    rgb = pixels[..., :3]
    if settings.ignore_transparent and pixels.shape[2] == 4:
        seen = pixels[..., 3] > 0
        delta = chroma_delta(rgb[seen][None]) if seen.any() else 0.0
        rgb = np.where(seen[..., None], rgb, np.uint8(255))  # what is hidden is no sign of anything
    else:
        delta = chroma_delta(rgb)  # compared before rounding
    is_grey = delta <= max(0.0, settings.max_chroma_delta)
    hard: list[str] = []
    soft: list[str] = []
    if not is_grey:
        if settings.enforce_grayscale:
            hard.append(NOT_GRAYSCALE_LIKE)
        (hard if settings.fail_on_chroma_exceed else soft).append(CHROMA_EXCEEDS_THRESHOLD)
    signals = signals_of(rgb, settings.signals, replace(expected, min_side=settings.min_side))
    for signal in signals:
        if signal.is_flagged:
            (hard if signal.is_hard else soft).append(signal.code)
    return FileReport(file, rounded(delta), is_grey, tuple(hard), tuple(soft), signals=signals)


def _unjudged(file: str, reason: str, error: str | None = None) -> FileReport:
    return FileReport(file, None, None, (reason,), (), error)


def _check_rgb(rgb: NDArray[Any]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"An image must be (height, width, 3) uint8, not {rgb.shape} {rgb.dtype}")
