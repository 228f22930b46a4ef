"""Routes: assets and the links between them."""

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import Field, JsonValue, StrictStr

from pipeline.api.answers import Paths, at, paths_of, sent
from pipeline.api.shapes import ID
from pipeline.models import Asset, AssetLink
from pipeline.services import links
from pipeline.services.links import LINK_NOT_FOUND
from pipeline.views.files import send
from projects.access import Action
from projects.api.base import ADDITIVE, Answer, ApiRequest, Bearer, Deleted, answers, project_of, row_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid
from projects.models import Project
from projects.names import exact_id

ASSET_NOT_FOUND = "Asset not found"
DEFAULT, MOST = 500, 2000  # assets of a list
KINDS = "candidate_output, candidate_final_output, job_final_output, or the output of a step between"

router = Router(tags=["assets"])


class AssetOut(Schema):
    """One file of a project."""

    id: str = Field(examples=[ID])
    project_id: str = Field(examples=[ID])
    kind: str = Field(description=f"{KINDS}.", examples=["job_final_output"])
    asset_kind: str = Field(description="The same as `kind`.", examples=["job_final_output"])
    storage_uri: str = Field(examples=["var/projects/saltmarsh/outputs/style_1_quay.png"])
    rel_path: str = Field(description="In the project's folder.", examples=["outputs/style_1_quay.png"])
    storage_backend: str = Field(examples=["local"])
    mime_type: str = Field(examples=["image/png"])
    width: int | None = Field(description="Pixels; null if not known.")
    height: int | None = Field(description="Pixels; null if not known.")
    n_bytes: int | None = Field(description="null if not known.")
    sha256: str
    run_id: str
    job_id: str
    candidate_id: str
    metadata_json: dict[str, JsonValue]
    created_at: str


class AssetListAnswer(ListAnswer):
    """Some files of a project."""

    assets: list[AssetOut]


class AssetAnswer(Answer):
    """One file."""

    asset: AssetOut


class LinkQuery(ListQuery):
    """Which links are wanted; all if nothing is said."""

    asset_id: str = Field("", description="Links that begin or end at this file.", examples=[ID])
    link_type: str | None = Field(None, description="Links of this type.", examples=["derived_from"])


class LinkIn(Schema):
    """A new link."""

    parent_asset_id: StrictStr = Field("", examples=[ID])
    child_asset_id: StrictStr = Field("", examples=[ID])
    link_type: StrictStr | None = Field(
        None, description=f"One of {', '.join(links.LINK_TYPES)}; the first if left out."
    )

    def checked(self) -> dict[str, str]:
        """What the service takes. Raises `Invalid`."""
        parent, child = links.checked_ends(self.parent_asset_id, self.child_asset_id)
        link_type = links.LINK_TYPES[0] if self.link_type is None else self.link_type
        return {"parent": parent, "child": child, "link_type": links.checked_type(link_type)}


class LinkPatch(Schema):
    """What is to change; the rest stays."""

    parent_asset_id: StrictStr | None = Field(None, examples=[ID])
    child_asset_id: StrictStr | None = Field(None, examples=[ID])
    link_type: StrictStr | None = Field(None, examples=["variant_of"])

    def checked(self) -> dict[str, str | None]:
        """What the service takes. Raises `Invalid` if nothing is given; blanks are for after the look-up."""
        given = {"parent": self.parent_asset_id, "child": self.child_asset_id, "link_type": self.link_type}
        if not any(value is not None for value in given.values()):
            raise Invalid("Provide at least one of: parent_asset_id, child_asset_id, link_type")
        return given


NO_CHANGE = LinkPatch.model_validate({})


class LinkOut(Schema):
    """One file belongs to another."""

    id: str = Field(examples=[ID])
    project_id: str = Field(examples=[ID])
    parent_asset_id: str = Field(examples=[ID])
    child_asset_id: str = Field(examples=[ID])
    link_type: str = Field(examples=["derived_from"])
    created_at: str
    updated_at: str


class LinkListAnswer(ListAnswer):
    """Links of a project."""

    asset_links: list[LinkOut]


class LinkAnswer(Answer):
    """One link."""

    asset_link: LinkOut


@router.get(
    "/api/projects/{slug}/assets",
    auth=Bearer(Action.READ),
    response=answers(AssetListAnswer),
    summary="List assets",
)
def list_assets(request: ApiRequest, slug: str, query: Query[ListQuery]) -> HttpResponse:
    """The files of a project, the newest first."""
    project = project_of(request)
    assets = Asset.objects.filter(project=project)
    page = page_of(assets, query, order=("-created_at", "-id"), default=DEFAULT, most=MOST)
    paths = paths_of(project)
    return sent(page.answer("assets", lambda asset: _asset_body(asset, paths)))


