"""Light and weather over a painted scene: day, night, rain. Clear weather adds nothing."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.providers.local.raster import (
    Colour,
    Plane,
    blur,
    disc,
    from_linear,
    grid,
    lightness,
    luminance,
    noise,
    ramp,
    to_linear,
)


def key_light(colour: Colour, *, angle: float, depth: float) -> Colour:
    """A soft light from one side: brighter towards `angle` (degrees), darker away from it.

    Light tones gain less: a channel that clips would turn a blue sky green.
    """
    gain = slope(colour, angle, depth) - 1
    headroom = 1 - colour.max(axis=2)
    factor = 1 + np.minimum(gain, 0) + np.maximum(gain, 0) * np.minimum(1, headroom * 2)
    return np.asarray(np.clip(colour * factor[..., None], 0, 1), np.float32)


def slope(colour: Colour, angle: float, depth: float) -> Plane:
    """The factors of `key_light`: 1 in the middle, 1 + depth and 1 - depth at opposite corners."""
    height, width = colour.shape[:2]
    x, y = grid((height, width))
    x = x / np.float32(max(1, width - 1)) * 2 - 1
    y = y / np.float32(max(1, height - 1)) * 2 - 1
    turn = np.deg2rad(angle)
    place = x * np.float32(np.cos(turn)) - y * np.float32(np.sin(turn))
    return np.asarray(1 + np.float32(depth) * np.clip(place, -1.2, 1.2), np.float32)


@dataclass(frozen=True)
class Sources:
    """Where a scene has its light, 0..1 each. Read before it is recoloured: a sky may turn red."""

    sky: Plane  # open sky
    lamps: Plane  # lamps, lit windows, candles


def find_sources(scene: Colour) -> Sources:
    sky = _sky(scene)
    return Sources(sky, _lamps(to_linear(scene)) * (1 - sky))


def day(colour: Colour, *, angle: float, strength: float) -> Colour:
    """Clear sun from one side: the exposure of a bright day, warm lights and cool shadows."""
    light = to_linear(colour)
    bright = luminance(light)
    middle = float(np.percentile(bright[::4, ::4], 55))
    # A dark scene is lifted, but by no more than its noise can bear.
    light *= np.float32(np.clip(0.36 / (middle + 0.01), 0.9, 3.2))
    warm = ramp(bright, 0.03, 0.5)[..., None]
    sun = np.array([1.14, 1.0, 0.80], np.float32)
    shade = np.array([0.90, 0.99, 1.14], np.float32)
    light *= sun * warm + shade * (1 - warm)
    light *= slope(colour, angle, 0.28 * strength)[..., None]
    # Highlights roll off instead of clipping.
    over = np.maximum(light - 0.7, 0)
    light -= over
    light += over / (1 + over / 0.3)
    return _blend(colour, from_linear(light), strength)


def night(colour: Colour, sources: Sources, *, angle: float, strength: float) -> Colour:
    """Moonlight: dark, blue and less colourful; the sky goes deep, lamps and windows glow."""
    light = to_linear(colour)
    bright = luminance(light)
    glow = sources.lamps
    moon = np.array([0.40, 0.56, 1.0], np.float32)
    # A dark scene is dark already: what counts is where its middle ends.
    middle = float(np.percentile(bright[::4, ::4], 60))
    level = 0.44 * float(np.clip(0.30 / (middle + 0.02), 0.6, 1.5))
    lit = (bright[..., None] * 0.55 + light * 0.45) * moon
    lit *= (slope(colour, angle, 0.3) * np.float32(level) * (1 - 0.62 * sources.sky))[..., None]
    lit += np.array([0.004, 0.008, 0.022], np.float32)
    reach = max(colour.shape[:2]) / 40
    halo = (blur(glow, reach) * 0.55 + blur(glow, reach * 3) * 0.7)[..., None]
    lamp = np.array([1.0, 0.72, 0.36], np.float32)
    # Lamps light what is near them in its own colour, and keep their own.
    lit += light * lamp * np.clip(halo * 1.6, 0, 0.9)
    lit += lamp * halo * np.float32(0.14)
    own = glow[..., None]
    seen = lit * (1 - own) + np.maximum(light, lit) * np.array([1.0, 0.9, 0.68], np.float32) * own
    return _blend(colour, from_linear(np.asarray(seen, np.float32)), strength)


def wet(colour: Colour, sources: Sources, *, strength: float) -> Colour:
    """The tone of a rainy hour: grey sky, haze, less colour, and a shine on the ground.

    Lamps keep their colour, and the ground mirrors it."""
    light = to_linear(colour)
    bright = luminance(light)
    height, width = colour.shape[:2]
    grey = np.array([0.80, 0.94, 1.10], np.float32)
    air = sources.sky[..., None]
    lit = (bright[..., None] * 0.5 + light * 0.5) * grey * np.float32(0.62)
    lit *= 1 - 0.38 * air
    mean = float(bright.mean())
    haze = np.linspace(0.26, 0.06, height, dtype=np.float32)[:, None, None] * (1 - 0.5 * air)
    lit = lit * (1 - haze) + grey * np.float32(0.55 * mean) * haze
    shining = np.clip(blur(sources.lamps, max(height, width) / 60) * 1.5 + sources.lamps, 0, 1)[..., None]
    lit = lit * (1 - 0.8 * shining) + light * 0.8 * shining
    # Wet ground mirrors what stands above it, drawn out downwards.
    tall = max(9, height // 7)
    mirror = cv2.blur(np.maximum(lit - mean * 0.5, 0), (max(1, width // 300), tall))
    mirror = np.roll(np.asarray(mirror, np.float32), tall // 2, axis=0)
    ground = ramp(np.linspace(0, 1, height, dtype=np.float32), 0.66, 0.95)[:, None, None]
    lit += mirror * ground * np.float32(0.45)
    return _blend(colour, from_linear(np.asarray(lit, np.float32)), strength)


def rain(colour: Colour, rng: np.random.Generator, *, angle: float, amount: float) -> Colour:
    """Falling rain in three depths, light on dark and dark on light, and splashes on the ground."""
    height, width = colour.shape[:2]
    unit = max(height, width) / 1152
    area = height * width / (768 * 1152) / unit**2
    cover = np.zeros((height, width), np.float32)
    for count, length, thick, opacity in ((520, 26, 0.8, 0.34), (230, 58, 1.3, 0.55), (70, 120, 2.1, 0.75)):
        layer = _streaks(
            rng,
            (height, width),
            count=int(count * area * amount),
            length=length * unit,
            thick=thick * unit,
            slant=angle,
        )
        np.maximum(cover, layer * np.float32(opacity), out=cover)
    # Gusts: the rain is not even.
    cover *= np.clip(0.85 + 0.3 * noise(rng, (height, width), max(height, width) / 4), 0.35, 1.1)
    np.maximum(cover, _splashes(rng, (height, width), int(90 * area * amount), unit), out=cover)
    behind = lightness(blur(colour, 5 * unit))
    dark = ramp(behind, 0.62, 0.74)[..., None]
    drop = (
        np.array([0.90, 0.94, 1.0], np.float32) * (1 - dark) + np.array([0.30, 0.36, 0.44], np.float32) * dark
    )
    cover = np.clip(cover, 0, 1)[..., None]
    return np.asarray(colour * (1 - cover) + drop * cover, np.float32)


def _blend(before: Colour, after: Colour, strength: float) -> Colour:
    return np.asarray(before + (after - before) * np.float32(strength), np.float32)


def _streaks(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    count: int,
    length: float,
    thick: float,
    slant: float,
) -> Plane:
    """Streaks of about `length` pixels, `slant` degrees off the plumb line."""
    height, width = shape
    # Lines are drawn in 1/16 of a pixel; thinner than a pixel is drawn fainter.
    layer = np.zeros(shape, np.uint8)
    x = rng.uniform(-0.1 * width, 1.1 * width, count)
    y = rng.uniform(-0.1 * height, height, count)
    long = length * rng.uniform(0.6, 1.35, count)
    turn = np.deg2rad(90 + slant + rng.normal(0, 1.4, count))
    starts = np.stack([x, y], axis=1)
    ends = starts + np.stack([np.cos(turn), np.sin(turn)], axis=1) * long[:, None]
    lines = np.round(np.stack([starts, ends], axis=1) * 16).astype(np.int32)
    faint = int(255 * min(1.0, thick))
    cv2.polylines(layer, list(lines), False, faint, max(1, round(thick)), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.5), np.float32) * np.float32(1 / 255)


def _splashes(rng: np.random.Generator, shape: tuple[int, int], count: int, unit: float) -> Plane:
    """Small rings and crowns where drops meet the ground, larger towards the viewer."""
    height, width = shape
    layer = np.zeros(shape, np.uint8)
    for x, depth, size in zip(
        rng.uniform(0, width, count), rng.uniform(0.74, 1, count), rng.uniform(0.6, 1.4, count), strict=True
    ):
        reach = unit * size * (2 + 26 * (depth - 0.7))
        centre = (round(x * 16), round(depth * height * 16))
        axes = (round(reach * 16), round(reach * 5))
        cv2.ellipse(layer, centre, axes, 0, 150, 390, 200, 1, cv2.LINE_AA, 4)
    return layer.astype(np.float32) * np.float32(0.6 / 255)


def _sky(colour: Colour) -> Plane:
    """Open sky is bright, calm, not warm, and joined to the top edge."""
    height, width = colour.shape[:2]
    scale = 192 / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.asarray(cv2.resize(colour, size, interpolation=cv2.INTER_AREA), np.float32)
    light = lightness(small)
    dx = cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=0.25)
    dy = cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=0.25)
    calm = cv2.magnitude(dx, dy) < 0.06
    warmth = small[..., 0] - small[..., 2]
    # It starts where it is bluer than it is yellow, or without colour: a wall in sunlight is neither.
    surely = (warmth < 0.03) & (light > max(0.45, float(np.percentile(light, 55))))
    # As far as it stays calm: an edge in the middle of a smooth backdrop would show at night.
    open_air = (calm & (warmth < 0.16) & (light > 0.3)).astype(np.uint8)
    open_air = np.asarray(cv2.morphologyEx(open_air, cv2.MORPH_OPEN, disc(2)), np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(open_air, connectivity=4)
    joined = np.zeros(len(stats), bool)
    joined[np.unique(labels[:3][surely[:3]])] = True
    joined &= stats[:, cv2.CC_STAT_AREA] > 0.03 * open_air.size
    joined[0] = False
    rough = joined[labels].astype(np.float32)
    filled = _with_clouds(rough, light)
    whole = np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    # Near the contours a pixel is sky if it has the colour of the sky around it: no halo is left.
    reach = max(height, width) / 24
    near = blur(whole, reach)
    hue = blur(colour * whole[..., None], reach) / np.maximum(near, 1e-3)[..., None]
    gap = colour - hue
    like = ramp(np.sqrt((gap * gap).sum(axis=2)), 0.28, 0.12)
    return np.asarray(np.maximum(ramp(near, 0.03, 0.15) * like, ramp(whole, 0.7, 1.0)), np.float32)


def _with_clouds(rough: Plane, light: Plane) -> Plane:
    """Clouds have edges, which are not calm: bright holes in what was found are sky as well."""
    _, labels, _, _ = cv2.connectedComponentsWithStats((rough < 0.5).astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel())
    bright = np.bincount(labels.ravel(), weights=light.ravel()) > 0.6 * sizes
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    bright[np.unique(rim)] = False
    bright[0] = False  # what was found already
    return np.asarray(np.maximum(rough, bright[labels].astype(np.float32)), np.float32)


def _lamps(light: Colour) -> Plane:
    """Lamps are small, among the brightest of the picture, much brighter than their surroundings,
    and mostly warm. What is larger than an eighth of the picture is a wall or the sky."""
    height, width = light.shape[:2]
    scale = min(1.0, 384 / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), np.float32)
    bright = luminance(small)
    ground = cv2.morphologyEx(bright, cv2.MORPH_OPEN, disc(max(3, max(size) // 16)))
    above = bright - np.asarray(ground, np.float32)
    # Yellow more than red: skin in the sun is as bright, but pink.
    warmth = ramp(small[..., 1] - small[..., 2], 0.22, 0.40)
    top = max(0.05, float(np.percentile(bright, 99.5)))
    found = ramp(above, 0.16, 0.5) * ramp(bright, 0.55 * top, 0.85 * top) * (0.15 + 0.85 * warmth)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
