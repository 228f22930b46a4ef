from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management import CommandParser

from kroma_site.prepare import OperatorCommand
from kroma_site.universes import any_project_named
from projects.access import OPERATOR
from projects.services.storage import described, set_local_storage, set_s3_storage


class Command(OperatorCommand):
    help = "Show or change where a universe's files lie (local) and where they are copied to (s3)."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="what", required=True, metavar="ACTION")
        _action(actions.add_parser("show", help="the settings"))
        local = _action(actions.add_parser("local", help="name another folder; the files are not moved"))
        local.add_argument("--base-dir", metavar="PATH", help="the universe lies below it, by its slug")
        local.add_argument(
            "--project-root", metavar="PATH", help='the folder itself; "" goes back to the base'
        )
        s3 = _action(actions.add_parser("s3", help='change what is given; "" clears a value'))
        switch = s3.add_mutually_exclusive_group()
        switch.add_argument("--enable", dest="enabled", action="store_true", default=None)
        switch.add_argument("--disable", dest="enabled", action="store_false")
        for name in ("--bucket", "--prefix", "--region", "--profile", "--endpoint-url"):
            s3.add_argument(name, metavar="TEXT")

    def handle(self, *, what: str, slug: str, json: bool, **options: Any) -> None:
        project = any_project_named(slug)
        if what == "local":
            given = {name: options[name] for name in ("base_dir", "project_root")}
            set_local_storage(project, by=OPERATOR, **given)
        elif what == "s3":
            names = ("enabled", "bucket", "prefix", "region", "profile", "endpoint_url")
            set_s3_storage(project, by=OPERATOR, **{name: options[name] for name in names})
        storage = described(project)
        if json:
            self.print_json({"ok": True, "project_slug": project.slug, "storage": storage})
            return
        for part, values in storage.items():
            for name, value in values.items():
                self.stdout.write(f"{part}.{name}: {value}")


def _action(parser: ArgumentParser) -> ArgumentParser:
    for option in ("--traceback", "--no-color", "--force-color"):  # Django's, which may stand here too
        parser.add_argument(option, action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("slug", metavar="SLUG")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    return parser
