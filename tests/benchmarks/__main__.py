"""All benchmarks, one after the other: `python -m tests.benchmarks`. They print ratios and assert nothing."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    folder = Path(__file__).parent
    names = sorted(
        file.stem for file in folder.glob("*.py") if file.stem.isidentifier() and "main()" in file.read_text()
    )
    code = 0
    for name in names:
        if name.startswith("_"):
            continue
        print(f"\n== {name}", flush=True)  # noqa: T201
        code |= subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
