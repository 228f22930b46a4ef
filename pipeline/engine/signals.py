"""Signs that a picture is not what it should be, made for drawn art. Looked for if asked.

Blank, blurred, noisy and blocky are in the pixels; lettering has to be read, and whether a picture is too
small or of another shape depends on what was expected of it.

Drawings have flat areas and hard edges, so that each sign has a plain meaning there: noise is what flat areas
should not have, blur is what hard edges should not have. The thresholds lie between what was measured on the
drawings of the tests and the example universe as they are, and after a blur of 3 pixels, noise of 6 levels
and JPEG of quality 20: softness 0.30-0.69 and 0.75-0.94, grain 0-2.2 and 3.0-10, blocks up to 1.16 and, in
shaded pictures, 1.5-3.6. Pure ink on paper shows its blocks too faintly to be told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

BLANK, BLURRED, NOISY, BLOCKY = "blank", "blurred", "noisy", "blocky"
TEXT, SMALL, SHAPE = "text", "small", "shape"
LIKELY_TEXT, SURE_TEXT = 0.7, 0.9  # certainty of the reader, for a warning and for a fault
LEAST_LETTERS = 3  # letters and digits; less is read into strokes and hatching
STRETCHED = 0.02  # by how much the proportions may differ: rounding to whole pixels makes up to 0.01
LONGEST_SIDE = 1024  # pixels that are looked at; only blockiness needs the picture as it is
CELL = 64  # side of the parts of a picture of which the worst one is shown
BLOCK = 8  # of JPEG and its relatives
FAINTEST_EDGE = 2.0  # levels a pixel: what is weaker is no edge
LARGEST_STEP = 8.0  # levels between two pixels that a block may make: more is an edge of the drawing

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, width, height in pixels of the picture


@dataclass(frozen=True, slots=True)
class Word:
    """Lettering that was read in a picture; `certainty` runs from 0 to 1."""

    text: str
    certainty: float
    box: Box


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a picture besides its pixels. Without it, the signs that need it are not looked for.

    `size` is (width, height) of what it was made from in pixels, `min_side` the least length of its shorter
    side, `read` finds the lettering in (height, width, 3) uint8 sRGB.
    """

    size: tuple[int, int] | None = None
    min_side: int = 0
    read: Callable[[NDArray[np.uint8]], Sequence[Word]] | None = None


NOTHING = Expected()

CLAUSES: Mapping[str, str] = {
    BLANK: "the picture is blank",
    BLURRED: "the picture is blurred",
    NOISY: "the picture is grainy",
    BLOCKY: "the picture shows the blocks of its compression",
    TEXT: "there is lettering in the picture",
    SMALL: "the picture is too small",
    SHAPE: "the picture has other proportions than its scene",
}


@dataclass(frozen=True, slots=True)
class Signal:
    """One sign: its value, the threshold from which it counts, and where it is worst (None: all over).

    With `below` it counts under the threshold. `evidence` is what was read.
    """

    code: str
    value: float
    threshold: float
    box: Box | None = None
    below: bool = False
    evidence: str = ""

    @property
    def is_flagged(self) -> bool:
        """Whether the picture has it."""
        return self.value < self.threshold if self.below else self.value >= self.threshold

    @property
    def is_hard(self) -> bool:
        """Whether a picture that has it is refused: of the others a person decides."""
        return self.is_flagged and (self.code == BLANK or (self.code == TEXT and self.value >= SURE_TEXT))

    def as_dict(self) -> dict[str, object]:
        """The entry as it stands in a report and a run log."""
        return {
            "code": self.code,
            "value": self.value,
            "threshold": self.threshold,
            "flagged": self.is_flagged,
            "box": list(self.box) if self.box else None,
            **({"evidence": self.evidence} if self.evidence else {}),
        }


def signs_told(block: Mapping[str, object]) -> dict[str, str]:
    """The flagged signs of an `output_guard` block, by their codes, each as a clause with what was read.

    The block may come from a log of elsewhere: what has another form in it is passed over.
    """
    files = block.get("files")
    found: dict[str, str] = {}
    for file in files if isinstance(files, list) else ():
        signals = file.get("signals") if isinstance(file, dict) else None
        for signal in signals if isinstance(signals, list) else ():
            code = signal.get("code") if isinstance(signal, dict) else None
            if isinstance(code, str) and code in CLAUSES and signal.get("flagged") is True:
                evidence = signal.get("evidence")
                found[code] = CLAUSES[code] + (f", “{evidence}”" if evidence else "")
    return found


def signals_of(
    rgb: NDArray[np.uint8], wanted: Sequence[str], expected: Expected = NOTHING
) -> tuple[Signal, ...]:
    """The wanted signs of a picture, (height, width, 3) uint8 sRGB, flagged or not.

    Raises `KeyError` for a sign that there is not, and what `expected.read` raises.
    """
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.uint8)
    found = (
        _SIGNS[code](grey) if code in _SIGNS else _SIGNS_OF_EXPECTED[code](rgb, expected) for code in wanted
    )
    return tuple(signal for signal in found if signal is not None)


