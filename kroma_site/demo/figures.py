"""What stands and walks in the scenes: people, stalls, houses, trees."""

import numpy as np

from kroma_site.demo.canvas import Canvas, Colour, Point


def darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (int(channel * share) for channel in colour)
    return red, green, min(255, blue + 8)


def crane(c: Canvas, x: float, y: float) -> None:
    dark: Colour = (44, 46, 54)
    c.poly(
        [(x - 130, y + 60), (x + 40, y + 30), (x + 60, y + 50), (x - 100, y + 86)],
        (26, 26, 34),
        opacity=0.5,
        soft=8,
    )
    for foot in (-62, 46):
        c.poly(
            [
                (x + foot, y + 40),
                (x + foot + 20, y + 40),
                (x + foot * 0.35 + 14, 300),
                (x + foot * 0.35, 300),
            ],
            (86, 80, 80),
            (44, 42, 50),
        )
    for step in range(6):
        top = y + 20 - step * 56
        c.line([(x - 54 + step * 6, top), (x + 50 - step * 4, top - 46)], 5, dark)
        c.line([(x + 56 - step * 4, top), (x - 46 + step * 6, top - 46)], 5, dark)
    c.poly(
        [(x - 44, 312), (x + 54, 312), (x + 54, 236), (x - 20, 236)],
        (178, 128, 54),
        (120, 76, 44),
        along="right",
    )
    c.box(x - 12, 250, x + 18, 280, (120, 146, 156), (60, 78, 92))
    tip = (x - 360, 96.0)
    c.line([(x - 20, 262), tip], 9, (70, 66, 70))
    c.line([(x, 236), (tip[0] + 8, tip[1] - 4)], 5, (70, 66, 70))
    for step in range(1, 11):
        share = step / 11
        c.line(
            [(x - 20 - 340 * share, 262 - 166 * share), (x - 350 * share, 236 - 142 * share)],
            3.4,
            (70, 66, 70),
        )
    c.line([tip, (tip[0], 250)], 2.4, (40, 40, 46))
    c.poly([(tip[0] - 34, 286), (tip[0] + 34, 286), (tip[0], 250)], (60, 56, 60))
    crate(c, tip[0] - 34, 286, 68)


def crate(c: Canvas, x: float, y: float, size: float) -> None:
    side = size * 0.3
    c.poly(
        [
            (x - size * 0.5, y + size + 12),
            (x + size, y + size),
            (x + size + side, y + size * 0.8),
            (x, y + size * 0.86),
        ],
        (24, 22, 28),
        opacity=0.45,
        soft=6,
    )
    c.box(x, y, x + size, y + size, (186, 140, 88), (140, 98, 62))
    c.poly(
        [
            (x + size, y),
            (x + size + side, y - side * 0.6),
            (x + size + side, y + size - side * 0.6),
            (x + size, y + size),
        ],
        (112, 76, 54),
        (78, 52, 42),
    )
    c.poly(
        [(x, y), (x + side, y - side * 0.6), (x + size + side, y - side * 0.6), (x + size, y)],
        (214, 172, 114),
    )
    for share in (0.06, 0.94):
        c.line([(x, y + size * share), (x + size, y + size * share)], size * 0.09, (112, 76, 50))
        c.line([(x + size * share, y), (x + size * share, y + size)], size * 0.09, (112, 76, 50))
    c.line([(x + size * 0.1, y + size * 0.9), (x + size * 0.9, y + size * 0.1)], size * 0.09, (122, 84, 54))


