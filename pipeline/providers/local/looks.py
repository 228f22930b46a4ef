"""How a scene becomes a drawing: painted shapes, a palette, ink lines, solid blacks, hatching."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipeline.providers.local.raster import (
    Colour,
    Pixels,
    Plane,
    blur,
    disc,
    grid,
    noise,
    ramp,
    sample,
    to_bytes,
    to_float,
)

_LUT_SIDE = 33
# Passes of a 1-2-1 mean over the table: a reach of about 3 nodes, 25 levels of 255.
_SMOOTHING = 20


def wobble(pixels: Pixels, rng: np.random.Generator, *, reach: float, cell: float) -> Pixels:
    """Redraw every contour a little off, as a hand does: at most about `reach` pixels."""
    height, width = pixels.shape[:2]
    x, y = grid((height, width))
    x += noise(rng, (height, width), cell) * np.float32(reach / 2)
    y += noise(rng, (height, width), cell) * np.float32(reach / 2)
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def paint(colour: Colour, *, reach: float, floor: float, sharpness: float = 8.0) -> Colour:
    """Brush strokes: each pixel takes the mean of those of eight neighbourhoods that are even.

    A generalised Kuwahara filter (Papari, Petkov and Campisi 2007) on Gaussian discs: it flattens
    texture and keeps corners and edges, without the halos of a bilateral filter. One blur serves
    all eight discs, since a disc that is moved is the same blur read at another place. Unevenness
    below `floor` (0..1) counts as none: a choice among equals would turn noise into blotches.
    """
    mean = np.asarray(cv2.GaussianBlur(colour, (0, 0), reach * 0.6), np.float32)
    spread = _variance(colour, mean, reach * 0.6)
    total = np.zeros_like(colour)
    weights = np.zeros(colour.shape[:2], np.float32)
    for turn in range(8):
        angle = 2 * np.pi * (turn + 0.5) / 8
        move = np.array([[1, 0, reach * np.cos(angle)], [0, 1, reach * np.sin(angle)]], np.float32)
        weight = _moved(spread, move)
        weight *= np.float32(1 / floor**2)
        weight += 1
        weight = np.asarray(cv2.pow(weight, -sharpness / 2), np.float32)
        total += _moved(mean, move) * weight[..., None]
        weights += weight
    total /= weights[..., None]
    return _evened(total, 1.2 * floor)


def _evened(colour: Colour, tolerance: float) -> Colour:
    """Take slow unevenness out of lightness: steep tones would make ragged shores of it.

    Lightness only, since a filter that is guided by it lets colours of one lightness run together.
    """
    lab = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2LAB), np.float32)
    light = np.ascontiguousarray(lab[..., 0])
    reach = max(2, max(light.shape) // 80)
    lab[..., 0] = cv2.ximgproc.guidedFilter(light, light, reach, (100 * tolerance) ** 2)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)


def palette_lut(
    scene: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    strength: float,
    snap: float,
    chroma: float,
) -> NDArray[np.float32]:
    """A table from sRGB to the colours of the references, for `recolour`.

    `scene` and `target` are (n, 3) samples in CIE Lab. Colours move by sliced optimal transport
    (Pitie, Kokaram and Dahyot 2007): random axes are drawn and the distribution along each is moved
    on to the target's; `snap` then draws them to the nearest of the target's main colours, and
    `chroma` scales what is left of colour. The axes are always the same ones.
    """
    axis = np.linspace(0, 1, _LUT_SIDE, dtype=np.float32)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    nodes = np.stack([red, green, blue], axis=-1).reshape(1, -1, 3)
    start = cv2.cvtColor(nodes, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    moved = _transport(scene.astype(np.float64), target.astype(np.float64), start.copy())
    shift = (moved - start).reshape(_LUT_SIDE, _LUT_SIDE, _LUT_SIDE, 3)
    for _ in range(_SMOOTHING):
        # Near colours go to near places: else soft shading tears into patches and bands.
        for along in range(3):
            shift = 0.5 * shift + 0.25 * (_step(shift, along, 1) + _step(shift, along, -1))
    lab = start + strength * shift.reshape(-1, 3)
    if snap > 0:
        lab += snap * (_nearest(lab, main_colours(target)) - lab)
    lab[:, 1:] *= chroma
    table = cv2.cvtColor(lab.astype(np.float32).reshape(1, -1, 3), cv2.COLOR_LAB2RGB)
    return np.clip(np.asarray(table, np.float32), 0, 1).reshape(-1)


def recolour(colour: Colour, table: NDArray[np.float32]) -> Colour:
    """Apply a table of `palette_lut`; Pillow's C loop does the trilinear reading."""
    look = ImageFilter.Color3DLUT(_LUT_SIDE, table)
    # It reads 8 bits: half a level of noise keeps a steep table from making bands of them.
    dither = np.random.default_rng(0).random(colour.shape[:2], dtype=np.float32) - np.float32(0.5)
    done = Image.fromarray(to_bytes(colour + dither[..., None] * np.float32(1 / 255))).filter(look)
    return to_float(np.asarray(done, np.uint8))


