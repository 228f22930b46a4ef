"""What the tools of the Lab do to one image; where files lie is the caller's concern."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from django.conf import settings

from pipeline.engine.colour import BUILTIN_PROFILES
from pipeline.engine.postprocess_config import DEFAULT_CONFIG
from pipeline.models.lab import LabWork
from pipeline.providers.base import GenerateRequest, ProviderError
from pipeline.providers.images import ImageUnreadable
from pipeline.providers.registry import provider_for
from pipeline.services import steps
from pipeline.services.steps import Picture, StepFailed
from pipeline.tools import registry
from pipeline.tools.base import LocalTool, Pixels
from pipeline.tools.matting import OURS, Box, Rembg
from pipeline.tools.pixels import decoded
from projects.errors import Invalid

Tool = LabWork.Tool
SCALES = (2, 4)
UPSCALERS = {"ncnn": "waifu2x, for drawings", "photo": "waifu2x, for photographs", "pillow": "plain Lanczos"}
NET_OF = {"ncnn": "waifu2x_anime", "photo": "waifu2x_photo"}
PROFILES = tuple(BUILTIN_PROFILES)
TONES = 64  # steps of a histogram
SAMPLE_SIDE = 1024  # pixels; more of a picture says no more about its tones


@dataclass(frozen=True)
class Labour:
    """What came of one image: a PNG file, and what is to be told about it."""

    data: bytes
    facts: Mapping[str, object]


def check_tool(tool: str, options: Mapping[str, object], *, has_style: bool) -> None:
    """Raise `Invalid` for a tool that can't run here, or options that it does not have."""
    if tool == Tool.RESTYLE:
        if not has_style:
            raise Invalid("Redrawing needs a style: choose an image that shows the style")
        return
    if lack := _local_tool(tool, options).missing():
        raise Invalid(lack)


def laboured(tool: str, options: Mapping[str, object], source: Path, style: Path | None) -> Labour:
    """Let a tool work on an image. Raises `Invalid` with one sentence if nothing comes of it."""
    try:
        data = source.read_bytes()
        before = decoded(data, name=source.name)
        began = time.perf_counter()
        if tool == Tool.RESTYLE:
            made, record = _restyled(options, source, style)
        else:
            picture = Picture(source.name, "", load=lambda: data, pixels=before)
            done = steps.changed(_local_tool(tool, options), picture, extension="png")
            made, record = done.data, dict(done.record)
        seconds = time.perf_counter() - began
        after = decoded(made, name="The result")
    except (StepFailed, ImageUnreadable, ProviderError, OSError) as error:
        raise Invalid(str(error)) from error
    return Labour(
        made,
        {
            "tool": record,
            "seconds": round(seconds, 2),
            "before": {"size": _size(before), "tones": tones(before)},
            "after": {"size": _size(after), "tones": tones(after)},
        },
    )


def tones(pixels: Pixels) -> dict[str, list[int]]:
    """How often each of `TONES` steps from dark to light occurs in red, green and blue.

    From 0 to 100, the most frequent step of all three being 100; clear pixels do not count.
    """
    step = max(1, max(pixels.shape[:2]) // SAMPLE_SIDE)
    small = np.ascontiguousarray(pixels[::step, ::step])
    mask = np.where(small[..., 3] > 0, 255, 0).astype(np.uint8) if small.shape[2] == 4 else None
    counts = [
        cv2.calcHist([small], [channel], mask, [TONES], [0, 256]).ravel().tolist() for channel in range(3)
    ]
    most = max(1.0, *(max(one) for one in counts))
    return {
        name: [round(100 * value / most) for value in one]
        for name, one in zip(("red", "green", "blue"), counts, strict=True)
    }


def _local_tool(tool: str, options: Mapping[str, object]) -> LocalTool:
    if tool == Tool.CUTOUT:
        return Rembg(Path(settings.MODELS_DIR), OURS, box=_box(options.get("box")))
    if tool == Tool.UPSCALE:
        scale, backend = options.get("scale", SCALES[0]), str(options.get("upscaler", "ncnn"))
        if scale not in SCALES or backend not in UPSCALERS or not isinstance(scale, int):
            raise Invalid(
                f"Enlarge {' or '.join(map(str, SCALES))} times, with one of {', '.join(UPSCALERS)}"
            )
        upscale = replace(DEFAULT_CONFIG.upscale, scale=scale)
        if backend in NET_OF:
            upscale = replace(upscale, model_name=NET_OF[backend])
        code = "pillow" if backend == "pillow" else "ncnn"
        return registry.upscaler(code, replace(DEFAULT_CONFIG, upscale=upscale))
    if tool == Tool.COLOUR:
        name = str(options.get("profile", ""))
        if name not in BUILTIN_PROFILES:
            raise Invalid(f"There is no colour profile {name}: use one of {', '.join(PROFILES)}")
        return registry.colourer(name, BUILTIN_PROFILES[name])
    raise Invalid(f"There is no tool {tool}: use one of {', '.join(Tool.values)}")


def _box(said: object) -> Box | None:
    """The hint where the figure is: four percentages. Raises `Invalid`."""
    if said is None:
        return None
    try:
        left, top, right, bottom = (float(side) / 100 for side in said)  # type: ignore[attr-defined]
        return Box(left, top, right, bottom)
    except (TypeError, ValueError):
        raise Invalid(
            "The box needs four percentages: left, top, right, bottom, from 0 to 100, such as 10 5 60 95"
        ) from None


def _restyled(
    options: Mapping[str, object], source: Path, style: Path | None
) -> tuple[bytes, Mapping[str, object]]:
    provider = provider_for("local")
    result = provider.generate(
        GenerateRequest(
            prompt="",
            images=(source, *([style] if style else [])),
            seed=int(str(options.get("seed", 0))),
            stage="style",
            time="day",
            weather="clear",
        )
    )
    return result.data, provider.describe()


def _size(pixels: Pixels) -> list[int]:
    return [int(pixels.shape[1]), int(pixels.shape[0])]
