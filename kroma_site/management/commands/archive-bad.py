# ruff: noqa: N999 - commands are named as people type them
from argparse import ArgumentParser
from typing import Any

from kroma_site.files import FilesCommand
from pipeline.services.loose_files import archive_bad_files
from projects.access import OPERATOR


class Command(FilesCommand):
    help = "Move an image, or every image of a folder, of a universe to its archive/bad."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--input", required=True, metavar="PATH")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, project: str, **options: Any) -> None:
        moved = archive_bad_files(
            self.universe(project), source=options["input"], watch=self.watch, by=OPERATOR
        )
        if options["json"]:
            moves = [{"from": source, "to": target} for source, target in moved]
            self.print_json({"ok": True, "moved": moves})
            return
        for source, target in moved:
            self.stdout.write(f"{source} -> {target}")
