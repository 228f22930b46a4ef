"""Routes: the history of a universe's settings, and the way back. Kroma's own, the contract has none."""

from typing import Any, Literal

from ninja import Query, Router, Schema
from pydantic import Field, JsonValue, StrictBool, StrictStr

from bootstrap import services
from bootstrap.api.shapes import FINGERPRINT, BootstrapImport, EntryShown, entries_shown, import_shown
from bootstrap.models import SettingsSnapshot
from bootstrap.presentation import difference
from bootstrap.rows import load
from bootstrap.services import Outcome
from bootstrap.snapshots import document_of, state_of
from projects.access import Action
from projects.api.base import ADDITIVE, Answer, ApiRequest, Bearer, answers, moment, project_of, row_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.models import Project

NOT_FOUND = "Snapshot not found"
DEFAULT_LIMIT = 50

router = Router(tags=["bootstrap"])


class RestoreIn(Schema):
    """How a snapshot is brought back."""

    dry_run: StrictBool | None = Field(None, description="Only tell what would change.")
    fingerprint: StrictStr | None = Field(
        None,
        description="Of a dry run: restore only if the settings are still those that it saw.",
        examples=[FINGERPRINT],
    )


WITHOUT_BODY = RestoreIn(dry_run=None, fingerprint=None)


class ChangesQuery(Schema):
    """What a snapshot is compared with."""

    to: str = Field("", description="Another snapshot; left out: the settings as they are now.")


class SnapshotShown(Schema):
    """The settings of a project just before a change."""

    id: str
    created_at: str
    reason: Literal["import", "restore", "copy"] = Field(description="Which change it was taken before.")
    actor: str = Field(description="Who made that change; '' for nobody.")
    n_entries: int = Field(description="Entries of all six sections.")
    fingerprint: str = Field(description="The same for the same settings.", examples=[FINGERPRINT])
    changes: dict[str, JsonValue] = Field(description="What that change did: its mode and its counts.")


class SnapshotWhole(SnapshotShown):
    """A snapshot with what it holds."""

    settings: dict[str, JsonValue] = Field(
        description="The project and its six sections with the ids of their rows; credentials are marked."
    )


class SnapshotList(ListAnswer):
    """Snapshots, newest first."""

    bootstrap_snapshots: list[SnapshotShown]


class SnapshotAnswer(Answer):
    """One snapshot."""

    bootstrap_snapshot: SnapshotWhole


class ChangesAnswer(Answer):
    """What leads from one state to another, as far as the exchange would do it: secrets are never deleted."""

    changes: list[EntryShown]


class RestoreAnswer(Answer):
    """What a restore did."""

    bootstrap_restore: BootstrapImport


@router.get(
    "/api/projects/{slug}/bootstrap-snapshots",
    auth=Bearer(Action.READ),
    response=answers(SnapshotList),
    summary="List snapshots of the settings",
    openapi_extra=ADDITIVE,
)
def list_snapshots(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """One for each import, restore and copy, taken just before it; newest first."""
    snapshots = SettingsSnapshot.objects.filter(project=project_of(request)).without_content()
    page = page_of(snapshots, query, order=["-created_at", "-id"], default=DEFAULT_LIMIT)
    return page.answer("bootstrap_snapshots", _shown)


@router.get(
    "/api/projects/{slug}/bootstrap-snapshots/{snapshot_id}",
    auth=Bearer(Action.READ),
    response=answers(SnapshotAnswer),
    summary="Read one snapshot",
    openapi_extra=ADDITIVE,
)
def get_snapshot(request: ApiRequest, slug: str, snapshot_id: str) -> dict[str, object]:
    """A snapshot with all that it holds; no secret value and no credential is in it."""
    snapshot = _snapshot(project_of(request), snapshot_id)
    return {"bootstrap_snapshot": {**_shown(snapshot), "settings": snapshot.content}}


@router.get(
    "/api/projects/{slug}/bootstrap-snapshots/{snapshot_id}/changes",
    auth=Bearer(Action.READ),
    response=answers(ChangesAnswer),
    summary="Compare a snapshot",
    openapi_extra=ADDITIVE,
)
def compare_snapshot(
    request: ApiRequest, slug: str, snapshot_id: str, query: Query[ChangesQuery]
) -> dict[str, object]:
    """What changed from a snapshot to another one, or to the settings as they are now."""
    project = project_of(request)
    before = state_of(_snapshot(project, snapshot_id).content)
    after = state_of(_snapshot(project, query.to).content) if query.to else load(project).state
    return {"changes": entries_shown(difference(before, after))}


@router.post(
    "/api/projects/{slug}/bootstrap-snapshots/{snapshot_id}/restore",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(RestoreAnswer, body=True),
    summary="Restore a snapshot",
    openapi_extra=ADDITIVE,
)
def restore_snapshot(
    request: ApiRequest, slug: str, snapshot_id: str, payload: RestoreIn = WITHOUT_BODY
) -> dict[str, object]:
    """Bring back all that a snapshot holds, with ids and order; a snapshot taken before makes it undoable.

    Secrets are never deleted, and their values are in no snapshot. Callers who are not owners leave provider
    accounts and secrets as they are.
    """
    project = project_of(request)
    snapshot = _snapshot(project, snapshot_id)
    role = project.role

    def shown(outcome: Outcome, *, dry_run: bool) -> dict[str, object]:
        document = document_of(state_of(snapshot.content))
        return import_shown(project, outcome, document, dry_run=dry_run)

    if payload.dry_run:
        outcome = services.preview_restore(project, snapshot, role=role)
        return {"bootstrap_restore": shown(outcome, dry_run=True)}
    try:
        outcome = services.restore(
            project, snapshot, by=request.principal, role=role, fingerprint=payload.fingerprint or ""
        )
    except services.SettingsChanged as error:
        error.extra = {"bootstrap_restore": shown(error.outcome, dry_run=True)}
        raise
    return {"bootstrap_restore": shown(outcome, dry_run=False)}


def _snapshot(project: Project, text: str) -> SettingsSnapshot:
    return row_of(SettingsSnapshot.objects.filter(project=project), text, missing=NOT_FOUND)


def _shown(snapshot: SettingsSnapshot) -> dict[str, Any]:
    return {
        "id": str(snapshot.pk),
        "created_at": moment(snapshot.created_at),
        "reason": snapshot.reason,
        "actor": snapshot.actor,
        "n_entries": snapshot.n_entries,
        "fingerprint": snapshot.fingerprint,
        "changes": snapshot.changes,
    }
