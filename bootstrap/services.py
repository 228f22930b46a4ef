"""The bootstrap exchange: what is exported, what an import would do, and doing it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import QuerySet
from django.utils import timezone

from bootstrap.diff import Changes, Plan, State, Step, accounts, diff
from bootstrap.document import (
    KEPT,
    SECTIONS,
    Account,
    Document,
    Entry,
    Figure,
    Guide,
    Item,
    RefSet,
    SecretName,
    Template,
    refused,
)
from projects import audit
from projects.access import Action, Principal, allows
from projects.errors import Forbidden, Invalid
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
from projects.redaction import found, told

LOCAL_KEY = "local-master"  # what a secret without a value is labelled with
BATCH = 500  # rows of one INSERT; SQLite cuts it smaller by itself
OWNERS_SECTIONS = ("provider_accounts", "secrets")
ITEM_ORDER = ("sort_order", "created_at", "id")

Row = ProviderAccount | StyleGuide | Character | ReferenceSet | Secret | PromptTemplate


@dataclass(frozen=True)
class Loaded:
    """A project's state, and the rows it was read from, number by number."""

    state: State
    rows: Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Outcome:
    """What an import did or would do, and the rows afterwards (None: not stored)."""

    plan: Plan
    rows: Mapping[str, Sequence[tuple[Entry, Row | None]]]


def load(project: Project) -> Loaded:
    """Everything that an exchange covers, each section in the order of its list: seven queries."""
    items: dict[uuid.UUID, list[Item]] = {}
    for row in ReferenceItem.objects.filter(project=project).order_by(*ITEM_ORDER):
        shown = Item(row.label, row.content_uri, row.content_text, row.sort_order, row.metadata)
        items.setdefault(row.reference_set_id, []).append(shown)
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
    return Loaded(State(project.name, project.description, sections), rows)


def stored(project: Project) -> dict[str, list[tuple[Entry, Row | None]]]:
    """The current state, section by section, as an answer shows it."""
    loaded = load(project)
    return {
        section: list(zip(loaded.state.sections[section], loaded.rows[section], strict=True))
        for section in SECTIONS
    }


def preview(project: Project, document: Document, *, role: str) -> Outcome:
    """What `apply` would do now; each section sorted by its key. Nothing is written.

    Raises `Invalid`, `Forbidden`.
    """
    loaded = load(project)
    plan = _plan(loaded, document, role)
    rows: dict[str, list[tuple[Entry, Row | None]]] = {}
    for section, changes in plan.sections.items():
        before = loaded.rows[section]
        after = [
            (step.entry, None if step.was is None or changes.replaced else before[step.was])
            for step in changes.steps
        ]
        rows[section] = sorted(after, key=lambda pair: pair[0].key)
    return Outcome(plan, rows)


def apply(project: Project, document: Document, *, by: Principal, role: str) -> Outcome:
    """Import all of a document or nothing. `role` is the caller's. Raises `Invalid`, `Forbidden`."""
    try:
        with transaction.atomic():
            # Imports wait for each other here; SQLite lets one writer in at a time anyway.
            locked = Project.objects.select_for_update().get(pk=project.pk)
            loaded = load(locked)
            plan = _plan(loaded, document, role)
            for section, changes in plan.sections.items():
                if changes.provided:
                    _write(locked, section, changes, loaded)
            locked.name, locked.description = plan.name, plan.description
            locked.save(update_fields=["name", "description", "updated_at"])
            audit.record(
                locked,
                "bootstrap.import",
                locked,
                by=by,
                mode=document.mode,
                project_updated=plan.project_updated,
                sections={
                    section: {
                        "created": one.created,
                        "updated": one.updated,
                        "deleted": one.deleted,
                        "unchanged": one.unchanged,
                    }
                    for section, one in plan.sections.items()
                    if one.provided
                },
            )
            after = stored(locked)
    except IntegrityError:
        raise Invalid("The library was changed by somebody else meanwhile: import again") from None
    return Outcome(plan, after)


def _plan(loaded: Loaded, document: Document, role: str) -> Plan:
    plan = diff(loaded.state, _with_kept_values(document, loaded.state))
    if not allows(role, Action.MANAGE_SETTINGS):
        for section in OWNERS_SECTIONS:
            if plan.sections[section].changed:
                raise Forbidden(
                    f"Only an owner may change '{section}': leave this section out; the caller is {role}"
                )
    return plan


