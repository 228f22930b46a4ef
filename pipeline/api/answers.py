"""Ready answers: bodies of plain values, made once and not looked at again on their way out.

What a route declares is held against its answers in the tests instead: validating some hundred rows anew for
each reader costs more than reading them.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from pydantic_core import PydanticSerializationError, to_json

from pipeline.services.planning import display_path
from pipeline.store import store_for
from projects.models import Project


def sent(body: Mapping[str, object]) -> HttpResponse:
    """The response with this body. Keys of rows may be `UUID`s as they are."""
    try:
        data = to_json(body, inf_nan_mode="null")
    except PydanticSerializationError:  # a file name that is no UTF-8, in a record of such a file
        data = json.dumps(body, default=str).encode()
    return HttpResponse(data, content_type="application/json; charset=utf-8")


def at(moment: datetime | None) -> str:
    """`moment()` for many rows: it relies on what the database hands out being in UTC."""
    if moment is None:
        return ""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()[:19]}Z"


class Paths:
    """How the files of one project are written for its readers: as in its run logs."""

    def __init__(self, project: Project) -> None:
        store = store_for(project)
        self._inside = f"{display_path(store.root)}/"
        self._app_root = f"{Path(settings.APP_ROOT).resolve().as_posix()}/"

    def shown(self, name: str | None) -> str:
        """The path of a file by the name of its row; '' for none."""
        if not name:
            return ""
        # Files that a log from elsewhere names by their whole path.
        return name.removeprefix(self._app_root) if name.startswith("/") else self._inside + name
