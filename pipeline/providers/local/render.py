"""The recipe of one picture: what the references ask for, and what the seed varies.

Measured on 2 shared x86_64 cores, night and rain with one reference, peak resident memory of the
whole process (56 MB of it are imports): 768x1152 in 1.1 s and 194 MB; a 4096x4096 PNG, drawn at
1536x1536, in 4 to 5 s and 404 MB; a JPEG of 24 megapixels, drawn at 1536x1024, in 3 s and 300 MB.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.providers.images import read_image
from pipeline.providers.local import light as lighting
from pipeline.providers.local import looks
from pipeline.providers.local.measure import (
    DEFAULT_TRAITS,
    MEASURE_SIDE,
    Reference,
    Traits,
    measure,
    mix,
)
from pipeline.providers.local.raster import Colour, Pixels, lightness, noise, to_bytes, to_float
from pipeline.providers.local.style import StyleNet

# Longest side that is worked on, in pixels.
WORKING_SIDE = 1536
# Each use of chance has its own stream, so that a new one does not change the others.
_RECIPE, _WOBBLE, _PRESSURE, _HATCH, _WASH, _RAIN, _NET = range(7)
# How far the style network goes to the references' manner: faces are kept up to about 0.6.
_NET_STRENGTH = (0.43, 0.57)
# What is taken of its picture: its modelling of light and shape, less of its colours, which stray.
_NET_TONES, _NET_COLOURS = 0.6, 0.35
# Ink on paper has two tones only, and the net's pale halos would become holes in it.
_NET_TONES_OF_INK = 0.3
# Mean CIE chroma below which references count as black and white.
_GREY_CHROMA = 4.0


# From the scene's pixels to a picture of the same size.
Paint = Callable[[Pixels], Colour]


@dataclass(frozen=True)
class Recipe:
    """All that the seed decides. Lengths are shares of the longest side, angles degrees."""

    weights: tuple[float, ...]  # of the references, sum 1
    monochrome: bool
    palette: float
    snap: float
    chroma: float
    contrast: float
    tones: float
    flatness: float
    brush: float
    line_width: float
    line_strength: float
    line_bias: float
    detail: float
    blacks: float
    hatch_share: float
    hatch_pitch: float
    hatch_angle: float
    cross: float
    hatch_strength: float
    wash: float
    exposure: float
    key_angle: float
    key_depth: float
    rain_angle: float


def draw_recipe(traits: Sequence[Traits], seed: int) -> tuple[Recipe, Traits]:
    """Choose the parameters of one picture, and the mixed hand that they come from."""
    rng = _stream(seed, _RECIPE)
    weights = rng.dirichlet([2.5] * len(traits)).tolist() if traits else []
    hand = mix(list(traits), weights) if traits else DEFAULT_TRAITS
    monochrome = bool(traits) and hand.chroma < _GREY_CHROMA
    shading = hand.hatch_share
    recipe = Recipe(
        weights=tuple(weights),
        monochrome=monochrome,
        palette=_palette_strength(hand, monochrome, rng.uniform()) if traits else 0.0,
        snap=float(rng.uniform(0.25, 0.6)) * hand.flatness,
        chroma=0.0 if monochrome else float(rng.uniform(0.9, 1.12)),
        contrast=_contrast(hand, monochrome) * float(rng.uniform(0.95, 1.06)),
        tones=float(np.clip(hand.tones * 0.6 + 1.5 + rng.uniform(-0.8, 0.8), 2.6, 9)),
        flatness=float(np.clip(hand.flatness**2 * rng.uniform(0.7, 1.05), 0.05, 0.95)),
        brush=0.0022 + 0.0022 * hand.flatness * float(rng.uniform(0.7, 1.3)),
        line_width=float(np.clip(hand.line_width, 0.0016, 0.0048) * rng.uniform(0.75, 1.35)),
        line_strength=_line_strength(hand) * float(rng.uniform(0.88, 1.0)),
        line_bias=float(rng.uniform(0.006, 0.010)),
        detail=float(rng.uniform(0.6, 0.95)),
        blacks=float(np.clip(hand.blacks, 0, 0.4) * rng.uniform(0.55, 1.25)),
        hatch_share=float(np.clip(shading * rng.uniform(0.9, 1.5), 0, 0.6)),
        hatch_pitch=float(np.clip(hand.hatch_pitch, 0.0045, 0.014) * rng.uniform(0.8, 1.3)),
        hatch_angle=hand.hatch_angle + float(rng.uniform(-18, 18)),
        cross=float(np.clip(hand.cross + rng.uniform(-0.15, 0.3), 0, 1)),
        hatch_strength=float(np.clip(shading / 0.05, 0, 1) * rng.uniform(0.7, 1.0)),
        wash=float(np.clip(hand.grain * 1.2 + 0.03 * (0.6 - hand.flatness), 0.0, 0.04)),
        exposure=float(np.exp(rng.uniform(-0.3, 0.3))),
        key_angle=float(rng.uniform(15, 165)),
        key_depth=float(rng.uniform(0.08, 0.2)),
        rain_angle=float(rng.uniform(-20, 20)),
    )
    return recipe, hand


def render(
    images: Sequence[Path], *, seed: int, stage: str, time: str, weather: str, net: StyleNet | None = None
) -> tuple[Image.Image, Mapping[str, object]]:
    """Redraw the scene, `images[0]`, in the hand of the others; also what the seed chose.

    With `net` the style network paints first, where there are references, and the classical look draws on
    top. Raises what `read_image` and the net raise. The picture is RGB, at most `WORKING_SIDE` on its longest
    side and never larger than the scene.
    """
    scene = _load(images[0], WORKING_SIDE)
    styles = [_load(path, MEASURE_SIDE) for path in images[1:]]
    references = [measure(style) for style in styles]
    recipe, hand = draw_recipe([one.traits for one in references], seed)
    paint: Paint | None = None
    strength = float(_stream(seed, _NET).uniform(*_NET_STRENGTH))
    if net is not None and styles:
        paint = partial(net.painted, references=styles, weights=recipe.weights, strength=strength)
    picture = _draw(
        scene,
        references,
        recipe,
        hand,
        paint,
        seed=seed,
        # A stage relights only what it is about: style keeps the light of the scene.
        time=time if stage in {"time", "weather"} else "",
        weather=weather if stage == "weather" else "",
    )
    chosen = {
        name: round(value, 5) if isinstance(value, float) else value for name, value in asdict(recipe).items()
    }
    chosen["weights"] = [round(weight, 5) for weight in recipe.weights]
    if paint is not None:
        chosen["net_strength"] = round(strength, 5)
    return Image.fromarray(picture), chosen


def _draw(
    scene: Pixels,
    references: Sequence[Reference],
    recipe: Recipe,
    hand: Traits,
    paint: Paint | None,
    *,
    seed: int,
    time: str,
    weather: str,
) -> Pixels:
    shape = (scene.shape[0], scene.shape[1])
    side = float(max(shape))
    scene = looks.wobble(scene, _stream(seed, _WOBBLE), reach=side * 0.0016, cell=side / 22)
    scene, grain = looks.calm(scene)
    ground = to_float(scene) if paint is None else _toned(to_float(scene), paint(scene), recipe)
    painted = looks.paint(ground, reach=max(1.0, side * recipe.brush), floor=0.006 + grain)
    sources = lighting.find_sources(painted)
    table = _table(painted, references, recipe)
    # Lit before it is coloured: the palette keeps white paper white, and shading follows the light.
    painted = _exposed(painted, recipe)
    shade = lightness(painted)
    colour = painted if table is None else looks.recolour(painted, table)
    colour = looks.tone_steps(colour, steps=recipe.tones, amount=recipe.flatness, contrast=recipe.contrast)
    if recipe.wash > 0.004:
        colour = looks.wash(colour, _stream(seed, _WASH), amount=recipe.wash, cell=side / 14)
    if time == "day":
        colour = lighting.day(colour, angle=recipe.key_angle, strength=0.85)
    elif time == "night":
        colour = lighting.night(colour, sources, angle=recipe.key_angle, strength=1.0)
    if weather == "rain":
        colour = lighting.wet(colour, sources, strength=0.9)
    colour = looks.lay_ink(colour, _inked(scene, shade, recipe, seed), _ink_tint(hand, recipe))
    if weather == "rain":
        colour = lighting.rain(colour, _stream(seed, _RAIN), angle=recipe.rain_angle, amount=1.0)
    if recipe.monochrome:
        grey = lightness(np.clip(colour, 0, 1))
        colour = _grey_of(grey)
    return to_bytes(colour)


def _toned(scene: Colour, painted: Colour, recipe: Recipe) -> Colour:
    """The scene with a share of the net's tones and colours, in CIE Lab."""
    theirs, ours = cv2.cvtColor(painted, cv2.COLOR_RGB2LAB), cv2.cvtColor(scene, cv2.COLOR_RGB2LAB)
    tones = _NET_TONES_OF_INK if recipe.monochrome else _NET_TONES
    share = np.array([tones, _NET_COLOURS, _NET_COLOURS], np.float32)
    mixed = np.asarray(ours + (theirs - ours) * share, np.float32)
    return np.asarray(np.clip(cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB), 0, 1), np.float32)


