from typing import Any  # noqa: N999 - the command is called so

from django.core.management.base import CommandParser

from kroma_site.prepare import OperatorCommand
from kroma_site.validation import add_place_options, named_by, places_at
from pipeline.services.configuration import validate


class Command(OperatorCommand):
    help = "Look for what is wrong in the pipeline's settings, without the database."

    def add_arguments(self, parser: CommandParser) -> None:
        add_place_options(parser)

    def handle(self, *, app_root: str, project_root: str, **options: Any) -> None:
        report = validate(places_at(app_root, project_root), named=named_by(options))
        report.refuse()
        self.print_json(report.summary())
