"""Routes: runs."""

from django.http import HttpResponse
from ninja import Query, Router

from pipeline.api.answers import paths_of, rendered, sent_parts, sent_rows
from pipeline.api.orders import (
    ConfigAnswer,
    ConfigIn,
    JobListAnswer,
    RetriedAnswer,
    RetryIn,
    RunAnswer,
    RunDetailAnswer,
    RunListAnswer,
    TriggerAnswer,
    TriggerIn,
    TriggerQuery,
)
from pipeline.api.runrows import RunRow, newest_runs, run_row, run_rows
from pipeline.api.shapes import jobs_json, run_json
from pipeline.models import Run
from pipeline.services import control, trigger
from pipeline.services.validation import validate_config
from pipeline.services.waiting import refuse_failed, wait_for_end
from projects.access import Action
from projects.api.base import ADDITIVE, ApiRequest, Bearer, answers, project_of, row_of
from projects.api.lists import ListQuery, cursor_behind, page_of
from projects.errors import NotFound
from projects.models import Project
from projects.names import exact_id

RUN_NOT_FOUND = "Run not found"
USUAL_FILES = ConfigIn.model_validate({})
DEFAULT, MOST = 200, 1000  # runs of a list
NEWEST = ("-created_at", "-id")

router = Router(tags=["runs"])


