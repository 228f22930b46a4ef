"""Ready answers: bodies of plain values, made once and not looked at again on their way out.

What a route declares is held against its answers in the tests instead: validating some hundred rows anew for
each reader costs more than reading them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.http import HttpResponse
from pydantic_core import PydanticSerializationError, to_json

from pipeline.services.planning import display_path
from pipeline.store import store_for
from projects.models import Project


def sent(body: Mapping[str, object]) -> HttpResponse:
    """The response with this body. Keys of rows may be `UUID`s as they are."""
    return _response(rendered(body))


def sent_rows(key: str, rows: Sequence[bytes], **more: object) -> HttpResponse:
    """The response with rows that are rendered already under `key`, their count, and `more`."""
    head = rendered({"ok": True, "count": len(rows), **more})
    return _response(b'%s,"%s":[%s]}' % (head[:-1], key.encode(), b",".join(rows)))


def sent_parts(**parts: bytes) -> HttpResponse:
    """The response with parts that are rendered already."""
    joined = b",".join(b'"%s":%s' % (key.encode(), part) for key, part in parts.items())
    return _response(b'{"ok":true,%s}' % joined)


def rendered(value: object) -> bytes:
    """Plain values as JSON."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:  # a file name that is no UTF-8, in a record of such a file
        return json.dumps(value, default=str).encode()


def _response(body: bytes) -> HttpResponse:
    return HttpResponse(body, content_type="application/json; charset=utf-8")


def at(moment: datetime | None) -> str:
    """`moment()` for many rows: it relies on what the database hands out being in UTC."""
    if moment is None:
        return ""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()[:19]}Z"


def at_text(stored: str | None) -> str:
    """`at()` for a moment that was read as text: both databases write it in UTC."""
    return f"{stored[:10]}T{stored[11:19]}Z" if stored else ""


def timestamp_text(stored: str) -> str:
    """`timestamp()` of run logs, with milliseconds, for a moment that was read as text."""
    fraction = stored[19:].partition("+")[0] or "."
    return f"{stored[:10]}T{stored[11:19]}{fraction[:4]:0<4}Z"


def id_text(stored: str | None) -> str:
    """An id that was read as text, '' for none: SQLite has it without hyphens."""
    if not stored:
        return ""
    if len(stored) != 32:
        return stored
    return f"{stored[:8]}-{stored[8:12]}-{stored[12:16]}-{stored[16:20]}-{stored[20:]}"


@lru_cache(maxsize=1024)
def _shown_root(root: str, app_root: str) -> str:
    """How a project's folder is written; each look at the file system costs more than a row."""
    return display_path(Path(root))


@lru_cache(maxsize=8)
def _resolved(path: str) -> str:
    return Path(path).resolve().as_posix()


class Paths(NamedTuple):
    """How the files of one project are written for its readers: as in its run logs."""

    inside: str  # the project's folder with a / behind it
    app_root: str

    def shown(self, name: str | None) -> str:
        """The path of a file by the name of its row; '' for none."""
        if not name:
            return ""
        # Files that a log from elsewhere names by their whole path.
        return name.removeprefix(self.app_root) if name.startswith("/") else self.inside + name


def paths_of(project: Project) -> Paths:
    """How the files of this project are written."""
    inside = _shown_root(str(store_for(project).root), str(settings.APP_ROOT))
    return Paths(f"{inside}/", f"{_resolved(str(settings.APP_ROOT))}/")