def _with_kept_values(document: Document, state: State) -> Document:
    """The document with the stored credential in place of each marker. Raises `Invalid` where none is."""
    wanted = document.sections.get("provider_accounts")
    if not wanted:
        return document
    before, problems, made = accounts(state), [], []
    for entry in wanted:
        if not isinstance(entry, Account):
            continue
        known = before.get(entry.provider_code)
        config = known.config if known else {}
        credentials = {path: _at(config, path) for path in found(config)}
        missing: list[str] = []
        made.append(replace(entry, config=_filled(entry.config, (), credentials, missing)))
        for path in missing:
            problem = f"Field 'provider_accounts[].config_json' keeps '{path}', but none is stored"
            problems.append((f"provider_accounts[{entry.provider_code}].config_json.{path}", problem))
    if problems:
        raise refused(problems)
    return replace(document, sections={**document.sections, "provider_accounts": tuple(made)})


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _filled(
    value: Any,
    path: tuple[str | int, ...],
    credentials: Mapping[tuple[str | int, ...], Any],
    missing: list[str],
) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, (*path, key), credentials, missing) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, (*path, number), credentials, missing) for number, one in enumerate(value)]
    if value != KEPT:
        return value
    kept = credentials.get(path, KEPT)
    if kept == KEPT:
        missing.append(told(path))
    return kept


def _of(model: type[models.Model], project: Project) -> QuerySet[Any]:
    return model._default_manager.filter(project=project)


def _entry(row: Row, items: Mapping[uuid.UUID, list[Item]]) -> Entry:
    match row:
        case ProviderAccount():
            texts = (row.display_name, row.account_ref, row.base_url)
            return Account(row.provider_code, *texts, row.enabled, row.config)
        case StyleGuide():
            return Guide(row.name, row.instructions, row.notes)
        case Character():
            return Figure(row.name, row.description, row.prompt_text)
        case ReferenceSet():
            return RefSet(row.name, row.description, tuple(items.get(row.pk, ())))
        case Secret():
            return SecretName(row.provider_code, row.secret_name, bool(row.value_encrypted))
        case PromptTemplate():
            return Template(row.name, row.template_text)


def _fields(entry: Entry) -> tuple[type[models.Model], dict[str, Any]]:
    """The table of an entry and what its row holds."""
    match entry:
        case RefSet():
            return ReferenceSet, {"name": entry.name, "description": entry.description}
        case Account():
            return ProviderAccount, dict(vars(entry))
        case Guide():
            return StyleGuide, dict(vars(entry))
        case Figure():
            return Character, dict(vars(entry))
        case Template():
            return PromptTemplate, dict(vars(entry))
    raise TypeError(f"{type(entry).__name__} has no row of its own")


def _write(project: Project, section: str, changes: Changes, loaded: Loaded) -> None:
    """Carry out what is planned for one section, in a number of statements that does not grow by entry."""
    written = [step for step in changes.steps if step.written]
    rows = loaded.rows[section]
    if section == "secrets":
        return _write_secrets(project, written, rows)
    if changes.replaced:
        if section == "reference_sets":
            _of(ReferenceItem, project).delete()
        if rows:
            _of(type(rows[0]), project).delete()
    if not written:
        return None
    model, fields = _fields(written[0].entry)
    # Each has a moment of its own, so that lists of the newest have one order.
    moments = _moments(len(written))
    made = []
    for step, moment in zip(written, moments, strict=True):
        row = model(project=project, created_at=moment, **_fields(step.entry)[1])
        if step.was is not None:
            before = rows[step.was]
            if isinstance(row, ProviderAccount) and isinstance(before, ProviderAccount):
                # The operator's limits are no part of the exchange: they stay, whatever the mode.
                row.max_concurrency = before.max_concurrency
                row.requests_per_minute = before.requests_per_minute
            if not changes.replaced:
                row.pk, row.created_at = before.pk, before.created_at  # type: ignore[attr-defined]
        made.append(row)
    model._default_manager.bulk_create(
        made,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[*fields, "updated_at"],
    )
    if section == "reference_sets":
        _write_items(project, written, made)
    return None


def _write_items(project: Project, written: Sequence[Step], sets: Sequence[models.Model]) -> None:
    """Put the items of the payload in place of those that the sets have, in its order."""
    known = [row.pk for step, row in zip(written, sets, strict=True) if step.was is not None]
    for start in range(0, len(known), BATCH):
        _of(ReferenceItem, project).filter(reference_set__in=known[start : start + BATCH]).delete()
    pairs = [
        (row, item)
        for step, row in zip(written, sets, strict=True)
        if isinstance(step.entry, RefSet)
        for item in step.entry.items
    ]
    made = [
        ReferenceItem(project=project, reference_set_id=row.pk, created_at=moment, **vars(item))
        for (row, item), moment in zip(pairs, _moments(len(pairs)), strict=True)
    ]
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


def _moments(number: int) -> list[datetime]:
    """So many moments up to now, one microsecond apart."""
    now = timezone.now()
    return [now - timedelta(microseconds=number - n) for n in range(number)]
