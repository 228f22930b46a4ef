"""What the commands on files of a universe share: their options, the bar, how they tell what was done."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path

from django.core.management import CommandError
from tqdm import tqdm

from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.universes import project_named
from pipeline.services.loose_files import Outcome
from projects.models import Project


class FilesCommand(OperatorCommand):
    """A command on files of a universe: a bar on standard error, the outcome on standard output."""

    def add_file_options(self, parser: ArgumentParser, *, output: str = "") -> None:
        """`--project`, `--input`, `--json`; and `--output`, by default the folder of that name."""
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "--input",
            default="",
            metavar="PATH",
            help="an image or a folder; outputs of the universe if left out",
        )
        if output:
            parser.add_argument(
                "--output", default="", metavar="PATH", help=f"in the universe's folder; {output} if left out"
            )
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def universe(self, slug: str) -> Project:
        """The universe of `--project`, in a database that is ready. Raises `CommandError`."""
        prepare()
        return project_named(slug)

    def watch(self, images: list[Path]) -> Iterable[Path]:
        """The images, with a bar where somebody looks."""
        tqdm.monitor_interval = 0
        bar: Iterable[Path] = tqdm(images, unit="image", file=sys.stderr, disable=not sys.stderr.isatty())
        return bar

    def tell(
        self,
        outcome: Outcome,
        record: dict[str, object],
        *,
        words: str,
        as_json: bool,
        shown: Callable[..., object],
    ) -> None:
        """Say what was done: one line, or the record with a result for each file, `shown` of its own record.

        Raises `CommandError` when a file failed.
        """
        if as_json:
            self.print_json(
                {
                    "ok": not outcome.failures,
                    "input": outcome.input,
                    "output": outcome.output,
                    **record,
                    "processed": len(outcome.results),
                    "results": [shown(result) for result in outcome.results],
                    "failures": outcome.failures,
                }
            )
        else:
            plural = "" if len(outcome.results) == 1 else "s"
            self.stdout.write(f"{len(outcome.results)} image{plural} {words}: {outcome.output}")
        for failure in outcome.failures:
            self.say(f"{failure['input']}: {failure['error']}")
        if outcome.failures:
            n_all = len(outcome.failures) + len(outcome.results)
            raise CommandError(f"{len(outcome.failures)} of {n_all} images failed")


def picked(*keys: str) -> Callable[[dict[str, object]], dict[str, object]]:
    """Keeps these keys of a record, and those that every result has."""

    def pick(result: dict[str, object]) -> dict[str, object]:
        return {key: result[key] for key in ("input", "output", *keys, "sha256") if key in result}

    return pick
