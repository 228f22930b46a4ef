"""Runs: the list of them, and one of them while it is made and after."""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Count, Prefetch, Q
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from pipeline.engine.names import stamp
from pipeline.models import Asset, Attempt, Candidate, Run, RunJob
from pipeline.models.runs import OPEN_CANDIDATE
from pipeline.services.control import ENDED, Retry, plan_retry
from pipeline.services.toolchain import plan_of
from pipeline.services.winners import write_zip
from pipeline.views.overview import N_WINNERS, doubts_of, on_disk, winners_by_run
from pipeline.views.steps import ChainFile, chain_of, planned_steps
from projects.access import Action, PageRequest, project_page
from projects.errors import Invalid, NotFound
from projects.models import Project

RUNS_A_PAGE = 50
PANELS_A_PAGE = 60
# A row may carry a moment a little before it can be seen: its transaction ends later.
LATE_COMMIT = timedelta(seconds=3)
# What a person can do about a failed candidate, by the code of its error.
ADVICE = {
    "input_missing": "Upload the scene again and compose a new run.",
    "input_changed": "The file is not the one that was planned: compose a new run.",
    "input_unreadable": "Open the image in a paint program, save it as PNG and upload it again.",
    "disk_full": "Free space on the disk, then compose the run again.",
    "worker_lost": "Ask whoever runs this server to look at the worker's log and its memory.",
    "original_missing": "The kept original was moved or deleted on disk: compose the run again.",
    "price_unknown": "Set a price for this provider, or use the local renderer.",
    "bg_remove_failed": "Look at the reasons; retrying uses the kept image and costs no new one.",
    "tool_missing": "Install what is named, then retry: the kept image is finished without a new one.",
    "provider_auth": "Put a valid key into the account of the provider, then make the missing images again.",
    "provider_quota": "Add credit at the provider, then make the missing images again.",
    "provider_unusable": "Switch the account on or give it a key, then make the missing images again.",
    "aborted_provider_unavailable": "Mend the account of the provider, then make the missing images again.",
    "provider_refused": "Change the prompt or the image: the provider would refuse the same again.",
    "provider_bad_request": "Look at the model, the size and the address of the account.",
    "provider_rate_limited": "Wait a while, or set calls per minute in the account; then make them again.",
    "provider_failed": "The provider has a fault of its own: make the missing images again later.",
    "provider_timeout": "The provider was too slow three times: make the missing images again later.",
    "connection_lost": "Look at the address of the account and at the network, then make them again.",
    "budget_exceeded": "Ask an owner to raise the budget, then make the missing images again.",
    "image_unreadable": "It was paid and kept as it came; making it again costs it again.",
    "arrived_without_file": "Look for the picture at the provider; making it again here costs it again.",
}
OTHER_ADVICE = "Compose a new run with this scene; if it fails again, ask whoever runs the server."


@dataclass(frozen=True)
class Try:
    """One call to the provider; `seconds` is None while it runs."""

    attempt: Attempt
    seconds: float | None


@dataclass(frozen=True)
class Shot:
    """One candidate as it is shown: its picture if there is one, what to do if it failed, calls, files."""

    candidate: Candidate
    asset: Asset | None
    advice: str
    tries: list[Try]
    files: list[ChainFile]


@dataclass(frozen=True)
class Panel:
    """One job as it is shown; `asset` is the winner's picture, or the newest one while there is no winner."""

    job: RunJob
    shots: list[Shot]
    asset: Asset | None


@require_safe
@project_page(Action.READ)
def run_list(request: PageRequest, project: Project) -> HttpResponse:
    """All runs, the newest first."""
    found = Run.objects.filter(project=project).select_related("created_by")
    page = Paginator(found, RUNS_A_PAGE).get_page(request.GET.get("page"))
    runs = list(page.object_list)
    counts = _counts([run.pk for run in runs])
    pictures = winners_by_run([run.pk for run in runs], N_WINNERS)
    context = {
        "project": project,
        "section": "runs",
        "page": page,
        "rows": [(run, counts.get(run.pk, {}), pictures.get(run.pk, [])) for run in runs],
    }
    return render(request, "pipeline/run_list.html", context)


