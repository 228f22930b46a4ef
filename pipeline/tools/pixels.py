"""From files to pixels and back, the way all steps do it."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from pipeline.providers.images import read_image, thumbnail_webp
from pipeline.tools.base import Pixels

MIME_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}
QUALITY = 95  # of lossy files, from 0 to 100
THUMBNAIL_SIDE = 512  # pixels


def decoded(data: bytes, *, name: str) -> Pixels:
    """The pixels of an encoded picture, upright, with alpha where it has some. Raises `ImageUnreadable`."""
    return np.asarray(read_image(data, name=name, background=None))


def encoded(pixels: Pixels, extension: str) -> bytes:
    """A file of these pixels: `png` as they are, `webp` with alpha, `jpg` with alpha laid on white."""
    if extension == "png":
        return _png(pixels)
    image = Image.fromarray(pixels)
    buffer = BytesIO()
    if extension == "webp":
        image.save(buffer, "WEBP", quality=QUALITY)
    else:
        on_white(image).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _png(pixels: Pixels) -> bytes:
    """By OpenCV's own settings (one filter, run lengths): half the time of Pillow's level 1.

    Files of drawings have 0.9 to 1.5 times its size; the file is the largest part of what a step costs.
    """
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, order))
    if not done:
        raise ValueError(f"No PNG can be made of {pixels.shape}")
    return bytes(data)


def on_white(image: Image.Image) -> Image.Image:
    """The picture without alpha, as paper would show it."""
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGB", image.size, (255, 255, 255))
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def small_webp(pixels: Pixels) -> bytes:
    """The small picture for pages; area averaging is the fastest way down from pixels in hand.

    Clear parts are shown as paper: on a dark page black ink would vanish in them.
    """
    if pixels.shape[2] == 4:
        pixels = np.asarray(on_white(Image.fromarray(pixels)))
    height, width = pixels.shape[:2]
    scale = THUMBNAIL_SIDE / max(height, width)
    if scale >= 1:
        return thumbnail_webp(Image.fromarray(pixels), longest_side=THUMBNAIL_SIDE)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return thumbnail_webp(Image.fromarray(small), longest_side=THUMBNAIL_SIDE)
