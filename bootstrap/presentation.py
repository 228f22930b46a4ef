"""A plan as people read it: section by section, changes first, each field with the words that differ."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.html import escape
from django.utils.safestring import mark_safe

from bootstrap.diff import Changes, Plan, State, diff
from bootstrap.entries import (
    Account,
    Document,
    Entry,
    Figure,
    Guide,
    Item,
    RefSet,
    SecretName,
    Template,
    shown_config,
)
from bootstrap.services import Outcome
from bootstrap.snapshots import document_of
from bootstrap.words import Piece, changes, word_changes

TITLES = {
    "provider_accounts": "Provider accounts",
    "style_guides": "Style guides",
    "characters": "Characters",
    "reference_sets": "Reference sets",
    "secrets": "Secrets",
    "prompt_templates": "Prompt templates",
}


MARKED = {"same": "{}", "old": "<del>{}</del>", "new": "<ins>{}</ins>"}


@dataclass(frozen=True)
class FieldChange:
    """One field of an entry and what happens to its text."""

    label: str
    pieces: tuple[Piece, ...]

    @property
    def html(self) -> str:
        """All pieces, marked; made here since a template takes longer than all the rest of a large diff."""
        return mark_safe("".join(MARKED[piece.kind].format(escape(piece.text)) for piece in self.pieces))  # noqa: S308 - escaped

    @property
    def plain(self) -> str:
        """The text of a field of an entry that is new as a whole, or goes as a whole."""
        return "".join(piece.text for piece in self.pieces)

    def text(self, without: str) -> str:
        """The whole text of the field without its `old` or its `new` pieces."""
        return "".join(piece.text for piece in self.pieces if piece.kind != without)


@dataclass(frozen=True)
class EntryChange:
    """What happens to one entry: `kind` is created, updated or deleted. `value` names it in a form."""

    kind: str
    name: str
    value: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True)
class SectionChange:
    """What happens to one section; `unchanged` are names, `left_out` entries that would change otherwise."""

    section: str
    title: str
    changes: Sequence[EntryChange]
    unchanged: Sequence[str]
    left_out: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Shown:
    """A whole plan, and its counts over all sections."""

    sections: Sequence[SectionChange]
    created: int
    updated: int
    deleted: int
    deleted_names: Sequence[str] = field(default=())

    @property
    def to_do(self) -> str:
        """What carrying it out does, as a button says it: `Create 3, update 2, delete 1`; '' for nothing."""
        text = self._counted("create", "update", "delete")
        return text[:1].upper() + text[1:]

    @property
    def done(self) -> str:
        """What was done: `created 3, updated 2, deleted 1`; '' for nothing."""
        return self._counted("created", "updated", "deleted")

    def _counted(self, *words: str) -> str:
        numbers = (self.created, self.updated, self.deleted)
        return ", ".join(f"{word} {number}" for word, number in zip(words, numbers, strict=True) if number)


def shown(before: State, plan: Plan, document: Document | None = None) -> Shown:
    """The plan for people; sections that it does not touch are passed over.

    With the `document` that it was made of, entries that were left out are listed too.
    """
    left_out = _left_out(before, document) if document else {}
    sections = [_project(before, plan, left_out.get("project", ()))]
    for section, one in plan.sections.items():
        if one.provided:
            sections.append(_section(section, before.sections[section], one, left_out.get(section, ())))
    listed = [change for one in sections for change in one.changes]
    count = {
        kind: sum(change.kind == kind for change in listed) for kind in ("created", "updated", "deleted")
    }
    return Shown(
        [one for one in sections if one.changes or one.unchanged or one.left_out],
        count["created"],
        count["updated"],
        count["deleted"],
        [change.name for change in listed if change.kind == "deleted"],
    )


def difference(before: State, after: State) -> Shown:
    """What leads from one state to another, as far as the exchange would do it: it deletes no secrets."""
    marked = before.marked()
    return shown(marked, diff(marked, document_of(after)))


def copied(outcome: Outcome) -> str:
    """What a new universe has from its model, and what it has not, in words."""
    sets = [entry for entry, _ in outcome.rows["reference_sets"] if isinstance(entry, RefSet)]
    n_images = sum(bool(item.content_uri) for one in sets for item in one.items)
    words = [f"{shown(outcome.before, outcome.plan).done or 'nothing'} from the settings"]
    if n_images:
        words.append(f"{n_images} image{'s' * (n_images != 1)} that they name must be uploaded again")
    if outcome.lost:
        words.append(f"credentials in configurations do not come along ({', '.join(outcome.lost)})")
    return f"{'; '.join(words)}."


def _left_out(before: State, document: Document) -> dict[str, list[tuple[str, str]]]:
    """By section, what was left out: how a form names it, and its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section, key in sorted(document.left_out):
        entries = (*document.sections.get(section, ()), *before.sections.get(section, ()))
        name = next((name_of(entry) for entry in entries if entry.key_text == key), "")
        if section == "project":
            name = key.capitalize()
        if name:
            found.setdefault(section, []).append((f"{section}:{key}", name))
    return found


