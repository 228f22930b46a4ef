"""Writing the continuity library: prompt templates, style guides, characters, reference sets and their items.

Pages and the API write by the same rules; a page words a taken name in its own way.
"""

from typing import TypeVar

from django.db import IntegrityError, models, transaction

from projects import audit
from projects.access import Principal
from projects.errors import Invalid, NotFound
from projects.models import Character, Project, PromptTemplate, ReferenceItem, ReferenceSet, StyleGuide
from projects.texts import LONGEST_NAME, LONGEST_TEXT, optional_text, required_text

Entry = TypeVar("Entry", PromptTemplate, StyleGuide, Character, ReferenceSet)

WORDS: dict[type[models.Model], str] = {
    PromptTemplate: "prompt template",
    StyleGuide: "style guide",
    Character: "character",
    ReferenceSet: "reference set",
    ReferenceItem: "reference set item",
}
FIELDS: dict[type[models.Model], tuple[str, ...]] = {
    PromptTemplate: ("name", "template_text"),
    StyleGuide: ("name", "instructions", "notes"),
    Character: ("name", "description", "prompt_text"),
    ReferenceSet: ("name", "description"),
    ReferenceItem: ("label", "content_uri", "content_text", "sort_order", "metadata"),
}
REQUIRED = {"name", "label", "template_text", "instructions"}
PLACES = (-(2**31), 2**31 - 1)  # of `sort_order`, as the column
LONGEST = {"name": LONGEST_NAME, "label": 300, "content_uri": 1000}  # as the columns
CONTENT_MISSING = "Provide at least one of: content_uri, content_text"


class NameTaken(Invalid):
    """Another entry of the same kind in the project has this name."""


def missing(model: type[models.Model]) -> str:
    """What is said of an entry or item that is not there."""
    return f"{WORDS[model].capitalize()} not found"


def bounded(field: str, value: str | None) -> str:
    """The trimmed text of a field, '' for none. Raises `Invalid` if it is too long."""
    return optional_text(field, value, longest=LONGEST.get(field, LONGEST_TEXT))


def judged(field: str, value: str | None) -> str:
    """The text of a field as it is stored. Raises `Invalid` if it is too long, or required and blank."""
    if field not in REQUIRED:
        return bounded(field, value)
    return required_text(field, value, longest=LONGEST.get(field, LONGEST_TEXT))


def create_entry(project: Project, model: type[Entry], *, by: Principal, **fields: str) -> Entry:
    """Add one entry to the library. Raises `Invalid` for a blank required field, `NameTaken`."""
    entry = model(project=project, **{field: judged(field, value) for field, value in fields.items()})
    judged("name", entry.name)
    with transaction.atomic():
        _save_named(entry)
        _record("created", entry, by=by, name=entry.name)
    return entry


def update_entry(entry: Entry, *, by: Principal, **fields: str) -> Entry:
    """Write these fields of an entry and no others; its `updated_at` moves.

    Raises `Invalid` for a blank required field, `NameTaken`, and `NotFound` if it was deleted meanwhile.
    """
    fields = {field: judged(field, value) for field, value in fields.items()}
    with transaction.atomic():
        stored = _locked(entry)
        before, changed = stored.name, _set(stored, fields)
        _save_named(stored, update_fields=[*fields, "updated_at"])
        renamed = {"before": before} if stored.name != before else {}
        _record("updated", stored, by=by, name=stored.name, changed=changed, **renamed)
    return stored


def save_entry(project: Project, entry: Entry, *, by: Principal) -> Entry:
    """Create an entry, or write all fields of a known one, as a form has them; the errors are theirs."""
    fields = {field: getattr(entry, field) for field in FIELDS[type(entry)]}
    if entry._state.adding:
        return create_entry(project, type(entry), by=by, **fields)
    return update_entry(entry, by=by, **fields)


def delete_entry(entry: Entry, *, by: Principal) -> None:
    """Take one entry out of the library, a set with its items.

    Runs that used it keep what they recorded; files stay. Raises `NotFound` if somebody else was faster.
    """
    _delete(entry, by=by, name=entry.name)


def create_item(reference_set: ReferenceSet, *, by: Principal, **fields: object) -> ReferenceItem:
    """Add one item to a set, behind those with the same `sort_order`; the set itself is not touched.

    `content_uri` is only a text here: whoever opens it judges where it leads. Raises `Invalid`, and
    `NotFound` if the set was deleted meanwhile.
    """
    item = ReferenceItem(project_id=reference_set.project_id, reference_set=reference_set)
    _set(item, _judged_item(fields))
    _check_content(item)
    judged("label", item.label)
    with transaction.atomic():
        _locked(reference_set)  # else its deletion would leave this item behind
        item.save(force_insert=True)
        _record("created", item, by=by, label=item.label)
    return item


def update_item(item: ReferenceItem, *, by: Principal, **fields: object) -> ReferenceItem:
    """Write these fields of an item and no others; its `updated_at` moves, its set's does not.

    Raises `Invalid`, also when no content would be left, and `NotFound` if it was deleted meanwhile.
    """
    fields = _judged_item(fields)
    with transaction.atomic():
        stored = _locked(item)
        changed = _set(stored, fields)
        _check_content(stored)
        stored.save(update_fields=[*fields, "updated_at"])
        _record("updated", stored, by=by, label=stored.label, changed=changed)
    return stored


def remove_item(item: ReferenceItem, *, by: Principal) -> None:
    """Take one item out of its set. Its file stays, as runs may have been made from it. Raises `NotFound`."""
    _delete(item, by=by, label=item.label, content_uri=item.content_uri)


Row = TypeVar("Row", PromptTemplate, StyleGuide, Character, ReferenceSet, ReferenceItem)


def _judged_item(fields: dict[str, object]) -> dict[str, object]:
    return {
        field: judged(field, value) if isinstance(value, str) and field != "metadata" else value
        for field, value in fields.items()
    }


def _check_content(item: ReferenceItem) -> None:
    if not item.content_uri and not item.content_text:
        raise Invalid(CONTENT_MISSING)


def _locked(row: Row) -> Row:
    """The row as it is now, held until the transaction ends. Raises `NotFound`."""
    model = type(row)
    found = model._default_manager.select_for_update().filter(pk=row.pk, project=row.project_id).first()
    if found is None:
        raise NotFound(missing(model))
    return found


def _set(row: models.Model, fields: dict[str, str] | dict[str, object]) -> list[str]:
    """Put values into a row; the names of the fields that differ from before."""
    changed = [field for field, value in fields.items() if getattr(row, field) != value]
    for field, value in fields.items():
        setattr(row, field, value)
    return changed


def _save_named(entry: Entry, *, update_fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            entry.save(update_fields=update_fields)
    except IntegrityError as error:
        raise NameTaken(f"{WORDS[type(entry)].capitalize()} name already exists") from error


def _delete(row: Row, *, by: Principal, **payload: str) -> None:
    with transaction.atomic():
        # First the row, then the trail: its one head is held until the transaction ends, and whoever else
        # writes the rows that hang on this one takes it last, too.
        _locked(row).delete()
        _record("deleted", row, by=by, **payload)


def _record(verb: str, row: Row, *, by: Principal, **payload: object) -> None:
    noun = "reference_item" if isinstance(row, ReferenceItem) else WORDS[type(row)].replace(" ", "_")
    audit.record(row.project, f"{noun}.{verb}", row, by=by, **payload)
