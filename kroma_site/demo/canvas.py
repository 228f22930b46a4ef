"""A small paint box: shapes with gradients, grain and light, the same picture each time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]  # sRGB
Plane = NDArray[np.float32]
Window = tuple[int, int, int, int]  # left, top, right, bottom
Mask = tuple[Plane, Window]  # 0 to 1 for each pixel of the window

SMOOTH = 3  # masks are drawn this many times larger, then reduced


class Finish(TypedDict, total=False):
    """How a shape is filled: the way in which its colours blend (down or right), the strength of the grain in
    levels, the opacity from 0 to 1, and the blur of its edge in pixels."""

    along: str
    grain: float
    opacity: float
    soft: float


class Canvas:
    """A picture that is painted from back to front. Coordinates are pixels, (0, 0) at the upper left."""

    def __init__(self, width: int, height: int, *, seed: int) -> None:
        self.width, self.height = width, height
        self.random = np.random.default_rng(seed)
        self.pixels = np.zeros((height, width, 3), np.float32)  # 0 to 255
        self._grain = self.noise(4, octaves=3) - 0.5

    def noise(self, cells: int, *, octaves: int = 4, stretch: float = 1.0) -> Plane:
        """Soft noise from 0 to 1 with `cells` blobs across; `stretch` makes them wide and flat."""
        total = np.zeros((self.height, self.width), np.float32)
        weight = 1.0
        for octave in range(octaves):
            across = max(2, int(cells * 2**octave))
            down = max(2, int(across * stretch * self.height / self.width))
            grid = Image.fromarray(self.random.random((down, across), np.float32))
            total += weight * np.asarray(grid.resize((self.width, self.height), Image.Resampling.BICUBIC))
            weight /= 2
        low, high = float(total.min()), float(total.max())
        return np.asarray((total - low) / max(high - low, 1e-6), np.float32)

    def backdrop(
        self, stops: Sequence[tuple[float, Colour]], *, top: float = 0, bottom: float | None = None
    ) -> None:
        """Fill rows with colours that blend from stop to stop (0 at `top`, 1 at `bottom`)."""
        bottom = self.height if bottom is None else bottom
        first, last = int(top), int(bottom)
        places = np.linspace(0, 1, max(1, last - first))
        for channel in range(3):
            values = np.interp(places, [at for at, _ in stops], [colour[channel] for _, colour in stops])
            self.pixels[first:last, :, channel] = values[:, None]

    def clouds(self, colour: Colour, *, bottom: float, amount: float = 0.8, cells: int = 3) -> None:
        """Drifting clouds above the row `bottom`, thinner towards it."""
        field = self.noise(cells, octaves=5, stretch=2.4)
        rows = np.clip(1 - np.arange(self.height) / bottom, 0, 1)[:, None]
        cover = np.clip((field - 0.5) * 3.2, 0, 1) * np.sqrt(rows) * amount
        self._blend(cover.astype(np.float32), colour, (0, 0, self.width, self.height))

    def poly(
        self, points: Sequence[Point], colour: Colour, to: Colour | None = None, **finish: Unpack[Finish]
    ) -> None:
        """A polygon in one colour, or blending `to` another one."""
        self._fill(self._mask(points, soft=finish.get("soft", 0)), points, (colour, to), finish)

    def box(  # noqa: PLR0917 - four sides, as one says them
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        to: Colour | None = None,
        **finish: Unpack[Finish],
    ) -> None:
        """An upright rectangle."""
        self.poly([(left, top), (right, top), (right, bottom), (left, bottom)], colour, to, **finish)

    def oval(  # noqa: PLR0917 - centre and radii, as one says them
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        to: Colour | None = None,
        **finish: Unpack[Finish],
    ) -> None:
        """An ellipse around (x, y)."""
        corners = [(x - rx, y - ry), (x + rx, y + ry)]
        mask = self._mask(corners, round_=True, soft=finish.get("soft", 0))
        self._fill(mask, corners, (colour, to), finish)

    def line(
        self,
        points: Sequence[Point],
        width: float,
        colour: Colour,
        *,
        opacity: float = 1.0,
        soft: float = 0,
    ) -> None:
        """A stroke through points."""
        for (x1, y1), (x2, y2) in pairwise(points):
            length = max(float(np.hypot(x2 - x1, y2 - y1)), 1e-6)
            dx, dy = (y1 - y2) / length * width / 2, (x2 - x1) / length * width / 2
            corners = [(x1 + dx, y1 + dy), (x2 + dx, y2 + dy), (x2 - dx, y2 - dy), (x1 - dx, y1 - dy)]
            self.poly(corners, colour, grain=4, opacity=opacity, soft=soft)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Light that adds up around a point."""
        rows, columns = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        distance = ((columns - x) ** 2 + (rows - y) ** 2) / radius**2
        light = np.exp(-2.2 * np.sqrt(distance)) * strength
        room = 255 - self.pixels
        self.pixels += room * light[..., None] * (np.array(colour, np.float32) / 255)

    def shade(self, points: Sequence[Point], amount: float, *, soft: float = 6) -> None:
        """Darken a polygon by a share of its light: a cast shadow, a side that is turned away."""
        self.poly(points, (12, 14, 26), grain=0, opacity=amount, soft=soft)

    def light(self, points: Sequence[Point], colour: Colour, amount: float, *, soft: float = 14) -> None:
        """A patch of light on what is there."""
        cover, window = self._mask(points, soft=soft)
        left, top, right, bottom = window
        part = self.pixels[top:bottom, left:right]
        part += (255 - part) * (cover * amount)[..., None] * (np.array(colour, np.float32) / 255)

    def ripples(self, top: float, colour: Colour, *, amount: float = 0.5, cells: int = 10) -> None:
        """Broken horizontal glints from the row `top` downwards, larger towards the front."""
        field = self.noise(cells, octaves=3, stretch=9)
        rows = np.clip((np.arange(self.height) - top) / (self.height - top), 0, 1)[:, None]
        cover = np.clip((field - 0.56) * 6, 0, 1) * (rows > 0) * (0.35 + 0.65 * rows) * amount
        self._blend(cover.astype(np.float32), colour, (0, 0, self.width, self.height))

    def finished(self, *, vignette: float = 0.16) -> Image.Image:
        """The picture, with the tooth of the paper and darker corners."""
        rows = np.linspace(-1, 1, self.height)[:, None]
        columns = np.linspace(-1, 1, self.width)[None, :]
        corner = 1 - vignette * np.clip(rows**2 + columns**2 - 0.5, 0, 1.5)
        strokes = self.noise(60, octaves=2, stretch=0.3) - 0.5
        tooth = self.random.standard_normal((self.height, self.width)).astype(np.float32)
        pixels = self.pixels * corner[..., None] + (strokes * 7 + tooth * 2.2)[..., None]
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def _fill(
        self, mask: Mask, points: Sequence[Point], colours: tuple[Colour, Colour | None], finish: Finish
    ) -> None:
        cover, (left, top, right, bottom) = mask
        if not cover.size:
            return
        down = finish.get("along", "down") == "down"
        colour, to = colours
        paint = np.broadcast_to(np.array(colour, np.float32), (*cover.shape, 3))
        if to is not None:
            ends = [point[1 if down else 0] for point in points]
            low, high = min(ends), max(ends)
            place = np.arange(top, bottom)[:, None] if down else np.arange(left, right)[None, :]
            share = np.clip((place - low) / max(high - low, 1e-6), 0, 1)[..., None].astype(np.float32)
            paint = paint * (1 - share) + np.array(to, np.float32) * share
        if grain := finish.get("grain", 10):
            paint = paint + self._grain[top:bottom, left:right, None] * grain * 2
        self._blend(cover * finish.get("opacity", 1.0), paint, (left, top, right, bottom))

    def _mask(self, points: Sequence[Point], *, round_: bool = False, soft: float) -> Mask:
        """How far the pixels of a window are covered; an ellipse is given by two corners."""
        margin = int(3 * soft) + 2
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        left, right = max(0, int(min(xs)) - margin), min(self.width, int(max(xs)) + margin + 1)
        top, bottom = max(0, int(min(ys)) - margin), min(self.height, int(max(ys)) + margin + 1)
        if right <= left or bottom <= top:
            return np.zeros((0, 0), np.float32), (0, 0, 0, 0)
        large = Image.new("L", ((right - left) * SMOOTH, (bottom - top) * SMOOTH), 0)
        moved = [((x - left) * SMOOTH, (y - top) * SMOOTH) for x, y in points]
        draw = ImageDraw.Draw(large)
        if round_:
            draw.ellipse([*moved[0], *moved[1]], fill=255)
        else:
            draw.polygon(moved, fill=255)
        mask = large.reduce(SMOOTH)
        if soft:
            mask = mask.filter(ImageFilter.GaussianBlur(soft))
        return np.asarray(np.asarray(mask) / 255, np.float32), (left, top, right, bottom)

    def _blend(self, cover: Plane, paint: Colour | NDArray[np.float32], window: Window) -> None:
        left, top, right, bottom = window
        part = self.pixels[top:bottom, left:right]
        part += (np.asarray(paint, np.float32) - part) * cover[..., None]
