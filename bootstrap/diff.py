"""What an import would do: pure, from the current state and the wanted document to one plan.

Preview shows the plan, apply carries it out: they can't differ.
"""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from bootstrap.entries import SECTIONS, Account, Document, Entry, SecretName, exact, sent, shown_config


@dataclass(frozen=True)
class State:
    """A project as it is. Rows of a section with equal keys stand with the newest first."""

    name: str
    description: str
    sections: Mapping[str, Sequence[Entry]]

    @property
    def fingerprint(self) -> str:
        """The same for the same settings (SHA-256, hexadecimal), in whatever order lists show them."""
        sections = {
            section: sorted(exact(sent(entry)) for entry in entries)
            for section, entries in self.sections.items()
        }
        return hashlib.sha256(exact([self.name, self.description, sections]).encode()).hexdigest()

    def marked(self) -> "State":
        """The same with a marker in place of each credential, as it may leave the project."""
        sections = {
            section: [
                replace(entry, config=shown_config(entry.config)) if isinstance(entry, Account) else entry
                for entry in entries
            ]
            for section, entries in self.sections.items()
        }
        return State(self.name, self.description, sections)


@dataclass(frozen=True)
class Step:
    """One row afterwards: its content, which row it was (an index; None: no such row), and what is done.

    `written`: the payload names it. `was` of a replaced section says with which row it is compared; a row
    there that is not written was left out, and stays.
    """

    entry: Entry
    was: int | None
    written: bool


@dataclass(frozen=True)
class Changes:
    """What happens to one section; `steps` are its rows afterwards."""

    provided: bool
    replaced: bool
    before_count: int
    created: int
    updated: int
    deleted: int
    unchanged: int
    steps: tuple[Step, ...]

    @property
    def after_count(self) -> int:
        return len(self.steps)

    @property
    def changed(self) -> bool:
        return bool(self.created or self.updated or self.deleted)


@dataclass(frozen=True)
class Plan:
    """Everything that an import does."""

    provided: bool
    name: str
    description: str
    name_changed: bool
    description_changed: bool
    sections: Mapping[str, Changes]

    @property
    def project_updated(self) -> bool:
        return self.name_changed or self.description_changed


def diff(current: State, wanted: Document) -> Plan:
    """The plan that leads from `current` to what `wanted` asks for."""
    patch = wanted.project
    name, description = current.name, current.description
    if patch is not None and patch.name is not None and ("project", "name") not in wanted.left_out:
        name = patch.name
    if (
        patch is not None
        and patch.description is not None
        and ("project", "description") not in wanted.left_out
    ):
        description = patch.description
    return Plan(
        provided=patch is not None,
        name=name,
        description=description,
        name_changed=name != current.name,
        description_changed=description != current.description,
        sections={
            section: _section(
                section,
                current.sections[section],
                wanted.sections.get(section),
                wanted.mode,
                {key for part, key in wanted.left_out if part == section},
            )
            for section in SECTIONS
        },
    )


def matches(before: Sequence[Entry], wanted: Sequence[Entry]) -> list[int | None]:
    """For each wanted entry the row that it means: the one of exactly its name, else the first of its key.

    Names are compared without regard to case here, but a project may hold two that differ in nothing else.
    """
    by_key: dict[tuple[str, ...], int] = {}
    by_name: dict[tuple[tuple[str, ...], str], int] = {}
    for number, entry in enumerate(before):
        by_key.setdefault(entry.key, number)
        by_name.setdefault((entry.key, _name(entry)), number)
    return [by_name.get((entry.key, _name(entry)), by_key.get(entry.key)) for entry in wanted]


def _name(entry: Entry) -> str:
    return str(getattr(entry, "name", ""))


def _section(
    section: str,
    before: Sequence[Entry],
    wanted: Sequence[Entry] | None,
    mode: str,
    left_out: Set[str],
) -> Changes:
    replaced = wanted is not None and mode == "replace" and section != "secrets"
    taken_in = [entry for entry in wanted or () if entry.key_text not in left_out]
    written = []
    for entry, was in zip(taken_in, matches(before, taken_in), strict=True):
        written.append(Step(entry if was is None else _kept(before[was], entry), was, written=True))
    taken = {step.was for step in written if step.was is not None}
    untouched = [
        Step(entry, number, written=False)
        for number, entry in enumerate(before)
        if number not in taken and (not replaced or entry.key_text in left_out)
    ]
    unchanged = sum(
        step.was is not None and step.entry.content == before[step.was].content for step in written
    )
    return Changes(
        provided=wanted is not None,
        replaced=replaced,
        before_count=len(before),
        created=len(written) - len(taken),
        updated=len(taken) - unchanged,
        deleted=len(before) - len(taken) - len(untouched),
        unchanged=unchanged + len(untouched),
        steps=(*untouched, *written),
    )


def _kept(before: Entry, entry: Entry) -> Entry:
    """The entry as it is written over a row: what the payload can't say, or does not, stays."""
    if isinstance(before, SecretName) and isinstance(entry, SecretName):
        return replace(entry, has_value=before.has_value)
    if isinstance(before, Account) and isinstance(entry, Account) and not entry.limits:
        return replace(entry, limits=before.limits)
    return entry


def accounts(state: State) -> dict[str, Account]:
    """The provider accounts by their code."""
    return {one.provider_code: one for one in state.sections["provider_accounts"] if isinstance(one, Account)}