def _blank(grey: Grey) -> Signal:
    """The share of pixels within 6 levels of the commonest one."""
    counts = np.bincount(grey.ravel(), minlength=256)
    common = int(counts.argmax())
    near = counts[max(0, common - 6) : common + 7].sum()
    return Signal(BLANK, _rounded(near / grey.size), 0.998)


def _blurred(grey: Grey) -> Signal:
    """How much of the strongest edges a blur of 2 pixels leaves: little of sharp ones, most of soft ones."""
    small = _reduced(grey).astype(np.float32)
    edges = _edges(small)
    strongest = float(np.percentile(edges, 99.5))
    if strongest < FAINTEST_EDGE:
        return Signal(BLURRED, 0.0, 0.72)
    left = float(np.percentile(_edges(np.asarray(cv2.GaussianBlur(small, (0, 0), 2.0), np.float32)), 99.5))
    return Signal(BLURRED, _rounded(left / strongest), 0.72)


def _noisy(grey: Grey) -> Signal:
    """The deviation of fine grain in levels, by the median over the picture (Immerkær's mask, 1996)."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    grain = np.abs(cv2.filter2D(grey.astype(np.float32), -1, mask))[1:-1, 1:-1]
    if grain.size == 0:
        return Signal(NOISY, 0.0, 2.7)
    value = float(np.median(grain)) / (6 * 0.6745)
    return Signal(NOISY, _rounded(value), 2.7, _worst(grain, np.median) if value >= 2.7 else None)


def _blocky(grey: Grey) -> Signal:
    """How much larger steps are on the lines of a grid of 8 than between them; real edges are left out."""
    ratios = []
    worst: Box | None = None
    for axis in (0, 1):
        steps = np.abs(np.diff(grey.astype(np.float32), axis=axis))
        steps = np.minimum(steps, LARGEST_STEP)
        lines = steps.take(range(BLOCK - 1, steps.shape[axis], BLOCK), axis=axis)
        between = steps.take([n for n in range(steps.shape[axis]) if n % BLOCK != BLOCK - 1], axis=axis)
        if lines.size and between.size:
            # A floor of a tenth of a level: in a picture of flat areas nothing is nothing.
            ratios.append(float(lines.mean() + 0.1) / float(between.mean() + 0.1))
            if axis == 0 and ratios[-1] >= 1.6:
                worst = _worst(steps, np.mean)
    return Signal(BLOCKY, _rounded(min(ratios, default=0.0)), 1.6, worst if len(ratios) == 2 else None)


def _text(rgb: NDArray[np.uint8], expected: Expected) -> Signal | None:
    """How certain the most certain lettering is, what it says and where it stands."""
    if expected.read is None:
        return None
    words = [word for word in expected.read(rgb) if sum(map(str.isalnum, word.text)) >= LEAST_LETTERS]
    if not words:
        return Signal(TEXT, 0.0, LIKELY_TEXT)
    best = max(words, key=lambda word: word.certainty)
    return Signal(TEXT, _rounded(best.certainty), LIKELY_TEXT, best.box, evidence=best.text)


def _small(rgb: NDArray[np.uint8], expected: Expected) -> Signal | None:
    """The shorter side in pixels."""
    if not expected.min_side:
        return None
    return Signal(SMALL, float(min(rgb.shape[:2])), float(expected.min_side), below=True)


def _shape(rgb: NDArray[np.uint8], expected: Expected) -> Signal | None:
    """By which share the proportions differ from those of what the picture was made from."""
    if expected.size is None:
        return None
    height, width = rgb.shape[:2]
    ratio = (width / height) / (expected.size[0] / expected.size[1])
    return Signal(SHAPE, _rounded(max(ratio, 1 / ratio) - 1), STRETCHED)


_SIGNS: Mapping[str, Callable[[Grey], Signal]] = MappingProxyType(
    {BLANK: _blank, BLURRED: _blurred, NOISY: _noisy, BLOCKY: _blocky}
)
_SIGNS_OF_EXPECTED: Mapping[str, Callable[[NDArray[np.uint8], Expected], Signal | None]] = MappingProxyType(
    {SMALL: _small, SHAPE: _shape, TEXT: _text}
)
PIXEL_SIGNS = tuple(_SIGNS)
SIGNS = (*PIXEL_SIGNS, *_SIGNS_OF_EXPECTED)


def _reduced(grey: Grey) -> Grey:
    scale = LONGEST_SIDE / max(grey.shape)
    if scale >= 1:
        return grey
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, scale=0.125) for way in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, down), np.float32)


def _worst(values: NDArray[np.float32], summed: Callable[[NDArray[np.float32]], object]) -> Box:
    """The part of a picture in which the values are largest."""
    height, width = values.shape
    best, box = -1.0, (0, 0, width, height)
    for top in range(0, height, CELL):
        for left in range(0, width, CELL):
            part = values[top : top + CELL, left : left + CELL]
            value = float(summed(part))  # type: ignore[arg-type]
            if value > best:
                best, box = value, (left, top, part.shape[1], part.shape[0])
    return box


def _rounded(value: float) -> float:
    return round(float(value), 4)
