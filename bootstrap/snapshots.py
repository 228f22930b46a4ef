"""Snapshots: the settings of a universe as one JSON value, and the way back from it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from bootstrap.diff import State
from bootstrap.entries import SECTIONS, Document, Entry, ProjectPatch, received, sent
from bootstrap.models import SettingsSnapshot
from bootstrap.rows import Loaded, Origin, Row, origin_key
from projects.access import Principal
from projects.models import Project


def take(
    project: Project, loaded: Loaded, *, reason: str, changes: Mapping[str, object], by: Principal
) -> SettingsSnapshot:
    """Keep the settings as they are, in the transaction of the change that is about to be made."""
    return SettingsSnapshot.objects.create(
        project=project,
        reason=reason,
        user=by.user,
        actor=by.name,
        content=content_of(loaded),
        fingerprint=loaded.state.fingerprint,
        n_entries=sum(len(entries) for entries in loaded.state.sections.values()),
        changes=dict(changes),
    )


def content_of(loaded: Loaded) -> dict[str, Any]:
    """The settings with the ids and moments of their rows; credentials are marked, secrets only named."""
    state = loaded.state
    return {
        "project": {"name": state.name, "description": state.description},
        **{
            section: [_kept(entry, row, loaded) for entry, row in loaded.pairs(section)]
            for section in SECTIONS
        },
    }


def state_of(content: Mapping[str, Any]) -> State:
    """The settings in a snapshot, to be compared."""
    sections = {section: _entries(content, section) for section in SECTIONS}
    return State(content["project"]["name"], content["project"]["description"], sections)


def document_of(state: State) -> Document:
    """What leads to a state: all its sections in place of the present ones. No credential is in it."""
    patch = ProjectPatch(state.name, state.description)
    sections = {section: tuple(entries) for section, entries in state.marked().sections.items()}
    return Document("replace", patch, sections)


def origins_of(content: Mapping[str, Any]) -> dict[tuple[str, str], Origin]:
    """Which rows the entries of a snapshot were; secrets are never written anew and have none."""
    found = {}
    for section in SECTIONS:
        if section != "secrets":
            for fields in content[section]:
                found[origin_key(section, received(section, fields))] = _origin(fields)
    return found


def _entries(content: Mapping[str, Any], section: str) -> list[Entry]:
    return [received(section, fields) for fields in content[section]]


def _kept(entry: Entry, row: Row, loaded: Loaded) -> dict[str, Any]:
    fields = sent(entry) | _identity(row)
    if "items" in fields:
        items = loaded.items.get(row.pk, ())
        fields["items"] = [
            item | _identity(item_row) for item, item_row in zip(fields["items"], items, strict=True)
        ]
    return fields


def _identity(row: Any) -> dict[str, str]:
    return {"id": str(row.id), "created_at": row.created_at.isoformat()}


def _origin(fields: Mapping[str, Any]) -> Origin:
    items = tuple(_origin(item) for item in fields.get("items", ()))
    return Origin(UUID(fields["id"]), datetime.fromisoformat(fields["created_at"]), items)
