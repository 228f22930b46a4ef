"""The bootstrap exchange: what an import would do, doing it, and the way back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import IntegrityError, transaction

from bootstrap import rows, snapshots
from bootstrap.diff import Plan, State, accounts, diff
from bootstrap.document import refused
from bootstrap.entries import KEPT, SECTIONS, Account, Document, Entry, without_markers
from bootstrap.models import SettingsSnapshot
from bootstrap.rows import Loaded, Origin, Row
from projects import audit
from projects.access import Action, Principal, Role, allows
from projects.errors import Forbidden, Invalid, KromaError
from projects.models import Project, User
from projects.redaction import found, told
from projects.services.projects import create_project

OWNERS_SECTIONS = ("provider_accounts", "secrets")
KINDS = ("created", "updated", "deleted", "unchanged")


@dataclass(frozen=True)
class Outcome:
    """What an import did or would do, and the rows afterwards (None: not stored).

    `fingerprint` is that of the settings before; `before` these settings. `snapshot` holds them (None: a
    preview). `lost` are the places of credentials that could not be kept, as nothing is stored there.
    """

    plan: Plan
    before: State
    rows: Mapping[str, Sequence[tuple[Entry, Row | None]]]
    snapshot: SettingsSnapshot | None = None
    lost: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Of the settings before: who confirms this outcome sends it along."""
        return self.before.fingerprint


class SettingsChanged(KromaError):
    """Somebody else changed the settings since they were looked at. `outcome` is what would happen now."""

    kind = "policy"
    code = "settings_changed"

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(
            "The settings were changed by somebody else meanwhile: look at what would change now"
        )
        self.outcome = outcome


def stored(project: Project) -> dict[str, list[tuple[Entry, Row | None]]]:
    """The current state, section by section, as an answer shows it."""
    loaded = rows.load(project)
    return {section: list(loaded.pairs(section)) for section in SECTIONS}


def preview(project: Project, document: Document, *, role: str) -> Outcome:
    """What `apply` would do now; each section sorted by its key. Nothing is written.

    Raises `Invalid`, `Forbidden`.
    """
    return _previewed(_judged(rows.load(project), _Order(document, role)))


def apply(
    project: Project, document: Document, *, by: Principal, role: str, fingerprint: str = ""
) -> Outcome:
    """Import all of a document or nothing; a snapshot is kept before. `role` is the caller's.

    With a `fingerprint` only if the settings are still those that it was computed on. Raises `Invalid`,
    `Forbidden`, `SettingsChanged`.
    """
    return _carried_out(project, _Order(document, role, fingerprint), by=by)


def preview_restore(project: Project, snapshot: SettingsSnapshot, *, role: str) -> Outcome:
    """What `restore` would do now. Nothing is written."""
    return _previewed(_judged(rows.load(project), _restoring(snapshot, role)))


def restore(
    project: Project, snapshot: SettingsSnapshot, *, by: Principal, role: str, fingerprint: str = ""
) -> Outcome:
    """Bring back all that a snapshot holds, ids, order and limits included; itself undoable by its snapshot.

    Secrets are never taken away, and their values are in no snapshot. Accounts and secrets stay as they are
    where `role` may not change them. Raises `SettingsChanged`.
    """
    return _carried_out(project, _restoring(snapshot, role, fingerprint), by=by)


def copy_settings(document: Document, *, name: str, owner: User, by: Principal) -> tuple[Project, Outcome]:
    """Make a universe that begins with these settings, or nothing. Raises `Invalid`, also for a taken name.

    No secret value, no credential and no file comes along.
    """
    patch = replace(document.project, name=None) if document.project else None
    order = _Order(
        replace(document, mode="merge", project=patch),
        Role.OWNER,
        reason=SettingsSnapshot.Reason.COPY,
        may_lose=True,
    )
    with transaction.atomic():
        project = create_project(name=name, owner=owner, by=by)
        return project, _carried_out(project, order, by=by)


def without_owners_sections(document: Document) -> Document:
    """The document without what only an owner may change."""
    sections = {key: entries for key, entries in document.sections.items() if key not in OWNERS_SECTIONS}
    return replace(document, sections=sections)


def check_left_out(project: Project, document: Document) -> None:
    """Raise `Invalid` for a name in `left_out` that neither the document nor the project has."""
    if not document.left_out:
        return
    state = rows.load(project).state
    known = {("project", "name"), ("project", "description")}
    for section in SECTIONS:
        entries = (*document.sections.get(section, ()), *state.sections[section])
        known |= {(section, entry.key_text) for entry in entries}
    unknown = sorted(document.left_out - known)
    if unknown:
        section, name = unknown[0]
        raise Invalid(f"Field 'left_out' names '{name}' in '{section}', which is no entry there")


