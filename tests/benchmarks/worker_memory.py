"""Whether the memory of a worker stays flat over many candidates.

Run with `python -m tests.benchmarks.worker_memory`: one process makes 500 candidates of 768×1152 one after
another, as a worker does, with a provider that has its bytes ready, guard, colour and thumbnails on, over a
temporary SQLite database. Every 50 it prints what the process holds in memory: all of it, and what is its
own, without files that are mapped, as the database is. The 501st closes the run, whose log is written then.
At the end come the first and the last figure and the slope of a line through them. It asserts nothing.
"""

import gc
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.provider_bound import drawing

N_SCENES, N_CANDIDATES, STEP = 167, 3, 50
N_PICTURES = 20  # each is given to 25 candidates or more


def resident() -> tuple[float, float]:
    """What this process holds in memory, in MiB: all, and without mapped files (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["RssAnon"].split()[0]) / 1024


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kroma_site.settings")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"KROMA_DATA_DIR": folder, "KROMA_DATABASE_URL": ""}
        import django  # noqa: PLC0415 - the folder must be known first

        django.setup()
        from kroma_site.prepare import prepare  # noqa: PLC0415

        prepare()
        measure()


def measure() -> None:
    from pipeline.services import execution  # noqa: PLC0415
    from tests.benchmarks.ready import Ready, always, run_of  # noqa: PLC0415

    pictures = [drawing(number) for number in range(N_PICTURES)]
    provider = Ready(pictures)
    execution.provider_for = always(provider)
    scenes = [pictures[number % N_PICTURES] for number in range(N_SCENES)]
    run = run_of(scenes, colour=True, candidates=N_CANDIDATES)
    keys = list(run.candidates.order_by("job__position", "candidate_index").values_list("pk", flat=True))
    gc.collect()
    say(f"{'':<24}{'all':>9}{'own':>13}")
    _say_memory("before the first", *resident())
    found = []
    for number, key in enumerate(keys, start=1):
        execution.execute_candidate(key)
        if number % STEP == 0 and number < len(keys):
            found.append(resident())
            _say_memory(f"after {number}", *found[-1])
    _say_memory("after the run's end", *resident())
    run.refresh_from_db()
    n_done = run.candidates.filter(status="done").count()
    say(f"{n_done} of {len(keys)} candidates done, run {run.status}")
    for title, figures in zip(("all", "own"), zip(*found, strict=True), strict=True):
        slope = float(np.polyfit(np.arange(len(figures)), figures, 1)[0]) / STEP * 100
        first, last = figures[0], figures[-1]
        say(
            f"{title}: first {first:.1f}, last {last:.1f} MiB, last ÷ first {last / first:.3f}, "
            f"slope {slope:+.2f} MiB per 100 candidates"
        )


def _say_memory(title: str, every: float, own: float) -> None:
    say(f"{title:<24}{every:>9.1f}{own:>9.1f} MiB")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
