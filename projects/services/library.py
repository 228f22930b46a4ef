"""Writing the continuity library: style guides, characters, reference sets."""

from typing import TypeVar

from django.db import IntegrityError, models, transaction

from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import Character, Project, ReferenceItem, ReferenceSet, StyleGuide

Entry = TypeVar("Entry", StyleGuide, Character, ReferenceSet)

WORDS = {"styleguide": "style guide", "character": "character", "referenceset": "reference set"}


def save_entry(project: Project, entry: Entry, *, by: Principal) -> Entry:
    """Create or update one entry of the library. Raises `Invalid` for a blank or taken name."""
    model = entry._meta.model_name or ""
    word = WORDS[model]
    entry.project = project
    entry.name = entry.name.strip()
    if not entry.name:
        raise Invalid(f"A {word} needs a name")
    created = entry._state.adding
    try:
        with transaction.atomic():
            entry.save()
            event = "created" if created else "updated"
            audit.record(project, f"{word.replace(' ', '_')}.{event}", entry, by=by, name=entry.name)
    except IntegrityError as error:
        raise Invalid(f"A {word} named “{entry.name}” exists already: choose another name") from error
    return entry


def delete_entry(project: Project, entry: Entry, *, by: Principal) -> None:
    """Take one entry out of the library. Runs that used it keep what they recorded; files stay."""
    word = WORDS[entry._meta.model_name or ""]
    _delete(project, entry, f"{word.replace(' ', '_')}.deleted", by=by, name=entry.name)


def remove_item(item: ReferenceItem, *, by: Principal) -> None:
    """Take one image out of its set. Its file stays, as runs may have been made from it."""
    _delete(
        item.project, item, "reference_item.deleted", by=by, label=item.label, content_uri=item.content_uri
    )


def _delete(project: Project, row: models.Model, event: str, *, by: Principal, **payload: str) -> None:
    with transaction.atomic():
        pk = row.pk
        # First the row, then the trail: its one head is held until the transaction ends, and whoever else
        # writes the rows that hang on this one takes it last, too.
        row.delete()
        row.pk = pk
        audit.record(project, event, row, by=by, **payload)
