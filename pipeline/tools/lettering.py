"""Reading what is written in a picture, by the two nets of PP-OCRv4 on this machine.

The first finds lines of lettering, the second reads each. Made for photographs of print: drawn lettering is
found as well, and hatching or windows are found now and then, which the second net then reads with little
certainty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engine.signals import Word
from pipeline.tools import nets
from pipeline.tools.base import ToolFailed
from pipeline.tools.weights import lacking

FIND, READ = "ocr_det.onnx", "ocr_rec.onnx"
FILES = (FIND, READ)
LEAST_SIDE = 736  # the shorter side at which lettering is looked for, in pixels; the nets were trained so
MOST_SIDE = 1024  # of the longer one: bounds the time and the memory for any picture
_STEP = 32  # both sides must be a multiple of it
# Of the finding net's answer, as PP-OCR uses it: what counts as lettering, how sure a line must be, and by
# how much a line is larger than its core, which is all that the net marks.
_MARKED, _SURE, _GROWN = 0.3, 0.5, 1.6
_LINE = 48  # height at which a line is read, in pixels
_LEAST_WIDTH = 320  # of the picture of a line; shorter ones are filled up

Quad = NDArray[np.float32]  # (4, 2): the corners of a line, from the upper left one with the clock
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Reader:
    """The two nets in the folder `models`."""

    models: Path

    def missing(self) -> str:
        """What stands against using it and how to get it, one sentence; empty when it can run."""
        return lacking(FILES, self.models)

    def read(self, pixels: Pixels) -> list[Word]:
        """All that is written in (height, width, 3) uint8 sRGB.

        Raises `ToolFailed` for nets that can't be run.
        """
        faults: tuple[type[Exception], ...] = (OSError, *nets.faults())
        try:
            found = [_read(pixels, quad, nets.session(self.models / READ)) for quad in self._lines(pixels)]
        except faults as error:
            raise ToolFailed(
                f"The model files {FIND} and {READ} in {self.models} can't be used: `manage.py models fetch` "
                "gets them anew",
                code="model_unusable",
            ) from error
        return [word for word in found if word is not None]

    def _lines(self, pixels: Pixels) -> list[Quad]:
        """The corners of each line of lettering, in pixels of the picture."""
        height, width = pixels.shape[:2]
        scale = min(max(1.0, LEAST_SIDE / min(height, width)), MOST_SIDE / max(height, width))
        size = tuple(max(_STEP, round(side * scale / _STEP) * _STEP) for side in (width, height))
        small = cv2.resize(pixels, (size[0], size[1]), interpolation=cv2.INTER_AREA if scale < 1 else 1)
        marks = _run(nets.session(self.models / FIND), _planes(np.asarray(small, np.uint8)))[0, 0]
        mask = cv2.dilate((marks > _MARKED).astype(np.uint8), np.ones((2, 2), np.uint8))
        contours = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
        back = np.array([width / size[0], height / size[1]], np.float32)
        return [quad * back for contour in contours if (quad := _line(contour, marks)) is not None]


def _line(contour: Any, marks: NDArray[np.float32]) -> Quad | None:
    """The corners of a line around its marked core; None for what is no line."""
    (middle_x, middle_y), (width, height), angle = cv2.minAreaRect(contour)
    if min(width, height) < 3:
        return None
    core = np.zeros(marks.shape, np.uint8)
    cv2.fillPoly(core, [cv2.boxPoints(((middle_x, middle_y), (width, height), angle)).astype(np.int32)], 1)
    if float(marks[core > 0].mean() if core.any() else 0) < _SURE:
        return None
    grown = width * height * _GROWN / (2 * (width + height))
    corners = cv2.boxPoints(((middle_x, middle_y), (width + 2 * grown, height + 2 * grown), angle))
    return _ordered(np.asarray(corners, np.float32))


def _ordered(corners: Quad) -> Quad:
    """Upper left, upper right, lower right, lower left."""
    by_x = corners[np.argsort(corners[:, 0])]
    left, right = by_x[:2], by_x[2:]
    upper_left, lower_left = left[np.argsort(left[:, 1])]
    upper_right, lower_right = right[np.argsort(right[:, 1])]
    return np.array([upper_left, upper_right, lower_right, lower_left], np.float32)


def _read(pixels: Pixels, quad: Quad, net: Any) -> Word | None:
    """What one line says; None where it says nothing."""
    line = _straightened(pixels, quad)
    if line is None:
        return None
    width = max(16, math.ceil(_LINE * line.shape[1] / line.shape[0]))
    planes = np.zeros((1, 3, _LINE, max(_LEAST_WIDTH, width)), np.float32)
    planes[..., :width] = _planes(np.asarray(cv2.resize(line, (width, _LINE)), np.uint8))
    chances = _run(net, planes)[0]
    # The net says a character, or nothing, for each strip of the line; the same one twice in a row is one.
    best = chances.argmax(axis=1)
    said = (best > 0) & np.append(True, best[1:] != best[:-1])
    if not said.any():
        return None
    letters = _letters(net)
    text = "".join(letters[index] for index in best[said]).strip()
    left, top = np.floor(quad.min(axis=0)).clip(0)
    right, bottom = np.ceil(quad.max(axis=0)).clip(0, (pixels.shape[1], pixels.shape[0]))
    box = (int(left), int(top), int(right - left), int(bottom - top))
    return Word(text, float(chances.max(axis=1)[said].mean()), box) if text else None


def _straightened(pixels: Pixels, quad: Quad) -> Pixels | None:
    """The picture of a line, lying; None for one of no size."""
    upper_left, upper_right, lower_right, lower_left = quad
    width = int(max(np.linalg.norm(upper_right - upper_left), np.linalg.norm(lower_right - lower_left)))
    height = int(max(np.linalg.norm(lower_left - upper_left), np.linalg.norm(lower_right - upper_right)))
    if min(width, height) < 4:
        return None
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    line = cv2.warpPerspective(
        pixels,
        cv2.getPerspectiveTransform(quad, flat),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    upright = np.rot90(line) if height >= 1.5 * width else line
    return np.ascontiguousarray(upright, np.uint8)


def _letters(net: Any) -> Sequence[str]:
    """The characters that the reading net knows, by number: 0 is nothing, the last one a space."""
    return ["", *net.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]


def _planes(pixels: Pixels) -> NDArray[np.float32]:
    """(1, 3, height, width) from -1 to 1, blue first, as the nets want it."""
    levels = pixels[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    return np.ascontiguousarray(levels / np.float32(127.5) - 1)


def _run(net: Any, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(net.run(None, {net.get_inputs()[0].name: planes})[0], np.float32)