def figure(
    c: Canvas,
    x: float,
    y: float,
    height: float,
    *,
    coat: Colour,
    light_left: bool,
    hat: bool = False,
    skirt: bool = False,
    away: bool = False,
) -> None:
    """A standing person whose feet are at (x, y)."""
    u = height / 100
    bright, dark = coat, darker(coat, 0.5)
    first, second = (bright, dark) if light_left else (dark, bright)
    skin: Colour = (226, 172, 138)
    if skirt:
        c.poly(
            [
                (x - 9 * u, y - 52 * u),
                (x + 9 * u, y - 52 * u),
                (x + 19 * u, y - 3 * u),
                (x - 19 * u, y - 3 * u),
            ],
            first,
            second,
            along="right",
        )
    else:
        for side in (-1, 1):
            c.poly(
                [
                    (x + side * 1 * u, y - 46 * u),
                    (x + side * 10 * u, y - 46 * u),
                    (x + side * 9 * u, y),
                    (x + side * 2 * u, y),
                ],
                darker(coat, 0.62),
                darker(coat, 0.4),
            )
            c.oval(x + side * 6.5 * u, y - 1 * u, 6 * u, 2.6 * u, (28, 24, 28))
    c.poly(
        [
            (x - 12 * u, y - 84 * u),
            (x + 12 * u, y - 84 * u),
            (x + 14 * u, y - 60 * u),
            (x + 13 * u, y - 34 * u),
            (x - 13 * u, y - 34 * u),
            (x - 14 * u, y - 60 * u),
        ],
        first,
        second,
        along="right",
    )
    for side in (-1, 1):
        c.line(
            [
                (x + side * 12 * u, y - 80 * u),
                (x + side * 16.5 * u, y - 60 * u),
                (x + side * 14 * u, y - 42 * u),
            ],
            6.4 * u,
            second if side > 0 else first,
        )
        c.oval(x + side * 14 * u, y - 40 * u, 3 * u, 3.4 * u, skin)
    c.box(x - 3 * u, y - 89 * u, x + 3 * u, y - 82 * u, darker(skin, 0.75))
    lit, dim = (skin, darker(skin, 0.6)) if light_left else (darker(skin, 0.6), skin)
    c.oval(x, y - 93 * u, 6.4 * u, 7.6 * u, lit, dim, along="right")
    if u > 1.4 and not away:
        for side in (-1, 1):
            c.oval(x + side * 2.4 * u, y - 93.4 * u, 0.7 * u, 0.9 * u, (40, 28, 30), grain=0)
        c.line([(x - 1.8 * u, y - 89 * u), (x + 1.8 * u, y - 89 * u)], 0.8 * u, (136, 70, 62), opacity=0.8)
        c.line([(x, y - 93 * u), (x + 0.8 * u, y - 91 * u)], 0.7 * u, (150, 96, 80), opacity=0.7)
        c.poly(
            [(x - 5 * u, y - 84 * u), (x, y - 78 * u), (x + 5 * u, y - 84 * u), (x, y - 72 * u)],
            (236, 226, 206),
        )
    hair = ((58, 40, 34), (140, 96, 54), (92, 88, 90))[int(x) % 3]
    c.poly(
        [
            (x - 7 * u, y - 92 * u),
            (x - 6 * u, y - 100 * u),
            (x, y - 102.4 * u),
            (x + 6 * u, y - 100 * u),
            (x + 7 * u, y - 92 * u),
            (x + 4 * u, y - 97 * u),
            (x - 4 * u, y - 97 * u),
        ],
        hair,
    )
    if away:
        c.oval(x, y - 94 * u, 6.6 * u, 7 * u, hair, darker(hair, 0.6))
    if hat:
        c.oval(x, y - 98 * u, 13 * u, 3 * u, (24, 22, 30))
        c.poly(
            [
                (x - 7 * u, y - 98 * u),
                (x + 7 * u, y - 98 * u),
                (x + 6 * u, y - 108 * u),
                (x - 6 * u, y - 108 * u),
            ],
            (38, 34, 42),
            (20, 18, 26),
            along="right",
        )


