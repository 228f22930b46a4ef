"""Small operations on float planes that looks, light and measuring share.

A `Plane` is (height, width), float32, 0..1 unless said; a `Colour` is (height, width, 3), float32,
sRGB 0..1. All of it gives the same values for any number of threads.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Colour = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# Rec. 709 weights, for linear light.
_LUMINANCE = np.array([[0.2126, 0.7152, 0.0722]], np.float32)


def to_float(pixels: Pixels) -> Colour:
    return pixels.astype(np.float32) * np.float32(1 / 255)


def to_bytes(colour: Colour) -> Pixels:
    """Rounded and clipped to 0..255."""
    return np.asarray(cv2.convertScaleAbs(np.clip(colour, 0, 1), alpha=255.0), np.uint8)


def lightness(colour: Colour) -> Plane:
    """CIE L of sRGB, scaled to 0..1: even steps look even."""
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)
    return np.asarray(lab[..., 0] * 0.01, np.float32)


def to_linear(colour: Colour) -> Colour:
    """Linear light by gamma 2.2: within 0.01 of the exact sRGB curve and one call to OpenCV."""
    return np.asarray(cv2.pow(np.clip(colour, 0, 1), 2.2), np.float32)


def from_linear(light: Colour) -> Colour:
    return np.asarray(cv2.pow(np.clip(light, 0, 1), 1 / 2.2), np.float32)


def luminance(light: Colour) -> Plane:
    """Luminance of linear light."""
    return np.asarray(cv2.transform(light, _LUMINANCE), np.float32).reshape(light.shape[:2])


def blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; a wide one is made at a smaller size, where nobody sees the difference."""
    if sigma < 8:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    height, width = image.shape[:2]
    step = sigma / 4
    small = (max(4, round(width / step)), max(4, round(height / step)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(reduced, (0, 0), 4.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Plane:
    """Smooth noise around 0 with a spread near 1; `cell` is the size of its features in pixels."""
    height, width = shape
    coarse = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def ramp(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """0 at `low`, 1 at `high`, smooth between; `low` may be the larger one."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def grid(shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """The x and y of each pixel, as planes in pixels."""
    height, width = shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def sample(image: NDArray[np.float32], x: Plane, y: Plane) -> NDArray[np.float32]:
    """`image` read at fractional places; the border repeats its last pixels."""
    read = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def disc(reach: int) -> Pixels:
    """A round structuring element, `2 * reach + 1` pixels across."""
    side = 2 * reach + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
