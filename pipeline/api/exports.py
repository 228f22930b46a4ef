"""Routes: exports."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field, JsonValue, StrictStr

from pipeline.api.answers import Paths, at, paths_of, sent
from pipeline.api.shapes import ID
from pipeline.models import Export, Run
from pipeline.services import exports
from pipeline.views.files import send
from projects.access import Action
from projects.api.base import ADDITIVE, Answer, ApiRequest, Bearer, answers, project_of, row_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid, NotFound
from projects.models import Project
from projects.names import exact_id
from projects.texts import LONGEST_NAME, required_text

EXPORT_NOT_FOUND = "Project export not found"
DEFAULT, MOST = 500, 2000  # exports of a list

router = Router(tags=["exports"])


class ExportIn(Schema):
    """What to pack."""

    run_id: StrictStr = Field("", description="The run whose panels are packed.", examples=[ID])
    export_format: StrictStr | None = Field(None, description="`zip` if left out.", examples=["zip"])

    def checked(self) -> dict[str, str]:
        """The run's id and the format. Raises `Invalid`."""
        return {
            "run_id": required_text("run_id", self.run_id, longest=LONGEST_NAME),
            "export_format": exports.checked_format(self.export_format),
        }


class ExportOut(Schema):
    """A package to carry away."""

    id: str = Field(examples=[ID])
    project_id: str = Field(examples=[ID])
    run_id: str
    status: str = Field(examples=["completed"])
    export_format: str = Field(examples=["zip"])
    storage_uri: str = Field(examples=["var/projects/saltmarsh/exports/run_1777928800-902_winners.zip"])
    rel_path: str = Field(description="In the project's folder.")
    file_size_bytes: int
    checksum_sha256: str
    manifest_json: dict[str, JsonValue] = Field(description="Its files with their hashes, and the run log's.")
    created_at: str
    completed_at: str = Field(description="'' until it is done.")


class ExportListAnswer(ListAnswer):
    """Some packages of a project."""

    exports: list[ExportOut]


class ExportAnswer(Answer):
    """One package."""

    export: ExportOut


class ExportMadeAnswer(ExportAnswer):
    """A package that was just made."""

    audit_id: str


@router.get(
    "/api/projects/{slug}/exports",
    auth=Bearer(Action.READ),
    response=answers(ExportListAnswer),
    summary="List exports",
)
def list_exports(request: ApiRequest, slug: str, query: Query[ListQuery]) -> HttpResponse:
    """The packages of a project, the newest first."""
    project = project_of(request)
    found = Export.objects.filter(project=project)
    page = page_of(found, query, order=("-created_at", "-id"), default=DEFAULT, most=MOST)
    paths = paths_of(project)
    return sent(page.answer("exports", lambda export: _export_body(export, paths)))


@router.post(
    "/api/projects/{slug}/exports",
    auth=Bearer(Action.RUN),
    response=answers(ExportMadeAnswer, body=True),
    summary="Pack the panels of a run",
    openapi_extra=ADDITIVE,
)
def create_export(request: ApiRequest, slug: str, payload: ExportIn) -> HttpResponse:
    """Pack the approved panels of a run, or all its winners while none is approved, with its log.

    The zip file has a `manifest.json` with the hash of every file.
    """
    fields = payload.checked()
    project = project_of(request)
    run = _run(project, fields["run_id"])
    export, event = exports.create_export(run, export_format=fields["export_format"], by=request.principal)
    return sent({"ok": True, "export": _export_body(export, paths_of(project)), "audit_id": event.pk})


@router.get(
    "/api/projects/{slug}/exports/{export_id}",
    auth=Bearer(Action.READ),
    response=answers(ExportAnswer),
    summary="Read an export",
)
def get_export(request: ApiRequest, slug: str, export_id: str) -> HttpResponse:
    """One package."""
    project = project_of(request, missing=EXPORT_NOT_FOUND)
    return sent({"ok": True, "export": _export_body(_export(project, export_id), paths_of(project))})


@router.get(
    "/api/projects/{slug}/exports/{export_id}/file",
    auth=Bearer(Action.READ),
    response=answers(bytes),
    summary="Download an export",
    openapi_extra=ADDITIVE,
)
def get_export_file(request: ApiRequest, slug: str, export_id: str) -> HttpResponseBase:
    """The bytes of a package, with its hash as ETag."""
    project = project_of(request, missing=EXPORT_NOT_FOUND)
    export = _export(project, export_id)
    if not export.rel_path:
        raise NotFound("This export has no file yet")
    return send(request, project, export.rel_path, sha256=export.checksum_sha256, mime_type="application/zip")


def _run(project: Project, run_id: str) -> Run:
    pk = exact_id(run_id)
    run = Run.objects.filter(project=project, pk=pk).first() if pk else None
    if run is None:
        raise Invalid(f"Run '{run_id}' was not found in this project")
    run.project = project
    return run


def _export(project: Project, export_id: str) -> Export:
    return row_of(Export.objects.filter(project=project), export_id, missing=EXPORT_NOT_FOUND)


def _export_body(export: Export, paths: Paths) -> dict[str, object]:
    return {
        "id": export.pk,
        "project_id": export.project_id,
        "run_id": export.run_id or "",
        "status": export.status,
        "export_format": export.export_format,
        "storage_uri": paths.shown(export.rel_path),
        "rel_path": export.rel_path,
        "file_size_bytes": export.n_bytes,
        "checksum_sha256": export.checksum_sha256,
        "manifest_json": export.manifest,
        "created_at": at(export.created_at),
        "completed_at": at(export.completed_at),
    }
