"""What the exchange costs with 2,000 entries, against a bare `bulk_create` and a plain page.

Run with `python -m tests.benchmarks.exchange`; it prints medians, statements and ratios and asserts nothing.
The universe holds as much as the payload that is imported into it: 200 sets of 10 items each among them.
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import django

ROUNDS = 5
LARGE, SMALL, SHOWN = 2_000, 200, 500  # entries


@dataclass(frozen=True)
class Cost:
    """Milliseconds (a median) and statements."""

    ms: float
    statements: int


def payload(n_entries: int, word: str) -> dict[str, Any]:
    """Settings of so many entries, a tenth of them sets with ten items each; `word` stands in each text."""
    kinds = n_entries // 10
    return {
        "style_guides": [{"name": f"Guide {n}", "instructions": f"{word} lines"} for n in range(3 * kinds)],
        "characters": [{"name": f"Name {n}", "prompt_text": f"{word} {n}"} for n in range(3 * kinds)],
        "prompt_templates": [{"name": f"Form {n}", "template_text": f"{word} {n}"} for n in range(3 * kinds)],
        "reference_sets": [
            {
                "name": f"Set {n}",
                "items": [{"label": f"Item {m}", "content_text": f"{word} {m}"} for m in range(10)],
            }
            for n in range(kinds)
        ],
    }


def measured(work: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> Cost:
    from django.db import connection  # noqa: PLC0415 - after the settings
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    took, n_statements = [], 0
    for _ in range(ROUNDS):
        before()
        start = time.perf_counter()
        work()
        took.append((time.perf_counter() - start) * 1000)
    before()
    with CaptureQueriesContext(connection) as queries:
        work()
    n_statements = len(queries)
    return Cost(statistics.median(took), n_statements)


def line(title: str, cost: Cost, says: str = "") -> None:
    sys.stdout.write(f"{title:<52}{cost.ms:>9.0f} ms{cost.statements:>6} statements  {says}\n")


def exchange(n_entries: int) -> dict[str, Cost]:
    """Preview, merge, replace and restore of a universe with so many entries."""
    from bootstrap import services  # noqa: PLC0415
    from bootstrap.document import ImportedSettings, judged  # noqa: PLC0415
    from bootstrap.models import SettingsSnapshot  # noqa: PLC0415
    from projects.access import OPERATOR, Role  # noqa: PLC0415
    from projects.services.people import first_owner  # noqa: PLC0415
    from projects.services.projects import create_project  # noqa: PLC0415

    project = create_project(name=f"Bench {n_entries}", owner=first_owner(), by=OPERATOR)
    merges = [
        judged(ImportedSettings.model_validate(payload(n_entries, word)), "merge") for word in ("a", "b")
    ]
    replaces = [
        judged(ImportedSettings.model_validate(payload(n_entries, word)), "replace") for word in ("c", "d")
    ]
    turn = iter(range(10_000))

    def apply(documents: list[Any]) -> None:
        services.apply(project, documents[next(turn) % 2], by=OPERATOR, role=Role.OWNER)

    def restore() -> None:
        snapshot = SettingsSnapshot.objects.filter(project=project).first()
        services.restore(project, snapshot, by=OPERATOR, role=Role.OWNER)

    apply(merges)
    return {
        "preview": measured(lambda: services.preview(project, replaces[0], role=Role.OWNER)),
        "merge": measured(lambda: apply(merges)),
        "replace": measured(lambda: apply(replaces)),
        "restore": measured(restore),
    }


def bare() -> Cost:
    """The same rows, without anything else."""
    from django.db import transaction  # noqa: PLC0415

    from projects.models import (  # noqa: PLC0415
        Character,
        Project,
        PromptTemplate,
        ReferenceItem,
        ReferenceSet,
        StyleGuide,
    )  # fmt: skip

    project = Project.objects.get(name=f"Bench {LARGE}")
    models = (ReferenceItem, ReferenceSet, StyleGuide, Character, PromptTemplate)

    def empty() -> None:
        for model in models:
            model.objects.filter(project=project).delete()

    def create() -> None:
        with transaction.atomic():
            for key, model in (
                ("style_guides", StyleGuide),
                ("characters", Character),
                ("prompt_templates", PromptTemplate),
            ):
                model.objects.bulk_create([model(project=project, **row) for row in wanted[key]], 500)
            sets = [ReferenceSet(project=project, name=row["name"]) for row in wanted["reference_sets"]]
            ReferenceSet.objects.bulk_create(sets, 500)
            rows = [
                ReferenceItem(project=project, reference_set=one, **item)
                for one, row in zip(sets, wanted["reference_sets"], strict=True)
                for item in row["items"]
            ]
            ReferenceItem.objects.bulk_create(rows, 500)

    wanted = payload(LARGE, "bare")
    cost = measured(create, before=empty)
    empty()
    return cost


def pages() -> dict[str, Cost]:
    """The preview of 500 changes as a page, and the library's page with as many entries."""
    from django.test import Client  # noqa: PLC0415

    from bootstrap import services  # noqa: PLC0415
    from bootstrap.document import ImportedSettings, judged  # noqa: PLC0415
    from projects.access import OPERATOR, Role  # noqa: PLC0415
    from projects.services.people import first_owner  # noqa: PLC0415
    from projects.services.projects import create_project  # noqa: PLC0415

    owner = first_owner()
    project = create_project(name="Pages", owner=owner, by=OPERATOR)
    document = judged(ImportedSettings.model_validate(payload(SHOWN, "old words")), "merge")
    services.apply(project, document, by=OPERATOR, role=Role.OWNER)
    client = Client(headers={"host": "127.0.0.1:8788"})
    client.force_login(owner)
    sent = {"text": json.dumps({"settings": payload(SHOWN, "other words")}), "mode": "replace"}

    def asked(method: str, path: str, *more: Any, **options: Any) -> Callable[[], None]:
        def ask() -> None:
            response = getattr(client, method)(path, *more, **options)
            if response.status_code != 200:
                raise SystemExit(f"{path}: {response.status_code}")

        return ask

    look = f"/projects/{project.slug}/bootstrap/look"
    as_typed = {"headers": {"HX-Request": "true", "HX-Target": "review"}}
    return {
        "library": measured(asked("get", f"/projects/{project.slug}/library")),
        "look": measured(asked("post", look, sent, **as_typed)),
        "whole page": measured(asked("post", look, sent)),
    }


