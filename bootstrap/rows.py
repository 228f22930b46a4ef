"""Between the rows of a project and the entries of an exchange: reading all of them, writing one section."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import models
from django.db.models import QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from bootstrap.diff import Changes, State, Step
from bootstrap.entries import (
    LIMITS,
    SECTIONS,
    Account,
    Entry,
    Figure,
    Guide,
    Item,
    RefSet,
    SecretName,
    Template,
)
from projects.models import (
    Character,
    Project,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    Secret,
    StyleGuide,
)

LOCAL_KEY = "local-master"  # what a secret without a value is labelled with
BATCH = 500  # rows of one INSERT; SQLite cuts it smaller by itself
ITEM_ORDER = ("sort_order", "position", "id")

Row = ProviderAccount | StyleGuide | Character | ReferenceSet | Secret | PromptTemplate


class ItemRow(NamedTuple):
    """One row of an item: there may be thousands, so no object is made of each."""

    id: uuid.UUID
    reference_set_id: uuid.UUID
    created_at: datetime
    label: str
    content_uri: str
    content_text: str
    sort_order: int
    metadata: Any


@dataclass(frozen=True)
class Loaded:
    """A project's state, and the rows it was read from, number by number; `items` by the id of their set."""

    state: State
    rows: Mapping[str, Sequence[Row]]
    items: Mapping[uuid.UUID, Sequence[ItemRow]]

    def pairs(self, section: str) -> list[tuple[Entry, Row]]:
        """The entries of a section, each with its row."""
        return list(zip(self.state.sections[section], self.rows[section], strict=True))


@dataclass(frozen=True)
class Origin:
    """Which row an entry once was: it is written with this id and moment again, and its items likewise."""

    pk: uuid.UUID
    created_at: datetime
    items: Sequence["Origin"] = field(default=())


def load(project: Project) -> Loaded:
    """Everything that an exchange covers, each section in the order of its list: seven queries."""
    items: dict[uuid.UUID, list[ItemRow]] = {}
    rows_of_items = ReferenceItem.objects.filter(project=project).order_by(*ITEM_ORDER)
    for item in map(ItemRow._make, rows_of_items.values_list(*ItemRow._fields)):
        items.setdefault(item.reference_set_id, []).append(item)
    newest = ("-updated_at", "-id")
    rows: dict[str, Sequence[Row]] = {
        "provider_accounts": list(_of(ProviderAccount, project).order_by("provider_code")),
        "style_guides": list(_of(StyleGuide, project).order_by(*newest)),
        "characters": list(_of(Character, project).order_by(*newest)),
        "reference_sets": list(_of(ReferenceSet, project).order_by(*newest)),
        "secrets": list(_of(Secret, project).order_by("provider_code", "secret_name")),
        "prompt_templates": list(_of(PromptTemplate, project).order_by(*newest)),
    }
    sections = {section: [_entry(row, items) for row in rows[section]] for section in SECTIONS}
    return Loaded(State(project.name, project.description, sections), rows, items)


def write(
    project: Project,
    section: str,
    changes: Changes,
    loaded: Loaded,
    origins: Mapping[tuple[str, str], Origin],
) -> None:
    """Carry out what is planned for one section, in statements whose number grows by batch, not by entry.

    The first entry becomes the newest row, so that lists, newest first, show the order of the payload.
    `origins`, by section and name, say which rows entries once were.
    """
    written = [step for step in reversed(changes.steps) if step.written]
    rows = loaded.rows[section]
    if section == "secrets":
        return _write_secrets(project, written, rows)
    model = MODELS[section]
    if changes.replaced:
        staying = {rows[step.was].pk for step in changes.steps if step.was is not None and not step.written}
        # A row that an entry was already is written in place: what points at it goes on doing so.
        staying |= {one.pk for (of_section, _), one in origins.items() if of_section == section}
        _delete(project, section, [row.pk for row in rows if row.pk not in staying])
    if not written:
        return None
    fields = _fields(written[0].entry)
    made = []
    # Each has a moment of its own, so that lists of the newest have one order.
    for step, moment in zip(written, _moments(len(written)), strict=True):
        row = model(project=project, created_at=moment, **_fields(step.entry))
        origin = origins.get((section, _exact_name(step.entry)))
        if origin is not None:
            row.pk, row.created_at = origin.pk, origin.created_at
        elif step.was is not None and not changes.replaced:
            before = rows[step.was]
            row.pk, row.created_at = before.pk, before.created_at
        made.append(row)
    if origins:
        _free_names(project, section, rows, made)
    model._default_manager.bulk_create(
        made,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[*fields, "updated_at"],
    )
    if section == "reference_sets":
        _write_items(project, written, made, origins)
    return None


def origin_key(section: str, entry: Entry) -> tuple[str, str]:
    """Under which key `write` looks for the origin of an entry."""
    return section, _exact_name(entry)


