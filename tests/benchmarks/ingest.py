"""How fast run logs become rows, against a bare `bulk_create` of the same rows in the same database.

Run with `python -m tests.benchmarks.ingest`; it prints medians and ratios and asserts nothing.
"""

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

JOBS, ROUNDS, EARLIER = 1_000, 5, 1_000


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


def median_seconds(work: Callable[[int], float], rounds: int = ROUNDS) -> float:
    return statistics.median(work(number) for number in range(rounds))


def main() -> None:
    from django.db import transaction  # noqa: PLC0415 - after the settings
    from django.db.models import Model  # noqa: PLC0415

    from pipeline.models import Asset, AssetLink, Candidate, QualityReport, Run, RunJob  # noqa: PLC0415
    from pipeline.services.ingest import ingest_run_log  # noqa: PLC0415
    from projects.access import OPERATOR  # noqa: PLC0415

    folder = Path(os.environ["KROMA_DATA_DIR"])

    def ingest(n_jobs: int, name: str) -> float:
        path = folder / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(log_of(n_jobs, name), indent=2))
        start = time.perf_counter()
        ingest_run_log(path, project_slug="bench", by=OPERATOR)
        return time.perf_counter() - start

    models: Iterable[type[Model]] = (RunJob, Asset, Candidate, AssetLink, QualityReport)

    def bare(number: int) -> float:
        """The rows of one import once more, as they are in memory, with keys and paths of their own."""
        run = Run.objects.get(run_log_path__endswith="/warm.json")
        new: dict[uuid.UUID, uuid.UUID] = {}
        rows: dict[type[Model], list[Any]] = {
            RunJob: list(RunJob.objects.filter(run=run)),
            Asset: list(Asset.objects.filter(run=run)),
            Candidate: list(Candidate.objects.filter(run=run)),
            AssetLink: list(AssetLink.objects.filter(child__run=run)),
            QualityReport: list(QualityReport.objects.filter(run=run)),
        }
        copy = Run.objects.get(pk=run.pk)
        copy.pk, copy.run_log_path = uuid.uuid4(), f"/copy-{number}.json"
        for found in rows.values():
            for row in found:
                new[row.pk] = uuid.uuid4()
                row.pk = new[row.pk]
        for found in rows.values():
            for row in found:
                for column in row._meta.concrete_fields:
                    value = getattr(row, column.attname)
                    if column.is_relation and value in new:
                        setattr(row, column.attname, new[value])
                if hasattr(row, "run_id"):
                    row.run_id = copy.pk
                if isinstance(row, Asset):
                    row.rel_path = f"copy-{number}/{row.rel_path}"
        start = time.perf_counter()
        with transaction.atomic():
            copy.save(force_insert=True)
            for model in models:
                model._default_manager.bulk_create(rows[model])
        return time.perf_counter() - start

    ingest(JOBS, "warm")
    n_rows = sum(model._default_manager.count() for model in models)
    plain = median_seconds(bare)
    first = median_seconds(lambda number: ingest(JOBS, f"first-{number}"))
    again = median_seconds(lambda number: ingest(JOBS, f"first-{number}"))
    large = median_seconds(lambda number: ingest(10 * JOBS, f"large-{number}"), rounds=3)
    for number in range(EARLIER):
        ingest(5, f"small-{number}")
    small = median_seconds(lambda number: ingest(5, f"tiny-{number}"))
    late = median_seconds(lambda number: ingest(JOBS, f"late-{number}"))
    plain_late = median_seconds(lambda number: bare(100 + number))
    write = sys.stdout.write
    write(f"{n_rows} rows, medians of {ROUNDS}\n")
    write(f"bare bulk_create of them           {plain * 1000:8.0f} ms\n")
    write(f"ingest of {JOBS} jobs x 2            {first * 1000:8.0f} ms  {plain / first:5.2f} of its speed\n")
    write(f"the same logs again                {again * 1000:8.0f} ms  {first / again:5.2f} of the first\n")
    write(f"ingest of {10 * JOBS} jobs x 2           {large * 1000:8.0f} ms  {large / first:5.2f} times\n")
    write(f"with {EARLIER} runs more: bare           {plain_late * 1000:8.0f} ms\n")
    write(
        f"with {EARLIER} runs more: {JOBS} jobs x 2  {late * 1000:8.0f} ms  {late / first:5.2f} times the first\n"
    )
    write(f"with {EARLIER} runs more: 5 jobs x 2     {small * 1000:8.0f} ms\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kroma-ingest-") as place:
        os.environ |= {"KROMA_DATA_DIR": place, "DJANGO_SETTINGS_MODULE": "kroma_site.settings"}
        os.environ.pop("KROMA_DATABASE_URL", None)
        import django

        django.setup()
        from kroma_site.prepare import prepare

        prepare()
        main()
