"""Review: one panel at a time, its candidates side by side, judged by keyboard."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import push_url

from pipeline.forms import ReviewForm
from pipeline.models import Run, RunJob
from pipeline.models.runs import RunJobQuerySet
from pipeline.services import reviews
from pipeline.views.runs import Shot, shots_of
from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError
from projects.models import Project

SHOWN = ("waiting", "approved", "rejected", "all")
PRESETS = ("Off model", "Wrong light", "Lost the line", "Artefacts")
JUDGED = (RunJob.Status.DONE, RunJob.Status.FAILED, RunJob.Status.FAILED_OUTPUT_GUARD)
# The place for pictures on a common screen, in pixels: how many columns show them largest there.
STAGE_SIZE = (1060, 760)
CAPTION = 46  # pixels of each row that are not picture
# What browsers can show; other scene formats appear as their thumbnail.
WEB_FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Desk:
    """What is being gone through: which panels, in which order, of the universe or of one run."""

    project: Project
    run: Run | None
    show: str

    def everything(self) -> RunJobQuerySet:
        """All that can be judged, the newest run first."""
        jobs = RunJob.objects.filter(run__project=self.project, run__run_mode="run", status__in=JUDGED)
        if self.run:
            jobs = jobs.filter(run=self.run)
        return jobs.select_related("run").order_by("-run__created_at", "run", "position")

    def shown(self, show: str = "") -> RunJobQuerySet:
        """What the filter leaves."""
        jobs = self.everything()
        match show or self.show:
            case "waiting":
                return jobs.awaiting_review()
            case "approved" | "rejected" as verdict:
                return jobs.filter(verdict=verdict)
            case _:
                return jobs

    def address(self, job: RunJob | None = None, show: str = "") -> str:
        """The page of one panel under a filter."""
        query = {"show": show or self.show, **({"job": str(job.pk)} if job else {})}
        if self.run:
            return reverse("pipeline:run-review", args=[self.project.slug, self.run.pk], query=query)
        return reverse("pipeline:review", args=[self.project.slug], query=query)


def before(job: RunJob) -> Q:
    """What comes before a panel in the order of the desk."""
    moment = job.run.created_at
    return (
        Q(run__created_at__gt=moment)
        | Q(run__created_at=moment, run__lt=job.run_id)
        | Q(run=job.run_id, position__lt=job.position)
    )


def after(job: RunJob) -> Q:
    """What comes after a panel in the order of the desk."""
    moment = job.run.created_at
    return (
        Q(run__created_at__lt=moment)
        | Q(run__created_at=moment, run__gt=job.run_id)
        | Q(run=job.run_id, position__gt=job.position)
    )


@require_safe
@project_page(Action.READ)
def review(request: PageRequest, project: Project) -> HttpResponse:
    """The panels of the whole universe."""
    return _desk_page(request, Desk(project, None, _show(request)))


@require_safe
@project_page(Action.READ)
def run_review(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """The panels of one run."""
    return _desk_page(request, Desk(project, get_object_or_404(Run, project=project, pk=pk), _show(request)))


@require_POST
@project_page(Action.REVIEW)
def review_say(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Approve, reject, pick, reopen or note; a verdict leads on to the next panel without one."""
    job = get_object_or_404(RunJob.objects.select_related("run__project"), run__project=project, pk=pk)
    run = get_object_or_404(Run, project=project, pk=job.run_id) if request.GET.get("run") else None
    desk = Desk(project, run, _show(request))
    form = ReviewForm(request.POST)
    if not form.is_valid():
        return _desk_page(request, desk, job=job, refusal="That can't be said about a panel", status=422)
    say = form.cleaned_data["say"]
    try:
        _SERVICES[say](job, form, request)
    except KromaError as error:
        return _desk_page(request, desk, job=job, refusal=str(error), status=422)
    return redirect(desk.address(_next(desk, job) if say in ("approve", "reject") else job))


def _pick(job: RunJob, form: ReviewForm, request: PageRequest) -> None:
    index = form.cleaned_data["candidate"] or 0
    if index != job.selected_candidate_index:
        reviews.pick(job, index, by=request.principal)


