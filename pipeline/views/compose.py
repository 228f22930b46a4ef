"""Composing a run: the choices on one side, what would be made of them on the other."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from pipeline.forms import ConfirmForm, RunForm
from pipeline.models import Run
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services.configuration import Configuration, load
from pipeline.services.planning import PreparedRun, prepare_run
from pipeline.services.runs import record_dry_run, start_run
from pipeline.views.steps import planned_steps
from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError, PlanChanged
from projects.models import Project, ReferenceItem, ReferenceSet

Sets = list[tuple[ReferenceSet, list[ReferenceItem]]]


@dataclass(frozen=True)
class Group:
    """One reference set as it is offered: whole, or image by image."""

    reference_set: ReferenceSet
    whole: bool
    images: list[tuple[ReferenceItem, bool]]
    n_single: int


@dataclass(frozen=True)
class PlanView:
    """What the plan panel shows; without `prepared` it says what is in the way."""

    prepared: PreparedRun | None = None
    problem: str = ""
    changed: bool = False
    scenes: tuple[ReferenceItem, ...] = ()
    styles: tuple[ReferenceItem, ...] = ()

    @property
    def steps(self) -> list[tuple[str, str]]:
        """What happens to each picture after it is generated."""
        return planned_steps(self.prepared.plan.postprocess) if self.prepared else []

    @property
    def rows(self) -> list[tuple[Any, ReferenceItem]]:
        """Each planned job with its scene image."""
        return list(zip(self.prepared.plan.jobs, self.scenes, strict=True)) if self.prepared else []


@require_http_methods(["GET", "POST"])
@project_page(Action.RUN)
def run_new(request: PageRequest, project: Project) -> HttpResponse:
    """The composer; a POST starts the run as it was shown, or writes it down as a dry run."""
    sets, configuration = _sets(project), load(project)
    if request.method == "GET":
        form = _first_form(project, request.GET)
        plan = _plan(project, form, sets, configuration) if form.is_bound else PlanView()
        return _composer(request, project, form, sets, plan, configuration=configuration)
    form, dry = RunForm(project, request.POST), request.POST.get("do") == "dry"
    plan = _plan(project, form, sets, configuration, mode="dry" if dry else "run")
    confirmed = ConfirmForm(request.POST)
    if plan.prepared is None or not confirmed.is_valid():
        return _composer(request, project, form, sets, plan, configuration=configuration, status=422)
    try:
        run = _written(plan.prepared, confirmed.cleaned_data, request, dry=dry)
    except PlanChanged:
        plan = PlanView(plan.prepared, changed=True, scenes=plan.scenes, styles=plan.styles)
    except KromaError as error:
        plan = PlanView(problem=str(error))
    else:
        return redirect(run)
    return _composer(request, project, form, sets, plan, configuration=configuration, status=422)


@require_POST
@project_page(Action.RUN)
def run_plan(request: PageRequest, project: Project) -> HttpResponse:
    """The plan of what is chosen now. Changes nothing."""
    sets, configuration = _sets(project), load(project)
    form = RunForm(project, request.POST)
    plan = _plan(project, form, sets, configuration)
    if request.htmx:
        # A question while somebody still chooses, not a form that was sent: an answer either way.
        context = {"project": project, "form": form, "plan": plan, **_facts(configuration)}
        return render(request, "pipeline/run_new.html#plan", context)
    status = 200 if plan.prepared else 422
    return _composer(request, project, form, sets, plan, configuration=configuration, status=status)


def _written(prepared: PreparedRun, confirmed: dict[str, Any], request: PageRequest, *, dry: bool) -> Run:
    """The run that was asked for. Raises what the services raise."""
    if dry:
        run = record_dry_run(prepared, by=request.principal)
        messages.success(request, "The plan is kept as a dry run. Nothing was made.")
        return run
    return start_run(
        prepared,
        by=request.principal,
        confirm_spend=confirmed["confirm_spend"],
        expected_hash=confirmed["plan_hash"] or "none",  # a page always says which plan it showed
        max_cost_usd=confirmed["max_cost_usd"] or Decimal(0),
    )


def _plan(
    project: Project, form: RunForm, sets: Sets, configuration: Configuration, *, mode: str = "run"
) -> PlanView:
    if not form.is_valid():
        first = next(iter(form.errors.values()))
        return PlanView(problem=str(first[0]))
    order = form.order(sets, mode=mode)
    try:
        prepared = prepare_run(project, order, configuration=configuration)
    except KromaError as error:
        return PlanView(problem=str(error))
    by_path = {item.content_uri: item for _, items in sets for item in items}
    return PlanView(
        prepared,
        scenes=tuple(by_path[image.path] for image in order.scenes),
        styles=tuple(by_path[image.path] for image in order.style_refs),
    )


def _composer(
    request: PageRequest,
    project: Project,
    form: RunForm,
    sets: Sets,
    plan: PlanView,
    *,
    configuration: Configuration,
    status: int = 200,
) -> HttpResponse:
    context = {
        "project": project,
        "section": "runs",
        "form": form,
        "plan": plan,
        "scene_groups": _groups(sets, form["scene_sets"].value(), form["scenes"].value()),
        "style_groups": _groups(sets, form["style_sets"].value(), form["styles"].value()),
        **_facts(configuration),
    }
    return render(request, "pipeline/run_new.html", context, status=status)


def _facts(configuration: Configuration) -> dict[str, object]:
    code = configuration.provider_code
    try:
        health = provider_for(code).health().message
    except UnknownProvider as error:
        health = str(error)
    limit = configuration.manifest.safe_batch_limit
    return {"provider_code": code, "provider_health": health, "batch_limit": limit}


def _first_form(project: Project, query: QueryDict) -> RunForm:
    """Empty, with one set chosen (`?scenes=`), or as an earlier run was composed (`?again=`)."""
    if set_pk := _uuid(query.get("scenes", "")):
        return RunForm(project, _filled(project, {"scene_sets": [str(set_pk)]}))
    run_pk = _uuid(query.get("again", ""))
    run = Run.objects.filter(project=project, pk=run_pk).first() if run_pk else None
    return RunForm(project, _filled(project, _as_before(run))) if run else RunForm(project)


def _as_before(run: Run) -> dict[str, list[str]]:
    inputs = [[image["path"] for image in job.inputs] for job in run.jobs.order_by("position")]
    scenes, styles = {paths[0] for paths in inputs if paths}, {path for paths in inputs for path in paths[1:]}
    items = ReferenceItem.objects.filter(project=run.project, content_uri__in=scenes | styles)
    return {
        "stage": [run.stage],
        "time": [run.time_of_day],
        "weather": [run.weather],
        "candidates": [str(run.n_candidates)],
        "seed": [str(run.seed)],
        "style_guide": [str(run.style_guide_id or "")],
        "scenes": [str(item.pk) for item in items if item.content_uri in scenes],
        "styles": [str(item.pk) for item in items if item.content_uri in styles],
    }


def _filled(project: Project, chosen: dict[str, list[str]]) -> QueryDict:
    """The form's first values with these instead, as a browser would send them."""
    data = QueryDict(mutable=True)
    for name, field in RunForm(project).fields.items():
        data.setlist(name, [str(field.initial)] if field.initial is not None else [])
    for name, values in chosen.items():
        data.setlist(name, values)
    return data


def _sets(project: Project) -> Sets:
    """The sets of a project with their images, by name; two queries."""
    images = ReferenceItem.objects.exclude(content_uri="")
    found = project.reference_sets.order_by("name").prefetch_related(
        Prefetch("items", queryset=images, to_attr="images")
    )
    return [(row, row.images) for row in found]


def _groups(sets: Sets, whole: Iterable[object] | None, single: Iterable[object] | None) -> list[Group]:
    whole_pks, single_pks = {str(pk) for pk in whole or ()}, {str(pk) for pk in single or ()}
    groups = []
    for row, items in sets:
        if items:
            images = [(item, str(item.pk) in single_pks) for item in items]
            n_single = sum(checked for _, checked in images)
            groups.append(Group(row, str(row.pk) in whole_pks, images, n_single))
    return groups


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