def _project(before: State, plan: Plan, left_out: Sequence[tuple[str, str]]) -> SectionChange:
    found = [
        EntryChange("updated", label, f"project:{key}", (FieldChange(label, word_changes(old, new)),))
        for key, label, old, new in (
            ("name", "Name", before.name, plan.name),
            ("description", "Description", before.description, plan.description),
        )
        if old != new
    ]
    return SectionChange("project", "The universe", found, (), left_out)


def _section(
    section: str, before: Sequence[Entry], plan: Changes, left_out: Sequence[tuple[str, str]]
) -> SectionChange:
    created, updated, unchanged = [], [], []
    left_out_values = {value for value, _ in left_out}
    stays = set()
    for step in plan.steps:
        was = None if step.was is None else before[step.was]
        if step.was is not None:
            stays.add(step.was)
        if was is None:
            created.append(_change("created", section, step.entry, None, step.entry))
        elif step.written and was.content != step.entry.content:
            updated.append(_change("updated", section, step.entry, was, step.entry))
        elif f"{section}:{step.entry.key_text}" not in left_out_values:
            unchanged.append(name_of(step.entry))
    deleted = [
        _change("deleted", section, entry, entry, None)
        for number, entry in enumerate(before)
        if number not in stays
    ]
    return SectionChange(section, TITLES[section], [*created, *updated, *deleted], unchanged, left_out)


def _change(kind: str, section: str, entry: Entry, old: Entry | None, new: Entry | None) -> EntryChange:
    before, after = dict(_texts(old)), dict(_texts(new))
    fields = []
    for label in before | after:
        was, will_be = before.get(label, ""), after.get(label, "")
        if was != will_be:
            fields.append(FieldChange(label, _pieces(label, was, will_be)))
    return EntryChange(kind, name_of(entry), f"{section}:{entry.key_text}", tuple(fields))


def _pieces(label: str, old: str, new: str) -> tuple[Piece, ...]:
    if label == ITEMS:
        return changes(old.splitlines(keepends=True), new.splitlines(keepends=True))
    return word_changes(old, new)


def name_of(entry: Entry) -> str:
    """What people call an entry."""
    return str(getattr(entry, "name", "")) or entry.key_text


ITEMS = "Items"


def _texts(entry: Entry | None) -> Iterator[tuple[str, str]]:
    """The fields of an entry as labelled texts."""
    match entry:
        case Account():
            yield "Name", entry.display_name
            yield "Account", entry.account_ref
            yield "Address", entry.base_url
            yield "In use", "yes" if entry.enabled else "no"
            yield "Configuration", _pretty(shown_config(entry.config)) if entry.config != {} else ""
            for label, limit in zip(("Calls at once", "Calls a minute"), entry.limits, strict=False):
                yield label, "" if limit is None else str(limit)
        case Guide():
            yield "Name", entry.name
            yield "Instructions", entry.instructions
            yield "Notes", entry.notes
        case Figure():
            yield "Name", entry.name
            yield "Description", entry.description
            yield "In prompts", entry.prompt_text
        case RefSet():
            yield "Name", entry.name
            yield "Description", entry.description
            yield ITEMS, "".join(f"{_item(item)}\n" for item in entry.items)
        case Template():
            yield "Name", entry.name
            yield "Text", entry.template_text
        case SecretName():
            yield "Name", entry.secret_name


def _item(item: Item) -> str:
    """One item on one line."""
    parts = [item.content_uri, item.content_text.replace("\n", " ")]
    if item.sort_order:
        parts.append(f"place {item.sort_order}")
    if item.metadata not in ({}, None):
        parts.append(json.dumps(item.metadata, ensure_ascii=False, sort_keys=True))
    return " · ".join([item.label, *(part for part in parts if part)])


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