_SERVICES: dict[str, Callable[[RunJob, ReviewForm, PageRequest], object]] = {
    "approve": lambda job, form, request: reviews.approve(job, by=request.principal, note=form.reason()),
    "reject": lambda job, form, request: reviews.reject(job, by=request.principal, note=form.reason()),
    "reopen": lambda job, form, request: reviews.reopen(job, by=request.principal),
    "note": lambda job, form, request: reviews.add_note(job, by=request.principal, note=form.reason()),
    "pick": _pick,
}


def _next(desk: Desk, job: RunJob) -> RunJob | None:
    """The panel to go on with: the next without a verdict, from the top again after the last."""
    wanted = desk.shown("waiting" if desk.show == "all" else "")
    return wanted.filter(after(job)).first() or wanted.exclude(pk=job.pk).first()


def _desk_page(
    request: PageRequest, desk: Desk, *, job: RunJob | None = None, refusal: str = "", status: int = 200
) -> HttpResponse:
    shown = desk.shown()
    asked = _uuid(request.GET.get("job", ""))
    if job is None and asked:
        job = desk.everything().filter(pk=asked).first()
    job = job or shown.first()
    context: dict[str, Any] = {
        "project": desk.project,
        "section": "review",
        "desk": desk,
        "run": desk.run,
        "job": job,
        "refusal": refusal,
        "presets": PRESETS,
        "tabs": _tabs(desk),
    }
    if job:
        context |= _job_context(desk, job, shown)
    name = "pipeline/review.html#review" if request.htmx else "pipeline/review.html"
    response = render(request, name, context, status=status)
    response["Vary"] = "HX-Request, Cookie"
    return push_url(response, desk.address(job)) if request.htmx else response


def _job_context(desk: Desk, job: RunJob, shown: RunJobQuerySet) -> dict[str, Any]:
    shots = shots_of([job]).get(job.pk, [])
    earlier = shown.filter(before(job))
    previous, following = earlier.reverse().first(), shown.filter(after(job)).first()
    path = str(job.inputs[0]["path"]) if job.inputs else ""
    query = {"show": desk.show, **({"run": str(desk.run.pk)} if desk.run else {})}
    return {
        "shots": shots,
        "columns": columns_for(shots),
        "n_pictures": len(shots) + 1,
        "scene_is_web": path.lower().endswith(WEB_FORMATS),
        "n_shown": shown.count(),
        "place": earlier.count() + 1,
        "is_shown": shown.filter(pk=job.pk).exists(),
        "previous_url": desk.address(previous) if previous else "",
        "next_url": desk.address(following) if following else "",
        "say_url": reverse("pipeline:review-say", args=[desk.project.slug, job.pk], query=query),
        "history": job.reviews.select_related("reviewer", "candidate"),
    }


def columns_for(shots: list[Shot]) -> int:
    """In how many columns the scene and its candidates appear largest on a common screen."""
    width, height = STAGE_SIZE
    asset = next((shot.asset for shot in shots if shot.asset), None)
    aspect = asset.width / asset.height if asset and asset.width and asset.height else 1.5
    n = len(shots) + 1

    def picture_width(columns: int) -> float:
        return min(width / columns, (height / math.ceil(n / columns) - CAPTION) * aspect)

    return max(range(1, n + 1), key=picture_width)


def _tabs(desk: Desk) -> list[dict[str, object]]:
    counts = desk.everything().aggregate(
        waiting=Count("pk", filter=Q(status="done", verdict="")),
        approved=Count("pk", filter=Q(verdict="approved")),
        rejected=Count("pk", filter=Q(verdict="rejected")),
        all=Count("pk"),
    )
    return [
        {"name": name, "n": counts[name], "url": desk.address(show=name), "here": name == desk.show}
        for name in SHOWN
    ]


def _show(request: PageRequest) -> str:
    show = request.GET.get("show", "")
    return show if show in SHOWN else "waiting"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
