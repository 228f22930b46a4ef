"""The continuity library: an overview, and the same few pages for each kind of entry."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError
from projects.forms import CharacterForm, PromptTemplateForm, ReferenceSetForm, StyleGuideForm
from projects.models import Project, ReferenceItem, ReferenceSet
from projects.services.library import Entry, NameTaken, delete_entry, save_entry

N_SHOWN = 3  # images on the card of a reference set


@require_safe
@project_page(Action.READ)
def library(request: PageRequest, project: Project) -> HttpResponse:
    """All that keeps this universe in one hand."""
    context = {
        "project": project,
        "section": "library",
        "reference_sets": [(found, _first_images(found)) for found in _sets_with_images(project)],
        "style_guides": project.style_guides.all(),
        "characters": project.characters.all(),
        "prompt_templates": project.prompt_templates.all(),
    }
    return render(request, "projects/library.html", context)


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def style_guide_new(request: PageRequest, project: Project) -> HttpResponse:
    return _entry_page(request, project, StyleGuideForm(request.POST or None), "style guide")


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def style_guide_edit(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    guide = get_object_or_404(project.style_guides, pk=pk)
    return _entry_page(request, project, StyleGuideForm(request.POST or None, instance=guide), "style guide")


@require_POST
@project_page(Action.EDIT_LIBRARY)
def style_guide_delete(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    return _deleted(request, project, get_object_or_404(project.style_guides, pk=pk))


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def character_new(request: PageRequest, project: Project) -> HttpResponse:
    return _entry_page(request, project, CharacterForm(request.POST or None), "character")


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def character_edit(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    character = get_object_or_404(project.characters, pk=pk)
    return _entry_page(request, project, CharacterForm(request.POST or None, instance=character), "character")


@require_POST
@project_page(Action.EDIT_LIBRARY)
def character_delete(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    return _deleted(request, project, get_object_or_404(project.characters, pk=pk))


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def prompt_template_new(request: PageRequest, project: Project) -> HttpResponse:
    return _entry_page(request, project, PromptTemplateForm(request.POST or None), "prompt template")


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def prompt_template_edit(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    found = get_object_or_404(project.prompt_templates, pk=pk)
    form = PromptTemplateForm(request.POST or None, instance=found)
    return _entry_page(request, project, form, "prompt template")


@require_POST
@project_page(Action.EDIT_LIBRARY)
def prompt_template_delete(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    return _deleted(request, project, get_object_or_404(project.prompt_templates, pk=pk))


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def reference_set_new(request: PageRequest, project: Project) -> HttpResponse:
    return _entry_page(request, project, ReferenceSetForm(request.POST or None), "reference set")


@require_http_methods(["GET", "POST"])
@project_page(Action.EDIT_LIBRARY)
def reference_set_edit(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    found = get_object_or_404(project.reference_sets, pk=pk)
    return _entry_page(
        request, project, ReferenceSetForm(request.POST or None, instance=found), "reference set"
    )


@require_POST
@project_page(Action.EDIT_LIBRARY)
def reference_set_delete(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    return _deleted(request, project, get_object_or_404(project.reference_sets, pk=pk))


def _sets_with_images(project: Project) -> QuerySet[ReferenceSet, Any]:
    """The reference sets, with `n_items` and the keys of their first images as `shown_0` and so on."""
    images = ReferenceItem.objects.filter(reference_set=OuterRef("pk")).exclude(content_uri="")
    shown = {f"shown_{i}": Subquery(images.values("pk")[i : i + 1]) for i in range(N_SHOWN)}
    counted = project.reference_sets.annotate(n_items=Count("items"), **shown)
    return counted.order_by("-updated_at", "-id")  # counting drops the model’s own order


def _first_images(found: Any) -> list[UUID]:
    shown = [getattr(found, f"shown_{i}") for i in range(N_SHOWN)]
    return [pk for pk in shown if pk]


def _entry_page(
    request: PageRequest,
    project: Project,
    form: ModelForm[Entry],
    word: str,
) -> HttpResponse:
    """The form of one entry, new or known; saving leads on to the library, or to the images of a set."""
    known = not form.instance._state.adding
    # A refused form leaves its words in the instance; the page's title keeps the stored name.
    stored_name = form.instance.name
    if request.method == "POST" and form.is_valid():
        try:
            entry = save_entry(project, form.save(commit=False), by=request.principal)
        except NameTaken:
            name = form.cleaned_data["name"]
            form.add_error("name", f"A {word} named “{name}” exists already: choose another name")
        except KromaError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"The {word} “{entry.name}” is saved.")
            if isinstance(entry, ReferenceSet):
                return redirect("pipeline:reference-set", project.slug, entry.pk)
            return redirect("projects:library", project.slug)
    context = {
        "project": project,
        "section": "library",
        "form": form,
        "word": word,
        "stored_name": stored_name if known else "",
        "entry_pk": form.instance.pk if known else None,
        "delete_url": f"projects:{word.replace(' ', '-')}-delete",
    }
    return render(request, "projects/entry_form.html", context, status=422 if form.errors else 200)


def _deleted(request: PageRequest, project: Project, entry: Entry) -> HttpResponse:
    delete_entry(entry, by=request.principal)
    messages.success(request, f"“{entry.name}” is deleted.")
    return redirect("projects:library", project.slug)
