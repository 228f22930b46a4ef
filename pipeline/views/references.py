"""Reference sets: the images that runs take their scenes and their style from."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from pipeline.services.references import add_images
from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError
from projects.models import Project, ReferenceItem, ReferenceSet
from projects.services.library import remove_item


@require_safe
@project_page(Action.READ)
def reference_set(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """The images of one set, in their order, and the place to drop more."""
    return _set_page(request, project, get_object_or_404(ReferenceSet, project=project, pk=pk))


@require_POST
@project_page(Action.EDIT_LIBRARY)
def reference_upload(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Take in the files that were chosen or dropped: all of them or none."""
    found = get_object_or_404(ReferenceSet, project=project, pk=pk)
    try:
        items = add_images(found, request.FILES.getlist("images"), by=request.principal)
    except KromaError as error:
        return _set_page(request, project, found, refusal=str(error), status=max(error.status, 422))
    noun = "image is" if len(items) == 1 else "images are"
    messages.success(request, f"{len(items)} {noun} now in {found.name}.")
    return redirect("pipeline:reference-set", project.slug, found.pk)


@require_POST
@project_page(Action.EDIT_LIBRARY)
def item_remove(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Take one image out of its set."""
    item = get_object_or_404(ReferenceItem, project=project, pk=pk)
    reference_set_pk = item.reference_set_id
    remove_item(item, by=request.principal)
    messages.success(request, f"{item.label} is removed from the set. Runs made from it keep it.")
    return redirect("pipeline:reference-set", project.slug, reference_set_pk)


def _set_page(
    request: PageRequest, project: Project, found: ReferenceSet, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    items = list(found.items.all())
    context = {
        "project": project,
        "section": "library",
        "set": found,
        "items": items,
        "n_images": sum(1 for item in items if item.content_uri),
        "refusal": refusal,
    }
    return render(request, "pipeline/reference_set.html", context, status=status)
