"""Small drawn pictures to render and to measure; always the same ones."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def street() -> Image.Image:
    """Sky, shaded houses with a few lit windows, a road, and a figure in red."""
    width, height = 240, 320
    fade = np.linspace(0, 1, height)[:, None, None]
    sky = np.array([120, 170, 220]) * (1 - fade) + np.array([235, 225, 205]) * fade
    image = Image.fromarray(np.broadcast_to(sky, (height, width, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    ground = int(height * 0.62)
    walls = ((178, 92, 70), (208, 178, 130), (110, 120, 140), (160, 130, 100))
    for index, wall in enumerate(walls):
        left, right = index * width // 4, (index + 1) * width // 4
        top = int(height * (0.2 + 0.07 * (index * 3 % 4)))
        draw.rectangle((left, top, right, ground), fill=wall)
        shaded = (wall[0] * 2 // 3, wall[1] * 2 // 3, wall[2] * 2 // 3)
        draw.rectangle((right - width // 20, top, right, ground), fill=shaded)
        for row, y in enumerate(range(top + 12, ground - 20, 26)):
            lit = (255, 225, 140) if (row + index) % 3 == 0 else (60, 75, 95)
            draw.rectangle((left + 10, y, left + 22, y + 14), fill=lit, outline=(50, 40, 40))
    draw.polygon([(0, ground), (width, ground), (width, height), (0, height)], fill=(112, 108, 106))
    draw.polygon([(0, ground), (width // 3, ground), (0, height * 4 // 5)], fill=(165, 158, 150))
    middle, head = width // 3, int(height * 0.6)
    draw.ellipse((middle - 9, head - 12, middle + 9, head + 12), fill=(226, 180, 150))
    draw.polygon(
        [
            (middle - 12, head + 12),
            (middle + 12, head + 12),
            (middle + 18, head + 70),
            (middle - 18, head + 70),
        ],
        fill=(170, 40, 45),
    )
    return image


def hatched() -> Image.Image:
    """Black ink on white paper: outlines, a solid black, and hatching at 45 degrees."""
    width, height = 320, 320
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for offset in range(-height, width, 9):
        draw.line([(offset, 0), (offset + height, height)], fill=(10, 10, 10), width=2)
    draw.rectangle((width // 2, 0, width, height // 2), fill="white", outline=(0, 0, 0), width=3)
    draw.ellipse((20, 30, 120, 200), fill="white", outline=(0, 0, 0), width=3)
    draw.rectangle((200, 220, 290, 310), fill=(5, 5, 5))
    return image


def flat() -> Image.Image:
    """Bright flat colours inside thick dark outlines."""
    width, height = 320, 240
    image = Image.new("RGB", (width, height), (252, 214, 120))
    draw = ImageDraw.Draw(image)
    pen = (35, 20, 60)
    draw.rectangle((0, 150, width, height), fill=(240, 110, 80), outline=pen, width=4)
    draw.ellipse((190, 20, 270, 100), fill=(255, 250, 225), outline=pen, width=4)
    draw.polygon([(0, 150), (70, 60), (140, 150)], fill=(40, 150, 150), outline=pen, width=4)
    draw.ellipse((40, 165, 110, 225), fill=(235, 60, 110), outline=pen, width=4)
    draw.rectangle((200, 130, 260, 220), fill=(20, 95, 120), outline=pen, width=4)
    return image


def saved(folder: Path, name: str, image: Image.Image) -> Path:
    path = folder / name
    image.save(path)
    return path


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.float64)
