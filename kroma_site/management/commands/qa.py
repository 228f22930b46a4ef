from argparse import ArgumentParser, BooleanOptionalAction
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings as site
from django.core.management import CommandError

from kroma_site.files import FilesCommand
from pipeline.engine.signals import SIGNS, TEXT
from pipeline.services.configuration import load
from pipeline.services.loose_files import guard_files
from pipeline.tools.lettering import Reader
from projects.errors import Invalid


class Command(FilesCommand):
    help = "Let the output guard look at an image or a folder; the exit code is 1 if it would reject one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_file_options(parser)
        parser.add_argument("--guard", choices=["on", "off"], help="as the manifest says if left out")
        parser.add_argument("--max-chroma-delta", type=float, metavar="LEVELS")
        parser.add_argument("--enforce-grayscale", action=BooleanOptionalAction)
        parser.add_argument("--fail-on-chroma-exceed", action=BooleanOptionalAction)
        parser.add_argument("--ignore-transparent", action=BooleanOptionalAction)
        parser.add_argument("--signals", nargs="*", choices=SIGNS, help="further signs; no name: all of them")

    def handle(self, *, project: str, guard: str | None, **options: Any) -> None:
        universe = self.universe(project)
        configuration = load(universe)
        configuration.refuse_errors()
        settings = configuration.manifest.guard
        keys = ("max_chroma_delta", "enforce_grayscale", "fail_on_chroma_exceed")
        settings = replace(settings, **{key: options[key] for key in keys if options[key] is not None})
        if options["signals"] is not None:
            settings = replace(settings, signals=tuple(options["signals"]) or _all_signs(self))
        if options["ignore_transparent"] is not None:
            settings = replace(settings, ignore_transparent=options["ignore_transparent"])
        if not 0 <= settings.max_chroma_delta <= 255:
            raise Invalid("--max-chroma-delta must be a number from 0 to 255")
        if not (settings.enabled if guard is None else guard == "on"):
            if options["json"]:
                self.print_json({"ok": True, "guard": "off"})
            else:
                self.stdout.write("The guard is off: nothing was looked at")
            return
        report = guard_files(universe, source=options["input"], settings=settings, watch=self.watch)
        if options["json"]:
            self.print_json({"ok": not report.hard_failures, **report.as_dict()})
        else:
            self.stdout.write(
                f"{report.total_files} files, {report.hard_failures} hard failures, "
                f"{report.soft_warnings} soft warnings: {report.input}"
            )
        for file in report.files:
            if said := [*file.hard_fail_reasons, *file.soft_warnings]:
                self.say(f"{file.file}: {', '.join(said)} (chroma delta {file.chroma_delta})")
        if report.hard_failures:
            raise CommandError(f"{report.hard_failures} of {len(report.files)} fail the guard")


def _all_signs(command: FilesCommand) -> tuple[str, ...]:
    """All that can be looked for here; what can't be is told."""
    lack = Reader(Path(site.MODELS_DIR)).missing()
    if not lack:
        return SIGNS
    command.say(f"Lettering is not looked for: {lack}")
    return tuple(sign for sign in SIGNS if sign != TEXT)
