import sys  # noqa: N999 - the command is called so
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from tqdm import tqdm

from kroma_site.prepare import OperatorCommand
from kroma_site.universes import any_project_named
from pipeline.services.s3 import SyncResult, sync_project
from projects.access import OPERATOR


class Command(OperatorCommand):
    help = "Send what is new or changed in a universe's folders to its S3 bucket; safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--delete", action="store_true", help="also delete objects of this universe whose files are gone"
        )
        parser.add_argument(
            "--allow-missing-local", action="store_true", help="a universe without a folder is no fault"
        )
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, slug: str, json: bool, **options: Any) -> None:
        project = any_project_named(slug)
        tqdm.monitor_interval = 0  # no thread of its own
        hidden = not sys.stderr.isatty()
        with tqdm(unit="B", unit_scale=True, file=sys.stderr, disable=hidden) as bar:

            def watch(through: int, total: int) -> None:
                bar.total = total
                bar.update(through - bar.n)

            result = sync_project(
                project,
                by=OPERATOR,
                dry_run=options["dry_run"],
                delete=options["delete"],
                allow_missing_local=options["allow_missing_local"],
                watch=watch,
            )
        if json:
            self.print_json(result.as_dict())
        else:
            self._tell(result)
        for fault in result.failed:
            self.say(fault)
        if not result.ok:
            raise CommandError(f"Not all files of {slug} are in {result.destination}: sync again")

    def _tell(self, result: SyncResult) -> None:
        if result.missing_root:
            self.stdout.write(f"{result.project_root} does not exist: there is nothing to send")
            return
        if result.dry_run:
            for name in result.uploaded:
                self.stdout.write(f"would send {name}")
            for name in result.to_delete:
                self.stdout.write(f"would delete {name}")
        would = "would be " if result.dry_run else ""
        self.stdout.write(
            f"{result.destination}: {len(result.uploaded)} {would}sent ({result.n_bytes} bytes), "
            f"{result.skipped} unchanged, {result.n_deleted} {would}deleted"
        )