def main_colours(lab: NDArray[np.float32], *, count: int = 10) -> NDArray[np.float64]:
    """The main colours of (n, 3) samples: k-means from spread-out starts, always the same ones."""
    points = lab[:: max(1, len(lab) // 2048)].astype(np.float64)
    centres = [points.mean(axis=0)]
    gap = ((points - centres[0]) ** 2).sum(axis=1)
    while len(centres) < count:
        centres.append(points[int(np.argmax(gap))])
        gap = np.minimum(gap, ((points - centres[-1]) ** 2).sum(axis=1))
    found = np.stack(centres)
    for _ in range(6):
        nearest = ((points[:, None] - found[None]) ** 2).sum(axis=2).argmin(axis=1)
        for index in range(count):
            if (nearest == index).any():
                found[index] = points[nearest == index].mean(axis=0)
    return found


def tone_steps(
    colour: Colour, *, steps: float, amount: float, contrast: float, softness: float = 0.22
) -> Colour:
    """Draw lightness to `steps` even tones by `amount`; the edges between tones stay soft.

    `contrast` spreads lightness about the middle first; 1 leaves it.
    """
    knots = np.linspace(0, 1, 512)
    spread = np.clip(0.5 + (knots - 0.5) * contrast, 0, 1)
    floor = np.floor(spread * steps)
    drawn = floor + 0.5 + 0.5 * np.tanh((spread * steps - floor - 0.5) / softness)
    curve = (1 - amount) * spread + amount * np.clip(drawn / steps, 0, 1)
    lab = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2LAB), np.float32)
    lab[..., 0] = np.interp(lab[..., 0] * 0.01, knots, curve) * 100
    return np.clip(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32), 0, 1)


def ink_lines(light: Plane, *, width: float, bias: float, pressure: Plane, speck: float) -> Plane:
    """Ink on the dark side of every contour: 0 is paper, 1 is ink. `width` is in pixels.

    Flow-based difference of Gaussians (Kang, Lee and Chui 2007; Winnemoeller 2012): the difference
    is averaged along the contour, which joins dots into strokes. `bias` is how much darker than its
    surroundings (0..1) a mark must be, `pressure` makes strokes swell and thin, and marks smaller
    than `speck` pixels are wiped out.
    """
    narrow = max(0.5, width * 0.42)
    near = np.asarray(cv2.GaussianBlur(light, (0, 0), narrow), np.float32)
    wide = np.asarray(cv2.GaussianBlur(light, (0, 0), narrow * 1.6), np.float32)
    difference = near - wide
    flow_x, flow_y = _flow(light, max(1.5, width))
    difference = _along(difference, flow_x, flow_y, steps=3, stride=max(1.0, width * 0.6))
    drawn = (-difference - bias * (1 - 0.45 * pressure)) / max(bias, 1e-4)
    marks = np.clip(0.5 + 1.4 * (drawn - 0.25), 0, 1).astype(np.float32)
    return _without_specks(marks, speck)


