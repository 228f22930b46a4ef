"""Routes: the bootstrap exchange."""

from dataclasses import replace

from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field, StrictBool, StrictStr

from bootstrap import services
from bootstrap.api.shapes import (
    FINGERPRINT,
    BootstrapAnswer,
    ImportAnswer,
    import_shown,
    project_shown,
    settings_shown,
)
from bootstrap.document import SCHEMA_VERSION, ImportedSettings, judged, mode_of
from bootstrap.entries import SECTIONS, Document
from bootstrap.parse import answer_of
from bootstrap.prompt import EXPECTED_RESPONSE, RESPONSE_SCHEMA, brief_of, prompt_text
from projects.access import Action
from projects.api.base import ApiRequest, Bearer, answers, moment, project_of
from projects.errors import Invalid

router = Router(tags=["bootstrap"])


class BriefQuery(Schema):
    """What goes into the prompt besides the project's state."""

    brief: str = Field("", description="The person's story or wish; it gets a marked place in the prompt.")

    def checked(self) -> str:
        """The trimmed brief. Raises `Invalid`."""
        return brief_of(self.brief)


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
    fingerprint: StrictStr | None = Field(
        None,
        description="Of a dry run: import only if the settings are still those that it saw.",
        examples=[FINGERPRINT],
    )
    left_out: dict[str, list[StrictStr]] | None = Field(
        None,
        description="By section (or `project`), the keys of entries that stay as they are.",
        examples=[{"characters": ["mira"], "project": ["name"]}],
    )

    def checked(self) -> Document:
        """What is wanted, judged. Raises `Invalid` with all problems."""
        return replace(self._document(), left_out=self._left_out())

    def _left_out(self) -> frozenset[tuple[str, str]]:
        given = self.left_out or {}
        for section in given:
            if section != "project" and section not in SECTIONS:
                raise Invalid(f"Field 'left_out' names the section '{section}', which there is not")
        return frozenset((section, key) for section, keys in given.items() for key in keys)

    def _document(self) -> Document:
        if self.settings is not None:
            return judged(self.settings, mode_of(self.mode))
        if self.ai_response_text is None:
            raise Invalid("Provide either 'settings' or 'ai_response_text'")
        return answer_of(self.ai_response_text, self.mode).document


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
    shown = project_shown(project, project.name, project.description)
    settings = settings_shown(project, services.stored(project))
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
    services.check_left_out(project, document)
    if payload.dry_run:
        outcome = services.preview(project, document, role=project.role)
    else:
        fingerprint = payload.fingerprint or ""
        try:
            outcome = services.apply(
                project, document, by=request.principal, role=project.role, fingerprint=fingerprint
            )
        except services.SettingsChanged as error:
            now = import_shown(project, error.outcome, document, dry_run=True)
            error.extra = {"bootstrap_import": now}
            raise
    return {
        "ok": True,
        "bootstrap_import": import_shown(project, outcome, document, dry_run=bool(payload.dry_run)),
    }
