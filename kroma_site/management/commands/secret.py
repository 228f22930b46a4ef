import getpass
import os
import sys
from argparse import SUPPRESS, ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management import CommandError, CommandParser

from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.universes import any_project_named
from projects.access import OPERATOR
from projects.models import Project
from projects.services import secrets


class Command(OperatorCommand):
    help = "Store, list, delete or re-encrypt the secrets of a universe. No value is ever shown."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="what", required=True, metavar="ACTION")
        put = _action(actions.add_parser("set", help="store a value, read from standard input"))
        put.add_argument("--value-env", default="", metavar="NAME", help="read it from this variable")
        gone = _action(actions.add_parser("delete", help="forget one"))
        for parser_ in (put, gone):
            parser_.add_argument("--provider", required=True, metavar="CODE", help="as openai, or s3")
            parser_.add_argument("--name", default="api_key", metavar="NAME", help="(%(default)s)")
        _action(actions.add_parser("list", help="which there are"))
        _action(actions.add_parser("rotation-status", help="how they are stored"))
        rotate = _action(actions.add_parser("rotate", help="encrypt them anew with the current master key"))
        rotate.add_argument("--from-key-ref", default="", metavar="LABEL", help="only those of this key")
        rotate.add_argument("--force", action="store_true", help="also those of the current label")

    def handle(self, *, what: str, project: str, **options: Any) -> None:
        if what == "set":
            value = _value(options["value_env"])
            prepare()  # the others work on what is there, and without a key where they need none
            self._set(any_project_named(project), value, **options)
        elif what == "delete":
            universe, code, name = any_project_named(project), options["provider"], options["name"]
            secrets.delete_secret(universe, code, name, by=OPERATOR)
            self._answer(universe, {"deleted": True}, f"Deleted {code}/{name}", **options)
        else:
            {"list": self._list, "rotation-status": self._status, "rotate": self._rotate}[what](
                any_project_named(project), **options
            )

    def _set(self, project: Project, value: str, *, provider: str, name: str, **options: Any) -> None:
        secrets.set_secret(project, provider, name, value=value, by=OPERATOR)
        self._answer(project, {"stored": True}, f"Stored {provider}/{name} of {project.slug}", **options)

    def _list(self, project: Project, **options: Any) -> None:
        found = secrets.list_secrets(project)
        rows = [asdict(info) | {"updated_at": info.updated_at.isoformat()} for info in found]
        told = "\n".join(
            f"{info.provider_code}/{info.secret_name}  {'stored' if info.has_value else 'no value'}"
            for info in found
        )
        self._answer(project, {"secrets": rows}, told or f"{project.slug} has no secrets", **options)

    def _status(self, project: Project, **options: Any) -> None:
        status = asdict(secrets.rotation_status(project))
        status["key_refs"] = [{"key_ref": ref, "count": n} for ref, n in status["key_refs"].items()]
        self._answer(project, {"status": status}, "", **options | {"json": True})

    def _rotate(self, project: Project, *, from_key_ref: str, force: bool, **options: Any) -> None:
        rotation, _ = secrets.rotate_secrets(project, by=OPERATOR, from_key_ref=from_key_ref, force=force)
        self._answer(project, {"rotation": asdict(rotation)}, "", **options | {"json": True})

    def _answer(
        self, project: Project, document: dict[str, object], line: str, *, json: bool, **options: Any
    ) -> None:
        if json:
            self.print_json({"ok": True, "project_slug": project.slug, **document})
        else:
            self.stdout.write(line)


def _action(parser: ArgumentParser) -> ArgumentParser:
    for option in ("--traceback", "--no-color", "--force-color"):  # Django's, which may stand here too
        parser.add_argument(option, action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("--project", required=True, metavar="SLUG")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    return parser


def _value(variable: str) -> str:
    """The value, never from the arguments: those can be read by everybody on the machine."""
    if variable:
        if not os.environ.get(variable, "").strip():
            raise CommandError(f"The variable {variable} is not set")
        return os.environ[variable]
    return getpass.getpass("Value: ") if sys.stdin.isatty() else sys.stdin.read()