def solid_blacks(light: Plane, *, share: float, ceiling: float) -> Plane:
    """Spot blacks: the darkest `share` of the picture, of that only what is below `ceiling`."""
    if share < 0.005:
        return np.zeros_like(light)
    edge = min(float(np.percentile(light[::4, ::4], 100 * min(share, 0.45))), ceiling)
    return ramp(light, edge + 0.025, edge - 0.025)


def hatching(
    light: Plane,
    rng: np.random.Generator,
    *,
    share: float,
    pitch: float,
    angle: float,
    cross: float,
    ceiling: float = 0.66,
) -> Plane:
    """Strokes over the darkest `share`, thicker where it is darker: 0 is paper, 1 is ink.

    A second and a third layer cross the first in darker parts, by `cross`. `pitch` is the distance
    of strokes in pixels, `angle` their direction in degrees. Nothing above `ceiling` is shaded.
    """
    height, width = light.shape
    x, y = grid((height, width))
    bend = noise(rng, (height, width), pitch * 9) * np.float32(pitch * 0.22)
    tremble = noise(rng, (height, width), pitch * 1.7) * np.float32(0.16)
    ink = np.zeros_like(light)
    layers = ((0.0, 1.0), (78.0, 0.25 + 0.35 * cross), (38.0, 0.3 * cross))
    for turn, part in layers:
        top = min(float(np.percentile(light[::4, ::4], 100 * min(0.85, share * part))), ceiling)
        if top <= 0.02 or share * part < 0.01:
            continue
        slope = np.deg2rad(angle + turn)
        # Distance from the middle of the nearest stroke, in pixels.
        across = (x * np.float32(np.sin(slope)) - y * np.float32(np.cos(slope)) + bend) / np.float32(pitch)
        across += np.float32(rng.uniform())
        distance = np.abs(across - np.round(across)) * np.float32(pitch)
        depth = np.clip((top - light) / np.float32(max(top, 0.12)) + 0.12, 0, 1)
        half = pitch * (0.08 + 0.24 * depth) * (1 + tremble)
        half *= light < top
        # Strokes start and end thin.
        half *= ramp(top - light, 0.0, 0.035)
        stroke = np.clip(half - distance + np.float32(0.5), 0, 1) * np.clip(half * 2, 0, 1)
        np.maximum(ink, stroke.astype(np.float32), out=ink)
    return ink


def lay_ink(colour: Colour, ink: Plane, tint: Colour) -> Colour:
    """Ink of one colour over a painting; `tint` is one sRGB colour, (3,)."""
    cover = ink[..., None]
    return np.asarray(colour * (1 - cover) + tint * cover, np.float32)


def wash(colour: Colour, rng: np.random.Generator, *, amount: float, cell: float) -> Colour:
    """Uneven pigment: soft blotches and fine grain, `amount` around 0.01 to 0.05 of lightness."""
    shape = (colour.shape[0], colour.shape[1])
    blotch = noise(rng, shape, cell) * np.float32(0.6)
    blotch += noise(rng, shape, max(1.5, cell / 12)) * np.float32(0.4)
    return np.asarray(colour * (1 + np.float32(amount) * blotch)[..., None], np.float32)


def calm(pixels: Pixels) -> tuple[Pixels, float]:
    """Take grain out and keep edges; also how much there was, as a spread of lightness 0..1."""
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    rest = cv2.absdiff(grey, cv2.medianBlur(grey, 3))
    # Mean and not median: whole levels would make steps of it. Edges are few.
    grain = float(np.minimum(rest, 12).mean()) * 1.6 / 255
    tolerance = 18 + 3 * 255 * grain
    for _ in range(2):
        pixels = np.asarray(cv2.bilateralFilter(pixels, 7, tolerance, 4), np.uint8)
    return pixels, grain


def _variance(colour: Colour, mean: Colour, sigma: float) -> Plane:
    square = np.asarray(cv2.GaussianBlur(cv2.multiply(colour, colour), (0, 0), sigma), np.float32)
    square -= mean * mean
    total = cv2.transform(square, np.array([[0.3, 0.59, 0.11]], np.float32))
    return np.maximum(np.asarray(total, np.float32).reshape(mean.shape[:2]), 0)


