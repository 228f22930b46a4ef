"""What the exchange answers, and how it is made of entries and plans."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from django.utils import timezone
from ninja import Schema
from pydantic import Field, JsonValue

from bootstrap.diff import Plan
from bootstrap.document import SCHEMA_VERSION
from bootstrap.entries import LIMITS, SECTIONS, Account, Document, Entry, RefSet, SecretName, sent
from bootstrap.presentation import Shown, shown
from bootstrap.services import Outcome
from projects.api.base import Answer, moment
from projects.models import Project

FINGERPRINT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # an example
PREVIEW_IDS = {"style_guides": "style", "characters": "character", "prompt_templates": "prompt"}


class BootstrapProject(Schema):
    """The project, as an exchange shows it."""

    id: str
    slug: str
    name: str
    description: str


class AccountShown(Schema):
    """A provider account; credentials in its configuration are shown as `[kept]`."""

    project_id: str
    provider_code: str
    display_name: str
    account_ref: str
    base_url: str
    enabled: bool
    config_json: JsonValue
    created_at: str
    updated_at: str


class NamedShown(Schema):
    """What the named entries share; in a dry run the id of a new one begins with `preview_`."""

    id: str
    project_id: str
    name: str
    created_at: str
    updated_at: str


class GuideShown(NamedShown):
    """A style guide."""

    instructions: str
    notes: str


class FigureShown(NamedShown):
    """A character."""

    description: str
    prompt_text: str


class TemplateShown(NamedShown):
    """A prompt template."""

    template_text: str


class ExchangedItem(Schema):
    """An item of a reference set."""

    label: str
    content_uri: str
    content_text: str
    sort_order: int
    metadata_json: JsonValue


class SetShown(Schema):
    """A reference set with its items."""

    name: str
    description: str
    items: list[ExchangedItem]


class SecretShown(Schema):
    """A secret's name, and whether a value is stored."""

    provider_code: str
    secret_name: str
    has_value: bool


class SettingsShown(Schema):
    """The six sections."""

    provider_accounts: list[AccountShown]
    style_guides: list[GuideShown]
    characters: list[FigureShown]
    reference_sets: list[SetShown]
    secrets: list[SecretShown]
    prompt_templates: list[TemplateShown]


class Bootstrap(Schema):
    """The export."""

    schema_version: str = Field(examples=[SCHEMA_VERSION])
    generated_at: str = Field(examples=["2026-03-01T09:30:00Z"])
    project: BootstrapProject
    settings: SettingsShown
    expected_response: dict[str, JsonValue] = Field(description="An example of the wanted answer.")
    response_schema: dict[str, JsonValue] = Field(description="A JSON Schema of the wanted answer.")
    prompt: str = Field(description="Hand it to any language model.")


class BootstrapAnswer(Answer):
    """The export."""

    bootstrap: Bootstrap


class Applied(Schema):
    """Entries of the payload, each key once; 0 for sections that are not given."""

    provider_accounts: int
    style_guides: int
    characters: int
    reference_sets: int
    secrets: int
    prompt_templates: int


class ProjectChange(Schema):
    """What happens to name and description."""

    provided: bool
    updated: bool
    name_changed: bool
    description_changed: bool


class SectionChange(Schema):
    """What happens to one section, in entries."""

    provided: bool
    replaced: bool
    before_count: int
    after_count: int
    created: int
    updated: int
    deleted: int
    unchanged: int


class ChangesShown(Schema):
    """What happens, section by section."""

    project: ProjectChange
    provider_accounts: SectionChange
    style_guides: SectionChange
    characters: SectionChange
    reference_sets: SectionChange
    secrets: SectionChange
    prompt_templates: SectionChange


class FieldShown(Schema):
    """One field that changes."""

    label: str = Field(examples=["In prompts"])
    old: str = Field(description="Its text before.")
    new: str = Field(description="Its text afterwards.")


class EntryShown(Schema):
    """What happens to one entry; `key` names it in `left_out`."""

    section: str = Field(description="Where it stands, or `project`.", examples=["characters"])
    kind: Literal["created", "updated", "deleted"] = Field(description="What happens to it.")
    name: str = Field(examples=["Mira"])
    key: str = Field(description="Its name within its section.", examples=["mira"])
    fields: list[FieldShown] = Field(description="Its fields that differ.")