def _table(painted: Colour, references: Sequence[Reference], recipe: Recipe) -> NDArray[np.float32] | None:
    """The way from the scene's colours to those of the references, by their weights."""
    if not references:
        return None
    samples = cv2.resize(painted, (72, 72), interpolation=cv2.INTER_NEAREST)
    scene = np.asarray(cv2.cvtColor(samples, cv2.COLOR_RGB2LAB), np.float32).reshape(-1, 3)
    parts = []
    for one, weight in zip(references, recipe.weights, strict=True):
        count = max(1, round(len(one.palette) * weight))
        parts.append(one.palette[np.linspace(0, len(one.palette) - 1, count).astype(np.intp)])
    return looks.palette_lut(
        scene,
        np.concatenate(parts),
        strength=recipe.palette,
        snap=recipe.snap,
        chroma=recipe.chroma,
    )


def _exposed(colour: Colour, recipe: Recipe) -> Colour:
    bright = np.asarray(cv2.pow(np.clip(colour, 0, 1), 1 / recipe.exposure), np.float32)
    return lighting.key_light(bright, angle=recipe.key_angle, depth=recipe.key_depth)


def _inked(scene: Pixels, shade: NDArray[np.float32], recipe: Recipe, seed: int) -> NDArray[np.float32]:
    """All ink of a picture: contours and details, solid blacks, hatching."""
    shape = (scene.shape[0], scene.shape[1])
    side = float(max(shape))
    source = lightness(to_float(scene))
    width = max(1.0, recipe.line_width * side)
    pressure = np.clip(0.5 + 0.5 * noise(_stream(seed, _PRESSURE), shape, side / 18), 0, 1)
    ink = looks.ink_lines(
        source, width=width, bias=recipe.line_bias, pressure=pressure, speck=width * width * 8
    )
    # A fine pen whatever the outline is: small faces live by marks that a heavy one swallows.
    pen = max(1.0, min(width * 0.5, side * 0.0016))
    fine = looks.ink_lines(
        source, width=pen, bias=recipe.line_bias * 1.1, pressure=pressure, speck=pen * pen * 5
    )
    ink = np.maximum(ink * np.float32(recipe.line_strength), fine * np.float32(recipe.detail))
    ink = np.maximum(ink, looks.solid_blacks(shade, share=recipe.blacks, ceiling=0.32))
    if recipe.hatch_strength > 0.05:
        strokes = looks.hatching(
            shade,
            _stream(seed, _HATCH),
            share=recipe.hatch_share + recipe.blacks,
            pitch=max(3.2, recipe.hatch_pitch * side),
            angle=recipe.hatch_angle,
            cross=recipe.cross,
        )
        ink = np.maximum(ink, strokes * np.float32(recipe.hatch_strength))
    return np.asarray(ink, np.float32)


