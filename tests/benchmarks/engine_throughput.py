"""How fast the engine is, against the plain way measured in the same run.

Run with `python -m tests.benchmarks.engine_throughput`; it prints medians and ratios and asserts nothing.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageEnhance, ImageStat

from pipeline.engine.colour import BUILTIN_PROFILES, ColourProfile, apply_profile
from pipeline.engine.guard import chroma_delta
from pipeline.engine.manifest import DEFAULT_MANIFEST
from pipeline.engine.planning import RunRequest, plan_hash, plan_run
from pipeline.engine.postprocess import PostprocessPlan

N_JOBS = 10_000
ROUNDS = 9


def median_ms(work: Callable[[], object]) -> float:
    """Median of some rounds after one to warm up, in milliseconds."""
    work()
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        rounds.append((time.perf_counter() - start) * 1000)
    return statistics.median(rounds)


def pillow_guard(rgb: NDArray[np.uint8]) -> float:
    """The chroma delta as the behaviour reference defines it."""
    red, green, blue = Image.fromarray(rgb).split()
    pairs = ((red, green), (red, blue), (green, blue))
    return sum(ImageStat.Stat(ImageChops.difference(*pair)).mean[0] for pair in pairs) / 3


def pillow_colour(rgb: NDArray[np.uint8], profile: ColourProfile) -> NDArray[np.uint8]:
    """The colour steps as the behaviour reference defines them, for a profile that uses them all."""
    image = ImageEnhance.Brightness(Image.fromarray(rgb)).enhance(profile.brightness)
    image = ImageEnhance.Contrast(image).enhance(profile.contrast)
    image = ImageEnhance.Color(image).enhance(profile.saturation)
    image = ImageEnhance.Sharpness(image).enhance(profile.sharpness)
    image = image.point([round(255 * (level / 255) ** (1 / profile.gamma)) for level in range(256)] * 3)
    multipliers = (profile.red_multiplier, profile.green_multiplier, profile.blue_multiplier)
    image = image.point([min(255, round(level * factor)) for factor in multipliers for level in range(256)])
    return np.asarray(image)


def report(title: str, ours: float, plain: float, baseline: str) -> None:
    sys.stdout.write(f"{title:<44}{ours:>9.2f} ms{plain:>10.2f} ms  {plain / ours:>6.2f}x  {baseline}\n")


def main() -> None:
    scenes = tuple(f"scenes/Chapter {n // 100}/Panel {n:05}.png" for n in range(N_JOBS))
    request = RunRequest("dry", scenes, ("styles/ink.png",), batch_limit=N_JOBS)
    post = PostprocessPlan(color=True, color_profile="neutral", upscale=True, upscale_backend="python")
    plan = plan_run(request, DEFAULT_MANIFEST, post)
    entries = [asdict(job) for job in plan.jobs]
    dumped = median_ms(lambda: json.dumps(entries, indent=2))
    rgb = np.random.default_rng(1).integers(0, 256, (1536, 1024, 3), dtype=np.uint8)
    warm = BUILTIN_PROFILES["cinematic_warm"]

    sys.stdout.write(f"{'medians':<44}{'engine':>12}{'plain way':>13}   ratio\n")
    baseline = "json.dumps of the same plan, indented"
    report(
        f"plan {N_JOBS} jobs", median_ms(lambda: plan_run(request, DEFAULT_MANIFEST, post)), dumped, baseline
    )
    hashed = median_ms(lambda: plan_hash(plan, inputs={}, provider={"provider_code": "local"}))
    report(f"hash the plan of {N_JOBS} jobs", hashed, dumped, baseline)
    report(
        "guard, 1024x1536",
        median_ms(lambda: chroma_delta(rgb)),
        median_ms(lambda: pillow_guard(rgb)),
        "Pillow, three differences",
    )
    report(
        "colour, all steps, 1024x1536",
        median_ms(lambda: apply_profile(rgb, warm)),
        median_ms(lambda: pillow_colour(rgb, warm)),
        "Pillow, step by step",
    )


if __name__ == "__main__":
    main()
