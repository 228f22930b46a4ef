"""The style plates of the example universe: three hands that could not be taken for each other."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from kroma_site.demo.canvas import Canvas, Colour, Point

SIZE = (896, 1120)
LARGER = 2  # ink is drawn twice as large, then reduced

INK = 18  # level of black
PAPER = 246


class Sheet:
    """White paper and black ink: brush contours and feathered hatching."""

    def __init__(self, *, seed: int) -> None:
        self.page = Image.new("L", (SIZE[0] * LARGER, SIZE[1] * LARGER), PAPER)
        self.draw = ImageDraw.Draw(self.page)
        self.random = np.random.default_rng(seed)

    def black(self, points: Sequence[Point]) -> None:
        """A solid black shape."""
        self.draw.polygon(at(points), fill=INK)

    def white(self, points: Sequence[Point]) -> None:
        """A shape of bare paper."""
        self.draw.polygon(at(points), fill=PAPER)

    def stroke(self, points: Sequence[Point], width: int, level: int = INK) -> None:
        """A straight stroke; `width` in pixels of the drawing, before it is reduced."""
        self.draw.line(at(points), fill=level, width=width)

    def drops(self, number: int, box: tuple[float, float, float, float], radius: tuple[float, float]) -> None:
        """White spots: stars, spray. `box` is left, top, right, bottom."""
        left, top, right, bottom = box
        for _ in range(number):
            x, y = self.random.uniform(left, right), self.random.uniform(top, bottom)
            r = self.random.uniform(*radius)
            (x1, y1), (x2, y2) = at([(x - r, y - r), (x + r, y + r)])
            self.draw.ellipse([x1, y1, x2, y2], fill=PAPER)

    def hatch(self, points: Sequence[Point], *, gap: float, slant: float, weight: float) -> None:
        """Feathered strokes inside a polygon; they thin out towards its right side."""
        mask = Image.new("L", self.page.size, 0)
        ImageDraw.Draw(mask).polygon(at(points), fill=255)
        strokes = Image.new("L", self.page.size, PAPER)
        pen = ImageDraw.Draw(strokes)
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        x = left - (bottom - top) * abs(slant)
        while x < right + (bottom - top) * abs(slant):
            first = top + self.random.uniform(-6, 10)
            last = bottom - self.random.uniform(0, 0.25) * (bottom - top)
            share = np.clip((x - left) / max(right - left, 1), 0, 1)
            thick = weight * (1.25 - 0.9 * share) * self.random.uniform(0.7, 1.2)
            if thick > 0.35:
                ends = [(x + slant * (first - top), first), (x + slant * (last - top), last)]
                pen.line(at(ends), fill=INK, width=max(1, round(thick * LARGER)))
            x += gap * self.random.uniform(0.8, 1.2)
        self.page.paste(strokes, (0, 0), mask)

    def brush(self, points: Sequence[Point], weight: float) -> None:
        """A contour that swells in the middle and ends in a point."""
        dense: list[Point] = []
        for (x1, y1), (x2, y2) in pairwise(points):
            steps = max(2, int(np.hypot(x2 - x1, y2 - y1) / 2))
            dense += [(x1 + (x2 - x1) * s / steps, y1 + (y2 - y1) * s / steps) for s in range(steps)]
        wobble = np.cumsum(self.random.normal(0, 0.1, len(dense)))
        for place, (x, y) in enumerate(dense):
            share = place / max(1, len(dense) - 1)
            radius = LARGER * weight * (0.3 + 0.7 * np.sin(np.pi * min(1, share * 0.9 + 0.08))) / 2
            cx, cy = x * LARGER, (y + wobble[place] * 0.3) * LARGER
            self.draw.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], fill=INK)


def at(points: Sequence[Point]) -> list[Point]:
    """Points of the plate on the larger drawing."""
    return [(x * LARGER, y * LARGER) for x, y in points]


def ink() -> Image.Image:
    """A lighthouse in black ink on white paper: spotted blacks, contours, hatching in one direction."""
    s = Sheet(seed=5)
    _sky(s)
    _tower(s)
    _rock(s)
    _sea(s)
    s.drops(90, (70, 960, 850, 1110), (1, 4.5))
    return s.page.reduce(LARGER).convert("RGB")


def _sky(s: Sheet) -> None:
    """A black night with white beams, feathered towards the horizon."""
    s.black([(0, 0), (896, 0), (896, 470), (0, 470)])
    for row in range(64):
        y, x = 330 + row * 4.2, 0.0
        while x < 896:
            length = s.random.uniform(30, 180) * (1 - row / 80)
            s.stroke([(x, y), (x + length, y - 2)], row // 7 + 1, PAPER)
            x += length + s.random.uniform(10, 130) * (1.1 - row / 64)
    s.white([(470, 214), (896, 60), (896, 330), (470, 246)])
    s.white([(418, 214), (0, 110), (0, 300), (418, 246)])
    for y in range(72, 336, 12):
        s.stroke([(896, y), (896 - s.random.uniform(60, 230), 214 + (y - 190) * 0.55)], LARGER)
    s.drops(150, (0, 0, 896, 300), (0.6, 2))


def _tower(s: Sheet) -> None:
    s.white([(404, 290), (484, 290), (520, 806), (364, 806)])
    s.black([(452, 290), (484, 290), (520, 806), (462, 806)])
    s.hatch([(424, 290), (456, 290), (466, 806), (420, 806)], gap=7, slant=0.06, weight=2.4)
    for top in (360, 520, 680):
        wide = (top - 290) * 0.075
        s.black([(404 - wide, top), (484 + wide, top + 6), (488 + wide, top + 70), (400 - wide, top + 64)])
        for line in range(5):
            x = 412 - wide + line * 8
            s.stroke([(x, top + 10 + line * 4), (x, top + 58 - line * 5)], LARGER * 2, PAPER)
    s.black([(392, 276), (496, 276), (502, 296), (386, 296)])
    s.white([(416, 206), (472, 206), (472, 276), (416, 276)])
    for x in (416, 434, 453, 472):
        s.brush([(x, 204), (x, 278)], 4)
    s.black([(406, 208), (482, 208), (444, 160)])
    s.brush([(444, 168), (444, 132)], 4)
    s.brush([(384, 268), (504, 268)], 3)
    for x in range(388, 504, 12):
        s.brush([(x, 254), (x, 276)], 2)
    s.brush([(404, 290), (364, 806)], 7)
    s.brush([(484, 290), (520, 806)], 6)


def _rock(s: Sheet) -> None:
    crest: list[Point] = [
        (120, 1000), (190, 900), (286, 850), (352, 792), (536, 790), (620, 850), (716, 880), (800, 990),
        (840, 1120),
    ]  # fmt: skip
    s.white([*crest, (60, 1120)])
    s.black([(440, 800), *crest[4:], (560, 1120), (600, 960), (500, 900)])
    s.black([(286, 850), (352, 800), (380, 900), (330, 1010), (240, 1060), (260, 940)])
    s.black([(120, 1000), (176, 930), (190, 1050), (130, 1120), (60, 1120)])
    middle: list[Point] = [(352, 800), (440, 800), (500, 900), (420, 1040), (330, 1010), (380, 900)]
    s.hatch(middle, gap=9, slant=-0.3, weight=3.2)
    s.hatch([(190, 910), (286, 852), (262, 940), (230, 1050), (190, 1040)], gap=8, slant=-0.3, weight=2.6)
    s.hatch([(420, 1040), (500, 900), (600, 960), (560, 1120), (380, 1120)], gap=10, slant=-0.25, weight=3.6)
    for x, y in ((640, 900), (700, 960), (760, 1040), (610, 1010)):
        s.stroke([(x + 8, y + 6), (x - 14, y + 66)], 3 * LARGER, PAPER)
    s.brush(crest, 8)


def _sea(s: Sheet) -> None:
    for row in range(34):
        y = 640 + row * row * 0.42
        x = s.random.uniform(-60, 0)
        while x < 896:
            length = s.random.uniform(24, 110) * (0.6 + row / 26)
            middle = x + length / 2
            rock = y > 850 and 128 - (y - 1000) * 0.4 < middle < 808
            if not rock and not 350 < middle < 540:
                s.brush(
                    [(x, y), (x + length * 0.4, y - 3 - row * 0.2), (x + length, y + 1)], 1.5 + row * 0.24
                )
            x += length + s.random.uniform(8, 60)


def poster() -> Image.Image:
    """A sailing boat as a travel poster: few flat warm colours with hard edges and no outline."""
    c = Canvas(*SIZE, seed=7)
    c.box(0, 0, 896, 1120, (246, 196, 112), grain=0)
    c.oval(620, 360, 330, 330, (250, 216, 140), grain=0)
    c.oval(620, 360, 236, 236, (252, 234, 180), grain=0)
    c.oval(620, 360, 146, 146, (232, 92, 54), grain=0)
    for y, left, right in (
        (170, 40, 420),
        (206, 120, 560),
        (300, -40, 260),
        (452, 460, 960),
        (486, 560, 1000),
    ):
        c.box(left, y, right, y + 16, (253, 240, 206), grain=0)
        c.oval(left, y + 8, 26, 8, (253, 240, 206), grain=0)
        c.oval(right, y + 8, 26, 8, (253, 240, 206), grain=0)
    c.poly(
        [(0, 560), (150, 470), (250, 530), (380, 440), (520, 560), (896, 600), (896, 680), (0, 680)],
        (196, 92, 72),
        grain=0,
    )
    c.poly(
        [(0, 600), (120, 560), (300, 610), (560, 580), (896, 640), (896, 680), (0, 680)],
        (134, 54, 62),
        grain=0,
    )
    c.box(0, 660, 896, 1120, (38, 96, 104), grain=0)
    for number, y in enumerate(range(690, 1120, 34)):
        step = 44 + number * 9
        for x in range(-60 + number % 2 * step, 960, 2 * step):
            c.poly(
                [(x, y), (x + step * 0.5, y - 9), (x + step, y), (x + step * 0.5, y + 9)],
                (24, 66, 82),
                grain=0,
            )
        if number % 2:
            width = 150 - number * 4
            c.poly(
                [(620 - width, y - 12), (620, y - 19), (620 + width, y - 12), (620, y - 5)],
                (244, 152, 76),
                grain=0,
            )
    c.poly([(180, 812), (600, 812), (540, 906), (250, 906)], (112, 36, 48), grain=0)
    c.poly([(180, 812), (600, 812), (588, 832), (190, 832)], (253, 240, 206), grain=0)
    c.poly([(250, 906), (540, 906), (520, 930), (280, 930)], (20, 50, 66), grain=0)
    c.box(372, 250, 384, 814, (74, 36, 42), grain=0)
    c.poly([(396, 268), (396, 780), (640, 780), (560, 560)], (250, 226, 170), grain=0)
    c.poly([(396, 268), (396, 780), (470, 780), (450, 540)], (232, 180, 110), grain=0)
    c.poly([(360, 320), (360, 780), (190, 780), (270, 580)], (222, 78, 52), grain=0)
    c.poly([(360, 320), (360, 780), (300, 780), (322, 590)], (168, 50, 48), grain=0)
    c.poly([(384, 250), (384, 286), (450, 268)], (38, 96, 104), grain=0)
    for x, tone in ((300, (38, 96, 104)), (470, (250, 216, 140))):
        c.oval(x, 764, 14, 15, (222, 160, 110), grain=0)
        c.poly([(x - 24, 814), (x - 18, 780), (x + 18, 780), (x + 24, 814)], tone, grain=0)
    for x, y, size in ((130, 380, 1.0), (210, 340, 0.7), (80, 330, 0.6)):
        c.poly(
            [
                (x - 46 * size, y - 16 * size),
                (x - 18 * size, y - 18 * size),
                (x, y),
                (x - 20 * size, y - 8 * size),
            ],
            (74, 36, 42),
            grain=0,
        )
        c.poly(
            [
                (x + 46 * size, y - 16 * size),
                (x + 18 * size, y - 18 * size),
                (x, y),
                (x + 20 * size, y - 8 * size),
            ],
            (74, 36, 42),
            grain=0,
        )
    return Image.fromarray(np.clip(c.pixels, 0, 255).astype(np.uint8))


def wash() -> Image.Image:
    """A misty river in cool watercolour: soft edges, pooled pigment, paper that shows through."""
    c = Canvas(*SIZE, seed=9)
    c.backdrop([(0, (196, 214, 226)), (0.4, (232, 236, 232)), (0.55, (240, 240, 232)), (1, (150, 182, 198))])
    c.clouds((120, 152, 186), bottom=560, amount=0.62, cells=2)
    layers: tuple[tuple[float, float, Colour, float], ...] = (
        (430, 150, (150, 178, 204), 0.55), (500, 120, (112, 150, 180), 0.55),
        (560, 96, (84, 128, 152), 0.6), (616, 70, (58, 104, 120), 0.62),
    )  # fmt: skip
    for base, height, colour, opacity in layers:
        ridge = c.noise(3, octaves=4)[int(base)]
        points: list[Point] = [(x, base - height * float(ridge[min(x, 895)])) for x in range(0, 912, 8)]
        _bleed(c, [*points, (912, base + 90), (-16, base + 90)], colour, opacity)
    _bleed(c, [(-20, 660), (300, 640), (620, 668), (920, 650), (920, 760), (-20, 740)], (226, 234, 234), 0.8)
    _bleed(
        c,
        [(-20, 760), (340, 730), (560, 800), (420, 900), (640, 1010), (560, 1140), (-20, 1140)],
        (78, 122, 128),
        0.5,
    )
    _bleed(
        c, [(920, 730), (700, 760), (640, 860), (800, 960), (780, 1140), (920, 1140)], (64, 104, 124), 0.55
    )
    for x, y, s in ((150, 800, 1.5), (250, 770, 1.05), (60, 780, 1.2), (770, 800, 1.35), (850, 770, 1.0)):
        for tier in range(6):
            wide, tip = (18 + 15 * tier) * s, y - (250 - 40 * tier) * s
            _bleed(c, [(x, tip), (x + wide, tip + 66 * s), (x - wide, tip + 66 * s)], (38, 76, 92), 0.42)
        c.line([(x, y - 40 * s), (x, y + 14 * s)], 6 * s, (44, 62, 74), opacity=0.7, soft=1)
    _bleed(c, [(410, 884), (560, 884), (530, 912), (436, 912)], (54, 66, 92), 0.8)
    c.line([(480, 884), (486, 776)], 4, (54, 66, 86), opacity=0.8, soft=1)
    _bleed(c, [(490, 782), (548, 868), (488, 872)], (214, 206, 214), 0.9)
    _bleed(c, [(440, 918), (530, 918), (506, 1010), (462, 1010)], (70, 96, 120), 0.35)
    for _ in range(26):
        left, top = float(c.random.uniform(0, 896)), float(c.random.uniform(0, 1120))
        radius = float(c.random.uniform(3, 26))
        c.oval(left, top, radius, radius * 0.8, (96, 138, 172), grain=0, opacity=0.12, soft=2)
    return _on_paper(c)


PLATES: tuple[tuple[str, Callable[[], Image.Image]], ...] = (
    ("Ink.png", ink),
    ("Poster.png", poster),
    ("Wash.png", wash),
)


def _bleed(c: Canvas, points: Sequence[Point], colour: Colour, opacity: float) -> None:
    """A wet shape: uneven inside, darker where the pigment dried at its edge."""
    moved = [(x + float(c.random.normal(0, 2)), y + float(c.random.normal(0, 2))) for x, y in points]
    c.poly(moved, colour, grain=26, opacity=opacity, soft=4)
    dark: Colour = (int(colour[0] * 0.72), int(colour[1] * 0.76), int(colour[2] * 0.82))
    for first, second in zip(moved, [*moved[1:], moved[0]], strict=True):
        c.line([first, second], 2.4, dark, opacity=opacity * 0.4, soft=1)


def _on_paper(c: Canvas) -> Image.Image:
    """The painting with the tooth of rough paper, and white left at its border."""
    pixels: NDArray[np.float32] = c.pixels
    blooms = c.noise(7, octaves=5)
    pixels = pixels + ((blooms - 0.5) * 34)[..., None] * np.array([1.0, 0.9, 0.7], np.float32)
    dots = Image.fromarray((c.random.random((c.height, c.width)) * 255).astype(np.uint8))
    tooth = np.asarray(dots.filter(ImageFilter.GaussianBlur(1.1)), np.float32)
    pixels += ((tooth - 127) * 0.42)[..., None]
    ragged = c.noise(18, octaves=3) * 16
    rows, columns = np.mgrid[0 : c.height, 0 : c.width].astype(np.float32)
    edge = np.minimum.reduce([rows, c.height - rows, columns, c.width - columns]) - 14 - ragged
    inside = np.clip(edge / 5, 0, 1)[..., None]
    pixels = pixels * inside + np.array([244, 243, 238], np.float32) * (1 - inside)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