def crowd(c: Canvas, y: float, number: int, height: float) -> None:
    """People side by side in the sun from the left, feet around the row `y`."""
    coats: tuple[Colour, ...] = (
        (172, 64, 52), (62, 92, 122), (206, 168, 96), (92, 116, 78), (128, 84, 118), (222, 208, 184),
        (70, 66, 82), (190, 116, 66),
    )  # fmt: skip
    places = np.linspace(20, c.width - 20, number) + c.random.uniform(-0.35, 0.35, number) * c.width / number
    for x in c.random.permutation(places):
        tall = height * float(c.random.uniform(0.88, 1.08))
        foot = y + float(c.random.uniform(-0.05, 0.07)) * height
        coat = coats[int(c.random.integers(len(coats)))]
        c.poly(
            [
                (x - 4, foot),
                (x + 6, foot),
                (x + height * 0.42, foot + height * 0.13),
                (x + height * 0.3, foot + height * 0.15),
            ],
            (40, 34, 44),
            opacity=0.45,
            soft=height * 0.02,
        )
        figure(
            c,
            float(x),
            foot,
            tall,
            coat=coat,
            light_left=True,
            hat=c.random.random() < 0.35,
            skirt=c.random.random() < 0.4,
        )


def stall(c: Canvas, left: float, y: float, width: float, colour: Colour) -> None:
    right, depth = left + width, width * 0.2
    c.poly(
        [
            (left - 10, y + depth * 2.1),
            (right + 60, y + depth * 2),
            (right + 90, y + depth * 2.4),
            (left + 30, y + depth * 2.5),
        ],
        (40, 34, 44),
        opacity=0.5,
        soft=8,
    )
    for x in (left + 6, right - 6):
        c.line([(x, y - width * 0.5), (x, y + depth * 2.1)], 6, (92, 66, 52))
    c.box(left + 8, y - width * 0.34, right - 8, y, (56, 44, 52), (80, 64, 62))
    c.poly(
        [(left, y), (right, y), (right + 8, y + depth * 0.6), (left - 8, y + depth * 0.6)],
        (176, 132, 88),
        (150, 106, 70),
    )
    c.box(left - 8, y + depth * 0.6, right + 8, y + depth * 2.1, (132, 92, 64), (88, 60, 50))
    for x in np.arange(left, right, 24):
        c.line([(x, y + depth * 0.6), (x, y + depth * 2.1)], 1.8, (74, 50, 44), opacity=0.7)
    fruits: tuple[Colour, ...] = (
        (206, 62, 46),
        (232, 158, 48),
        (112, 146, 62),
        (236, 212, 96),
        (126, 60, 92),
    )
    for group in range(5):
        start = left + 8 + group * (width - 16) / 5
        for _ in range(15):
            x = start + float(c.random.uniform(4, (width - 16) / 5 - 6))
            row = y + float(c.random.uniform(-6, depth * 0.5))
            c.oval(x, row, 6.4, 6, fruits[group], darker(fruits[group], 0.55))
    top, low = y - width * 0.62, y - width * 0.36
    stripes = 10
    for number in range(stripes):
        share, after = number / stripes, (number + 1) / stripes
        cloth = colour if number % 2 == 0 else (240, 230, 210)
        edge: list[Point] = [
            (left + 14 + (width - 28) * share, top), (left + 14 + (width - 28) * after, top),
            (left - 14 + (width + 28) * after, low), (left - 14 + (width + 28) * share, low),
        ]  # fmt: skip
        c.poly(edge, cloth, darker(cloth, 0.74))
        middle = left - 14 + (width + 28) * (share + after) / 2
        c.oval(middle, low, (width + 28) / stripes / 2, 12, darker(cloth, 0.8), darker(cloth, 0.66))


