"""What the commands that look for mistakes in the settings share."""

from argparse import ArgumentParser, _ArgumentGroup
from pathlib import Path
from typing import Any

from django.conf import settings

from pipeline.services.configuration import Named, Places


def add_place_options(parser: ArgumentParser) -> None:
    """Where paths count from, and the files themselves."""
    parser.add_argument("--project-root", default="", metavar="PATH")
    parser.add_argument(
        "--app-root", default="", metavar="PATH", help="that of this installation if left out"
    )
    add_file_options(parser)


def add_file_options(parser: ArgumentParser | _ArgumentGroup) -> None:
    """The files that may be named for one request."""
    parser.add_argument("--app-settings", default="", metavar="FILE", help="from the app root")
    parser.add_argument("--project-settings", default="", metavar="FILE", help="from the project root")
    parser.add_argument("--manifest", default="", metavar="FILE", help="from the app root")
    parser.add_argument("--postprocess-config", default="", metavar="FILE", help="from the app root")


def named_by(options: dict[str, Any]) -> Named:
    """The files that those options name."""
    return Named(
        app_settings=options["app_settings"],
        project_settings=options["project_settings"],
        manifest=options["manifest"],
        postprocess_config=options["postprocess_config"],
        by_operator=True,
    )


def places_at(app_root: str, project_root: str) -> Places:
    """The places that those options name, without the database."""
    return Places.at(
        Path(app_root or settings.APP_ROOT).absolute(),
        Path(project_root).absolute() if project_root else None,
    )
