"""How fast run logs become rows, against a bare `bulk_create` of the same rows in the same database.

Run with `python -m tests.benchmarks.ingest`; it prints medians and ratios and asserts nothing. Ratios are
those of processor time, which others on the machine disturb less; the wall time stands beside it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

JOBS, ROUNDS, EARLIER = 1_000, 5, 1_000


@dataclass(frozen=True)
class Took:
    """Seconds."""

    cpu: float
    wall: float


def timed(work: Callable[[], object]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.process_time() - cpu, time.perf_counter() - wall)


def median(rounds: list[Took]) -> Took:
    return Took(
        statistics.median(took.cpu for took in rounds), statistics.median(took.wall for took in rounds)
    )


def line(title: str, took: Took, says: str = "") -> None:
    sys.stdout.write(f"{title:<44}{took.cpu * 1000:>9.0f} ms{took.wall * 1000:>9.0f} ms wall  {says}\n")


def log_of(n_jobs: int, name: str) -> dict[str, Any]:
    """A paid run with two candidates a job and a colour step, as an older Kroma wrote it."""

    def candidate(job: str, index: int) -> dict[str, Any]:
        output = f"var/projects/bench/outputs/{name}_{job}__c{index}.png"
        final = f"var/projects/bench/color_corrected/{name}_{job}__c{index}_cold_rain.png"
        done = index == 2
        file = {
            "file": final,
            "chroma_delta": 7.1042,
            "grayscale_like": done,
            "hard_fail_reasons": [] if done else ["not_grayscale_like"],
            "soft_warnings": [],
        }
        return {
            "candidate_index": index,
            "output": output,
            "status": "done" if done else "failed_output_guard",
            "rank": {"hard_failures": 1 - done, "soft_warnings": 0, "avg_chroma_exceed": 1.25},
            "final_output": final if done else None,
            "color": {"input": output, "output": final, "profile": "cold_rain", "settings": "builtin"},
            "output_guard": {
                "checked_input": final,
                "summary": {"total_files": 1, "hard_failures": 1 - done, "soft_warnings": 0},
                "files": [file],
                "bad_archive": None if done else final.replace("color_corrected", "archive/bad"),
            },
        }

    def job(number: int) -> dict[str, Any]:
        key = f"weather_{number}_quay"
        candidates = [candidate(key, 1), candidate(key, 2)]
        return {
            "id": key,
            "mode": "weather",
            "time": "night",
            "weather": "rain",
            "input_images": [f"var/projects/bench/scenes/{number}.png", "var/projects/bench/styles/ink.png"],
            "prompt": "Redraw the first image as one panel of an ink-noir comic. " * 4,
            "status": "done",
            "selected_candidate": 2,
            "final_output": candidates[1]["final_output"],
            "output": candidates[1]["final_output"],
            "candidates": candidates,
            "planned_generation": {"candidates": 2},
        }

    return {
        "timestamp": "2026-05-04T21:06:40.902Z",
        "project": "bench",
        "mode": "run",
        "stage": "weather",
        "time": "night",
        "weather": "rain",
        "model": "gpt-image-1",
        "generation": {"candidates": 2, "max_candidates": 6},
        "output_guard": {"enabled": True, "max_chroma_delta": 8.0},
        "jobs": [job(number) for number in range(1, n_jobs + 1)],
    }


def ingest(n_jobs: int, name: str) -> Took:
    from pipeline.services.ingest import ingest_run_log  # noqa: PLC0415 - after the settings
    from projects.access import OPERATOR  # noqa: PLC0415

    path = Path(os.environ["KROMA_DATA_DIR"]) / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(log_of(n_jobs, name), indent=2))
    return timed(lambda: ingest_run_log(path, project_slug="bench", by=OPERATOR))


def rows_of(name: str, copy: str) -> list[list[Any]]:
    """The run of one import and all its rows once more in memory, with keys and paths of their own."""
    from pipeline.models import Asset, AssetLink, Candidate, QualityReport, Run, RunJob  # noqa: PLC0415

    run = Run.objects.get(run_log_path__endswith=f"/{name}.json")
    found: list[list[Any]] = [
        [run],
        list(RunJob.objects.filter(run=run)),
        list(Asset.objects.filter(run=run)),
        list(Candidate.objects.filter(run=run)),
        list(AssetLink.objects.filter(child__run=run)),
        list(QualityReport.objects.filter(run=run)),
    ]
    run.run_log_path = f"/{copy}.json"
    keys = {row.pk: uuid.uuid4() for rows in found for row in rows}
    for row in (row for rows in found for row in rows):
        for column in row._meta.concrete_fields:
            value = getattr(row, column.attname)
            if value.__hash__ and value in keys:
                setattr(row, column.attname, keys[value])
        if isinstance(row, Asset):
            row.rel_path = f"{copy}/{row.rel_path}"
    return found


def bare(copy: str, *, of: str = "warm") -> Took:
    from django.db import transaction  # noqa: PLC0415

    rows = rows_of(of, copy)

    def create() -> None:
        with transaction.atomic():
            for of_model in rows:
                type(of_model[0])._default_manager.bulk_create(of_model)

    return timed(create)


def main() -> None:
    ingest(JOBS, "warm")
    n_rows = sum(len(rows) for rows in rows_of("warm", "count"))
    # Turn by turn, so that what others do on the machine meets both.
    pairs = [(bare(f"bare-{n}"), ingest(JOBS, f"first-{n}")) for n in range(ROUNDS)]
    plain, first = median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs])
    sys.stdout.write(f"{n_rows} rows, medians of {ROUNDS}\n")
    line("bare bulk_create of them", plain)
    line(f"ingest of {JOBS} jobs x 2", first, f"{plain.cpu / first.cpu:.2f} of the speed of the bare one")
    again = median([ingest(JOBS, f"first-{n}") for n in range(ROUNDS)])
    line("the same logs again", again, f"{again.cpu / first.cpu:.2f} times the first")
    for n in range(EARLIER):
        ingest(5, f"small-{n}")
    late = median([ingest(JOBS, f"late-{n}") for n in range(ROUNDS)])
    line(f"{JOBS} jobs x 2, {EARLIER} runs later", late, f"{late.cpu / first.cpu:.2f} times the first")
    large = median([ingest(10 * JOBS, f"large-{n}") for n in range(2)])
    line(f"{10 * JOBS} jobs x 2", large, f"{large.cpu / late.cpu:.1f} times the one before")
    plain_large = bare("bare-large", of="large-0")
    line(
        "bare bulk_create of those",
        plain_large,
        f"{plain_large.cpu / plain.cpu:.1f} times the first bare one",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kroma-ingest-") as place:
        os.environ |= {"KROMA_DATA_DIR": place, "DJANGO_SETTINGS_MODULE": "kroma_site.settings"}
        os.environ.pop("KROMA_DATABASE_URL", None)
        django.setup()
        from kroma_site.prepare import prepare

        prepare()
        main()
