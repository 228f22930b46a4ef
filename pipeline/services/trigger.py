"""From a request to a run: the one way that the API, the pages and the commands take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from pipeline.engine.jobs import ReadyJob
from pipeline.engine.runlog import summary_lines
from pipeline.engine.trigger import (
    INVALID_MODE,
    NOT_CONFIRMED,
    WRONG_TYPE,
    TriggerError,
    TriggerRequest,
    check,
    check_spend,
    trigger_answer,
    validated,
)
from pipeline.models import Run
from pipeline.services.configuration import Configuration, Named, load
from pipeline.services.planning import (
    InputImage,
    OrderedJob,
    PreparedRun,
    RunOrder,
    check_order,
    display_path,
    prepare_run,
)
from pipeline.services.references import copy_found
from pipeline.services.runs import record_dry_run, start_run
from pipeline.services.sources import Brought, Sources
from pipeline.store import store_for
from projects.access import Principal
from projects.errors import KromaError, NotFound, PlanRefused, SpendNotConfirmed
from projects.models import Project, StyleGuide
from projects.names import KEPT, slugified

SLUG_REFUSED = "Invalid project slug for pipeline run"


class RequestInvalid(KromaError):
    """A field of a request, or two of them together, break a rule."""

    code = "invalid_request"


class ModeInvalid(RequestInvalid):
    """The mode is neither `dry` nor `run`."""

    code = "invalid_mode"


class WrongType(KromaError):
    """A field of a request has another JSON type than the contract says; `field` names it."""

    status = 422

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class SlugInvalid(KromaError):
    """A slug with characters that no folder or log of a run may carry."""

    code = "invalid_project_slug"


@dataclass(frozen=True)
class Supplied:
    """What a caller of this house brings beside the request.

    `images` are references of the request that are known already, with the names and labels that people gave
    them. `jobs` stand in for scenes. `by_operator` may name settings files that lie anywhere, may leave the
    scenes to the manifest, and is refused a missing image in a dry run too.
    """

    images: Mapping[str, InputImage] = field(default_factory=dict)
    brought: tuple[Brought, ...] = ()
    jobs: tuple[ReadyJob, ...] = ()
    by_operator: bool = False


NOTHING_SUPPLIED = Supplied()


@dataclass(frozen=True)
class Resolved:
    """A request whose names have become images, guides and settings; nothing is changed yet."""

    order: RunOrder
    configuration: Configuration
    brought: tuple[Brought, ...]


def asked(payload: object) -> TriggerRequest:
    """The request that a JSON body states. Raises `WrongType`, `RequestInvalid`, `SpendNotConfirmed`."""
    try:
        return validated(payload)
    except TriggerError as error:
        raise refusal(error) from error


def refusal(error: TriggerError) -> KromaError:
    """The same error with the code, kind and status of the contract."""
    kinds: dict[str, type[KromaError]] = {INVALID_MODE: ModeInvalid, NOT_CONFIRMED: SpendNotConfirmed}
    if error.code == WRONG_TYPE:
        return WrongType(str(error), field=error.field)
    return kinds.get(error.code, RequestInvalid)(str(error))


def project_named(slug: str, *, by: Principal) -> Project:
    """The project that a slug in an address means, however it is written. Raises `NotFound`."""
    project = Project.objects.visible_to(by).filter(slug=slugified(slug)).select_related("storage").first()
    if project is None:
        raise NotFound("Project not found")
    return project


def trigger_run(
    project: Project | str,
    request: TriggerRequest,
    *,
    by: Principal,
    supplied: Supplied = NOTHING_SUPPLIED,
) -> Run:
    """Write down the run that a request asks for: planned if it is dry, else started.

    A project may be named by its slug, as an address has it; what runs carries the slug of its row. Nothing
    is looked up before the request is sound. Raises, in this order, `RequestInvalid` and `SpendNotConfirmed`,
    `NotFound`, `SlugInvalid`, `PlanRefused`, and what `start_run()` raises.
    """
    _hold_to_the_rules(request, supplied, spends=True)
    if isinstance(project, str):
        found = project_named(project, by=by)
        if not set(project) <= KEPT:
            raise SlugInvalid(SLUG_REFUSED)
        project = found
    return carry_out(prepare(project, request, supplied=supplied), request, by=by)


def prepare(
    project: Project,
    request: TriggerRequest,
    *,
    supplied: Supplied = NOTHING_SUPPLIED,
    configuration: Configuration | None = None,
) -> PreparedRun:
    """Plan what a request asks for; files from outside the project are copied into it.

    `configuration` is what was loaded for this request already, as files are read once; it counts for
    requests that name no files. Raises `RequestInvalid`, `SlugInvalid`, `PlanRefused`.
    """
    resolved = resolve(project, request, supplied=supplied, configuration=configuration)
    return plan_resolved(project, resolved)


def carry_out(prepared: PreparedRun, request: TriggerRequest, *, by: Principal) -> Run:
    """Write down a dry run, or start a confirmed one. Raises as `start_run()`."""
    try:
        check_spend(request)
    except TriggerError as error:
        raise refusal(error) from error
    if request.mode == Run.Mode.DRY:
        return record_dry_run(prepared, by=by)
    return start_run(
        prepared,
        by=by,
        confirm_spend=request.confirm_spend,
        expected_hash=request.plan_hash or None,
        max_cost_usd=request.max_cost_usd,
    )


def resolve(
    project: Project,
    request: TriggerRequest,
    *,
    supplied: Supplied = NOTHING_SUPPLIED,
    configuration: Configuration | None = None,
) -> Resolved:
    """Find all that a request names, for a project that may not be saved yet; nothing is changed.

    Raises as `prepare()`, for everything that can be known before files are copied.
    """
    _hold_to_the_rules(request, supplied)
    if not project.slug or not set(project.slug) <= KEPT:
        raise SlugInvalid(SLUG_REFUSED)
    named = Named(
        app_settings=request.app_settings_path,
        project_settings=request.project_settings_path,
        by_operator=supplied.by_operator,
    )
    layer = request.layer()
    names_files = named.app_settings or named.project_settings or layer.manifest_path
    if configuration is None or names_files or layer.postprocess_config_path:
        configuration = load(project, request=layer, named=named)
    else:
        configuration = configuration.asking(layer)
    configuration.refuse_errors()
    order, brought = _order(project, request, supplied, configuration)
    check_order(project, order, configuration=configuration)
    return Resolved(order, configuration, (*supplied.brought, *brought))


def plan_resolved(project: Project, resolved: Resolved) -> PreparedRun:
    """The plan of a resolved request; copies what it brings. Raises `PlanRefused`, `StorageFull`."""
    for brought in resolved.brought:
        copy_found(project, brought.found, place=brought.place)
    return prepare_run(project, resolved.order, configuration=resolved.configuration)


def summary(run: Run) -> list[str]:
    """The five lines of a run on standard output; one that is still open is called queued."""
    store = store_for(run.project)
    return summary_lines(
        run_log_path=display_path(store.path(run.run_log_path)),
        project_slug=run.project.slug,
        project_root=display_path(store.root),
        n_jobs=run.n_jobs,
        mode=run.run_mode,
        phase="queued" if run.is_open else None,
    )


def answer_of(run: Run) -> dict[str, object]:
    """What the API says of a run that was just triggered: `pipeline_trigger` of the contract."""
    warnings = [*run.settings_snapshot.get("warnings", ()), *run.warnings]
    return trigger_answer(summary(run), mode=run.run_mode, warnings=warnings)


def _hold_to_the_rules(request: TriggerRequest, supplied: Supplied, *, spends: bool = False) -> None:
    try:
        check(request, by_command=supplied.by_operator)
        if spends:
            check_spend(request)
    except TriggerError as error:
        raise refusal(error) from error


def _order(
    project: Project, request: TriggerRequest, supplied: Supplied, configuration: Configuration
) -> tuple[RunOrder, tuple[Brought, ...]]:
    sources = Sources(project, known=supplied.images, must_exist=supplied.by_operator)
    jobs: tuple[OrderedJob, ...] = ()
    scenes: tuple[InputImage, ...] = ()
    styles: tuple[InputImage, ...] = ()
    stage, time, weather = request.stage or "style", request.time or None, request.weather or None
    manifest = configuration.manifest
    if supplied.jobs:
        named = [image for job in supplied.jobs for image in job.input_images]
        images = dict(zip(named, sources.images(named, place="scenes"), strict=True))
        jobs = tuple(
            OrderedJob(job.id, job.prompt, tuple(images[image] for image in job.input_images))
            for job in supplied.jobs
        )
        first = supplied.jobs[0]
        stage, time, weather = first.mode, first.time, first.weather
    else:
        if request.input:
            scenes = sources.expanded(request.input)
        elif request.scene_refs is not None:
            scenes = sources.images(request.scene_refs, place="scenes")
        else:
            scenes = sources.images(manifest.scene_refs, place="scenes", of_manifest=True)
        if request.style_refs is not None:
            styles = sources.images(request.style_refs, place="styles")
        else:
            styles = sources.images(manifest.style_refs, place="styles", of_manifest=True)
    order = RunOrder(
        mode=request.mode,
        scenes=scenes,
        style_refs=styles,
        stage=stage,
        time=time,
        weather=weather,
        candidates=request.candidates,
        seed=request.seed,
        # The prompts of ready-made jobs are taken as they are.
        style_guide=None if jobs else _style_guide(project, request.style_guide_id),
        batch_limit=request.batch_limit,
        jobs=jobs,
        sync_s3=request.storage_sync_s3,
        provider_options=request.provider_options,
    )
    return order, tuple(sources.brought)


def _style_guide(project: Project, pk: str) -> StyleGuide | None:
    if not pk:
        return None
    try:
        guide = StyleGuide.objects.filter(project=project, pk=UUID(pk)).first()
    except ValueError:
        guide = None
    if guide is None:
        raise PlanRefused(f"Field 'style_guide_id': the universe has no style guide {pk[:100]}")
    return guide
