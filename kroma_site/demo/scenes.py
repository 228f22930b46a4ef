"""The scenes of the example universe: a harbour town, painted by rule, without any file from outside."""

from collections.abc import Callable

from PIL import Image

from kroma_site.demo.canvas import Canvas, Colour, Point
from kroma_site.demo.captain import portrait
from kroma_site.demo.figures import cobbles, crane, crate, crowd, darker, figure, houses, stall, tree

WIDE = (1152, 768)
TALL = (832, 1040)


def quay() -> Image.Image:
    """Morning at the quay: a steamer, a crane, bollards and crates."""
    c = Canvas(*WIDE, seed=11)
    c.backdrop([(0, (88, 128, 172)), (0.55, (196, 206, 205)), (1, (250, 222, 178))], bottom=430)
    c.clouds((250, 240, 226), bottom=430)
    c.glow(820, 380, 420, (255, 214, 150), 0.75)
    c.backdrop([(0, (176, 178, 160)), (0.35, (82, 116, 130)), (1, (24, 52, 74))], top=430)
    for x, top, width in ((0, 372, 150), (130, 392, 120), (980, 380, 180), (900, 398, 110), (240, 402, 90)):
        c.box(x, top, x + width, 432, (132, 142, 156), (158, 160, 162))
    for x in range(20, 1150, 74):
        c.box(x, 396 + x % 5 * 5, x + 22, 432, (122, 132, 148))
    c.ripples(436, (250, 226, 180), amount=0.75)
    # the steamer
    hull = [(330, 380), (905, 396), (884, 500), (874, 522), (366, 522), (352, 462)]
    c.poly([(380, 522), (850, 522), (800, 640), (430, 640)], (18, 30, 44), opacity=0.55, soft=10)
    c.poly(hull, (52, 46, 52), (24, 24, 34))
    c.poly([(350, 462), (890, 468), (884, 500), (874, 522), (366, 522)], (138, 44, 36), (84, 26, 28))
    c.line([(334, 384), (905, 400)], 6, (222, 214, 198))
    c.poly([(470, 384), (760, 392), (752, 318), (478, 318)], (236, 228, 210), (178, 170, 164))
    c.poly([(510, 318), (700, 318), (692, 262), (520, 262)], (226, 218, 202), (170, 164, 160))
    c.poly([(660, 318), (700, 318), (692, 262), (662, 262)], (150, 146, 150))
    for x in range(496, 746, 36):
        c.oval(x, 352, 9, 9, (40, 54, 70))
        c.oval(x - 2, 350, 3, 3, (210, 220, 224))
    for x in range(532, 690, 30):
        c.box(x, 278, x + 18, 300, (52, 70, 88), (112, 132, 146))
    c.poly([(568, 262), (640, 262), (650, 150), (574, 150)], (196, 82, 46), (118, 40, 34), along="right")
    c.poly([(573, 176), (648, 176), (650, 150), (574, 150)], (40, 36, 42))
    for step in range(9):
        c.oval(
            616 + 26 * step, 132 - 9 * step, 22 + 9 * step, 15 + 6 * step, (92, 92, 100), opacity=0.34, soft=9
        )
    c.line([(420, 384), (420, 160)], 7, (58, 46, 44))
    c.line([(836, 394), (836, 190)], 7, (58, 46, 44))
    for x, y in ((334, 384), (520, 318), (574, 150)):
        c.line([(420, 164), (x, y)], 1.6, (50, 44, 46))
    for x, y in ((905, 398), (700, 318), (650, 150)):
        c.line([(836, 194), (x, y)], 1.6, (50, 44, 46))
    # the quay wall and its crane
    c.poly([(0, 560), (1152, 640), (1152, 768), (0, 768)], (150, 138, 120), (84, 76, 74))
    c.poly([(0, 560), (1152, 640), (1152, 664), (0, 584)], (192, 178, 152), (150, 136, 118))
    for x in range(-60, 1220, 96):
        slope = 640 - 80 * (1152 - x) / 1152
        c.line([(x, slope + 24), (x + (x - 560) * 0.28, 768)], 2.4, (66, 60, 62), opacity=0.6)
    for row in (0.28, 0.6):
        c.line([(0, 584 + 184 * row), (1152, 664 + 104 * row)], 2.4, (66, 60, 62), opacity=0.6)
    crane(c, 1010, 640)
    for x, y, size in ((120, 640, 92), (206, 664, 74), (150, 570, 70)):
        crate(c, x, y, size)
    for x, y in ((470, 604), (690, 622)):
        c.poly(
            [(x - 70, y + 40), (x + 14, y + 34), (x + 16, y + 44), (x - 60, y + 52)],
            (30, 28, 36),
            opacity=0.5,
            soft=5,
        )
        c.poly(
            [(x - 15, y + 40), (x + 15, y + 40), (x + 11, y), (x - 11, y)],
            (74, 66, 68),
            (26, 26, 34),
            along="right",
        )
        c.oval(x, y, 19, 9, (104, 94, 90), (46, 42, 48))
    c.line([(470, 606), (430, 560), (380, 500)], 4, (196, 172, 124))
    c.line([(690, 624), (760, 570), (850, 512)], 4, (196, 172, 124))
    figure(c, 330, 690, 128, coat=(48, 62, 84), light_left=False)
    figure(c, 378, 684, 120, coat=(120, 58, 44), light_left=False)
    return c.finished()


