"""What one candidate costs us beyond its provider's time, as a ratio to decoding and encoding its picture.

Run with `python -m tests.benchmarks.candidate_cost`: one process works on runs over a temporary SQLite
database, with a provider that has its bytes ready. Claim, attempt, storing, hashes, guard, thumbnail, rows
and audit are in it, the colour step is off and on. The inputs are read and hashed; their thumbnails are there
already, as after an upload. Medians; before each candidate the baseline is measured with the same picture: a
PNG decode and a PNG encode by Pillow at level 1. By the clock, waits for disk and others count;
the second line of each is processor time. It asserts nothing.
"""

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.benchmarks.provider_bound import drawing

SIZES = ((768, 1152), (1024, 1536))
N_CANDIDATES = 24
TARGET, GUARD_TARGET = 1.5, 1.3


@dataclass
class Times:
    """Seconds of each round, `[by the clock, of the processor]`."""

    ours: list[tuple[float, float]] = field(default_factory=list)
    decode: list[tuple[float, float]] = field(default_factory=list)
    encode: list[tuple[float, float]] = field(default_factory=list)
    guard: list[tuple[float, float]] = field(default_factory=list)


def timed(work: Callable[[], Any], into: list[tuple[float, float]]) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    into.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def encoded(image: Image.Image) -> None:
    image.save(io.BytesIO(), "PNG", compress_level=1)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kroma_site.settings")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"KROMA_DATA_DIR": folder, "KROMA_DATABASE_URL": ""}
        import django  # noqa: PLC0415 - the folder must be known first

        django.setup()
        from kroma_site.prepare import prepare  # noqa: PLC0415

        prepare()
        say(f"{'medians':<24}{'ours':>10}{'decode':>10}{'encode':>10}  ÷ both  guard ÷ decode")
        say(f"{'targets':<54}{TARGET:>8.2f}{GUARD_TARGET:>14.2f}")
        for size in SIZES:
            pictures = [drawing(number, size=size) for number in range(N_CANDIDATES + 2)]
            for colour in (False, True):
                report(size, colour, measure(pictures, colour=colour))


def measure(pictures: list[bytes], *, colour: bool) -> Times:
    """Work through one run; the last candidate, which closes the run, is left out."""
    from pipeline.engine.guard import inspect_pixels  # noqa: PLC0415
    from pipeline.engine.manifest import DEFAULT_MANIFEST  # noqa: PLC0415
    from pipeline.services import execution  # noqa: PLC0415
    from tests.benchmarks.ready import Ready, always, run_of  # noqa: PLC0415

    provider = Ready(pictures)
    execution.provider_for = always(provider)
    run = run_of(pictures, colour=colour)
    keys = list(run.candidates.order_by("job__position").values_list("pk", flat=True))
    execution.execute_candidate(keys.pop(0))  # imports, caches
    times = Times()
    for key in keys[:-1]:
        data = provider.next_picture
        image = timed(lambda data=data: decoded(data), times.decode)
        timed(lambda image=image: encoded(image), times.encode)
        pixels = np.asarray(image)
        timed(
            lambda pixels=pixels: inspect_pixels(pixels, file="x.png", settings=DEFAULT_MANIFEST.guard),
            times.guard,
        )
        timed(lambda key=key: execution.execute_candidate(key), times.ours)
    n_done = run.candidates.filter(status="done").count()
    if n_done != N_CANDIDATES + 1:
        say(f"only {n_done} of {N_CANDIDATES + 1} candidates were done")
    return times


def report(size: tuple[int, int], colour: bool, times: Times) -> None:
    for kind, title in enumerate((f"{size[0]}x{size[1]}, colour {'on' if colour else 'off'}", "  processor")):
        ours, decode, encode, guard = (
            statistics.median(each[kind] for each in rounds) * 1000
            for rounds in (times.ours, times.decode, times.encode, times.guard)
        )
        figures = f"{title:<24}{ours:>7.1f} ms{decode:>7.1f} ms{encode:>7.1f} ms"
        say(f"{figures}{ours / (decode + encode):>8.2f}{guard / decode:>14.3f}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
