"""A universe's settings as a file: complete but for secrets and credentials, read like any answer."""

import json

from django.utils import timezone

from bootstrap.diff import State
from bootstrap.document import SCHEMA_VERSION
from bootstrap.entries import SECTIONS, Document, sent
from bootstrap.parse import answer_of
from projects.api.base import moment
from projects.errors import Invalid
from projects.models import Project

LONGEST_FILE = 64 * 1024 * 1024  # bytes; what this program wrote itself may be longer than an answer
CONFIDENTIAL = "Holds the unpublished settings of a universe, but no secret value: pass it on with care."


def file_of(state: State) -> str:
    """The settings as JSON text; importing it into the same universe changes nothing."""
    settings = {
        "project": {"name": state.name, "description": state.description},
        **{section: [sent(entry) for entry in state.sections[section]] for section in SECTIONS},
    }
    document = {
        "schema_version": SCHEMA_VERSION,
        "confidential": CONFIDENTIAL,
        "generated_at": moment(timezone.now()),
        "settings": settings,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def file_name(project: Project) -> str:
    """What such a file is called."""
    return f"{project.slug}.universe.json"


def document_in(data: bytes, mode: str | None = None) -> Document:
    """The settings in a file, or in an answer that was saved as one. Raises `Invalid`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"The file is no text in UTF-8: byte {error.start + 1} can't be read") from None
    return answer_of(text, mode, longest=LONGEST_FILE).document
