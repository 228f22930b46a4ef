"""Cutting the figure out with a small net on this machine, and a better edge than the net's own.

The net finds the salient object at 320 pixels; GrabCut looks at the colours around its edge, which brings
back what the net lost to a background of like colour; a guided filter lays the edge along the drawing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.tools import nets
from pipeline.tools.base import Pixels, ToolFailed
from pipeline.tools.weights import WEIGHTS, file_hash, lacking

Mask = NDArray[np.uint8]
Matte = NDArray[np.float32]  # (height, width), 0 for background to 1 for the figure

REVISION = 1  # of the steps around the net; raise it whenever the same picture gives another result

# GrabCut looks at the colours at this size (longest side in pixels), whatever the picture's is, so its time
# doesn't grow. At 512 it lost the thin dark outline of a figure before a dark background (the overlap with
# the true mask was 0.954 instead of 0.994), for a saving of 0.3 s.
CUT_SIDE = 1024
SURE_FIGURE, SURE_BACKGROUND = 0.85, 0.12  # of the net's answer
SMALLEST_AREA = 200  # pixels at that size; with less to learn from, GrabCut finds nothing useful
LEAST_ISLAND = 0.02  # of the largest part: smaller ones are specks
LARGEST_HOLE = 0.015  # of the figure: smaller holes inside it are closed
LEAST_FIGURE = 0.002  # of the picture: with less there is no figure

STRIP_PIXELS = 1_000_000  # filtered at a time: bounds the memory at about 250 MB for any picture
WHITE = 255


@dataclass(frozen=True)
class Net:
    """How a family of nets wants its picture, as rembg gives it to them."""

    side: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    sigmoid: bool = False  # its answer still needs one
    coarse: bool = False  # its edges are worth correcting


_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_U2NET = Net(320, _IMAGENET_MEAN, _IMAGENET_DEVIATION, coarse=True)
_ISNET = Net(1024, _IMAGENET_MEAN, (1.0, 1.0, 1.0))
_BIREFNET = Net(1024, _IMAGENET_MEAN, _IMAGENET_DEVIATION, sigmoid=True)

OURS = "u2netp"
NETS: Mapping[str, Net] = MappingProxyType(
    {
        OURS: _U2NET,
        **dict.fromkeys(("u2net", "u2net_human_seg", "silueta"), _U2NET),
        **dict.fromkeys(("isnet-general-use", "isnet-anime"), _ISNET),
        **dict.fromkeys(
            (f"birefnet-{kind}" for kind in ("general", "general-lite", "portrait", "hrsod", "massive")),
            _BIREFNET,
        ),
    }
)


@dataclass(frozen=True)
class Box:
    """A part of a picture: its sides as parts of width and height, from 0 to 1, from the upper left corner.

    Raises `ValueError` for one that is no part of a picture.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(
                "A box lies in its picture, its left side left of its right, its top above its bottom"
            )

    def as_tuple(self) -> tuple[float, float, float, float]:
        """Its four sides."""
        return self.left, self.top, self.right, self.bottom

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """First and last row and column (the last not included) in a picture of this size; never empty."""
        top, left = min(int(self.top * height), height - 1), min(int(self.left * width), width - 1)
        return top, max(top + 1, round(self.bottom * height)), left, max(left + 1, round(self.right * width))