class BootstrapImport(Schema):
    """What an import did, or would do in a dry run."""

    schema_version: str = Field(examples=[SCHEMA_VERSION])
    mode: str = Field(examples=["merge"])
    dry_run: bool
    project_updated: bool
    applied: Applied
    changes: ChangesShown
    project: BootstrapProject
    settings: SettingsShown = Field(description="The whole state afterwards.")
    entries: list[EntryShown] = Field(description="Each entry that changes, field by field.")
    repairs: list[str] = Field(description="What was mended in the text to read it.")
    fingerprint: str = Field(
        description="Of the settings before; sent along with an import, it holds only for them.",
        examples=[FINGERPRINT],
    )
    snapshot_id: str = Field(description="Holds the settings before; '' in a dry run.")
    lost: list[str] = Field(description="Places of credentials that could not be kept: none is stored there.")


class ImportAnswer(Answer):
    """What an import did."""

    bootstrap_import: BootstrapImport


def project_shown(project: Project, name: str, description: str) -> dict[str, object]:
    return {"id": str(project.pk), "slug": project.slug, "name": name, "description": description}


def changes_shown(plan: Plan) -> dict[str, object]:
    counts = SectionChange.model_fields
    return {
        "project": {
            "provided": plan.provided,
            "updated": plan.project_updated,
            "name_changed": plan.name_changed,
            "description_changed": plan.description_changed,
        },
        **{section: {name: getattr(one, name) for name in counts} for section, one in plan.sections.items()},
    }


def settings_shown(
    project: Project, rows: Mapping[str, Sequence[tuple[Entry, Any]]]
) -> dict[str, list[dict[str, object]]]:
    now = moment(timezone.now())
    return {
        section: [_shown(section, entry, row, project, now) for entry, row in rows[section]]
        for section in SECTIONS
    }


def _shown(section: str, entry: Entry, row: Any, project: Project, now: str) -> dict[str, object]:
    """One entry as the contract has it; a row that is not stored gets a placeholder for its id."""
    fields = sent(entry)
    if isinstance(entry, RefSet | SecretName):
        return fields
    times = {
        "created_at": moment(row.created_at) if row else now,
        "updated_at": moment(row.updated_at) if row else now,
    }
    if isinstance(entry, Account):
        # The operator's limits are no part of the prompt: an answer that knows nothing of them keeps them.
        fields = {key: value for key, value in fields.items() if key not in LIMITS}
        return {"project_id": str(project.pk), **fields, **times}
    key = str(row.pk) if row else f"preview_{PREVIEW_IDS[section]}_{uuid.uuid4()}"
    return {"id": key, "project_id": str(project.pk), **fields, **times}


def import_shown(
    project: Project, outcome: Outcome, document: Document, *, dry_run: bool
) -> dict[str, object]:
    """What an import did or would do."""
    plan = outcome.plan
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": document.mode,
        "dry_run": dry_run,
        "project_updated": plan.project_updated,
        "applied": {section: _applied(document, section) for section in SECTIONS},
        "changes": changes_shown(plan),
        "entries": entries_shown(shown(outcome.before, plan)),
        "project": project_shown(project, plan.name, plan.description),
        "settings": settings_shown(project, outcome.rows),
        "repairs": document.repairs,
        "fingerprint": outcome.fingerprint,
        "snapshot_id": str(outcome.snapshot.pk) if outcome.snapshot else "",
        "lost": list(outcome.lost),
    }


def _applied(document: Document, section: str) -> int:
    entries = document.sections.get(section, ())
    return sum((section, entry.key_text) not in document.left_out for entry in entries)


def entries_shown(plan: Shown) -> list[dict[str, object]]:
    """What happens to each entry that changes, with its fields as they were and will be."""
    return [
        {
            "section": one.section,
            "kind": change.kind,
            "name": change.name,
            "key": change.value.partition(":")[2],
            "fields": [
                {"label": changed.label, "old": changed.text("new"), "new": changed.text("old")}
                for changed in change.fields
            ],
        }
        for one in plan.sections
        for change in one.changes
    ]