@router.get(
    "/api/projects/{slug}/assets/{asset_id}",
    auth=Bearer(Action.READ),
    response=answers(AssetAnswer),
    summary="Read an asset",
)
def get_asset(request: ApiRequest, slug: str, asset_id: str) -> HttpResponse:
    """What is known about a file."""
    project = project_of(request, missing=ASSET_NOT_FOUND)
    return sent({"ok": True, "asset": _asset_body(_asset(project, asset_id), paths_of(project))})


@router.get(
    "/api/projects/{slug}/assets/{asset_id}/file",
    auth=Bearer(Action.READ),
    response=answers(bytes),
    summary="Download an asset",
    openapi_extra=ADDITIVE,
)
def get_asset_file(request: ApiRequest, slug: str, asset_id: str) -> HttpResponseBase:
    """The bytes of a file, with its hash as ETag; `?download=1` says that it is to be saved."""
    project = project_of(request, missing=ASSET_NOT_FOUND)
    asset = _asset(project, asset_id)
    return send(request, project, asset.rel_path, sha256=asset.sha256, mime_type=asset.mime_type)


@router.get(
    "/api/projects/{slug}/asset-links",
    auth=Bearer(Action.READ),
    response=answers(LinkListAnswer),
    summary="List asset links",
)
def list_asset_links(request: ApiRequest, slug: str, query: Query[LinkQuery]) -> HttpResponse:
    """The links between files of a project, the last changed first."""
    project = project_of(request)
    found = _links(project)
    if query.link_type is not None:
        found = found.filter(link_type=links.checked_type(query.link_type))
    if asset_id := query.asset_id.strip():
        pk = exact_id(asset_id)
        found = found.filter(Q(parent=pk) | Q(child=pk)) if pk else found.none()
    return sent(page_of(found, query, order=("-updated_at", "-id")).answer("asset_links", _link_body))


@router.post(
    "/api/projects/{slug}/asset-links",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(LinkAnswer, body=True),
    summary="Create an asset link",
)
def create_asset_link(request: ApiRequest, slug: str, payload: LinkIn) -> HttpResponse:
    """Say how two files of a project belong together. `A→B` and `B→A` are different links."""
    fields = payload.checked()
    link = links.create_link(project_of(request), **fields, by=request.principal)
    return sent({"ok": True, "asset_link": _link_body(link)})


@router.get(
    "/api/projects/{slug}/asset-links/{link_id}",
    auth=Bearer(Action.READ),
    response=answers(LinkAnswer),
    summary="Read an asset link",
)
def get_asset_link(request: ApiRequest, slug: str, link_id: str) -> HttpResponse:
    """One link."""
    return sent({"ok": True, "asset_link": _link_body(_link(request, link_id))})


@router.put(
    "/api/projects/{slug}/asset-links/{link_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(LinkAnswer, body=True),
    summary="Change an asset link",
)
def update_asset_link(
    request: ApiRequest, slug: str, link_id: str, payload: LinkPatch = NO_CHANGE
) -> HttpResponse:
    """Change an end or the type of a link."""
    fields = payload.checked()
    link = links.update_link(_link(request, link_id), **fields, by=request.principal)
    return sent({"ok": True, "asset_link": _link_body(link)})


@router.delete(
    "/api/projects/{slug}/asset-links/{link_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(Deleted),
    summary="Delete an asset link",
)
def delete_asset_link(request: ApiRequest, slug: str, link_id: str) -> dict[str, object]:
    """Remove a link; the files stay."""
    links.delete_link(_link(request, link_id), by=request.principal)
    return {"ok": True, "deleted": True, "id": link_id}


def _asset(project: Project, asset_id: str) -> Asset:
    return row_of(Asset.objects.filter(project=project), asset_id, missing=ASSET_NOT_FOUND)


def _links(project: Project) -> QuerySet[AssetLink]:
    return AssetLink.objects.filter(project=project)


def _link(request: ApiRequest, link_id: str) -> AssetLink:
    project = project_of(request, missing=LINK_NOT_FOUND)
    link = row_of(_links(project), link_id, missing=LINK_NOT_FOUND)
    link.project = project
    return link


def _asset_body(asset: Asset, paths: Paths) -> dict[str, object]:
    return {
        "id": asset.pk,
        "project_id": asset.project_id,
        "kind": asset.kind,
        "asset_kind": asset.kind,
        "storage_uri": paths.shown(asset.rel_path),
        "rel_path": asset.rel_path,
        "storage_backend": asset.storage_backend,
        "mime_type": asset.mime_type,
        "width": asset.width,
        "height": asset.height,
        "n_bytes": asset.n_bytes,
        "sha256": asset.sha256,
        "run_id": asset.run_id or "",
        "job_id": asset.job_id or "",
        "candidate_id": asset.candidate_id or "",
        "metadata_json": asset.metadata,
        "created_at": at(asset.created_at),
    }


def _link_body(link: AssetLink) -> dict[str, object]:
    return {
        "id": link.pk,
        "project_id": link.project_id,
        "parent_asset_id": link.parent_id,
        "child_asset_id": link.child_id,
        "link_type": link.link_type,
        "created_at": at(link.created_at),
        "updated_at": at(link.updated_at),
    }
