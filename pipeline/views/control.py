"""The buttons of a run, and those of a call in doubt."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from pipeline.models import Attempt, Run
from pipeline.providers.images import MAX_IMAGE_BYTES
from pipeline.services import control
from pipeline.services.control import PictureUnreadable
from projects.access import Action, PageRequest, project_page
from projects.errors import Invalid
from projects.models import Project


@require_POST
@project_page(Action.RUN)
def run_cancel(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """End a run; what is in hand is finished and kept."""
    run = _run(project, pk)
    control.cancel_run(run, by=request.principal)
    messages.success(request, "The run is canceled. What was finished is kept.")
    return redirect(run)


@require_POST
@project_page(Action.RUN)
def run_pause(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Begin nothing new in a run."""
    run = _run(project, pk)
    control.pause_run(run, by=request.principal)
    return redirect(run)


@require_POST
@project_page(Action.RUN)
def run_resume(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Let a paused run go on."""
    run = _run(project, pk)
    control.resume_run(run, by=request.principal)
    return redirect(run)


@require_POST
@project_page(Action.RUN)
def run_retry(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Make again what is missing, for at most the price that the button named."""
    run = _run(project, pk)
    shown = forms.DecimalField(min_value=0, max_digits=18, decimal_places=6)
    try:
        price = shown.clean(request.POST.get("price"))
    except forms.ValidationError as error:
        raise Invalid("The price that was shown is missing: open the page of the run again") from error
    control.retry_failed(run, by=request.principal, confirm_spend=True, max_cost_usd=price)
    return redirect(run)


@require_POST
@project_page(Action.DECIDE_DOUBT)
def attempt_lost(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """A call in doubt was never made."""
    return _decided(request, project, pk, control.decide_lost)


@require_POST
@project_page(Action.DECIDE_DOUBT)
def attempt_arrived(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """A call in doubt was billed; the picture that the provider has may come with the form."""
    upload = request.FILES.get("picture")
    # One byte too many is refused by name.
    picture = upload.read(MAX_IMAGE_BYTES + 1) if upload is not None else None
    return _decided(request, project, pk, partial(control.decide_arrived, picture=picture))


def _decided(request: PageRequest, project: Project, pk: UUID, decide: Callable[..., None]) -> HttpResponse:
    attempt = get_object_or_404(
        Attempt.objects.select_related("project", "run__project", "candidate__job__run__project__storage"),
        project=project,
        pk=pk,
    )
    try:
        decide(attempt, by=request.principal)
    except PictureUnreadable as error:
        messages.error(request, str(error))
    if request.POST.get("back") == "dashboard" or attempt.run is None:
        return redirect("pipeline:dashboard", project.slug)
    return redirect(attempt.run)


def _run(project: Project, pk: UUID) -> Run:
    return get_object_or_404(Run.objects.select_related("project__storage"), project=project, pk=pk)
