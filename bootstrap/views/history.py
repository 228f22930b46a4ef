"""The history of a universe's settings: compare states, bring one back, save it, begin another with it."""

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bootstrap import services
from bootstrap.diff import State
from bootstrap.entries import Document
from bootstrap.files import document_in, file_name, file_of
from bootstrap.forms import CompareForm, CopyForm, FileForm
from bootstrap.models import SettingsSnapshot, SettingsSnapshotQuerySet
from bootstrap.presentation import copied, difference, shown
from bootstrap.rows import load
from bootstrap.services import SettingsChanged
from bootstrap.snapshots import document_of, state_of
from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError
from projects.models import Project, User

N_SNAPSHOTS = 50  # a page


@require_safe
@project_page(Action.READ)
def history(request: PageRequest, project: Project) -> HttpResponse:
    """The states before each change that the exchange made, newest first."""
    pages = Paginator(_snapshots(project).without_content(), N_SNAPSHOTS)
    context = {
        "project": project,
        "section": "exchange",
        "page": pages.get_page(request.GET.get("page")),
        "copy": CopyForm(),
    }
    return render(request, "bootstrap/history.html", context)


@require_safe
@project_page(Action.READ)
def compare(request: PageRequest, project: Project) -> HttpResponse:
    """What differs between two states."""
    known = [str(pk) for pk in _snapshots(project).values_list("pk", flat=True)]
    form = CompareForm(request.GET or None, known=known)
    context: dict[str, object] = {"project": project, "section": "exchange", "form": form}
    if form.is_valid():
        before, after = (_state(project, form.cleaned_data[name]) for name in ("before", "after"))
        context |= {
            "plan": difference(before[0], after[0]),
            "before": before[1],
            "after": after[1],
        }
    return render(request, "bootstrap/compare.html", context, status=422 if form.errors else 200)


@require_safe
@project_page(Action.READ)
def snapshot(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """One state, and what bringing it back would change."""
    found = get_object_or_404(_snapshots(project), pk=pk)
    return _snapshot_page(request, project, found)


@require_POST
@project_page(Action.EDIT_LIBRARY)
def snapshot_restore(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Bring one state back, if nothing changed since it was looked at."""
    found = get_object_or_404(_snapshots(project), pk=pk)
    fingerprint = request.POST.get("fingerprint", "")
    if not fingerprint:
        return _snapshot_page(request, project, found, status=422)
    try:
        services.restore(
            project, found, by=request.principal, role=request.project_role, fingerprint=fingerprint
        )
    except SettingsChanged as error:
        return _snapshot_page(request, project, found, notice=str(error), status=422)
    messages.success(
        request, "Restored. The state before stands first below: restore it to undo this in turn."
    )
    return redirect("bootstrap:history", project.slug)


@require_safe
@project_page(Action.READ)
def export(request: PageRequest, project: Project) -> HttpResponse:
    """The settings as they are now, as a file."""
    return _file(project, load(project).state)


@require_safe
@project_page(Action.READ)
def snapshot_export(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """The settings as they were, as a file."""
    return _file(project, state_of(get_object_or_404(_snapshots(project), pk=pk).content))


@require_POST
@project_page(Action.READ)
def copy(request: PageRequest, project: Project) -> HttpResponse:
    """A universe of one's own that begins with the settings of this one."""
    return _copied(
        request, document_of(load(project).state), back=reverse("bootstrap:history", args=[project.slug])
    )


@require_POST
@project_page(Action.READ)
def snapshot_copy(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """A universe of one's own that begins with an earlier state of this one."""
    found = get_object_or_404(_snapshots(project), pk=pk)
    back = reverse("bootstrap:snapshot", args=[project.slug, found.pk])
    return _copied(request, document_of(state_of(found.content)), back=back)


@require_http_methods(["GET", "POST"])
def project_from_file(request: PageRequest) -> HttpResponse:
    """A universe of one's own that begins with the settings in a file."""
    form = FileForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            document = document_in(form.cleaned_data["file"].read())
            return redirect(_new_universe(request, form.cleaned_data["name"], document))
        except KromaError as error:
            form.add_error(None, str(error))
            for one in _problems(error):
                form.add_error(None, one)
    context = {"form": form}
    return render(request, "bootstrap/project_from_file.html", context, status=422 if form.errors else 200)


def _snapshots(project: Project) -> SettingsSnapshotQuerySet:
    return SettingsSnapshot.objects.filter(project=project)


def _state(project: Project, named: str) -> tuple[State, SettingsSnapshot | None]:
    """The state that a form names; now: None in place of a snapshot."""
    if named == "now":
        return load(project).state, None
    found = get_object_or_404(_snapshots(project), pk=named)
    return state_of(found.content), found


def _snapshot_page(
    request: PageRequest, project: Project, found: SettingsSnapshot, *, notice: str = "", status: int = 200
) -> HttpResponse:
    outcome = services.preview_restore(project, found, role=request.project_role)
    context = {
        "project": project,
        "section": "exchange",
        "snapshot": found,
        "plan": shown(outcome.before, outcome.plan),
        "lost": outcome.lost,
        "fingerprint": outcome.fingerprint,
        "notice": notice,
        "copy": CopyForm(),
    }
    return render(request, "bootstrap/snapshot.html", context, status=status)


def _file(project: Project, state: State) -> HttpResponse:
    headers = {"Content-Disposition": content_disposition_header(True, file_name(project)) or ""}
    return HttpResponse(file_of(state), content_type="application/json", headers=headers)


def _copied(request: PageRequest, document: Document, *, back: str) -> HttpResponse:
    form = CopyForm(request.POST)
    if not form.is_valid():
        messages.error(request, "A new universe needs a name of at most 200 characters.")
        return redirect(back)
    try:
        return redirect(_new_universe(request, form.cleaned_data["name"], document))
    except KromaError as error:
        messages.error(request, str(error))
        return redirect(back)


def _new_universe(request: PageRequest, name: str, document: Document) -> Project:
    owner = cast(User, request.principal.user)
    project, outcome = services.copy_settings(document, name=name, owner=owner, by=request.principal)
    messages.success(request, f"{project.name} is made: {copied(outcome)}")
    return project


def _problems(error: KromaError) -> list[str]:
    details = error.extra.get("details", [])
    return [f"{one['path']}: {one['problem']}" for one in details] if isinstance(details, list) else []
