"""Measuring one tool of the chain, for `tests.benchmarks.tools`, in a process that Django is set up in."""

import json
import statistics
import sys
import time
from pathlib import Path

from PIL import Image

from pipeline.engine.colour import BUILTIN_PROFILES
from pipeline.providers.images import encode_png
from pipeline.tools.base import LocalTool
from pipeline.tools.colour import ColourTool
from pipeline.tools.matting import OURS, Rembg
from pipeline.tools.pillow_upscale import PillowUpscaler
from pipeline.tools.pixels import decoded
from pipeline.tools.waifu2x import Waifu2x, net_named
from tests.unit.tools.drawings import DAY, figure

ROUNDS = 3


def measure(name: str, folder: str) -> None:
    """Print medians in ms of the warm tool and of a decode, and the peak of the process in MiB, as JSON."""
    models = Path(folder)
    tools: dict[str, LocalTool] = {
        "rembg": Rembg(models, OURS),
        **{f"ncnn {word}": Waifu2x(models, net_named(word), 2) for word in ("anime", "photo", "cunet")},
        "pillow": PillowUpscaler(2),
        "colour": ColourTool("cinematic_warm", BUILTIN_PROFILES["cinematic_warm"]),
    }
    png = encode_png(Image.fromarray(figure(DAY)[0]))
    pixels = decoded(png, name="figure")
    tools[name].apply(pixels)
    decode, apply = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        decoded(png, name="figure")
        decode.append(time.perf_counter() - start)
        start = time.perf_counter()
        tools[name].apply(pixels)
        apply.append(time.perf_counter() - start)
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    figures = {
        "apply_ms": statistics.median(apply) * 1000,
        "decode_ms": statistics.median(decode) * 1000,
        "peak_mib": int(peak) / 1024,
    }
    sys.stdout.write(json.dumps(figures))
