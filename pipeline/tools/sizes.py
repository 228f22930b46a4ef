"""What all upscalers share: how large a result may be, and how alpha follows."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.tools.base import ToolFailed

# 4096x4096 doubled, and a little more; with alpha half a gigabyte. A mistyped scale must not take a
# worker's memory.
MAX_RESULT_PIXELS = 128_000_000


def check_result(width: int, height: int) -> None:
    """Raises `ToolFailed` for a result that is too large to make."""
    if width * height > MAX_RESULT_PIXELS:
        raise ToolFailed(
            f"Upscaled, the picture would have {width}x{height} pixels on the way, and the limit is "
            f"{MAX_RESULT_PIXELS // 1_000_000} megapixels: set a smaller `upscale.scale`",
            code="upscale_too_large",
        )


def enlarged_alpha(alpha: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Alpha at `size`, (width, height), by Lanczos."""
    return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.LANCZOS))