@dataclass(frozen=True)
class Rembg:
    """The backend `rembg`: one of rembg's models if `models` has it, else the one that we fetch."""

    models: Path
    wanted: str
    code: str = "rembg"
    box: "Box | None" = None  # a person's hint where the figure is

    @property
    def model(self) -> str:
        """The model that runs: the wanted one where its file is there and its kind is known."""
        there = self.wanted in NETS and (self.models / f"{self.wanted}.onnx").is_file()
        return self.wanted if there else OURS

    @property
    def version(self) -> str:
        return f"{self.model}/{REVISION}"

    def missing(self) -> str:
        if self.model != OURS:
            return ""
        return lacking([f"{OURS}.onnx"], self.models)

    def parameters(self) -> Mapping[str, object]:
        file = self.models / f"{self.model}.onnx"
        return {
            "model": self.model,
            "wanted_model": self.wanted,
            "sha256": file_hash(file) if file.is_file() else WEIGHTS[f"{OURS}.onnx"].sha256,
            "revision": REVISION,
            **({"box": list(self.box.as_tuple())} if self.box else {}),
            "onnxruntime": version("onnxruntime"),
            "opencv": cv2.__version__,
        }

    def apply(self, pixels: Pixels) -> Pixels:
        """The picture with its matte as alpha; its colours stay as they are, hidden ones too.

        With a box only what is in it is looked at, and all around it becomes clear.
        """
        problem = self.missing()
        if problem:
            raise ToolFailed(problem, code="tool_missing")
        if self.box is None:
            return self._cut_out(pixels)
        # The net looks for what stands out, which in the whole picture may be something else.
        top, bottom, left, right = self.box.pixels(*pixels.shape[:2])
        inside = self._cut_out(np.ascontiguousarray(pixels[top:bottom, left:right]))
        alpha = np.zeros(pixels.shape[:2], np.uint8)
        alpha[top:bottom, left:right] = inside[..., 3]
        return np.dstack([np.ascontiguousarray(pixels[..., :3]), alpha])

    def _cut_out(self, pixels: Pixels) -> Pixels:
        colours = np.ascontiguousarray(pixels[..., :3])
        seen = _on_white(pixels) if pixels.shape[2] == 4 else colours
        net = NETS[self.model]
        saliency = _answered(self.models / f"{self.model}.onnx", net, seen)
        alpha = _cut(seen, saliency) if net.coarse else _enlarged(saliency, seen.shape)
        if np.count_nonzero(alpha > WHITE // 2) < LEAST_FIGURE * alpha.size:
            raise ToolFailed(
                "No figure stands out in the picture: leave the background in, or use another backend",
                code="nothing_found",
            )
        if pixels.shape[2] == 4:
            alpha = np.minimum(alpha, pixels[..., 3])
        return np.dstack([colours, alpha])


def _on_white(pixels: Pixels) -> NDArray[np.uint8]:
    """RGBA laid on white: what lies hidden under transparent parts must not be taken for the figure."""
    alpha = pixels[..., 3:].astype(np.uint16)
    laid = (pixels[..., :3] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE
    return laid.astype(np.uint8)


def _answered(file: Path, net: Net, colours: NDArray[np.uint8]) -> Matte:
    """What the net in `file` says; raises `ToolFailed` for a file that is no such net."""
    try:
        return _saliency(colours, net, nets.session(file))
    except nets.faults() as error:
        raise ToolFailed(
            f"{file} can't be used as a model of its name: replace it, or remove it to use {OURS}",
            code="model_unusable",
        ) from error


def _saliency(colours: NDArray[np.uint8], net: Net, session: Any) -> Matte:
    """The net's answer at its own size, spread over 0 to 1; the mean of the picture and its mirror image."""
    small = _resized(colours, (net.side, net.side), cv2.INTER_AREA).astype(np.float32)
    small /= max(float(small.max()), 1e-6)
    small = np.asarray((small - np.array(net.mean)) / np.array(net.deviation), np.float32)
    planes = small.transpose(2, 0, 1)
    answer = _run(session, planes)
    if net.coarse:
        answer = np.asarray((answer + _run(session, planes[:, :, ::-1])[:, ::-1]) / 2)
    if net.sigmoid:
        answer = np.asarray(1 / (1 + np.exp(-answer)))
    low, high = float(answer.min()), float(answer.max())
    return np.asarray((answer - low) / (high - low + 1e-8), np.float32)


def _run(session: Any, planes: NDArray[np.float32]) -> Matte:
    name = session.get_inputs()[0].name
    answer = session.run(None, {name: np.ascontiguousarray(planes[None], np.float32)})[0]
    return np.asarray(answer[0, 0], np.float32)


def _enlarged(saliency: Matte, shape: tuple[int, ...]) -> Mask:
    """The net's answer as alpha at the picture's size."""
    height, width = shape[:2]
    levels = np.rint(saliency * WHITE).astype(np.uint8)
    return _resized(levels, (width, height), cv2.INTER_LANCZOS4)


def _resized(image: NDArray[Any], size: tuple[int, int], interpolation: int) -> NDArray[Any]:
    """OpenCV's resize; `size` is (width, height)."""
    return np.asarray(cv2.resize(image, size, interpolation=interpolation))


def _cut(colours: NDArray[np.uint8], saliency: Matte) -> Mask:
    """The alpha at the picture's size, with the edge corrected by colour and laid along the drawing."""
    height, width = colours.shape[:2]
    scale = CUT_SIDE / max(height, width)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    guess = _resized(saliency, size, cv2.INTER_LINEAR)
    figure = _by_colour(_resized(colours, size, cv2.INTER_AREA), guess)
    rough = guess if figure is None else figure.astype(np.float32)
    return _along_edges(colours, rough)


def _by_colour(colours: NDArray[np.uint8], guess: Matte) -> Mask | None:
    """0 and 1 by GrabCut, which starts from the net's guess; None where there is too little to learn from."""
    reach = max(3, CUT_SIDE // 64)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    sure = cv2.erode((guess > SURE_FIGURE).astype(np.uint8), kernel)
    never = 1 - cv2.dilate((guess > SURE_BACKGROUND).astype(np.uint8), kernel)
    if sure.sum() < SMALLEST_AREA or never.sum() < SMALLEST_AREA:
        return None
    labels = np.where(guess > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[sure > 0] = cv2.GC_FGD
    labels[never > 0] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # GrabCut's clusters start from OpenCV's random numbers
    unused = np.zeros((1, 65)), np.zeros((1, 65))
    nowhere = (0, 0, 0, 0)  # with labels it needs no rectangle
    bgr = np.ascontiguousarray(colours[..., ::-1])
    cv2.grabCut(bgr, labels, nowhere, *unused, 2, cv2.GC_INIT_WITH_MASK)
    figure = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    return _without_holes(_without_specks(figure))


def _without_specks(figure: Mask) -> Mask:
    n_parts, parts, statistics, _ = cv2.connectedComponentsWithStats(figure)
    if n_parts <= 2:
        return figure
    areas = statistics[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= LEAST_ISLAND * areas.max())
    return np.isin(parts, kept).astype(np.uint8)


def _without_holes(figure: Mask) -> Mask:
    n_parts, parts, statistics, _ = cv2.connectedComponentsWithStats(1 - figure, connectivity=4)
    height, width = figure.shape
    for part in range(1, n_parts):
        left, top, wide, high, area = statistics[part]
        inside = left > 0 and top > 0 and left + wide < width and top + high < height
        if inside and area < LARGEST_HOLE * figure.sum():
            figure[parts == part] = 1
    return figure


def _along_edges(colours: NDArray[np.uint8], rough: Matte) -> Mask:
    """A rough matte of any size, as alpha at the picture's size, its edge where the picture has one."""
    height, width = colours.shape[:2]
    radius = max(3, round(min(height, width) * 0.006))
    # The filter is two box filters one after the other, so this much above and below decides a row.
    margin = 2 * radius
    rows = max(64, STRIP_PIXELS // width)
    alpha = np.empty((height, width), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        start, end = max(0, top - margin), min(height, bottom + margin)
        guide = colours[start:end].astype(np.float32) / WHITE
        strip = _strip_of(rough, start, end, height, width)
        smooth = cv2.ximgproc.guidedFilter(guide, strip, radius, 1e-4)[top - start : bottom - start]
        # Stretched, so that what is nearly background is background and the inside is solid.
        alpha[top:bottom] = np.rint(((smooth - 0.15) / 0.7).clip(0, 1) * WHITE)
    return alpha


def _strip_of(rough: Matte, start: int, end: int, height: int, width: int) -> Matte:
    """Rows `start` to `end` of the rough matte enlarged to the picture's size, without the whole of it."""
    scale_x, scale_y = rough.shape[1] / width, rough.shape[0] / height
    # From the target's pixel centres to the source's, as a resize of the whole would map them.
    mapping = np.array(
        [[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, (start + 0.5) * scale_y - 0.5]], np.float32
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = width, end - start
    strip = cv2.warpAffine(rough, mapping, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(strip.clip(0, 1), np.float32)