@require_safe
@project_page(Action.READ)
def run(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """One run. While it is worked on its head polls this address and brings the panels that have changed."""
    now = timezone.now()
    found = get_object_or_404(Run.objects.select_related("created_by", "style_guide"), project=project, pk=pk)
    page = Paginator(found.jobs.order_by("position"), PANELS_A_PAGE).get_page(request.GET.get("page"))
    counts = _counts([found.pk]).get(found.pk, {})
    # After a cancel a worker may still finish what it has in hand, and the bell its panel.
    is_ending = counts.get("n_working", 0) > 0 or found.jobs.ready_to_close().exists()
    is_live = found.is_open or (found.run_mode == Run.Mode.RUN and is_ending and not found.is_imported)
    # A canceled run may wait for a person before its last step follows.
    awaits_last_step = not found.is_open and found.status != Run.Status.CANCELED and found.post_run_at is None
    is_sending = found.sync_s3 and found.run_mode == Run.Mode.RUN and awaits_last_step
    context = {
        "project": project,
        "section": "runs",
        "run": found,
        "page": page,
        "counts": counts,
        "verdicts": _verdicts(found),
        "is_live": is_live,
        "is_sending": is_sending,
        "retry": _retry(found, is_live=is_live),
        "doubts": doubts_of(project, run=found),
        "seen_at": (now - LATE_COMMIT).isoformat(),
        "steps": () if found.is_imported else planned_steps(plan_of(found)),
    }
    since = _moment(request.GET.get("since", ""))
    if request.htmx and since:
        # The last answer brings all panels, so that nothing is missed whatever the clocks did.
        context["changed"] = _panels(page, since=since if is_live or is_sending else None)
        context["controls_changed"] = request.GET.get("seen") != f"{found.status} {is_live}"
        return render(request, "pipeline/run.html#live", context)
    context["panels"] = _panels(page)
    return render(request, "pipeline/run.html", context)


@require_safe
@project_page(Action.READ)
def run_winners(request: PageRequest, project: Project, pk: UUID) -> HttpResponseBase:
    """The winners as one zip file; `?approved=1` leaves out what nobody has approved."""
    found = get_object_or_404(Run, project=project, pk=pk)
    approved_only = request.GET.get("approved") == "1"
    with ExitStack() as on_refusal:
        package = on_refusal.enter_context(tempfile.TemporaryFile())
        try:
            n_winners = write_zip(found, package, approved_only=approved_only)
        except FileNotFoundError as error:
            raise NotFound(
                f"A winner of this run is not on disk any more ({error.filename}): nothing was packed"
            ) from error
        if not n_winners:
            raise Invalid(
                "No panel of this run is approved yet" if approved_only else "This run has no winner yet"
            )
        on_refusal.pop_all()  # the response closes it
    package.seek(0)
    word = "approved" if approved_only else "winners"
    filename = f"{project.slug}_{stamp(found.created_at)}_{word}.zip"
    return FileResponse(package, as_attachment=True, filename=filename, content_type="application/zip")


def shots_of(jobs: Iterable[RunJob]) -> dict[UUID, list[Shot]]:
    """The candidates of these jobs with their pictures, calls and files; three queries."""
    candidates = (
        Candidate.objects.filter(job__in=[job.pk for job in jobs])
        .select_related("final_asset", "output_asset")
        .prefetch_related(Prefetch("attempts", queryset=Attempt.objects.order_by("started_at")), "assets")
        .order_by("job", "candidate_index")
    )
    found: dict[UUID, list[Shot]] = {}
    for candidate in candidates:
        tries = [Try(attempt, _seconds(attempt)) for attempt in candidate.attempts.all()]
        code = str(candidate.error.get("code", ""))
        advice = ADVICE.get(code, OTHER_ADVICE) if code and candidate.status == "failed" else ""
        asset = on_disk(candidate.final_asset or candidate.output_asset)
        shot = Shot(candidate, asset, advice, tries, chain_of(candidate))
        found.setdefault(candidate.job_id, []).append(shot)
    return found


def _panels(page: Page[RunJob], since: datetime | None = None) -> list[Panel]:
    jobs = list(page.object_list)
    shots = shots_of(jobs)
    panels = [Panel(job, shots.get(job.pk, []), _face(job, shots.get(job.pk, []))) for job in jobs]
    return [panel for panel in panels if since is None or _last_change(panel) >= since]


def _retry(found: Run, *, is_live: bool) -> Retry | None:
    """What the run page offers to make again; two queries."""
    if is_live or found.is_imported or found.status not in ENDED:
        return None
    retry = plan_retry(found)
    return retry if retry.n_images else None


def _face(job: RunJob, shots: list[Shot]) -> Asset | None:
    for shot in shots:
        if shot.candidate.candidate_index == job.selected_candidate_index:
            return shot.asset
    done = [shot for shot in shots if shot.candidate.status == "done" and shot.candidate.finished_at]
    newest = max(done, key=lambda shot: (shot.candidate.finished_at, shot.candidate.pk), default=None)
    return newest.asset if newest else None


def _last_change(panel: Panel) -> datetime:
    moments = [panel.job.created_at, panel.job.finished_at]
    for shot in panel.shots:
        moments += [shot.candidate.started_at, shot.candidate.finished_at]
        moments += [entry.attempt.finished_at or entry.attempt.started_at for entry in shot.tries]
    return max(moment for moment in moments if moment)


def _counts(runs: list[UUID]) -> dict[UUID, dict[str, int]]:
    """Of each run how many candidates are in which state, and all; one query."""
    rows = (
        Candidate.objects.filter(run__in=runs)
        .order_by()
        .values("run")
        .annotate(
            n_all=Count("pk"),
            n_done=Count("pk", filter=Q(status="done")),
            n_rejected=Count("pk", filter=Q(status="failed_output_guard")),
            n_failed=Count("pk", filter=Q(status="failed")),
            n_canceled=Count("pk", filter=Q(status="canceled")),
            n_in_doubt=Count("pk", filter=Q(status="in_doubt")),
            n_working=Count("pk", filter=Q(status__in=OPEN_CANDIDATE)),
        )
    )
    return {
        row["run"]: {
            "n_all": row["n_all"],
            "n_done": row["n_done"],
            "n_rejected": row["n_rejected"],
            "n_failed": row["n_failed"],
            "n_canceled": row["n_canceled"],
            "n_in_doubt": row["n_in_doubt"],
            "n_closed": row["n_done"] + row["n_rejected"] + row["n_failed"] + row["n_in_doubt"],
            "n_working": row["n_working"],
        }
        for row in rows
    }


def _verdicts(found: Run) -> dict[str, int]:
    """How many panels have a winner, are approved, rejected, wait for review, or failed; one query."""
    return found.jobs.aggregate(
        n_winners=Count("pk", filter=Q(status="done")),
        n_kept=Count("pk", filter=Q(status="done") & ~Q(verdict="rejected")),
        n_closed=Count("pk", filter=Q(finished_at__isnull=False)),
        n_approved=Count("pk", filter=Q(verdict="approved")),
        n_rejected=Count("pk", filter=Q(verdict="rejected")),
        n_waiting=Count("pk", filter=Q(status="done", verdict="")),
        n_without=Count("pk", filter=Q(finished_at__isnull=False) & ~Q(status__in=["done", "planned"])),
    )


def _seconds(attempt: Attempt) -> float | None:
    if attempt.finished_at is None:
        return None
    return (attempt.finished_at - attempt.started_at).total_seconds()


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text.replace(" ", "+"))
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
