"""Running lines of Python in a process of their own."""

import subprocess
import sys
from pathlib import Path

SETTINGS = {"DJANGO_SETTINGS_MODULE": "kroma_site.settings", "KROMA_DEBUG": "1", "PATH": "/usr/bin:/bin"}
# The most memory that the process had, in KiB. Not `ru_maxrss`: that one starts with the parent's.
PRINT_PEAK = (
    "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
)


def run_apart(body: str) -> str:
    """What the lines print. They may import the project's modules and the tests'."""
    result = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{body}"],
        check=True,
        capture_output=True,
        text=True,
        env=SETTINGS,
        cwd=Path(__file__).parents[3],
    )
    return result.stdout.strip()
