"""The style network: one image painted in the manner of others, in one pass (Ghiasi et al. 2017).

A small net puts the manner of an image into 100 numbers, another one paints with them. Both come as files of
`manage.py models fetch`. There is no chance in them: the same images give the same picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.providers.base import ProviderRefused
from pipeline.providers.local.raster import Colour, Pixels
from pipeline.tools import nets
from pipeline.tools.weights import WEIGHTS, lacking

PREDICT, TRANSFORM = "style_predict.onnx", "style_transform_384.onnx"
FILES = (PREDICT, TRANSFORM)
SEEN_SIDE = 256  # the middle of an image at which its manner is looked at, in pixels
# Longest side that is painted, in pixels. Memory grows with the area: 1152x768 takes about 340 MB.
PAINTED_SIDE = 1152
_STEP = 4  # both sides must be a multiple of it, else the net gives another size back

Manner = NDArray[np.float32]  # (100,)


@dataclass(frozen=True)
class StyleNet:
    """The two nets in the folder `models`."""

    models: Path

    def missing(self) -> str:
        """What stands against using it and how to get it, one sentence; empty when it can run."""
        return lacking(FILES, self.models)

    def hashes(self) -> dict[str, str]:
        """The sha256 that each of its files is pinned to."""
        return {name: WEIGHTS[name].sha256 for name in FILES}

    def painted(
        self, scene: Pixels, references: Sequence[Pixels], weights: Sequence[float], strength: float
    ) -> Colour:
        """The scene in the mixed manner of the references, at its own size.

        `strength` runs from 0 for the scene's own manner to 1 for theirs; about half keeps faces. Raises
        `ProviderRefused` for files that can't be run.
        """
        faults: tuple[type[Exception], ...] = (OSError, *nets.faults())
        try:
            theirs = np.average([self._manner(one) for one in references], axis=0, weights=weights)
            manner = strength * theirs + (1 - strength) * self._manner(scene)
            return self._painted(scene, manner.astype(np.float32))
        except faults as error:
            raise ProviderRefused(
                f"The style network in {self.models} can't be used: `manage.py models fetch` gets it anew",
                code="model_unusable",
            ) from error

    def _manner(self, pixels: Pixels) -> Manner:
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = Image.fromarray(pixels[top : top + side, left : left + side])
        small = middle.resize((SEEN_SIDE, SEEN_SIDE), Image.Resampling.LANCZOS)
        return np.asarray(_run(nets.session(self.models / PREDICT), _batch(small)), np.float32).ravel()

    def _painted(self, scene: Pixels, manner: Manner) -> Colour:
        height, width = scene.shape[:2]
        scale = min(1.0, PAINTED_SIDE / max(height, width))
        # Not below 32: the net halves its picture twice and looks beyond its edge.
        size = tuple(max(32, round(side * scale / _STEP) * _STEP) for side in (width, height))
        small = Image.fromarray(scene).resize((size[0], size[1]), Image.Resampling.LANCZOS)
        net = nets.session(self.models / TRANSFORM, any_size)
        painted = np.asarray(_run(net, _batch(small), manner.reshape(1, 1, 1, -1))[0], np.float32)
        back = cv2.resize(np.clip(painted, 0, 1), (width, height), interpolation=cv2.INTER_CUBIC)
        return np.asarray(np.clip(back, 0, 1), np.float32)


def any_size(file: Path) -> bytes:
    """The painting net for images of any size: as it comes it is fixed to 384 pixels, and need not be."""
    onnx = import_module("onnx")  # heavy, and only a worker with the net needs it
    model = onnx.load(str(file))
    graph = model.graph
    for value, (rows, columns) in ((graph.input[0], ("h", "w")), (graph.output[0], ("H", "W"))):
        sides = value.type.tensor_type.shape.dim
        sides[1].dim_param, sides[2].dim_param = rows, columns
    del graph.value_info[:]  # sizes in between, worked out for the fixed one
    return bytes(model.SerializeToString())


def _batch(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, np.float32)[None] / np.float32(255)


def _run(net: Any, *values: NDArray[np.float32]) -> Any:
    names = [value.name for value in net.get_inputs()]
    return net.run(None, dict(zip(names, values, strict=True)))[0]