def alley() -> Image.Image:
    """An alley after dusk: wet cobbles, three lamps, one walker."""
    c = Canvas(*TALL, seed=23)
    c.backdrop([(0, (30, 40, 78)), (0.6, (86, 88, 128)), (1, (190, 142, 122))], bottom=560)
    c.clouds((120, 108, 140), bottom=520, amount=0.5)
    eye = (430.0, 545.0)
    c.box(372, 330, 492, 560, (92, 82, 112), (118, 96, 104))
    c.poly([(366, 334), (432, 258), (498, 334)], (56, 50, 74))
    c.box(418, 214, 446, 300, (74, 66, 92))
    c.poly([(414, 216), (432, 150), (450, 216)], (46, 42, 64))
    c.oval(432, 250, 8, 8, (250, 216, 140))
    houses(c, eye, left=True)
    houses(c, eye, left=False)
    c.poly(
        [(330, 560), (530, 560), (832, 900), (832, 1040), (0, 1040), (0, 900)], (104, 92, 104), (40, 40, 60)
    )
    cobbles(c, eye)
    for x, y, size in ((222, 330, 1.5), (640, 410, 1.0), (332, 470, 0.55)):
        arm = 42 * size if x < eye[0] else -42 * size
        c.line([(x - arm, y - 14 * size), (x, y - 14 * size)], 5 * size, (26, 24, 34))
        c.poly(
            [
                (x - 13 * size, y - 12 * size),
                (x + 13 * size, y - 12 * size),
                (x + 9 * size, y + 22 * size),
                (x - 9 * size, y + 22 * size),
            ],
            (255, 232, 168),
            (255, 196, 110),
        )
        c.poly(
            [(x - 18 * size, y - 12 * size), (x, y - 30 * size), (x + 18 * size, y - 12 * size)], (24, 22, 32)
        )
        c.glow(x, y + 4, 170 * size, (255, 196, 110), 0.85)
        foot = 560 + (y - 545) * -1.4 * (0.7 + size * 0.25)
        c.light(
            [
                (x - 90 * size, foot + 60),
                (x + 90 * size, foot + 60),
                (x + 150 * size, foot + 170),
                (x - 150 * size, foot + 170),
            ],
            (255, 190, 110),
            0.42,
            soft=30,
        )
    c.poly([(404, 900), (456, 900), (520, 1030), (350, 1030)], (10, 10, 22), opacity=0.55, soft=10)
    figure(c, 430, 905, 300, coat=(28, 30, 46), light_left=True, hat=True, away=True)
    c.oval(396, 905, 60, 10, (16, 16, 28), opacity=0.5, soft=5)
    return c.finished(vignette=0.3)