@router.get(
    "/api/projects/{slug}/runs",
    auth=Bearer(Action.READ),
    response=answers(RunListAnswer),
    summary="List runs",
)
def list_runs(request: ApiRequest, slug: str, query: Query[ListQuery]) -> HttpResponse:
    """The runs of a project, the newest first."""
    project = project_of(request)
    if query.cursor:
        runs = Run.objects.filter(project=project)
        page = page_of(runs.only("id", "created_at"), query, order=NEWEST, default=DEFAULT, most=MOST)
        shown = run_rows(runs.filter(pk__in=[run.pk for run in page.rows]).order_by(*NEWEST))
        rows, cursor = list(map(RunRow._make, shown)), page.next_cursor
    else:
        limit = DEFAULT if query.limit is None else min(max(query.limit, 1), MOST)
        rows = newest_runs(project, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        last = Run.objects.only("id", "created_at").get(pk=rows[-1].id) if more else None
        cursor = cursor_behind(last, NEWEST) if last else ""
    paths = paths_of(project)
    return sent_rows("runs", [run_json(run, paths) for run in rows], next_cursor=cursor)


@router.post(
    "/api/projects/{slug}/runs/trigger",
    auth=Bearer(Action.RUN),
    response=answers(TriggerAnswer, body=True),
    summary="Plan or start a run",
)
def trigger_run(
    request: ApiRequest, slug: str, query: Query[TriggerQuery], payload: TriggerIn
) -> HttpResponse:
    """Plan a run (`dry`: nothing is made, nobody is called) or start one (`run`).

    A paid run is queued: the answer says `queued`, and `GET …/runs/{run_id}` tells how it goes on. With
    `wait` the answer comes at the run's end, or when the time is over; hanging up cancels nothing. A run that
    ended with jobs without a winner is then an error `pipeline_command_failed` with `run_id` and
    `run_log_path`.
    """
    asked = trigger.asked(payload.sent)
    run = trigger.trigger_run(slug, asked, by=request.principal)
    if query.wait is not None:
        run = wait_for_end(run, query.wait)
        refuse_failed(run)
    return sent_parts(
        pipeline_trigger=rendered(trigger.answer_of(run)),
        run_id=rendered(run.pk),
        run=_as_it_is(run),
    )


@router.post(
    "/api/projects/{slug}/runs/validate-config",
    auth=Bearer(Action.READ),
    response=answers(ConfigAnswer, body=True),
    summary="Check the settings of runs",
)
def validate_run_config(request: ApiRequest, slug: str, payload: ConfigIn = USUAL_FILES) -> dict[str, object]:
    """Say whether runs could be planned with the settings as they are, and where each value comes from.

    Reads files only. What is wrong is an error `config_validation_failed` that names all of it.
    """
    report = validate_config(slug, payload.model_dump(), by=request.principal)
    return {"ok": True, "summary": report.summary()}


@router.get(
    "/api/projects/{slug}/runs/{run_id}",
    auth=Bearer(Action.READ),
    response=answers(RunDetailAnswer),
    summary="Read a run",
)
def get_run(request: ApiRequest, slug: str, run_id: str) -> HttpResponse:
    """A run with its jobs in the order of the plan, and their candidates."""
    project = project_of(request, missing=RUN_NOT_FOUND)
    run = _row(project, run_id)
    paths = paths_of(project)
    return sent_parts(run=run_json(run, paths), jobs=b"[%s]" % b",".join(jobs_json(run, paths)))


@router.get(
    "/api/projects/{slug}/runs/{run_id}/jobs",
    auth=Bearer(Action.READ),
    response=answers(JobListAnswer),
    summary="List the jobs of a run",
)
def list_run_jobs(request: ApiRequest, slug: str, run_id: str) -> HttpResponse:
    """The jobs of a run in the order of the plan, and their candidates."""
    project = project_of(request, missing=RUN_NOT_FOUND)
    jobs = jobs_json(_row(project, run_id), paths_of(project))
    return sent_rows("jobs", jobs, run_id=run_id, next_cursor="")


@router.post(
    "/api/projects/{slug}/runs/{run_id}/cancel",
    auth=Bearer(Action.RUN),
    response=answers(RunAnswer),
    summary="Cancel a run",
    openapi_extra=ADDITIVE,
)
def cancel_run(request: ApiRequest, slug: str, run_id: str) -> HttpResponse:
    """End an open run: nothing new is begun; what a worker has in hand is finished, booked and kept."""
    run = _run_to_change(request, run_id)
    control.cancel_run(run, by=request.principal)
    return _changed(run)


@router.post(
    "/api/projects/{slug}/runs/{run_id}/pause",
    auth=Bearer(Action.RUN),
    response=answers(RunAnswer),
    summary="Pause a run",
    openapi_extra=ADDITIVE,
)
def pause_run(request: ApiRequest, slug: str, run_id: str) -> HttpResponse:
    """Begin nothing new in a run that is queued or running; what a worker has in hand is finished."""
    run = _run_to_change(request, run_id)
    control.pause_run(run, by=request.principal)
    return _changed(run)


@router.post(
    "/api/projects/{slug}/runs/{run_id}/resume",
    auth=Bearer(Action.RUN),
    response=answers(RunAnswer),
    summary="Resume a run",
    openapi_extra=ADDITIVE,
)
def resume_run(request: ApiRequest, slug: str, run_id: str) -> HttpResponse:
    """Let a paused run go on."""
    run = _run_to_change(request, run_id)
    control.resume_run(run, by=request.principal)
    return _changed(run)


@router.post(
    "/api/projects/{slug}/runs/{run_id}/retry",
    auth=Bearer(Action.RUN),
    response=answers(RetriedAnswer, body=True),
    summary="Make again what is missing of a run",
    openapi_extra=ADDITIVE,
)
def retry_run(request: ApiRequest, slug: str, run_id: str, payload: RetryIn) -> HttpResponse:
    """Plan anew the failed and canceled candidates of jobs without a winner.

    Images that were paid for and kept are finished without another call. Needs `confirm_spend`.
    """
    fields = payload.checked()
    run = _run_to_change(request, run_id)
    retry = control.retry_failed(run, by=request.principal, **fields)
    price = float(retry.price_usd or 0)
    return _changed(run, retry={"images": retry.n_images, "jobs": len(retry.jobs), "price_usd": price})


def _run(project: Project, run_id: str) -> Run:
    run: Run = row_of(Run.objects.filter(project=project), run_id, missing=RUN_NOT_FOUND)
    run.project = project
    return run


def _row(project: Project, run_id: str) -> RunRow:
    pk = exact_id(run_id)
    row = run_row(project, pk) if pk else None
    if row is None:
        raise NotFound(RUN_NOT_FOUND)
    return row


def _run_to_change(request: ApiRequest, run_id: str) -> Run:
    return _run(project_of(request, missing=RUN_NOT_FOUND), run_id)


def _as_it_is(run: Run) -> bytes:
    return run_json(_row(run.project, str(run.pk)), paths_of(run.project))


def _changed(run: Run, **more: object) -> HttpResponse:
    return sent_parts(run=_as_it_is(run), **{key: rendered(value) for key, value in more.items()})