def _palette_strength(hand: Traits, monochrome: bool, chance: float) -> float:
    """Ink on paper is only that when the paper is white: there is less to vary than in colour."""
    if monochrome:
        return 0.9 + 0.1 * chance
    return 0.6 + 0.2 * chance + 0.12 * hand.flatness


def _contrast(hand: Traits, monochrome: bool) -> float:
    """Ink on paper keeps its white; colours may be as pale as the references' are."""
    return float(np.clip(0.55 + 0.55 * hand.contrast, 1.04 if monochrome else 0.75, 1.1))


def _line_strength(hand: Traits) -> float:
    """References without any drawn line get thin, faint contours, not none."""
    drawn = np.clip((hand.line_share + 0.5 * hand.hatch_share) / 0.03, 0, 1)
    return float(0.4 + 0.6 * drawn * np.clip(hand.line_depth / 0.3, 0.4, 1))


def _ink_tint(hand: Traits, recipe: Recipe) -> NDArray[np.float32]:
    """The references' darkest colour, at least as dark as ink has to be."""
    light, green_red, blue_yellow = hand.ink
    share = 0.0 if recipe.monochrome else 0.8
    lab = np.array([[[min(light, 14.0), green_red * share, blue_yellow * share]]], np.float32)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32).reshape(3).clip(0, 1)


def _grey_of(light: NDArray[np.float32]) -> Colour:
    lab = np.zeros((*light.shape, 3), np.float32)
    lab[..., 0] = light * 100
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)


def _load(path: Path, longest_side: int) -> Pixels:
    image = read_image(path, longest_side=longest_side)
    return np.asarray(image, np.uint8)


def _stream(seed: int, use: int) -> np.random.Generator:
    return np.random.default_rng([seed, use])
