"""Drawn pictures with known truth: a figure with its mask, and a panel with lines to upscale."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.uint8]
SIZE = (768, 1152)  # width and height in pixels
DAY = ((150, 190, 225), (225, 225, 205))
NIGHT = ((16, 20, 44), (50, 54, 80))
_OVER = 2  # drawn larger and reduced, so that edges are smooth


def figure(background: tuple[tuple[int, int, int], tuple[int, int, int]]) -> tuple[Array, Array]:
    """A person before a background from a top to a bottom colour; the picture and its true mask (0, 255)."""
    width, height = (side * _OVER for side in SIZE)
    fade = np.linspace(0, 1, height)[:, None, None]
    paper = np.array(background[0]) * (1 - fade) + np.array(background[1]) * fade
    image = Image.fromarray(np.broadcast_to(paper, (height, width, 3)).astype(np.uint8))
    mask = Image.new("L", image.size, 0)
    draw, true = ImageDraw.Draw(image), ImageDraw.Draw(mask)

    def both(shape: str, *points: float, fill: tuple[int, int, int], **more: float) -> None:
        placed = [point * _OVER for point in points]
        getattr(draw, shape)(placed, fill=fill, outline=(20, 18, 24), width=5 * _OVER, **more)
        getattr(true, shape)(placed, fill=255, outline=255, width=5 * _OVER, **more)

    both("polygon", *(250, 1040, 300, 560, 468, 560, 520, 1040), fill=(178, 52, 60))
    both("rectangle", *(350, 430, 418, 580), fill=(236, 196, 168))
    both("ellipse", *(270, 190, 498, 470), fill=(240, 202, 174))
    both("pieslice", *(255, 160, 513, 440), start=180, end=360, fill=(70, 42, 30))
    both("polygon", *(300, 570, 180, 820, 230, 850, 330, 660), fill=(196, 70, 74))
    both("polygon", *(468, 570, 600, 800, 552, 838, 440, 660), fill=(196, 70, 74))
    for x in (335, 435):
        draw.ellipse([side * _OVER for side in (x - 18, 320, x + 18, 352)], fill=(30, 30, 40))
    return (
        np.asarray(image.resize(SIZE, Image.Resampling.LANCZOS)),
        np.asarray(mask.resize(SIZE, Image.Resampling.LANCZOS)),
    )


def panel(width: int = 240, height: int = 320) -> Array:
    """Flat colours, outlines of several widths, and hatching; smooth edges."""
    image = Image.new("RGB", (width * 4, height * 4), (214, 226, 232))
    draw = ImageDraw.Draw(image)
    for row in range(4):
        for column in range(3):
            left, top = column * width * 4 // 3, row * height
            colour = (60 + 45 * row, 190 - 50 * column, 90 + 20 * row * column)
            box = (left + 30, top + 30, left + width * 4 // 3 - 40, top + height - 40)
            draw.rounded_rectangle(box, radius=60, fill=colour, outline=(25, 22, 30), width=6 + 4 * column)
            for step in range(0, 200, 22):
                draw.line((left + 60 + step, top + 60, left + 90, top + 60 + step), (25, 22, 30), 5)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