def room() -> Image.Image:
    """A pilot's room: morning through the window, a table with maps, a globe."""
    c = Canvas(*WIDE, seed=37)
    c.poly([(0, 0), (1152, 0), (1152, 560), (0, 560)], (150, 128, 106), (108, 88, 78), along="right")
    c.poly([(0, 0), (250, 70), (250, 560), (0, 680)], (104, 86, 80), (134, 112, 96), along="right")
    for x in range(280, 1152, 44):
        c.line([(x, 70), (x, 556)], 1.6, (96, 78, 68), opacity=0.55)
    c.poly([(0, 0), (1152, 0), (1152, 66), (250, 70)], (84, 70, 66), (110, 92, 80))
    c.poly([(250, 556), (1152, 556), (1152, 768), (0, 768), (0, 680)], (112, 78, 56), (66, 44, 38))
    for x in range(-500, 1700, 82):
        c.line([(600 + (x - 600) * 0.55, 556), (600 + (x - 600) * 1.5, 768)], 2.4, (58, 38, 34), opacity=0.75)
    c.box(250, 536, 1152, 560, (84, 64, 56), (64, 48, 46))
    # the window and what it shows
    c.box(452, 108, 796, 436, (74, 54, 46), (58, 42, 40))
    c.box(470, 126, 778, 418, (150, 194, 220), (246, 232, 198))
    c.poly(
        [(470, 366), (560, 340), (640, 362), (700, 336), (778, 356), (778, 418), (470, 418)],
        (104, 130, 138),
        (134, 150, 142),
    )
    c.poly([(560, 384), (680, 384), (664, 400), (572, 400)], (62, 54, 62))
    c.poly([(616, 384), (616, 300), (664, 380)], (244, 238, 224))
    c.poly([(610, 382), (610, 316), (578, 380)], (216, 210, 200))
    c.box(618, 126, 630, 418, (84, 62, 52))
    c.box(470, 262, 778, 272, (84, 62, 52))
    c.poly([(430, 436), (818, 436), (806, 456), (442, 456)], (150, 114, 86), (96, 70, 58))
    c.poly([(420, 92), (500, 100), (476, 280), (440, 440), (412, 440)], (160, 62, 48), (110, 38, 38))
    c.poly([(828, 92), (748, 100), (772, 280), (808, 440), (836, 440)], (140, 52, 44), (92, 32, 36))
    for x1, x2 in ((440, 424), (462, 438), (808, 822), (786, 806)):
        c.line([(x1, 104), (x2, 436)], 4, (78, 26, 32), opacity=0.5)
    c.line([(396, 92), (852, 92)], 9, (60, 44, 40))
    c.light([(470, 126), (778, 126), (520, 768), (40, 768)], (255, 226, 160), 0.2, soft=26)
    c.light([(250, 590), (500, 580), (390, 720), (80, 740)], (255, 222, 150), 0.5, soft=8)
    c.line([(368, 584), (232, 734)], 8, (96, 66, 50), opacity=0.7)
    _bookcase(c)
    _table(c)
    return c.finished(vignette=0.26)


def _bookcase(c: Canvas) -> None:
    c.box(892, 120, 1120, 540, (72, 50, 42), (54, 38, 36))
    for row, top in enumerate((140, 244, 348, 450)):
        c.box(906, top, 1106, top + 82, (38, 28, 32), (52, 38, 36))
        x = 910.0
        while x < 1084:
            width = float(c.random.uniform(9, 24))
            height = float(c.random.uniform(48, 74))
            hue = ((136, 52, 44), (54, 84, 92), (176, 142, 84), (70, 66, 92), (96, 108, 70), (200, 184, 150))
            book = hue[int(c.random.integers(len(hue)))]
            c.box(x, top + 82 - height, x + width, top + 82, book, darker(book, 0.6), along="right")
            c.line(
                [(x + 2, top + 92 - height), (x + width - 2, top + 92 - height)],
                2,
                (222, 196, 130),
                opacity=0.7,
            )
            x += width + (14 if c.random.random() < 0.1 + 0.02 * row else 1.5)
        c.box(900, top + 82, 1112, top + 90, (110, 80, 60))


