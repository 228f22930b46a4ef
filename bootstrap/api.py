"""Routes: the bootstrap exchange."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field, JsonValue, StrictBool, StrictStr

from bootstrap import services
from bootstrap.diff import Plan
from bootstrap.document import (
    SCHEMA_VERSION,
    SECTIONS,
    Account,
    Document,
    Entry,
    ImportedSettings,
    RefSet,
    SecretName,
    judged,
    mode_of,
    shown_config,
)
from bootstrap.parse import answer_of
from bootstrap.prompt import EXPECTED_RESPONSE, RESPONSE_SCHEMA, prompt_text
from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, answers, moment, project_of
from projects.errors import Invalid
from projects.models import Project
from projects.texts import optional_text

LONGEST_BRIEF = 20_000  # characters
PREVIEW_IDS = {"style_guides": "style", "characters": "character", "prompt_templates": "prompt"}

router = Router(tags=["bootstrap"])


class BriefQuery(Schema):
    """What goes into the prompt besides the project's state."""

    brief: str = Field("", description="The person's story or wish; it gets a marked place in the prompt.")

    def checked(self) -> str:
        """The trimmed brief. Raises `Invalid`."""
        if "\x00" in self.brief:
            raise Invalid("Field 'brief' holds a character that can't be used")
        return optional_text("brief", self.brief, longest=LONGEST_BRIEF)


class ImportIn(Schema):
    """Settings to import, as an object or as the text that a language model answered."""

    mode: StrictStr | None = Field(
        None, description="`merge` (the default) keeps what is not named, `replace` empties given sections."
    )
    dry_run: StrictBool | None = Field(None, description="Only tell what would change.")
    settings: ImportedSettings | None = None
    ai_response_text: StrictStr | None = Field(
        None,
        description="Ignored where `settings` is given.",
        examples=['{"characters": [{"name": "Mira"}]}'],
    )

    def checked(self) -> Document:
        """What is wanted, judged. Raises `Invalid` with all problems."""
        if self.settings is not None:
            return judged(self.settings, mode_of(self.mode))
        if self.ai_response_text is None:
            raise Invalid("Provide either 'settings' or 'ai_response_text'")
        answer = answer_of(self.ai_response_text)
        return judged(answer.settings, mode_of(self.mode, answer.mode), answer.repairs)


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
    repairs: list[str] = Field(description="What was mended in the text to read it.")


class ImportAnswer(Answer):
    """What an import did."""

    bootstrap_import: BootstrapImport


@router.get(
    "/api/projects/{slug}/bootstrap-prompt",
    auth=Bearer(Action.READ),
    response=answers(BootstrapAnswer),
    summary="Export the bootstrap prompt",
)
def export_bootstrap_prompt(request: ApiRequest, slug: str, query: Query[BriefQuery]) -> dict[str, object]:
    """The project's state, and a prompt to paste into any language model. It holds no secret."""
    brief = query.checked()
    project = project_of(request)
    shown = _project_shown(project, project.name, project.description)
    settings = _settings_shown(project, services.stored(project))
    return {
        "ok": True,
        "bootstrap": {
            "schema_version": SCHEMA_VERSION,
            "generated_at": moment(timezone.now()),
            "project": shown,
            "settings": settings,
            "expected_response": EXPECTED_RESPONSE,
            "response_schema": RESPONSE_SCHEMA,
            "prompt": prompt_text(shown, settings, brief),
        },
    }


@router.post(
    "/api/projects/{slug}/bootstrap-import",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(ImportAnswer, body=True),
    summary="Import bootstrap settings",
)
def import_bootstrap_settings(request: ApiRequest, slug: str, payload: ImportIn) -> dict[str, object]:
    """Import settings, all or nothing; with `dry_run` only tell what would change.

    The `items` of a reference set are all that it has afterwards. Secrets are only added, without a value.
    Chats and agent instructions are no part of the exchange. An error lists all problems in `details`.
    """
    document = payload.checked()
    project = project_of(request)
    if payload.dry_run:
        outcome = services.preview(project, document, role=project.role)
    else:
        outcome = services.apply(project, document, by=request.principal, role=project.role)
    plan = outcome.plan
    return {
        "ok": True,
        "bootstrap_import": {
            "schema_version": SCHEMA_VERSION,
            "mode": document.mode,
            "dry_run": bool(payload.dry_run),
            "project_updated": plan.project_updated,
            "applied": {section: len(document.sections.get(section, ())) for section in SECTIONS},
            "changes": _changes_shown(plan),
            "project": _project_shown(project, plan.name, plan.description),
            "settings": _settings_shown(project, outcome.rows),
            "repairs": document.repairs,
        },
    }


def _project_shown(project: Project, name: str, description: str) -> dict[str, object]:
    return {"id": str(project.pk), "slug": project.slug, "name": name, "description": description}


def _changes_shown(plan: Plan) -> dict[str, object]:
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


def _settings_shown(
    project: Project, rows: Mapping[str, Sequence[tuple[Entry, Any]]]
) -> dict[str, list[dict[str, object]]]:
    now = moment(timezone.now())
    return {
        section: [_shown(section, entry, row, project, now) for entry, row in rows[section]]
        for section in SECTIONS
    }


def _shown(section: str, entry: Entry, row: Any, project: Project, now: str) -> dict[str, object]:
    """One entry as the contract has it; a row that is not stored gets a placeholder for its id."""
    if isinstance(entry, SecretName):
        return dict(vars(entry))
    if isinstance(entry, RefSet):
        items = [_renamed(vars(item), "metadata", item.metadata) for item in entry.items]
        return {"name": entry.name, "description": entry.description, "items": items}
    times = {
        "created_at": moment(row.created_at) if row else now,
        "updated_at": moment(row.updated_at) if row else now,
    }
    if isinstance(entry, Account):
        fields = _renamed(vars(entry), "config", shown_config(entry.config))
        return {"project_id": str(project.pk), **fields, **times}
    key = str(row.pk) if row else f"preview_{PREVIEW_IDS[section]}_{uuid.uuid4()}"
    return {"id": key, "project_id": str(project.pk), **vars(entry), **times}


def _renamed(fields: Mapping[str, object], name: str, value: object) -> dict[str, object]:
    """The fields with `<name>_json` in place of `name`."""
    return {**{key: one for key, one in fields.items() if key != name}, f"{name}_json": value}
