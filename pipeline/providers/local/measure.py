"""The hand of a style reference, in numbers: how it draws lines, shades, and chooses colours."""

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.providers.local.raster import Pixels, Plane, disc, lightness, to_float

# Lengths are measured at this longest side and kept as shares of it, so that a reference of any
# size says the same.
MEASURE_SIDE = 768
# A dark stroke is narrower than this share of the longest side and at least this much darker (CIE L
# 0..1) than the ground that it lies on.
_STROKE_SHARE = 0.014
_STROKE_DEPTH = 0.14
_LATTICE = 64


@dataclass(frozen=True)
class Traits:
    """What is measured from a reference. Shares are 0..1 of its area, lightness is CIE L 0..1."""

    line_share: float  # covered by outlines and other single strokes
    line_width: float  # share of the longest side
    line_depth: float  # how much darker strokes are than their ground
    hatch_share: float  # covered by strokes that lie close together
    hatch_pitch: float  # distance of those strokes, share of the longest side
    hatch_angle: float  # their main direction, degrees 0..180
    cross: float  # 0..1: how much a second direction crosses the first
    flatness: float  # without any gradient, strokes taken away
    tones: float  # how many lightnesses are really used
    blacks: float  # covered by solid black
    chroma: float  # mean CIE chroma
    contrast: float  # between the dark and the light end
    grain: float  # fine unevenness of what is not a stroke
    ink: tuple[float, float, float]  # CIE Lab of the darkest marks


@dataclass(frozen=True)
class Reference:
    """One measured style reference; `palette` is (n, 3) CIE Lab of its ground without strokes."""

    traits: Traits
    palette: NDArray[np.float32]


# The hand without any reference: a confident pen, some shading, five tones.
DEFAULT_TRAITS = Traits(
    line_share=0.05,
    line_width=0.0028,
    line_depth=0.6,
    hatch_share=0.16,
    hatch_pitch=0.0075,
    hatch_angle=45.0,
    cross=0.35,
    flatness=0.7,
    tones=5.0,
    blacks=0.06,
    chroma=22.0,
    contrast=0.85,
    grain=0.004,
    ink=(9.0, 0.0, -4.0),
)


def measure(pixels: Pixels) -> Reference:
    """Measure one reference, (height, width, 3) uint8 sRGB."""
    height, width = pixels.shape[:2]
    scale = min(1.0, MEASURE_SIDE / max(height, width))
    if scale < 1:
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    side = float(max(pixels.shape[:2]))
    element = disc(max(2, round(side * _STROKE_SHARE / 2)))
    # Closing fills dark strokes with the ground around them.
    ground = np.asarray(cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, element), np.uint8)
    light = lightness(to_float(pixels))
    lab = np.asarray(cv2.cvtColor(to_float(ground), cv2.COLOR_RGB2LAB), np.float32)
    ground_light = np.asarray(lab[..., 0] * 0.01, np.float32)
    depth = ground_light - light
    strokes = depth > _STROKE_DEPTH
    window = max(9, int(side * 0.035))
    crossings = _crossings(strokes, window)
    # More than a single stroke through the window, or a corner of one, can give.
    hatched = crossings > max(0.15, 2.6 / window)
    single = strokes & ~hatched
    angle, cross = _directions(light, hatched)
    low, high = np.percentile(light, [1, 99])
    traits = Traits(
        line_share=float(single.mean()),
        line_width=_stroke_width(single) / side,
        line_depth=float(depth[strokes].mean()) if strokes.any() else 0.0,
        hatch_share=float(hatched.mean()),
        hatch_pitch=2.0 / float(crossings[hatched].mean()) / side if hatched.any() else 0.0075,
        hatch_angle=angle,
        cross=cross,
        flatness=_flatness(ground_light),
        tones=_tones(ground_light),
        blacks=float((ground_light < 0.2).mean()),
        chroma=float(np.hypot(lab[..., 1], lab[..., 2]).mean()),
        contrast=float(high - low),
        grain=_grain(light, strokes),
        ink=_mean_lab(pixels, light <= np.percentile(light, 2)),
    )
    return Reference(traits, _spread(lab))