def _table(c: Canvas) -> None:
    """A table with a chart, a lamp, a globe, and a chair before it."""
    c.poly([(390, 640), (1010, 640), (1060, 740), (330, 740)], (20, 14, 16), opacity=0.5, soft=12)
    for x in (380, 960):
        c.poly(
            [(x, 570), (x + 34, 570), (x + 26, 752), (x + 8, 752)], (92, 58, 42), (50, 32, 30), along="right"
        )
    c.poly([(400, 512), (970, 512), (1060, 590), (310, 590)], (158, 106, 68), (124, 78, 54))
    c.poly([(310, 590), (1060, 590), (1056, 616), (314, 616)], (98, 62, 46), (74, 46, 38))
    c.poly([(470, 526), (720, 522), (752, 578), (430, 582)], (232, 216, 176), (206, 186, 146))
    c.poly(
        [(510, 546), (560, 534), (618, 548), (650, 538), (676, 556), (612, 570), (540, 566)], (170, 160, 118)
    )
    for y in (536, 552, 568):
        c.line([(460 - (y - 536), y), (730 + (y - 536) * 0.5, y - 3)], 1.2, (132, 108, 84), opacity=0.6)
    c.line([(560, 572), (690, 530)], 2, (150, 46, 40))
    c.oval(846, 556, 44, 10, (24, 18, 20), opacity=0.5, soft=4)
    c.box(838, 506, 852, 552, (150, 112, 60), (90, 62, 42), along="right")
    c.oval(845, 458, 58, 58, (112, 158, 168), (36, 66, 88), along="right")
    c.poly([(812, 424), (848, 414), (860, 440), (836, 462), (808, 452)], (168, 158, 104))
    c.poly([(846, 470), (880, 462), (884, 488), (858, 504)], (150, 138, 92))
    c.oval(826, 434, 18, 14, (240, 240, 226), opacity=0.35, soft=6)
    c.line([(845, 396), (900, 440), (892, 500), (850, 518)], 4, (188, 146, 78))
    c.poly([(372, 590), (404, 470), (412, 470), (420, 590)], (60, 50, 48), (34, 28, 32), along="right")
    c.poly([(352, 470), (464, 470), (440, 404), (376, 404)], (66, 112, 92), (36, 66, 62), along="right")
    c.glow(408, 486, 110, (255, 206, 130), 0.5)
    c.poly([(640, 700), (800, 690), (812, 722), (640, 736)], (70, 40, 36), (46, 28, 30))
    c.poly([(652, 606), (792, 600), (796, 690), (646, 700)], (110, 70, 50), (72, 44, 38))


