"""Composing a run: the choices on one side, what would be made of them on the other."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from pipeline.engine.settings import REQUEST
from pipeline.engine.trigger import TriggerRequest
from pipeline.forms import SWITCHED, ConfirmForm, RunForm, Sets
from pipeline.models import Run
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services.accounts import access_to
from pipeline.services.configuration import Configuration, load
from pipeline.services.planning import InputImage, PreparedRun
from pipeline.services.trigger import Supplied, carry_out, prepare
from pipeline.views.steps import planned_steps
from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError, PlanChanged
from projects.models import Project, ReferenceItem, ReferenceSet

STEP_WORDS = {"bg_remove": "cut out", "bg_refine_openai": "refine", "upscale": "upscale", "color": "colour"}


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
    request: TriggerRequest | None = None
    problem: str = ""
    changed: bool = False
    scenes: tuple[ReferenceItem, ...] = ()
    # The item is None for an image of the manifest, which is in no set.
    styles: tuple[tuple[InputImage, ReferenceItem | None], ...] = ()

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
        form = _first_form(project, configuration, request.GET)
        plan = _plan(project, form, sets, configuration) if form.is_bound else PlanView()
        return _composer(request, project, form, sets, plan, configuration=configuration)
    dry = request.POST.get("do") == "dry"
    form = RunForm(project, configuration, request.POST)
    plan = _plan(project, form, sets, configuration, mode="dry" if dry else "run")
    confirmed = ConfirmForm(request.POST)
    if plan.prepared is None or plan.request is None or not confirmed.is_valid():
        return _composer(request, project, form, sets, plan, configuration=configuration, status=422)
    try:
        run = carry_out(plan.prepared, _agreed(plan.request, confirmed.cleaned_data), by=request.principal)
    except PlanChanged:
        plan = replace(plan, changed=True)
    except KromaError as error:
        plan = PlanView(problem=str(error))
    else:
        if dry:
            messages.success(request, "The plan is kept as a dry run. Nothing was made.")
        return redirect(run)
    return _composer(
        request, project, form, sets, plan, configuration=configuration, status=422, refused=True
    )


@require_POST
@project_page(Action.RUN)
def run_plan(request: PageRequest, project: Project) -> HttpResponse:
    """The plan of what is chosen now. Changes nothing, but copies what the manifest names elsewhere."""
    sets, configuration = _sets(project), load(project)
    form = RunForm(project, configuration, request.POST)
    plan = _plan(project, form, sets, configuration)
    if request.htmx:
        # A question while somebody still chooses, not a form that was sent: an answer either way.
        context = {"project": project, "form": form, "plan": plan, **_facts(project, configuration, form)}
        return render(request, "pipeline/run_new.html#plan", context)
    status = 200 if plan.prepared else 422
    return _composer(request, project, form, sets, plan, configuration=configuration, status=status)


def _agreed(asked: TriggerRequest, confirmed: dict[str, Any]) -> TriggerRequest:
    return replace(
        asked,
        confirm_spend=confirmed["confirm_spend"],
        plan_hash=confirmed["plan_hash"] or "none",  # a page always says which plan it showed
        max_cost_usd=confirmed["max_cost_usd"] or Decimal(0),
    )


def _plan(
    project: Project, form: RunForm, sets: Sets, configuration: Configuration, *, mode: str = "run"
) -> PlanView:
    if not form.is_valid():
        first = next(iter(form.errors.values()))
        return PlanView(problem=str(first[0]))
    request, images = form.asked(sets, mode=mode)
    try:
        prepared = prepare(project, request, supplied=Supplied(images=images), configuration=configuration)
    except KromaError as error:
        return PlanView(problem=str(error))
    by_path = {item.content_uri: item for _, items in sets for item in items}
    return PlanView(
        prepared,
        request,
        scenes=tuple(by_path[image.path] for image in prepared.order.scenes),
        styles=tuple((image, by_path.get(image.path)) for image in prepared.order.style_refs),
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
    refused: bool = False,
) -> HttpResponse:
    """The whole page. With `refused` the plan says why, until something else is chosen."""
    context = {
        "refused": refused,
        "project": project,
        "section": "runs",
        "form": form,
        "plan": plan,
        "scene_groups": _groups(sets, form["scene_sets"].value(), form["scenes"].value()),
        "style_groups": _groups(sets, form["style_sets"].value(), form["styles"].value()),
        **_facts(project, configuration, form),
    }
    return render(request, "pipeline/run_new.html", context, status=status)


def _facts(project: Project, configuration: Configuration, form: RunForm) -> dict[str, object]:
    code = str(form["provider_code"].value() or configuration.provider_code)
    try:
        health = provider_for(code, access_to(project, code)).about()
    except (UnknownProvider, KromaError) as error:
        health = str(error)
    limit = configuration.manifest.safe_batch_limit
    on = [STEP_WORDS[step] for step in STEP_WORDS if getattr(configuration.plan, step)]
    return {
        "provider_code": code,
        "provider_health": health,
        "batch_limit": limit,
        "steps_of_settings": f"as the settings say: {', '.join(on)}"
        if on
        else "as the settings say: nothing",
    }


def _first_form(project: Project, configuration: Configuration, query: QueryDict) -> RunForm:
    """Empty, with one set chosen (`?scenes=`), or as an earlier run was composed (`?again=`)."""
    if set_pk := _uuid(query.get("scenes", "")):
        return _filled(RunForm(project, configuration), {"scene_sets": [str(set_pk)]})
    run_pk = _uuid(query.get("again", ""))
    run = Run.objects.filter(project=project, pk=run_pk).first() if run_pk else None
    form = RunForm(project, configuration)
    return _filled(form, _as_before(run)) if run else form


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
        "sync_s3": ["on"] if run.sync_s3 else [],
        "scenes": [str(item.pk) for item in items if item.content_uri in scenes],
        "styles": [str(item.pk) for item in items if item.content_uri in styles],
        **{name: [text] for name, text in run.settings_snapshot.get("provider_options", {}).items()},
        **_steps_as_before(run),
    }


def _steps_as_before(run: Run) -> dict[str, list[str]]:
    """What the run's own request said about the provider and the steps, as fields of the form."""
    words = {value: word for word, value in SWITCHED.items()}
    fields = {}
    for key, entry in run.settings_snapshot.get("settings", {}).items():
        section, _, name = key.rpartition(".")
        if (section == "postprocess" or name == "provider_code") and entry["layer"] == REQUEST:
            value = entry["value"]
            fields[name] = value if isinstance(value, list) else [words.get(value, value)]
    return fields


def _filled(form: RunForm, chosen: dict[str, list[str]]) -> RunForm:
    """The form as a browser would send it, with its first values or these instead."""
    data = QueryDict(mutable=True)
    for name, field in form.fields.items():
        data.setlist(name, [str(field.initial)] if field.initial is not None else [])
    for name, values in chosen.items():
        data.setlist(name, values)
    form.data, form.is_bound = data, True
    return form


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
