"""What all upscalers share: how large a result may be, and how alpha follows."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.providers.images import MAX_IMAGE_PIXELS
from pipeline.tools.base import ToolFailed


def check_result(width: int, height: int) -> None:
    """Raises `ToolFailed` for a result that could not be read again."""
    if width * height > MAX_IMAGE_PIXELS:
        raise ToolFailed(
            f"{width} × {height} pixels are more than the {MAX_IMAGE_PIXELS:,} that one image may have: "
            "choose a smaller 'upscale.scale'",
            code="image_too_large",
        )


def enlarged_alpha(alpha: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Alpha at `size`, (width, height), by Lanczos."""
    return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.LANCZOS))