def _moved(image: NDArray[np.float32], move: NDArray[np.float32]) -> NDArray[np.float32]:
    size = (image.shape[1], image.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _transport(
    scene: NDArray[np.float64], target: NDArray[np.float64], nodes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move `nodes` as the samples of `scene` move on to those of `target`."""
    rng = np.random.default_rng(0)
    marks = np.linspace(0, 100, 64)
    tie_break = np.arange(64) * 1e-6
    for _ in range(20):
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        for axis in axes.T:
            place = (scene * axis).sum(axis=1)
            have = np.maximum.accumulate(np.percentile(place, marks)) + tie_break
            want = np.percentile((target * axis).sum(axis=1), marks)
            offset = want - have
            scene += 0.4 * np.interp(place, have, offset)[:, None] * axis
            node_place = (nodes * axis).sum(axis=1)
            nodes += 0.4 * np.interp(node_place, have, offset)[:, None] * axis
    return nodes


def _step(values: NDArray[np.float64], axis: int, by: int) -> NDArray[np.float64]:
    """`values` moved by one along an axis, the border repeated."""
    places = np.clip(np.arange(values.shape[axis]) + by, 0, values.shape[axis] - 1)
    return np.take(values, places, axis=axis)


def _nearest(lab: NDArray[np.float64], colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """A soft choice among `colours`: sharp far from borders, blended over about 6 units of Lab."""
    gap = np.sqrt(((lab[:, None] - colours[None]) ** 2).sum(axis=2))
    choice = np.exp((gap.min(axis=1, keepdims=True) - gap) / 4.0)
    choice /= choice.sum(axis=1, keepdims=True)
    return np.asarray((choice[:, :, None] * colours[None]).sum(axis=1), np.float64)


def _flow(light: Plane, sigma: float) -> tuple[Plane, Plane]:
    """Unit vectors along the contours, from the smoothed structure tensor."""
    soft = cv2.GaussianBlur(light, (0, 0), 1.0)
    dx = np.asarray(cv2.Sobel(soft, cv2.CV_32F, 1, 0), np.float32)
    dy = np.asarray(cv2.Sobel(soft, cv2.CV_32F, 0, 1), np.float32)
    xx, yy, xy = (blur(part, sigma) for part in (dx * dx, dy * dy, dx * dy))
    # Half the angle of the tensor's main axis is across the contour; a quarter turn is along it.
    along = np.asarray(cv2.phase(xx - yy, 2 * xy), np.float32) * np.float32(0.5)
    return -np.sin(along), np.cos(along)


def _along(values: Plane, flow_x: Plane, flow_y: Plane, *, steps: int, stride: float) -> Plane:
    """Mean along the flow, a few strides each way; nearer places count more."""
    start_x, start_y = grid((values.shape[0], values.shape[1]))
    total = values.copy()
    weights = 1.0
    for way in (1.0, -1.0):
        x, y = start_x.copy(), start_y.copy()
        step_x, step_y = flow_x * np.float32(way * stride), flow_y * np.float32(way * stride)
        last_x, last_y = step_x, step_y
        for index in range(steps):
            x += last_x
            y += last_y
            weight = float(np.exp(-0.5 * ((index + 1) / (steps * 0.6)) ** 2))
            total += sample(values, x, y) * np.float32(weight)
            weights += weight
            next_x, next_y = sample(step_x, x, y), sample(step_y, x, y)
            # The axis has no sign of its own: never turn round on the way.
            back = np.where(next_x * last_x + next_y * last_y < 0, np.float32(-1), np.float32(1))
            last_x, last_y = next_x * back, next_y * back
    total /= np.float32(weights)
    return total


def _without_specks(marks: Plane, speck: float) -> Plane:
    found = (marks > 0.5).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= speck
    # Label 0 is all that is not a mark; its faint edges belong to the marks beside them.
    large[0] = False
    kept = cv2.dilate(large[labels].astype(np.uint8), disc(1))
    return marks * kept
