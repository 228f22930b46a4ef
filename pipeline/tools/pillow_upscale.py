"""The upscaler that every machine has: Lanczos interpolation, no network of any kind."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from pipeline.providers.images import MAX_IMAGE_PIXELS
from pipeline.tools.base import Pixels, ToolFailed


class PillowUpscaler:
    """Enlarges by a whole factor; alpha is enlarged with the colours, weighted by it."""

    code = "pillow"
    version = "lanczos-1"

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def missing(self) -> str:
        """Nothing: Pillow is there."""
        return ""

    def parameters(self) -> Mapping[str, object]:
        """The factor."""
        return {"model": "lanczos", "scale": self.scale}

    def apply(self, pixels: Pixels) -> Pixels:
        """The enlarged picture. Raises `ToolFailed` when it would be too large to be read again."""
        height, width = pixels.shape[0] * self.scale, pixels.shape[1] * self.scale
        if width * height > MAX_IMAGE_PIXELS:
            raise ToolFailed(
                f"{width} × {height} pixels are more than the {MAX_IMAGE_PIXELS:,} that one image may have: "
                "choose a smaller 'upscale.scale'",
                code="image_too_large",
            )
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