def hill() -> Image.Image:
    """The house above the marsh: evening, a path, three old trees."""
    c = Canvas(*WIDE, seed=41)
    c.backdrop(
        [(0, (72, 92, 148)), (0.4, (196, 140, 142)), (0.75, (250, 190, 122)), (1, (254, 226, 160))],
        bottom=470,
    )
    c.clouds((255, 214, 176), bottom=440, amount=0.85, cells=2)
    c.oval(262, 372, 40, 40, (255, 246, 214), grain=0)
    c.glow(262, 372, 300, (255, 210, 140), 0.9)
    for base, height, colour in ((452, 60, (150, 130, 160)), (474, 44, (120, 112, 140))):
        field = c.noise(4, octaves=3)[0]
        ridge: list[Point] = [(x, base - height * float(field[min(x, 1151)])) for x in range(0, 1160, 12)]
        c.poly([*ridge, (1160, 560), (0, 560)], colour, (180, 150, 140))
    c.backdrop([(0, (232, 186, 138)), (1, (92, 96, 104))], top=486)
    c.ripples(490, (255, 232, 180), amount=0.6)
    for x, y, width in ((30, 520, 190), (250, 548, 240), (80, 590, 260), (420, 522, 150)):
        c.oval(x + width / 2, y, width / 2, 9, (84, 92, 74), (52, 60, 58))
        for reed in range(0, width, 9):
            lean = float(c.random.uniform(-7, 7))
            c.line([(x + reed, y), (x + reed + lean, y - float(c.random.uniform(14, 40)))], 1.6, (62, 66, 52))
    slope: list[Point] = [
        (380, 700),
        (520, 600),
        (660, 500),
        (780, 430),
        (900, 408),
        (1040, 420),
        (1152, 452),
    ]
    c.poly([*slope, (1152, 768), (0, 768), (0, 740)], (128, 134, 72), (44, 60, 48))
    c.light(
        [(500, 620), (780, 432), (900, 410), (940, 440), (720, 560), (520, 720)],
        (255, 200, 110),
        0.34,
        soft=26,
    )
    path: list[Point] = [
        (842, 428),
        (858, 428),
        (800, 500),
        (850, 560),
        (760, 640),
        (840, 768),
        (600, 768),
        (640, 650),
        (780, 560),
        (770, 500),
    ]
    c.poly(path, (226, 190, 136), (166, 132, 98))
    # the house
    c.poly([(990, 450), (1152, 470), (1152, 540), (900, 470)], (30, 38, 40), opacity=0.5, soft=10)
    c.poly([(800, 290), (880, 270), (880, 430), (800, 424)], (244, 214, 168), (214, 168, 124))
    c.poly([(880, 270), (1010, 296), (1010, 428), (880, 430)], (120, 92, 96), (92, 72, 80))
    c.poly([(784, 300), (846, 190), (886, 262), (880, 276)], (168, 78, 60), (122, 50, 48))
    c.poly([(846, 190), (976, 214), (1026, 304), (884, 272)], (92, 46, 54), (66, 36, 46))
    for row in (0.3, 0.55, 0.8):
        c.line(
            [(846 + 38 * row, 190 + 82 * row), (976 + 50 * row, 214 + 90 * row)], 2, (54, 30, 40), opacity=0.6
        )
    c.box(926, 150, 952, 226, (128, 82, 74), (84, 54, 58), along="right")
    for step in range(7):
        c.oval(
            940 + 16 * step,
            138 - 12 * step,
            12 + 5 * step,
            9 + 4 * step,
            (214, 190, 190),
            opacity=0.3,
            soft=6,
        )
    for x in (814, 848):
        c.box(x, 318, x + 20, 350, (74, 60, 72), (120, 96, 92))
    c.poly([(830, 372), (856, 370), (856, 428), (830, 426)], (92, 52, 44))
    for x in (906, 946, 980):
        c.box(x, 326, x + 18, 356, (255, 214, 120), (248, 180, 92))
        c.glow(x + 9, 342, 26, (255, 190, 100), 0.5)
    for x, y, size in ((700, 470, 1.0), (1080, 440, 1.25), (610, 540, 0.8)):
        tree(c, x, y, size)
    for _ in range(420):
        left, foot = float(c.random.uniform(0, 1152)), float(c.random.uniform(640, 780))
        tint = int(c.random.integers(-22, 30))
        c.line(
            [(left, foot), (left + float(c.random.uniform(-8, 8)), foot - float(c.random.uniform(10, 34)))],
            2,
            (70 + tint, 84 + tint, 52 + tint // 2),
        )
    for x in range(470, 780, 44):
        top = 640 - (x - 470) * 0.54
        c.line([(x, top), (x, top - 44)], 5, (74, 56, 52))
        c.line([(x, top - 34), (x + 44, top - 58)], 3.4, (86, 66, 58))
        c.line([(x, top - 18), (x + 44, top - 42)], 3.4, (86, 66, 58))
    return c.finished()


def market() -> Image.Image:
    """Saturday: stalls under awnings, and everybody who is somebody."""
    c = Canvas(*WIDE, seed=67)
    c.backdrop([(0, (96, 152, 200)), (1, (232, 226, 204))], bottom=330)
    c.clouds((252, 248, 240), bottom=320)
    x = -20.0
    for number in range(9):
        width, height = float(c.random.uniform(110, 170)), float(c.random.uniform(170, 262))
        wall = ((206, 160, 116), (190, 190, 172), (178, 122, 98), (220, 196, 150))[number % 4]
        top = 360 - height
        c.box(x, top, x + width, 400, wall, darker(wall, 0.72), along="right")
        roof = (134, 66, 54) if number % 2 else (92, 84, 96)
        c.poly(
            [(x - 8, top + 4), (x + width / 2, top - 62), (x + width + 8, top + 4)], roof, darker(roof, 0.7)
        )
        for row in range(int(height // 62)):
            for column in range(3):
                left = x + 18 + column * (width - 36) / 3
                c.box(
                    left, top + 22 + row * 58, left + 19, top + 54 + row * 58, (58, 66, 82), (112, 124, 132)
                )
                c.line(
                    [(left - 3, top + 56 + row * 58), (left + 22, top + 56 + row * 58)], 3, (236, 226, 204)
                )
        x += width
    c.poly([(0, 396), (1152, 396), (1152, 768), (0, 768)], (204, 182, 148), (138, 116, 98))
    for row in range(12):
        y = 404 + 1.9 * row**2.2
        c.line([(0, y), (1152, y)], 1.4 + row * 0.12, (132, 110, 92), opacity=0.5)
    for place in range(-14, 15):
        c.line([(576 + place * 34, 400), (576 + place * 150, 768)], 1.6, (132, 110, 92), opacity=0.4)
    crowd(c, 446, 40, 84)
    stalls: list[tuple[float, float, float, Colour]] = [
        (40, 470, 260, (188, 56, 46)),
        (850, 476, 270, (48, 104, 112)),
        (420, 440, 190, (214, 160, 62)),
    ]
    for left, y, width, colour in stalls:
        stall(c, left, y, width, colour)
    crowd(c, 590, 16, 168)
    crowd(c, 742, 9, 262)
    return c.finished()


SCENES: tuple[tuple[str, Callable[[], Image.Image]], ...] = (
    ("Quay.png", quay),
    ("Lamp alley.png", alley),
    ("Pilot's room.png", room),
    ("House on the hill.png", hill),
    ("The captain.png", portrait),
    ("Market day.png", market),
)
