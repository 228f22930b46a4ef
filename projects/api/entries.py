"""What the routes of named entries share: which one is meant, and what a partial update gives."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from ninja import Schema
from pydantic import Field

from projects.api.base import ApiRequest, moment, project_of, row_of
from projects.errors import Invalid
from projects.models import Project
from projects.services.library import FIELDS, Entry, bounded, judged, missing

ORDER = ("-updated_at", "-id")


class EntryShown(Schema):
    """What every entry of the library has."""

    id: str
    project_id: str
    name: str = Field(description="Unique among the project's entries of this kind; capital letters count.")
    created_at: str = Field(examples=["2026-03-01T09:30:00Z"])
    updated_at: str = Field(examples=["2026-03-01T09:30:00Z"])


def shown(entry: Entry) -> dict[str, object]:
    """One entry as the contract has it."""
    return {
        "id": str(entry.pk),
        "project_id": str(entry.project_id),
        **{field: getattr(entry, field) for field in FIELDS[type(entry)]},
        "created_at": moment(entry.created_at),
        "updated_at": moment(entry.updated_at),
    }


def entry_of(request: ApiRequest, model: type[Entry], text: str) -> Entry:
    """The entry of the addressed project with this id. Raises `NotFound` in the words of its kind."""
    project = project_of(request, missing=missing(model))
    return row_of(rows_of(project, model), text, missing=missing(model))


def rows_of(project: Project, model: type[Entry]) -> QuerySet[Entry]:
    """The entries of one kind that a project has."""
    return model._default_manager.filter(project=project)


def complete(payload: Schema, model: type[Entry]) -> dict[str, str]:
    """The fields of a new entry, judged. Raises `Invalid`."""
    return {field: judged(field, getattr(payload, field)) for field in FIELDS[model]}


def given(payload: Schema, model: type[Entry]) -> dict[str, str]:
    """The fields that an update names, trimmed. Raises `Invalid` if there is none, or one is too long.

    Whether a required one is blank is judged when it is written: after the entry was found.
    """
    fields = some_of({field: getattr(payload, field) for field in FIELDS[model]})
    return {field: bounded(field, value) for field, value in fields.items()}


def some_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are given; null counts as absent. Raises `Invalid` if none is."""
    fields = {field: value for field, value in values.items() if value is not None}
    if not fields:
        raise Invalid(f"Provide at least one of: {', '.join(values)}")
    return fields