def _exact_name(entry: Entry) -> str:
    return str(getattr(entry, "name", entry.key_text))


def _delete(project: Project, section: str, gone: Sequence[uuid.UUID]) -> None:
    """Delete these rows of a section; the items go with their sets."""
    for start in range(0, len(gone), BATCH):
        some = gone[start : start + BATCH]
        if section == "reference_sets":
            _of(ReferenceItem, project).filter(reference_set__in=some).delete()
        _of(MODELS[section], project).filter(pk__in=some).delete()


def _free_names(project: Project, section: str, rows: Sequence[Row], made: Sequence[Any]) -> None:
    """Take the names of rows that get another one, so that two may swap theirs."""
    stored = {row.pk: str(getattr(row, "name", "")) for row in rows}
    renamed = [
        row.pk for row in made if stored.get(row.pk, "") != getattr(row, "name", "") and row.pk in stored
    ]
    for start in range(0, len(renamed), BATCH):
        some = _of(MODELS[section], project).filter(pk__in=renamed[start : start + BATCH])
        some.update(name=Cast("id", models.CharField()))


def _write_items(
    project: Project,
    written: Sequence[Step],
    sets: Sequence[models.Model],
    origins: Mapping[tuple[str, str], Origin],
) -> None:
    """Put the items of the payload in place of those that the sets have, in its order."""
    pks = [row.pk for row in sets]
    for start in range(0, len(pks), BATCH):
        _of(ReferenceItem, project).filter(reference_set__in=pks[start : start + BATCH]).delete()
    wanted: list[tuple[Any, Item, Origin | None]] = []
    for step, row in zip(written, sets, strict=True):
        items = step.entry.items if isinstance(step.entry, RefSet) else ()
        origin = origins.get(origin_key("reference_sets", step.entry))
        known_items: Sequence[Origin | None] = origin.items if origin else [None] * len(items)
        wanted += [(row.pk, item, known) for item, known in zip(items, known_items, strict=True)]
    made = []
    for (set_pk, item, known), moment in zip(wanted, _moments(len(wanted)), strict=True):
        row = ReferenceItem(project=project, reference_set_id=set_pk, created_at=moment, **vars(item))
        if known is not None:
            row.pk, row.created_at = known.pk, known.created_at
        made.append(row)
    ReferenceItem.objects.bulk_create(made, batch_size=BATCH)


def _write_secrets(project: Project, written: Sequence[Step], rows: Sequence[Row]) -> None:
    """Make the missing ones, without a value; of the others only `updated_at` moves."""
    known = [rows[step.was].pk for step in written if step.was is not None]
    for start in range(0, len(known), BATCH):
        _of(Secret, project).filter(pk__in=known[start : start + BATCH]).update(updated_at=timezone.now())
    Secret.objects.bulk_create(
        [
            Secret(
                project=project,
                provider_code=step.entry.provider_code,
                secret_name=step.entry.secret_name,
                key_ref=LOCAL_KEY,
            )
            for step in written
            if step.was is None and isinstance(step.entry, SecretName)
        ],
        batch_size=BATCH,
    )


def _of(model: type[models.Model], project: Project) -> QuerySet[Any]:
    return model._default_manager.filter(project=project)


MODELS: dict[str, Any] = {
    "provider_accounts": ProviderAccount,
    "style_guides": StyleGuide,
    "characters": Character,
    "reference_sets": ReferenceSet,
    "secrets": Secret,
    "prompt_templates": PromptTemplate,
}


def _entry(row: Row, items: Mapping[uuid.UUID, Sequence[ItemRow]]) -> Entry:
    match row:
        case ProviderAccount():
            texts = (row.display_name, row.account_ref, row.base_url)
            limits = (row.max_concurrency, row.requests_per_minute)
            return Account(row.provider_code, *texts, row.enabled, row.config, limits)
        case StyleGuide():
            return Guide(row.name, row.instructions, row.notes)
        case Character():
            return Figure(row.name, row.description, row.prompt_text)
        case ReferenceSet():
            held = tuple(
                Item(one.label, one.content_uri, one.content_text, one.sort_order, one.metadata)
                for one in items.get(row.pk, ())
            )
            return RefSet(row.name, row.description, held)
        case Secret():
            return SecretName(row.provider_code, row.secret_name, bool(row.value_encrypted))
        case PromptTemplate():
            return Template(row.name, row.template_text)


def _fields(entry: Entry) -> dict[str, Any]:
    """What the row of an entry holds."""
    if isinstance(entry, RefSet):
        return {"name": entry.name, "description": entry.description}
    fields = dict(vars(entry))
    if isinstance(entry, Account):
        fields.pop("limits")
        fields |= dict(zip(LIMITS, entry.limits or (None, None), strict=True))
    return fields


def _moments(number: int) -> list[datetime]:
    """So many moments up to now, one microsecond apart."""
    now = timezone.now()
    return [now - timedelta(microseconds=number - n) for n in range(number)]
