"""How long the tools of the chain take and how much memory they need, against decoding the same picture.

Run with `KROMA_TEST_MODELS=<folder> python -m tests.benchmarks.tools`; it prints ratios and asserts nothing.
Each tool runs in a process of its own, on a drawn figure of 768x1152 pixels.
"""

import json
import os
import subprocess
import sys

NAMES = ("rembg", "ncnn anime", "ncnn photo", "ncnn cunet", "pillow", "colour")


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
    sys.stdout.write(f"{'768x1152':<16}{'decode':>10}{'tool':>12}{'ratio':>9}{'peak':>12}\n")
    for name in NAMES:
        took = measured(name, models)
        ratio = took["apply_ms"] / took["decode_ms"]
        sys.stdout.write(
            f"{name:<16}{took['decode_ms']:>7.1f} ms{took['apply_ms']:>9.0f} ms{ratio:>8.1f}x"
            f"{took['peak_mib']:>8.0f} MiB\n"
        )


if __name__ == "__main__":
    main()