def tree(c: Canvas, x: float, y: float, size: float) -> None:
    c.poly(
        [(x, y), (x + 10, y), (x + 170 * size, y + 44 * size), (x + 120 * size, y + 54 * size)],
        (26, 34, 38),
        opacity=0.45,
        soft=8,
    )
    c.poly(
        [
            (x - 9 * size, y + 6),
            (x + 11 * size, y + 6),
            (x + 5 * size, y - 90 * size),
            (x - 4 * size, y - 90 * size),
        ],
        (104, 76, 58),
        (48, 38, 42),
        along="right",
    )
    for _ in range(46):
        angle, far = float(c.random.uniform(0, 6.283)), float(c.random.random()) ** 0.5
        px, py = x + np.cos(angle) * far * 62 * size, y - 112 * size + np.sin(angle) * far * 50 * size
        sun = max(0.0, -(px - x) / (62 * size)) * 0.7 + max(0.0, (y - 112 * size - py) / (50 * size)) * 0.3
        tone: Colour = (int(56 + 130 * sun), int(72 + 84 * sun), int(46 + 22 * sun))
        c.oval(float(px), float(py), 15 * size, 12 * size, tone, darker(tone, 0.7), soft=1)


def houses(c: Canvas, eye: Point, *, left: bool) -> None:
    """A row of houses that runs to the vanishing point `eye`."""
    walls: tuple[Colour, ...] = ((116, 88, 92), (92, 84, 108), (130, 100, 86), (84, 74, 94))
    edges = [0.0, 150, 258, 330, 372] if left else [832.0, 690, 590, 524, 490]
    tops = [-60.0, 40, 130, 206]
    outside = edges[0]
    for number in range(4):
        near, far = edges[number], edges[number + 1]

        def toward(x: float, y: float, at: float, outside: float = outside) -> float:
            return y + (eye[1] - y) * (at - x) / (eye[0] - x) if outside != eye[0] else y

        roof, floor = tops[number], 900 if number == 0 else toward(edges[0], 900, near)
        quad: list[Point] = [
            (near, roof),
            (far, toward(near, roof, far)),
            (far, toward(near, floor, far)),
            (near, floor),
        ]
        wall = walls[number]
        first, second = (darker(wall, 0.72), wall) if left else (wall, darker(wall, 0.72))
        c.poly(quad, first, second, along="right")
        columns, rows = 2 if number < 3 else 1, 4
        for column in range(columns):
            x1 = near + (far - near) * (0.18 + column * 0.42)
            x2 = near + (far - near) * (0.42 + column * 0.42)
            for row in range(rows):
                high = roof + (floor - roof) * (0.12 + row * 0.22)
                low = high + (floor - roof) * 0.12
                shape = [
                    (x1, toward(near, high, x1)),
                    (x2, toward(near, high, x2)),
                    (x2, toward(near, low, x2)),
                    (x1, toward(near, low, x1)),
                ]
                lit = (number * 5 + column * 3 + row * 7 + left) % 4 == 0
                c.poly(
                    shape, (252, 208, 128) if lit else (40, 44, 66), (232, 160, 90) if lit else (62, 66, 92)
                )
                (ax, ay), (bx, by), (dx, dy), (ex, ey) = shape
                c.line([((ax + bx) / 2, (ay + by) / 2), ((dx + ex) / 2, (dy + ey) / 2)], 2.4, (30, 26, 36))
                c.line([(ex, ey + 2), (dx, dy + 2)], 5, (150, 130, 128), opacity=0.7)
        c.line([(near, roof), (far, toward(near, roof, far))], 12, (40, 34, 48))
        c.line([(far, toward(near, roof, far)), (far, toward(near, floor, far))], 3, (34, 30, 44))


def cobbles(c: Canvas, eye: Point) -> None:
    for row in range(1, 19):
        share = (row / 18) ** 1.7
        y = 566 + 474 * share
        size = 4 + 30 * share
        half = 100 + 560 * share
        for x in np.arange(eye[0] - half + (row % 2) * size, eye[0] + half, size * 2):
            tint = int(c.random.integers(-14, 22))
            tone: Colour = (
                112 + tint - int(40 * share),
                100 + tint - int(38 * share),
                116 + tint - int(34 * share),
            )
            c.oval(float(x), float(y), size * 0.92, size * 0.44, tone, darker(tone, 0.45), opacity=0.8)
