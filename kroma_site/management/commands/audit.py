from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from kroma_site.prepare import OperatorCommand
from projects import audit


class Command(OperatorCommand):
    help = "Prove that nothing in the audit trail was altered, removed or inserted."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="what", required=True, metavar="ACTION")
        verify = _action(actions.add_parser("verify", help="check the chain, event by event"))
        verify.add_argument(
            "--anchor",
            default="",
            metavar="FILE",
            help="a head that was exported earlier",
        )
        anchor = _action(actions.add_parser("anchor", help="export the head, to be kept elsewhere"))
        anchor.add_argument("file", nargs="?", default="", metavar="FILE", help="(standard output)")

    def handle(self, *, what: str, **options: Any) -> None:
        if what == "anchor":
            self._anchor(options["file"])
        else:
            self._verify(options["anchor"])

    def _anchor(self, name: str) -> None:
        head = audit.head()
        if not name:
            self.stdout.write(head.text())
            return
        try:
            Path(name).write_text(head.text() + "\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{name} can't be written ({error.strerror})") from error
        self.say(f"The head at event {head.sequence} is in {name}: keep it where Kroma can't write")

    def _verify(self, name: str) -> None:
        anchor = _read(name) if name else None
        faults = list(audit.faults())
        if anchor is not None:
            faults += audit.anchor_faults(anchor)
        for fault in faults:
            self.stdout.write(fault)
        if faults:
            raise CommandError(f"The audit trail does not hold: {len(faults)} faults")
        self.stdout.write(f"The audit trail holds: {audit.head().sequence} events.")
        if anchor is not None:
            self.stdout.write(f"It goes on from the anchor at event {anchor.sequence}.")
        else:
            self.stdout.write(
                "Without an anchor (a head kept elsewhere) a rollback of the whole database can't be seen: "
                "`audit anchor FILE` makes one."
            )


def _read(name: str) -> audit.Head:
    try:
        return audit.Head.of(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{name} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise CommandError(f"{name} is no anchor of an audit trail: use what `audit anchor` wrote") from error


def _action(parser: ArgumentParser) -> ArgumentParser:
    for option in ("--traceback", "--no-color", "--force-color"):  # Django's, which may stand here too
        parser.add_argument(option, action="store_true", default=SUPPRESS, help=SUPPRESS)
    return parser
