"""Photographs for tests: those that scikit-image carries with it, so that nothing is downloaded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data

NAMES = ("astronaut", "coffee")


def photograph(name: str) -> NDArray[np.uint8]:
    """(height, width, 3), uint8, sRGB, both sides even."""
    pixels: NDArray[Any] = getattr(data, name)()
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width, :3], np.uint8)