@dataclass(frozen=True)
class _Order:
    """What is asked for, by somebody of this role; `may_lose`: a marker with nothing stored is dropped."""

    document: Document
    role: str
    fingerprint: str = ""
    reason: str = SettingsSnapshot.Reason.IMPORT
    origins: Mapping[tuple[str, str], Origin] = field(default_factory=dict)
    may_lose: bool = False


@dataclass(frozen=True)
class _Judged:
    """An order that can be carried out, and what it does to the settings that were loaded."""

    loaded: Loaded
    plan: Plan
    lost: tuple[str, ...]


def _restoring(snapshot: SettingsSnapshot, role: str, fingerprint: str = "") -> _Order:
    document = snapshots.document_of(snapshots.state_of(snapshot.content))
    if not allows(role, Action.MANAGE_SETTINGS):
        document = without_owners_sections(document)
    return _Order(
        document,
        role,
        fingerprint,
        reason=SettingsSnapshot.Reason.RESTORE,
        origins=snapshots.origins_of(snapshot.content),
        may_lose=True,
    )


def _judged(loaded: Loaded, order: _Order) -> _Judged:
    document, lost = _with_kept_values(order.document, loaded.state, may_lose=order.may_lose)
    plan = diff(loaded.state, document)
    if not allows(order.role, Action.MANAGE_SETTINGS):
        for section in OWNERS_SECTIONS:
            if plan.sections[section].changed:
                raise Forbidden(
                    f"Only an owner may change '{section}': leave it out; the caller is {order.role}"
                )
    return _Judged(loaded, plan, lost)


def _previewed(judged: _Judged) -> Outcome:
    after: dict[str, list[tuple[Entry, Row | None]]] = {}
    for section, changes in judged.plan.sections.items():
        before = judged.loaded.rows[section]
        pairs = [
            (
                step.entry,
                None if step.was is None or (changes.replaced and step.written) else before[step.was],
            )
            for step in changes.steps
        ]
        after[section] = sorted(pairs, key=lambda pair: pair[0].key)
    return Outcome(judged.plan, judged.loaded.state, after, lost=judged.lost)


def _carried_out(project: Project, order: _Order, *, by: Principal) -> Outcome:
    try:
        with transaction.atomic():
            # Imports wait for each other here; SQLite lets one writer in at a time anyway.
            locked = Project.objects.select_for_update().get(pk=project.pk)
            judged = _judged(rows.load(locked), order)
            if order.fingerprint not in ("", judged.loaded.state.fingerprint):
                raise SettingsChanged(_previewed(judged))
            told_changes = _told(judged.plan, order.document)
            snapshot = snapshots.take(locked, judged.loaded, reason=order.reason, changes=told_changes, by=by)
            plan = judged.plan
            for section, changes in plan.sections.items():
                if changes.provided:
                    rows.write(locked, section, changes, judged.loaded, order.origins)
            locked.name, locked.description = plan.name, plan.description
            locked.save(update_fields=["name", "description", "updated_at"])
            event = f"bootstrap.{order.reason}"
            audit.record(locked, event, locked, by=by, snapshot=str(snapshot.pk), **told_changes)
            after = stored(locked)
    except IntegrityError:
        raise Invalid("The library was changed by somebody else meanwhile: import again") from None
    return Outcome(plan, judged.loaded.state, after, snapshot, judged.lost)


def _told(plan: Plan, document: Document) -> dict[str, Any]:
    """What a change does, in figures, for the audit trail and the history."""
    return {
        "mode": document.mode,
        "project_updated": plan.project_updated,
        "sections": {
            section: {kind: getattr(one, kind) for kind in KINDS}
            for section, one in plan.sections.items()
            if one.provided
        },
        **({"left_out": len(document.left_out)} if document.left_out else {}),
    }


def _with_kept_values(
    document: Document, state: State, *, may_lose: bool
) -> tuple[Document, tuple[str, ...]]:
    """The document with the stored credential in place of each marker, and the places where none is stored.

    Raises `Invalid` for such a place, unless it may be lost: then nothing stands there.
    """
    wanted = document.sections.get("provider_accounts")
    if not wanted:
        return document, ()
    before, problems, lost, made = accounts(state), [], [], []
    for entry in wanted:
        if not isinstance(entry, Account) or ("provider_accounts", entry.key_text) in document.left_out:
            continue
        known = before.get(entry.provider_code)
        config = known.config if known else {}
        credentials = {path: _at(config, path) for path in found(config)}
        missing: list[str] = []
        filled = _filled(entry.config, (), credentials, missing)
        made.append(replace(entry, config=without_markers(filled) if missing else filled))
        for path in missing:
            place = f"provider_accounts[{entry.provider_code}].config_json.{path}"
            problem = f"Field 'provider_accounts[].config_json' keeps '{path}', but none is stored"
            problems.append((place, problem))
            lost.append(place)
    if problems and not may_lose:
        raise refused(problems)
    return replace(document, sections={**document.sections, "provider_accounts": tuple(made)}), tuple(lost)


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
