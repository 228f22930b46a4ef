"""Measuring one tool of the chain, for `tests.benchmarks.tools`, in a process that Django is set up in."""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.engine.colour import BUILTIN_PROFILES
from pipeline.providers.images import encode_png
from pipeline.providers.local.style import StyleNet
from pipeline.tools.base import Pixels
from pipeline.tools.colour import ColourTool
from pipeline.tools.lettering import Reader
from pipeline.tools.matting import OURS, Rembg
from pipeline.tools.pillow_upscale import PillowUpscaler
from pipeline.tools.pixels import decoded
from pipeline.tools.waifu2x import Waifu2x, net_named
from tests.unit.tools.drawings import DAY, figure, panel

ROUNDS = 3


class _Style:
    """The style network alone, as a tool."""

    def __init__(self, models: Path) -> None:
        self.net = StyleNet(models)

    def apply(self, pixels: Pixels) -> Pixels:
        painted = self.net.painted(pixels, [panel(768, 768)], [1.0], 0.5)
        return (painted * 255).astype(np.uint8)


class _Lettering:
    """The reader, as a tool that leaves the picture as it is."""

    def __init__(self, models: Path) -> None:
        self.reader = Reader(models)

    def apply(self, pixels: Pixels) -> Pixels:
        self.reader.read(pixels)
        return pixels


def measure(name: str, folder: str) -> None:
    """Print medians in ms of the warm tool and of a decode, its own memory in MiB and its truth, as JSON."""
    models = Path(folder)
    tools: dict[str, Any] = {
        "rembg": Rembg(models, OURS),
        **{f"ncnn {word}": Waifu2x(models, net_named(word), 2) for word in ("anime", "photo", "cunet")},
        "style net": _Style(models),
        "lettering": _Lettering(models),
        "pillow": PillowUpscaler(2),
        "colour": ColourTool("cinematic_warm", BUILTIN_PROFILES["cinematic_warm"]),
    }
    png = encode_png(Image.fromarray(figure(DAY)[0]))
    pixels = decoded(png, name="figure")
    before = _peak()
    made = tools[name].apply(pixels)
    decode, apply = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        decoded(png, name="figure")
        decode.append(time.perf_counter() - start)
        start = time.perf_counter()
        tools[name].apply(pixels)
        apply.append(time.perf_counter() - start)
    figures = {
        "apply_ms": statistics.median(apply) * 1000,
        "decode_ms": statistics.median(decode) * 1000,
        "own_mib": _peak() - before,
    }
    if name == "rembg":
        figures["truth"] = _overlap(made[..., 3], figure(DAY)[1])
    if name.startswith("ncnn"):
        figures["truth"] = _gain(tools[name])
    sys.stdout.write(json.dumps(figures))


def _peak() -> float:
    """The most that this process has held so far, in MiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def _overlap(alpha: Pixels, mask: Pixels) -> float:
    """Intersection over union of the figure and its true mask."""
    ours, true = alpha > 127, mask > 127
    return float((ours & true).sum() / (ours | true).sum())


def _gain(tool: Waifu2x) -> float:
    """By how many dB a drawing is nearer to the original than by Lanczos."""
    original = panel(480, 640)
    image = Image.fromarray(original)
    small = image.resize((240, 320), Image.Resampling.BICUBIC)
    plain = np.asarray(small.resize(image.size, Image.Resampling.LANCZOS))
    return _psnr(tool.apply(np.asarray(small)), original) - _psnr(plain, original)


def _psnr(one: Pixels, other: Pixels) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))
