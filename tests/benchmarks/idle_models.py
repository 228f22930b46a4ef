"""How much memory each model takes, and how much of it comes back once it is not used.

Run with `python -m tests.benchmarks.idle_models`; `KROMA_TEST_MODELS` names a folder with the model files.
Each is measured in a process of its own: before, after one use, after it was let go of. It prints figures and
asserts nothing.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from pipeline.tools.base import Pixels

SIZE = (768, 1152)  # pixels of the picture


def resident() -> float:
    """What this process holds, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def measure(name: str) -> None:
    import numpy as np  # noqa: PLC0415 - in the process that is measured

    from pipeline.providers.local.style import StyleNet  # noqa: PLC0415
    from pipeline.tools import loaded  # noqa: PLC0415
    from pipeline.tools.lettering import Reader  # noqa: PLC0415
    from pipeline.tools.matting import OURS, Rembg  # noqa: PLC0415
    from pipeline.tools.waifu2x import ANIME, CUNET, PHOTO, Waifu2x  # noqa: PLC0415

    models = Path(os.environ["KROMA_TEST_MODELS"])
    style = StyleNet(models)
    uses: dict[str, Callable[[Pixels], object]] = {
        "u2netp": Rembg(models, OURS).apply,
        **{net.name: Waifu2x(models, net, 2).apply for net in (ANIME, PHOTO, CUNET)},
        "style net": lambda pixels: style.painted(pixels, [pixels], [1.0], 0.5),
        "lettering": Reader(models).read,
    }
    picture = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    picture[300:900, 200:600] = (40, 60, 90)
    before = resident()
    uses[name](picture)
    used = resident()
    held = loaded.models
    held._idle = 0.0
    n = held.release_idle()
    after = resident()
    sys.stdout.write(
        f"{name:<16}{before:>8.0f} MiB before{used:>8.0f} after one use{after:>8.0f} let go ({n})  "
        f"{(used - after) / max(used - before, 1):>5.0%} of what it took came back\n"
    )


def main() -> None:
    if not os.environ.get("KROMA_TEST_MODELS"):
        sys.stdout.write("Skipped: KROMA_TEST_MODELS names no folder with model files\n")
        return
    for name in ("u2netp", "waifu2x_anime", "waifu2x_photo", "waifu2x_cunet", "style net", "lettering"):
        subprocess.run([sys.executable, "-m", "tests.benchmarks.idle_models", name], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kroma-idle-") as place:
        os.environ |= {"KROMA_DATA_DIR": place, "DJANGO_SETTINGS_MODULE": "kroma_site.settings"}
        django.setup()
        measure(sys.argv[1]) if len(sys.argv) > 1 else main()
