"""The scenes of the example universe: a harbour town, painted by rule, without any file from outside."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from kroma_site.demo.canvas import Canvas, Colour, Point

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
    _crane(c, 1010, 640)
    for x, y, size in ((120, 640, 92), (206, 664, 74), (150, 570, 70)):
        _crate(c, x, y, size)
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
    _figure(c, 330, 690, 128, coat=(48, 62, 84), light_left=False)
    _figure(c, 378, 684, 120, coat=(120, 58, 44), light_left=False)
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
    _houses(c, eye, left=True)
    _houses(c, eye, left=False)
    c.poly(
        [(330, 560), (530, 560), (832, 900), (832, 1040), (0, 1040), (0, 900)], (104, 92, 104), (40, 40, 60)
    )
    _cobbles(c, eye)
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
    _figure(c, 430, 905, 300, coat=(28, 30, 46), light_left=True, hat=True, away=True)
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
    # shelves with books
    c.box(892, 120, 1120, 540, (72, 50, 42), (54, 38, 36))
    for row, top in enumerate((140, 244, 348, 450)):
        c.box(906, top, 1106, top + 82, (38, 28, 32), (52, 38, 36))
        x = 910.0
        while x < 1084:
            width = float(c.random.uniform(9, 24))
            height = float(c.random.uniform(48, 74))
            hue = ((136, 52, 44), (54, 84, 92), (176, 142, 84), (70, 66, 92), (96, 108, 70), (200, 184, 150))
            book = hue[int(c.random.integers(len(hue)))]
            c.box(x, top + 82 - height, x + width, top + 82, book, _darker(book, 0.6), along="right")
            c.line(
                [(x + 2, top + 92 - height), (x + width - 2, top + 92 - height)],
                2,
                (222, 196, 130),
                opacity=0.7,
            )
            x += width + (14 if c.random.random() < 0.1 + 0.02 * row else 1.5)
        c.box(900, top + 82, 1112, top + 90, (110, 80, 60))
    # table, chart, lamp, globe
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
    return c.finished(vignette=0.26)


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
        _tree(c, x, y, size)
    for _ in range(420):
        x, y = float(c.random.uniform(0, 1152)), float(c.random.uniform(640, 780))
        tint = int(c.random.integers(-22, 30))
        c.line(
            [(x, y), (x + float(c.random.uniform(-8, 8)), y - float(c.random.uniform(10, 34)))],
            2,
            (70 + tint, 84 + tint, 52 + tint // 2),
        )
    for x in range(470, 780, 44):
        top = 640 - (x - 470) * 0.54
        c.line([(x, top), (x, top - 44)], 5, (74, 56, 52))
        c.line([(x, top - 34), (x + 44, top - 58)], 3.4, (86, 66, 58))
        c.line([(x, top - 18), (x + 44, top - 42)], 3.4, (86, 66, 58))
    return c.finished()


def portrait() -> Image.Image:
    """The captain, in a side light from the left."""
    c = Canvas(*TALL, seed=53)
    c.backdrop([(0, (72, 92, 104)), (1, (132, 128, 116))])
    c.clouds((150, 156, 150), bottom=1400, amount=0.5)
    c.glow(170, 330, 520, (240, 216, 170), 0.45)
    # coat and shoulders
    c.poly(
        [(60, 1040), (92, 860), (190, 770), (330, 716), (510, 716), (650, 768), (742, 850), (784, 1040)],
        (58, 76, 108),
        (18, 26, 44),
        along="right",
    )
    c.poly(
        [(344, 700), (500, 700), (470, 920), (420, 1040), (380, 930)],
        (226, 218, 204),
        (150, 146, 150),
        along="right",
    )
    c.poly(
        [(330, 716), (420, 900), (372, 1040), (240, 1040), (262, 780)],
        (74, 94, 128),
        (44, 58, 86),
        along="right",
    )
    c.poly(
        [(510, 716), (432, 900), (470, 1040), (610, 1040), (590, 790)],
        (36, 46, 72),
        (20, 26, 44),
        along="right",
    )
    c.poly(
        [(398, 760), (448, 760), (462, 800), (436, 960), (410, 960), (386, 800)],
        (134, 40, 40),
        (76, 22, 30),
        along="right",
    )
    for y in (880, 950, 1016):
        c.oval(318, y, 13, 13, (232, 196, 112), (140, 98, 52))
        c.oval(540, y, 12, 12, (150, 112, 66), (84, 60, 44))
    # neck, head
    c.poly(
        [(356, 600), (496, 600), (506, 730), (424, 790), (340, 726)],
        (198, 142, 112),
        (104, 62, 58),
        along="right",
    )
    c.poly([(350, 640), (500, 640), (500, 690), (424, 712), (356, 690)], (60, 34, 38), opacity=0.45, soft=10)
    c.oval(556, 470, 24, 46, (138, 86, 74), (96, 56, 56))
    c.oval(296, 470, 22, 44, (214, 156, 124), (176, 118, 96))
    face: list[Point] = [
        (298, 360),
        (304, 300),
        (350, 262),
        (424, 250),
        (500, 262),
        (546, 302),
        (554, 370),
        (548, 480),
        (522, 566),
        (476, 628),
        (424, 646),
        (374, 630),
        (328, 570),
        (302, 482),
    ]
    c.poly(face, (240, 190, 154), (120, 72, 66), along="right")
    c.poly(
        [(470, 300), (554, 360), (548, 480), (522, 566), (476, 628), (440, 640), (486, 540), (500, 440)],
        (70, 36, 44),
        opacity=0.36,
        soft=16,
    )
    c.poly(
        [(318, 400), (372, 420), (378, 500), (336, 520), (312, 470)], (255, 206, 170), opacity=0.4, soft=16
    )
    c.oval(360, 520, 34, 24, (226, 124, 100), opacity=0.28, soft=14)
    # eyes and brows
    for x, dim in ((364, 0), (486, 34)):
        c.oval(x, 428, 40, 24, (112, 70, 62), opacity=0.35, soft=8)
        c.oval(x, 432, 30, 13, (240 - dim, 234 - dim, 222 - dim), grain=2)
        c.oval(x + 2, 431, 12, 12, (64, 92, 102), (34, 50, 60), grain=2)
        c.oval(x + 2, 431, 5.5, 5.5, (12, 12, 18), grain=0)
        c.oval(x - 3, 426, 3, 3, (252, 252, 246), grain=0)
        c.line([(x - 32, 430), (x - 14, 419), (x + 14, 418), (x + 32, 430)], 5, (58, 34, 34))
        c.line([(x - 24, 446), (x, 451), (x + 26, 444)], 2.4, (120, 70, 62), opacity=0.8)
    c.poly([(322, 396), (350, 378), (402, 388), (402, 402), (350, 394)], (110, 92, 84), (84, 66, 62))
    c.poly([(452, 388), (504, 378), (532, 398), (504, 394), (452, 402)], (76, 60, 60), (58, 44, 48))
    # nose, mouth, beard
    c.poly([(426, 400), (440, 400), (466, 514), (440, 526), (420, 522)], (112, 60, 56), opacity=0.42, soft=6)
    c.poly([(404, 410), (424, 404), (430, 506), (410, 512)], (255, 214, 180), opacity=0.4, soft=8)
    c.oval(404, 516, 16, 11, (206, 142, 114), grain=4, soft=2)
    c.oval(446, 518, 16, 11, (150, 92, 80), grain=4, soft=2)
    c.oval(428, 508, 20, 17, (222, 160, 130), (170, 108, 92), along="right", soft=2)
    beard: list[Point] = [
        (304, 470),
        (330, 520),
        (368, 548),
        (424, 540),
        (482, 548),
        (520, 522),
        (548, 474),
        (546, 560),
        (528, 640),
        (482, 706),
        (426, 734),
        (370, 708),
        (324, 640),
        (304, 556),
    ]
    c.poly(beard, (206, 194, 178), (88, 78, 80), along="right", soft=1.5)
    c.poly(
        [(374, 566), (424, 556), (478, 566), (460, 586), (424, 592), (392, 586)],
        (128, 58, 54),
        (84, 36, 40),
        along="right",
    )
    c.line([(376, 568), (424, 574), (476, 568)], 3.4, (62, 26, 32))
    for _ in range(520):
        x = float(c.random.uniform(308, 544))
        y = float(c.random.uniform(520, 700))
        if abs(x - 426) > 122 - max(0.0, y - 600) * 0.72 or (365 < x < 487 and y < 596):
            continue
        lean = (x - 426) * 0.12
        bright = 226 - 0.42 * (x - 304) + float(c.random.uniform(-36, 20))
        tone = int(max(50, min(245, bright)))
        c.line(
            [(x, y), (x + lean, y + float(c.random.uniform(14, 34)))],
            2,
            (tone, max(0, tone - 8), max(0, tone - 18)),
            opacity=0.8,
        )
    c.poly(
        [(330, 540), (372, 516), (424, 536), (478, 516), (520, 542), (476, 560), (424, 552), (374, 562)],
        (222, 212, 196),
        (104, 92, 92),
        along="right",
        soft=1,
    )
    # hair and cap
    c.poly([(292, 400), (300, 300), (326, 330), (318, 400), (312, 470)], (176, 166, 154), (138, 128, 120))
    c.poly([(560, 400), (552, 300), (528, 330), (536, 400), (544, 470)], (84, 76, 80), (66, 58, 64))
    c.poly(
        [(250, 250), (300, 150), (424, 110), (560, 150), (606, 250), (560, 300), (424, 270), (294, 300)],
        (64, 84, 120),
        (18, 24, 42),
        along="right",
    )
    c.poly(
        [(286, 302), (424, 270), (568, 302), (566, 352), (424, 322), (290, 352)],
        (34, 42, 62),
        (12, 14, 26),
        along="right",
    )
    c.poly([(288, 352), (424, 320), (568, 352), (520, 388), (424, 366), (330, 386)], (46, 46, 56), (8, 8, 14))
    c.line([(330, 366), (424, 344), (516, 364)], 3.4, (150, 150, 156), opacity=0.6)
    c.poly([(404, 252), (424, 226), (446, 252), (424, 286)], (236, 200, 116), (158, 112, 58))
    c.poly(
        [(300, 356), (424, 330), (556, 358), (548, 402), (424, 384), (304, 402)],
        (40, 22, 30),
        opacity=0.4,
        soft=8,
    )
    return c.finished(vignette=0.28)


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
        c.box(x, top, x + width, 400, wall, _darker(wall, 0.72), along="right")
        roof = (134, 66, 54) if number % 2 else (92, 84, 96)
        c.poly(
            [(x - 8, top + 4), (x + width / 2, top - 62), (x + width + 8, top + 4)], roof, _darker(roof, 0.7)
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
    _crowd(c, 446, 40, 84)
    stalls: list[tuple[float, float, float, Colour]] = [
        (40, 470, 260, (188, 56, 46)),
        (850, 476, 270, (48, 104, 112)),
        (420, 440, 190, (214, 160, 62)),
    ]
    for left, y, width, colour in stalls:
        _stall(c, left, y, width, colour)
    _crowd(c, 590, 16, 168)
    _crowd(c, 742, 9, 262)
    return c.finished()


SCENES: tuple[tuple[str, Callable[[], Image.Image]], ...] = (
    ("Quay.png", quay),
    ("Lamp alley.png", alley),
    ("Pilot's room.png", room),
    ("House on the hill.png", hill),
    ("The captain.png", portrait),
    ("Market day.png", market),
)


def _darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (int(channel * share) for channel in colour)
    return red, green, min(255, blue + 8)


def _crane(c: Canvas, x: float, y: float) -> None:
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
    _crate(c, tip[0] - 34, 286, 68)


def _crate(c: Canvas, x: float, y: float, size: float) -> None:
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


def _figure(
    c: Canvas, x: float, y: float, height: float, *, coat: Colour, light_left: bool, hat: bool = False, skirt: bool = False,
    away: bool = False,
) -> None:  # fmt: skip
    """A standing person whose feet are at (x, y)."""
    u = height / 100
    bright, dark = coat, _darker(coat, 0.5)
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
                _darker(coat, 0.62),
                _darker(coat, 0.4),
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
    c.box(x - 3 * u, y - 89 * u, x + 3 * u, y - 82 * u, _darker(skin, 0.75))
    lit, dim = (skin, _darker(skin, 0.6)) if light_left else (_darker(skin, 0.6), skin)
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
        c.oval(x, y - 94 * u, 6.6 * u, 7 * u, hair, _darker(hair, 0.6))
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


def _crowd(c: Canvas, y: float, number: int, height: float) -> None:
    """People side by side in the sun from the left, feet around the row `y`."""
    coats: tuple[Colour, ...] = (
        (172, 64, 52), (62, 92, 122), (206, 168, 96), (92, 116, 78), (128, 84, 118), (222, 208, 184), (70, 66, 82), (190, 116, 66),
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
        _figure(
            c,
            float(x),
            foot,
            tall,
            coat=coat,
            light_left=True,
            hat=c.random.random() < 0.35,
            skirt=c.random.random() < 0.4,
        )


def _stall(c: Canvas, left: float, y: float, width: float, colour: Colour) -> None:
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
            c.oval(x, row, 6.4, 6, fruits[group], _darker(fruits[group], 0.55))
    top, low = y - width * 0.62, y - width * 0.36
    stripes = 10
    for number in range(stripes):
        share, after = number / stripes, (number + 1) / stripes
        cloth = colour if number % 2 == 0 else (240, 230, 210)
        edge: list[Point] = [
            (left + 14 + (width - 28) * share, top), (left + 14 + (width - 28) * after, top),
            (left - 14 + (width + 28) * after, low), (left - 14 + (width + 28) * share, low),
        ]  # fmt: skip
        c.poly(edge, cloth, _darker(cloth, 0.74))
        middle = left - 14 + (width + 28) * (share + after) / 2
        c.oval(middle, low, (width + 28) / stripes / 2, 12, _darker(cloth, 0.8), _darker(cloth, 0.66))


def _tree(c: Canvas, x: float, y: float, size: float) -> None:
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
        c.oval(float(px), float(py), 15 * size, 12 * size, tone, _darker(tone, 0.7), soft=1)


def _houses(c: Canvas, eye: Point, *, left: bool) -> None:
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
        first, second = (_darker(wall, 0.72), wall) if left else (wall, _darker(wall, 0.72))
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


def _cobbles(c: Canvas, eye: Point) -> None:
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
            c.oval(float(x), float(y), size * 0.92, size * 0.44, tone, _darker(tone, 0.45), opacity=0.8)
