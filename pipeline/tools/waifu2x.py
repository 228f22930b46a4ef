"""Upscaling by waifu2x on this machine's processor, in tiles, with bounded memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.tools import loaded
from pipeline.tools.base import Pixels, ToolFailed
from pipeline.tools.sizes import check_result, enlarged_alpha
from pipeline.tools.weights import WEIGHTS, lacking

REVISION = 1  # of the steps around the net; raise it whenever the same picture gives another result
THREADS = 2  # of the net; each worker process has its own
# Pixels. With it the nets for drawings and photos need about 370 MB, cunet 700; smaller tiles are slower,
# as more of each is margin.
AUTOMATIC_TILE = 192
SMALLEST_TILE = 32
STEP = 4  # a tile's side is a multiple of it: cunet halves it twice


@dataclass(frozen=True)
class Net:
    """A net that doubles a picture; `pad` is how far away a pixel can still change another, in pixels."""

    name: str
    pad: int

    @property
    def files(self) -> tuple[str, str]:
        return f"{self.name}.param", f"{self.name}.bin"


ANIME, PHOTO, CUNET = Net("waifu2x_anime", 7), Net("waifu2x_photo", 7), Net("waifu2x_cunet", 18)
# By a word in the configured model's name; the net for drawings is the one for everything else.
_BY_WORD: Mapping[str, Net] = MappingProxyType({"cunet": CUNET, "photo": PHOTO})


def net_named(model_name: str) -> Net:
    """The net for a configured `upscale.model_name`."""
    name = model_name.lower()
    return next((net for word, net in _BY_WORD.items() if word in name), ANIME)


@dataclass(frozen=True)
class Waifu2x:
    """The backend `ncnn`. A `tile` of 0 is chosen here; `scale` is 1 or more."""

    models: Path
    net: Net
    scale: int
    tile: int = 0
    code: str = "ncnn"

    @property
    def version(self) -> str:
        return f"{self.net.name}/{REVISION}"

    @property
    def tile_side(self) -> int:
        """The side of a tile without its margin, in pixels."""
        side = max(SMALLEST_TILE, self.tile or AUTOMATIC_TILE)
        return side + -side % STEP

    def missing(self) -> str:
        return lacking(self.net.files, self.models)

    def parameters(self) -> Mapping[str, object]:
        return {
            "model": self.net.name,
            "scale": self.scale,
            "tile": self.tile_side,
            "sha256": {name: WEIGHTS[name].sha256 for name in self.net.files},
            "revision": REVISION,
            "ncnn": version("ncnn"),
        }

    def apply(self, pixels: Pixels) -> Pixels:
        """The picture `scale` times as large: doubled as often as needed, then reduced to size.

        On the way there are fewer than four times the pixels of the result.
        """
        problem = self.missing()
        if problem:
            raise ToolFailed(problem, code="tool_missing")
        height, width = pixels.shape[:2]
        size = width * self.scale, height * self.scale
        check_result(*size)
        colours = np.ascontiguousarray(pixels[..., :3])
        for _ in range((self.scale - 1).bit_length()):
            colours = doubled(colours, self.net, models=self.models, tile=self.tile_side)
        if (colours.shape[1], colours.shape[0]) != size:
            colours = np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), np.uint8)
        if pixels.shape[2] == 3:
            return colours
        return np.dstack([colours, enlarged_alpha(pixels[..., 3], size)])


def doubled(colours: NDArray[np.uint8], net: Net, *, models: Path, tile: int) -> NDArray[np.uint8]:
    """A picture at twice its size. Each tile sees as much around it as can change it, so no seam shows."""
    ready = _net(net, models)
    height, width = colours.shape[:2]
    reflects = min(height, width) > net.pad + STEP  # a mirror can't be deeper than the picture
    margins = (net.pad, net.pad + -height % STEP, net.pad, net.pad + -width % STEP)
    border = cv2.BORDER_REFLECT_101 if reflects else cv2.BORDER_REPLICATE
    padded = np.asarray(cv2.copyMakeBorder(colours, *margins, borderType=border), np.uint8)
    result = np.empty((2 * height, 2 * width, 3), np.uint8)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            piece = padded[top : top + tile + 2 * net.pad, left : left + tile + 2 * net.pad]
            high, wide = min(tile, height - top), min(tile, width - left)
            large = _run(ready, piece)[: 2 * high, : 2 * wide]
            result[2 * top : 2 * (top + high), 2 * left : 2 * (left + wide)] = large
    return result


def _run(ready: Any, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One tile through the net, which takes its margin away."""
    ncnn = _ncnn()
    planes = np.ascontiguousarray(piece.transpose(2, 0, 1), np.float32) / 255
    extractor = ready.create_extractor()
    # Copied by `clone()`: a Mat from an array only points at memory that Python may free.
    extractor.input(ready.input_names()[0], ncnn.Mat(planes).clone())
    failed, answer = extractor.extract(ready.output_names()[0])
    if failed:
        raise ToolFailed("The upscaler ran out of memory: set a smaller `upscale.tile`", code="tool_failed")
    large = np.array(answer).transpose(1, 2, 0)
    return np.asarray(np.rint(large.clip(0, 1) * 255), np.uint8)


def _net(net: Net, models: Path) -> Any:
    """Stays loaded while it is used; other files of the same name are loaded anew."""
    changed = tuple((models / name).stat().st_mtime_ns for name in net.files)
    return loaded.models.get((net, models, changed), lambda: _read(net, models))


def _read(net: Net, models: Path) -> Any:
    read = _ncnn().Net()
    read.opt.use_vulkan_compute = False
    read.opt.num_threads = THREADS
    parameters, weights = (str(models / name) for name in net.files)
    if read.load_param(parameters) or read.load_model(weights):
        raise ToolFailed(f"{net.name} in {models} can't be loaded: fetch it anew", code="model_unusable")
    return read


def _ncnn() -> Any:
    # Imported late: only a worker needs it, and every start of every other command would wait for it.
    return import_module("ncnn")
