"""The style plates of the example universe: three hands that could not be taken for each other."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from kroma_site.demo.canvas import Canvas, Colour, Point

SIZE = (896, 1120)
LARGER = 2  # ink is drawn twice as large, then reduced

INK = 18  # level of black
PAPER = 246


def ink() -> Image.Image:
    """A lighthouse in black ink on white paper: spotted blacks, contours, hatching in one direction."""
    width, height = SIZE[0] * LARGER, SIZE[1] * LARGER
    page = Image.new("L", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    random = np.random.default_rng(5)

    def at(points: Sequence[Point]) -> list[Point]:
        return [(x * LARGER, y * LARGER) for x, y in points]

    def hatch(points: Sequence[Point], *, gap: float, slant: float, weight: float) -> None:
        """Feathered strokes inside a polygon; they thin out towards its right side."""
        mask = Image.new("L", page.size, 0)
        ImageDraw.Draw(mask).polygon(at(points), fill=255)
        strokes = Image.new("L", page.size, PAPER)
        pen = ImageDraw.Draw(strokes)
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        reach = (max(ys) - min(ys)) * abs(slant)
        x = min(xs) - reach
        while x < max(xs) + reach:
            top, low = (
                min(ys) + random.uniform(-6, 10),
                max(ys) - random.uniform(0, 0.25) * (max(ys) - min(ys)),
            )
            share = np.clip((x - min(xs)) / max(max(xs) - min(xs), 1), 0, 1)
            thick = weight * (1.25 - 0.9 * share) * random.uniform(0.7, 1.2)
            if thick > 0.35:
                line = at([(x + slant * (top - min(ys)), top), (x + slant * (low - min(ys)), low)])
                pen.line(line, fill=INK, width=max(1, round(thick * LARGER)))
            x += gap * random.uniform(0.8, 1.2)
        page.paste(strokes, (0, 0), mask)

    def brush(points: Sequence[Point], weight: float) -> None:
        """A contour that swells in the middle and ends in a point."""
        dense: list[Point] = []
        for (x1, y1), (x2, y2) in zip(points, points[1:], strict=False):
            steps = max(2, int(np.hypot(x2 - x1, y2 - y1) / 2))
            dense += [(x1 + (x2 - x1) * s / steps, y1 + (y2 - y1) * s / steps) for s in range(steps)]
        wobble = np.cumsum(random.normal(0, 0.1, len(dense)))
        for place, (x, y) in enumerate(dense):
            share = place / max(1, len(dense) - 1)
            radius = LARGER * weight * (0.3 + 0.7 * np.sin(np.pi * min(1, share * 0.9 + 0.08))) / 2
            cx, cy = x * LARGER, (y + wobble[place] * 0.3) * LARGER
            draw.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], fill=INK)

    # sky: a black night with a white beam, feathered where they meet
    draw.polygon(at([(0, 0), (896, 0), (896, 470), (0, 470)]), fill=INK)
    for row in range(64):
        y = 330 + row * 4.2
        x = 0.0
        while x < 896:
            length = random.uniform(30, 180) * (1 - row / 80)
            draw.line(
                at([(x, y), (x + length, y - 2)]),
                fill=PAPER if row > 14 else 235,
                width=max(1, int(row / 7) + 1),
            )
            x += length + random.uniform(10, 130) * (1.1 - row / 64)
    beam: list[Point] = [(470, 214), (896, 60), (896, 330), (470, 246)]
    draw.polygon(at(beam), fill=PAPER)
    draw.polygon(at([(418, 214), (0, 110), (0, 300), (418, 246)]), fill=PAPER)
    for number in range(22):
        y = 72 + number * 12
        draw.line(
            at([(896, y), (896 - random.uniform(60, 230), 214 + (y - 190) * 0.55)]), fill=INK, width=LARGER
        )
    for _ in range(150):
        x, y, r = random.uniform(0, 896), random.uniform(0, 300), random.uniform(0.6, 2)
        draw.ellipse([(x - r) * LARGER, (y - r) * LARGER, (x + r) * LARGER, (y + r) * LARGER], fill=PAPER)
    # the tower
    tower: list[Point] = [(404, 290), (484, 290), (520, 806), (364, 806)]
    draw.polygon(at(tower), fill=PAPER)
    draw.polygon(at([(452, 290), (484, 290), (520, 806), (462, 806)]), fill=INK)
    hatch([(424, 290), (456, 290), (466, 806), (420, 806)], gap=7, slant=0.06, weight=2.4)
    for top in (360, 520, 680):
        wide = (top - 290) * 0.075
        draw.polygon(
            at([(404 - wide, top), (484 + wide, top + 6), (488 + wide, top + 70), (400 - wide, top + 64)]),
            fill=INK,
        )
        for line in range(5):
            x = 412 - wide + line * 8
            draw.line(at([(x, top + 10 + line * 4), (x, top + 58 - line * 5)]), fill=PAPER, width=LARGER * 2)
    draw.polygon(at([(392, 276), (496, 276), (502, 296), (386, 296)]), fill=INK)
    draw.rectangle([*at([(416, 206)])[0], *at([(472, 276)])[0]], fill=PAPER)
    for x in (416, 434, 453, 472):
        brush([(x, 204), (x, 278)], 4)
    draw.polygon(at([(406, 208), (482, 208), (444, 160)]), fill=INK)
    brush([(444, 168), (444, 132)], 4)
    brush([(384, 268), (504, 268)], 3)
    for x in range(388, 504, 12):
        brush([(x, 254), (x, 276)], 2)
    brush([(404, 290), (364, 806)], 7)
    brush([(484, 290), (520, 806)], 6)
    # rock, in planes
    rock: list[Point] = [
        (120, 1000),
        (190, 900),
        (286, 850),
        (352, 792),
        (536, 790),
        (620, 850),
        (716, 880),
        (800, 990),
        (840, 1120),
        (60, 1120),
    ]
    draw.polygon(at(rock), fill=PAPER)
    for plane in (
        [
            (440, 800),
            (536, 790),
            (620, 850),
            (716, 880),
            (800, 990),
            (840, 1120),
            (560, 1120),
            (600, 960),
            (500, 900),
        ],
        [(286, 850), (352, 800), (380, 900), (330, 1010), (240, 1060), (260, 940)],
        [(120, 1000), (176, 930), (190, 1050), (130, 1120), (60, 1120)],
    ):
        draw.polygon(at(plane), fill=INK)
    hatch(
        [(352, 800), (440, 800), (500, 900), (420, 1040), (330, 1010), (380, 900)],
        gap=9,
        slant=-0.3,
        weight=3.2,
    )
    hatch([(190, 910), (286, 852), (262, 940), (230, 1050), (190, 1040)], gap=8, slant=-0.3, weight=2.6)
    hatch([(420, 1040), (500, 900), (600, 960), (560, 1120), (380, 1120)], gap=10, slant=-0.25, weight=3.6)
    for x, y in ((640, 900), (700, 960), (760, 1040), (610, 1010)):
        brush([(x, y), (x - 26, y + 60), (x - 20, y + 110)], 4)
        draw.line(at([(x + 8, y + 6), (x - 14, y + 66)]), fill=PAPER, width=3 * LARGER)
    brush(
        [
            (120, 1000),
            (190, 900),
            (286, 850),
            (352, 792),
            (536, 790),
            (620, 850),
            (716, 880),
            (800, 990),
            (840, 1120),
        ],
        8,
    )
    # sea
    for row in range(34):
        y = 640 + row * row * 0.42
        if y > 1118:
            break
        x = random.uniform(-60, 0)
        while x < 896:
            length = random.uniform(24, 110) * (0.6 + row / 26)
            inside = 128 - (y - 1000) * 0.4 < x + length / 2 < 808 and y > 850
            tower_there = 350 < x + length / 2 < 540 and y > 300
            if not inside and not tower_there:
                crest = [(x, y), (x + length * 0.4, y - 3 - row * 0.2), (x + length, y + 1)]
                brush(crest, 1.5 + row * 0.24)
            x += length + random.uniform(8, 60)
    for _ in range(90):
        x, y, r = random.uniform(70, 850), random.uniform(960, 1110), random.uniform(1, 4.5)
        draw.ellipse([(x - r) * LARGER, (y - r) * LARGER, (x + r) * LARGER, (y + r) * LARGER], fill=PAPER)
    return page.reduce(LARGER).convert("RGB")


def poster() -> Image.Image:
    """A sailing boat as a travel poster: few flat warm colours with hard edges and no outline."""
    c = Canvas(*SIZE, seed=7)
    flat = {"grain": 0.0}
    c.box(0, 0, 896, 1120, (246, 196, 112), **flat)
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
        c.box(left, y, right, y + 16, (253, 240, 206), **flat)
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
    c.box(0, 660, 896, 1120, (38, 96, 104), **flat)
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
    c.box(372, 250, 384, 814, (74, 36, 42), **flat)
    c.poly([(396, 268), (396, 780), (640, 780), (560, 560)], (250, 226, 170), grain=0)
    c.poly([(396, 268), (396, 780), (470, 780), (450, 540)], (232, 180, 110), grain=0)
    c.poly([(360, 320), (360, 780), (190, 780), (270, 580)], (222, 78, 52), grain=0)
    c.poly([(360, 320), (360, 780), (300, 780), (322, 590)], (168, 50, 48), grain=0)
    c.poly([(384, 250), (384, 286), (450, 268)], (38, 96, 104), grain=0)
    for x, tone in ((300, (38, 96, 104)), (470, (250, 216, 140))):
        c.oval(x, 764, 14, 15, (222, 160, 110), grain=0)
        c.poly([(x - 24, 814), (x - 18, 780), (x + 18, 780), (x + 24, 814)], tone, grain=0)
    for x, y, s in ((130, 380, 1.0), (210, 340, 0.7), (80, 330, 0.6)):
        c.poly(
            [(x - 46 * s, y - 16 * s), (x - 18 * s, y - 18 * s), (x, y), (x - 20 * s, y - 8 * s)],
            (74, 36, 42),
            grain=0,
        )
        c.poly(
            [(x + 46 * s, y - 16 * s), (x + 18 * s, y - 18 * s), (x, y), (x + 20 * s, y - 8 * s)],
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
            wide, top = (18 + 15 * tier) * s, y - (250 - 40 * tier) * s
            _bleed(c, [(x, top), (x + wide, top + 66 * s), (x - wide, top + 66 * s)], (38, 76, 92), 0.42)
        c.line([(x, y - 40 * s), (x, y + 14 * s)], 6 * s, (44, 62, 74), opacity=0.7, soft=1)
    _bleed(c, [(410, 884), (560, 884), (530, 912), (436, 912)], (54, 66, 92), 0.8)
    c.line([(480, 884), (486, 776)], 4, (54, 66, 86), opacity=0.8, soft=1)
    _bleed(c, [(490, 782), (548, 868), (488, 872)], (214, 206, 214), 0.9)
    _bleed(c, [(440, 918), (530, 918), (506, 1010), (462, 1010)], (70, 96, 120), 0.35)
    for _ in range(26):
        x, y, r = (
            float(c.random.uniform(0, 896)),
            float(c.random.uniform(0, 1120)),
            float(c.random.uniform(3, 26)),
        )
        c.oval(x, y, r, r * 0.8, (96, 138, 172), grain=0, opacity=0.12, soft=2)
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
    tooth = np.asarray(
        Image.fromarray((c.random.random((c.height, c.width)) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.1)),
        np.float32,
    )  # fmt: skip
    pixels += ((tooth - 127) * 0.42)[..., None]
    ragged = c.noise(18, octaves=3) * 16
    rows, columns = np.mgrid[0 : c.height, 0 : c.width].astype(np.float32)
    edge = np.minimum.reduce([rows, c.height - rows, columns, c.width - columns]) - 14 - ragged
    inside = np.clip(edge / 5, 0, 1)[..., None]
    pixels = pixels * inside + np.array([244, 243, 238], np.float32) * (1 - inside)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
