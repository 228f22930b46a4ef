"""How long the tools take and how much memory they need, against a decode and against what is wanted.

Run with `KROMA_TEST_MODELS=<folder> python -m tests.benchmarks.tools`; it prints ratios and asserts nothing.
Each tool runs in a process of its own, on a drawn figure of 768x1152 pixels. What is wanted is at most twice
the time and 1.3 times the memory that were measured when each was chosen (two cores, a shared machine);
memory is what the process takes beyond its imports. Then it prints how near the results are to the truth: of
the matte the overlap with the mask of a drawn figure, of the upscalers the dB gained over Lanczos.
"""

import json
import os
import subprocess
import sys

# Seconds, and peak of the process in MB, at the time.
FIRST_MEASURED = {
    "rembg": (0.89, 379),
    "ncnn anime": (2.8, 567),
    "ncnn photo": (2.9, 567),
    "ncnn cunet": (13.0, 906),
    "style net": (0.46, 338),
    "lettering": (0.25, 355),
}
IMPORTS_MB = 60  # of those peaks: the interpreter with its libraries
NAMES = (*FIRST_MEASURED, "pillow", "colour")


def measured(name: str, models: str) -> dict[str, float]:
    """What `one_tool.measure()` says."""
    body = (
        "import django; django.setup()\n"
        "from tests.benchmarks.one_tool import measure\n"
        f"measure({name!r}, {models!r})"
    )
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "kroma_site.settings", "KROMA_DEBUG": "1"}
    result = subprocess.run(
        [sys.executable, "-c", body], check=True, stdout=subprocess.PIPE, text=True, env=environ
    )
    return dict(json.loads(result.stdout))


def main() -> None:
    models = os.environ.get("KROMA_TEST_MODELS", "")
    if not models:
        raise SystemExit("KROMA_TEST_MODELS must name the folder that `manage.py models fetch` has filled")
    sys.stdout.write(
        f"{'768x1152':<16}{'decode':>10}{'tool':>12}{'ratio':>9}{'own':>12}{'time':>9}{'memory':>9}{'truth':>12}\n"
    )
    for name in NAMES:
        took = measured(name, models)
        ratio = took["apply_ms"] / took["decode_ms"]
        wanted = ""
        if name in FIRST_MEASURED:
            seconds, megabytes = FIRST_MEASURED[name]
            own = took["own_mib"] * 1024**2 / 1e6 / (megabytes - IMPORTS_MB)
            wanted = f"{took['apply_ms'] / 1000 / seconds:>8.2f}x{own:>8.2f}x"
        truth = f"{took['truth']:>12.3f}" if "truth" in took else ""
        sys.stdout.write(
            f"{name:<16}{took['decode_ms']:>7.1f} ms{took['apply_ms']:>9.0f} ms{ratio:>8.1f}x"
            f"{took['own_mib']:>8.0f} MiB{wanted:<18}{truth}\n"
        )


if __name__ == "__main__":
    main()
