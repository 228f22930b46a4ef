"""Files of a universe, for its members only: streamed, with their hash as ETag."""

import mimetypes
from pathlib import Path, PurePosixPath
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from pipeline.engine.names import stamp
from pipeline.models import Asset, Run, RunJob
from pipeline.services.assets import thumbnail_name
from pipeline.store import store_for
from projects.access import Action, PageRequest, project_page
from projects.errors import NotFound
from projects.models import Project, ReferenceItem

# What a browser shows as a picture and never as a page; anything else is only ever downloaded.
SHOWN_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff", "image/avif"})
NAMED_TYPES = SHOWN_TYPES | {"application/json", "application/zip"}
FOR_GOOD = "private, max-age=31536000, immutable"


@require_safe
@project_page(Action.READ)
def asset_file(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """A file of a run as it was made; `?download=1` saves it."""
    asset = get_object_or_404(Asset, project=project, pk=pk)
    return send(request, project, asset.rel_path, sha256=asset.sha256, mime_type=asset.mime_type)


@require_safe
@project_page(Action.READ)
def asset_thumb(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """The small picture of a file of a run."""
    asset = get_object_or_404(Asset, project=project, pk=pk)
    return send_thumbnail(request, project, asset.rel_path, sha256=asset.sha256, mime_type=asset.mime_type)


@require_safe
@project_page(Action.READ)
def reference_item_file(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """A reference image as it was uploaded; `?download=1` saves it under the name it came with."""
    item = _image(project, pk)
    sha256, mime_type = str(item.facts.get("sha256", "")), str(item.facts.get("mime_type", ""))
    return send(request, project, item.content_uri, sha256=sha256, mime_type=mime_type, filename=item.label)


@require_safe
@project_page(Action.READ)
def reference_item_thumb(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """The small picture of a reference image."""
    item = _image(project, pk)
    sha256, mime_type = str(item.facts.get("sha256", "")), str(item.facts.get("mime_type", ""))
    return send_thumbnail(request, project, item.content_uri, sha256=sha256, mime_type=mime_type)


@require_safe
@project_page(Action.READ)
def scene_file(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """The scene that a job redraws, also when it has left its reference set."""
    path, sha256 = _scene(project, pk)
    return send(request, project, path, sha256=sha256, mime_type="")


@require_safe
@project_page(Action.READ)
def scene_thumb(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """The small picture of the scene that a job redraws."""
    path, sha256 = _scene(project, pk)
    return send_thumbnail(request, project, path, sha256=sha256, mime_type="")


@require_safe
@project_page(Action.READ)
def run_log(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """The record of a run, with all that is needed to repeat it."""
    run = get_object_or_404(Run, project=project, pk=pk)
    filename = f"{project.slug}_{stamp(run.created_at)}.json"
    return send(
        request, project, run.run_log_path, sha256="", mime_type="application/json", filename=filename
    )


def send(
    request: HttpRequest, project: Project, name: str, *, sha256: str, mime_type: str, filename: str = ""
) -> HttpResponseBase:
    """Stream a file of the project; `name` is relative to its root. Raises `NotFound`, `Invalid`.

    `sha256` is the hash of what it shows, '' if that may change. The type is guessed where it is not known.
    """
    filename = filename or PurePosixPath(name).name
    if PurePosixPath(name).is_absolute():  # from a log of another place: never sent
        raise NotFound(f"The file {filename} is not in the folder of {project.name}")
    path = store_for(project).path(name)
    where = f"in the folder of {project.name}"
    return send_path(request, path, sha256=sha256, mime_type=mime_type, filename=filename, where=where)


def send_path(
    request: HttpRequest,
    path: Path,
    *,
    sha256: str = "",
    mime_type: str = "",
    filename: str,
    where: str = "there",
) -> HttpResponseBase:
    """Stream a file that the caller may have; the arguments are those of `send`. Raises `NotFound`.

    `where` says in words where it should be.
    """
    kind = mime_type or mimetypes.guess_type(path.name)[0] or ""
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"The file {filename} is not {where} any more") from error
    response: HttpResponseBase
    if request.method == "HEAD":
        file.close()
        response = HttpResponse()
        response["Content-Length"] = str(path.stat().st_size)
    else:
        response = FileResponse(file)
    shown = kind in SHOWN_TYPES
    response["Content-Type"] = kind if kind in NAMED_TYPES else "application/octet-stream"
    attached = not shown or request.GET.get("download") == "1"
    response["Content-Disposition"] = content_disposition_header(attached, filename) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    if not sha256:
        response["Cache-Control"] = "private, no-cache"
        return response
    etag = f'"{sha256}"'
    answer = get_conditional_response(request, etag=etag)
    if answer is not None:
        response.close()
        response = answer
    response["ETag"], response["Cache-Control"] = etag, FOR_GOOD
    return response


def send_thumbnail(
    request: PageRequest, project: Project, name: str, *, sha256: str, mime_type: str
) -> HttpResponseBase:
    """Stream the small picture of a file, or the file itself as long as the worker has not made one."""
    small = thumbnail_name(sha256)
    if sha256 and store_for(project).exists(small):
        filename = f"{PurePosixPath(name).stem}.webp"
        return send(
            request, project, small, sha256=f"{sha256}-thumb", mime_type="image/webp", filename=filename
        )
    response = send(request, project, name, sha256=sha256, mime_type=mime_type)
    response["Cache-Control"] = "private, no-cache"  # the small one will come
    return response


def _image(project: Project, pk: UUID) -> ReferenceItem:
    return get_object_or_404(ReferenceItem.objects.exclude(content_uri=""), project=project, pk=pk)


def _scene(project: Project, pk: UUID) -> tuple[str, str]:
    job = get_object_or_404(RunJob, run__project=project, pk=pk)
    if not job.inputs:
        raise NotFound(f"{job} was planned without a scene image")
    return str(job.inputs[0]["path"]), str(job.inputs[0]["sha256"])