def hostile() -> None:
    """The slowest texts of the largest size: seconds each, and the most memory of the process."""
    from bootstrap.parse import LONGEST, answer_of  # noqa: PLC0415
    from projects.errors import Invalid  # noqa: PLC0415

    texts = {
        "nested": "[" * LONGEST,
        "objects": '{"a":' * (LONGEST // 5),
        "braces": "{" * LONGEST,
        "quotes": '"' * LONGEST,
        "fences": "```json\n{\n" * (LONGEST // 10),
        "entries": '{"characters":[' + '{"name":"a"},' * 150_000 + "]}",
    }
    for name, text in texts.items():
        start = time.perf_counter()
        try:
            answer_of(text)
            told = "read"
        except Invalid:
            told = "refused"
        sys.stdout.write(f"2 MiB of {name:<43}{(time.perf_counter() - start) * 1000:>9.0f} ms  {told}\n")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"most memory of this process: {most:.0f} MiB\n")


def main() -> None:
    small, large = exchange(SMALL), exchange(LARGE)
    for name, cost in large.items():
        each = (cost.ms / LARGE) / (small[name].ms / SMALL)
        line(
            f"{name} of {LARGE} entries",
            cost,
            f"for an entry {each:.1f} times as with {SMALL} ({small[name].statements} statements)",
        )
    plain = bare()
    line(
        "bare bulk_create of the same rows", plain, f"merge is {large['merge'].ms / plain.ms:.1f} times that"
    )
    shown = pages()
    line(f"library page with {SHOWN} entries", shown["library"])
    for title, name in ((f"look at {SHOWN} changes", "look"), ("the same without JavaScript", "whole page")):
        ratio = shown[name].ms / shown["library"].ms
        line(title, shown[name], f"{ratio:.1f} times the library page (bound 3)")
    hostile()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kroma-exchange-") as place:
        os.environ |= {"KROMA_DATA_DIR": place, "DJANGO_SETTINGS_MODULE": "kroma_site.settings"}
        os.environ.pop("KROMA_DATABASE_URL", None)
        django.setup()
        from kroma_site.prepare import prepare

        prepare()
        main()