def mix(traits: list[Traits], weights: list[float]) -> Traits:
    """The weighted mean of several hands; the direction of hatching is the heaviest one's."""
    heaviest = traits[int(np.argmax(weights))]
    mixed: dict[str, Any] = {}
    for item in fields(Traits):
        values = np.array([getattr(one, item.name) for one in traits], np.float64)
        mean = np.tensordot(np.array(weights, np.float64), values, axes=1)
        mixed[item.name] = tuple(mean.tolist()) if mean.ndim else float(mean)
    mixed["hatch_angle"] = heaviest.hatch_angle
    return Traits(**mixed)


def _crossings(strokes: NDArray[np.bool_], window: int) -> Plane:
    """How many edges of strokes a step of one pixel meets, averaged around each pixel.

    One outline gives 2 a window, hatching gives 2 a pitch. pi / 4 averages out the direction.
    """
    marks = strokes.astype(np.float32)
    edges = np.zeros_like(marks)
    edges[:, 1:] += np.abs(np.diff(marks, axis=1))
    edges[1:, :] += np.abs(np.diff(marks, axis=0))
    mean = cv2.blur(edges, (window, window), borderType=cv2.BORDER_REFLECT)
    return np.asarray(mean * np.float32(np.pi / 4), np.float32)


def _stroke_width(strokes: NDArray[np.bool_]) -> float:
    """Twice the area over the length of the border, in pixels."""
    marks = strokes.astype(np.int8)
    border = np.abs(np.diff(marks, axis=1)).sum() + np.abs(np.diff(marks, axis=0)).sum()
    return float(2 * strokes.sum() / (border * np.pi / 4)) if border else 0.0


def _directions(light: Plane, where: NDArray[np.bool_]) -> tuple[float, float]:
    """The main direction of strokes in degrees, and how strongly the one across it is used."""
    dx = np.asarray(cv2.Sobel(light, cv2.CV_32F, 1, 0), np.float32)[where]
    dy = np.asarray(cv2.Sobel(light, cv2.CV_32F, 0, 1), np.float32)[where]
    if dx.size < 64:
        return 45.0, 0.3
    along = (np.degrees(np.arctan2(dy, dx)) + 90.0) % 180.0
    votes, _ = np.histogram(along, bins=18, range=(0, 180), weights=np.hypot(dx, dy))
    votes = votes + np.roll(votes, 1) + np.roll(votes, -1)
    best = int(np.argmax(votes))
    across = max(float(votes[(best + turn) % 18]) for turn in range(5, 14))
    return best * 10.0 + 5.0, min(1.0, across / float(votes[best]))


def _flatness(ground: Plane) -> float:
    soft = np.asarray(cv2.GaussianBlur(ground, (0, 0), 1.2), np.float32)
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)
    return float((cv2.magnitude(dx, dy) < 0.0015).mean())


def _tones(ground: Plane) -> float:
    """The effective number of tones: exp of the entropy of the lightness in 24 steps."""
    votes, _ = np.histogram(ground, bins=24, range=(0, 1))
    share = votes[votes > 0] / votes.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _grain(light: Plane, strokes: NDArray[np.bool_]) -> float:
    rest = np.abs(light - np.asarray(cv2.GaussianBlur(light, (0, 0), 1.5), np.float32))
    calm = cv2.dilate(strokes.astype(np.uint8), disc(2)) == 0
    return float(np.median(rest[calm])) * 1.48 if calm.any() else 0.0


def _mean_lab(pixels: Pixels, where: NDArray[np.bool_]) -> tuple[float, float, float]:
    mean = (pixels[where].astype(np.float32).mean(axis=0) / 255).reshape(1, 1, 3).astype(np.float32)
    light, green_red, blue_yellow = cv2.cvtColor(mean, cv2.COLOR_RGB2LAB).reshape(3).tolist()
    return float(light), float(green_red), float(blue_yellow)


def _spread(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples on an even lattice, as many from each reference, so that references weigh alike."""
    lattice = cv2.resize(lab, (_LATTICE, _LATTICE), interpolation=cv2.INTER_NEAREST)
    return np.asarray(lattice, np.float32).reshape(-1, 3)
