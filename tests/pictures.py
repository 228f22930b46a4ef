"""Small pictures for tests."""

import io

import numpy as np
from PIL import Image


def picture(*, number: int = 0, size: tuple[int, int] = (96, 128), mode: str = "RGB") -> Image.Image:
    """A small drawn-looking scene, another one for each number."""
    random = np.random.default_rng(number)
    width, height = size
    sky = np.linspace(random.integers(120, 250), random.integers(60, 160), height, dtype=np.float32)
    pixels = np.repeat(sky[:, None, None], width, axis=1) * random.uniform(0.6, 1.0, 3).astype(np.float32)
    for _ in range(6):
        left, top = random.integers(0, width - 20), random.integers(height // 3, height - 20)
        pixels[top:, left : left + random.integers(8, 20)] = random.integers(20, 230, 3)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def png(*, number: int = 0, size: tuple[int, int] = (96, 128), format: str = "PNG") -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    picture(number=number, size=size).save(buffer, format)
    return buffer.getvalue()
