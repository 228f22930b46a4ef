"""All universes at a glance, and one universe at a glance."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Count, DateTimeField, Exists, F, Model, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from pipeline.models import Asset, Attempt, Candidate, CostEvent, Run, RunJob
from pipeline.services.configuration import load
from pipeline.services.health import last_checks
from projects.access import Action, PageRequest, allows, project_page
from projects.models import AuditEvent, Character, Project, ReferenceItem, ReferenceSet, StyleGuide

M = TypeVar("M", bound=Model)

N_COVERS = 3  # images on the card of a universe
N_RUNS = 8  # on the dashboard
N_WINNERS = 4  # images beside a run
N_REVIEW = 6  # images that wait for a verdict
N_DOUBTS = 20  # calls that wait for a decision


@dataclass(frozen=True)
class Step:
    """One step of the way from an idea to approved panels."""

    title: str
    text: str
    done: bool
    url: str = ""
    optional: bool = False
    is_next: bool = False
    check: str = ""  # the provider whose account can be asked here


@require_safe
def project_list(request: PageRequest) -> HttpResponse:
    """Every universe of the one who asks, the last touched first."""
    visible = Project.objects.visible_to(request.principal).active().with_role(request.principal)
    projects = list(_with_totals(visible))
    covers = winners_by_run([project.latest_run for project in projects], N_COVERS)
    context = {"cards": [(project, covers[project.latest_run]) for project in projects]}
    return render(request, "pipeline/project_list.html", context)


@require_safe
@project_page(Action.READ)
def dashboard(request: PageRequest, project: Project) -> HttpResponse:
    """Where the work stands: the next step, the last runs, what waits for a verdict, the totals."""
    newest = Run.objects.filter(project=project)
    # The few runs are picked before their candidates are counted: a project may have very many.
    few = Run.objects.filter(pk__in=newest.values("pk")[:N_RUNS])
    n_closed = F("n_done") + F("n_rejected") + F("n_failed") + F("n_in_doubt")
    counted = few.with_progress().annotate(n_closed=n_closed)
    runs = list(counted.order_by("-created_at", "-id"))  # counting drops the model's own order
    pictures = winners_by_run([run.pk for run in runs], N_WINNERS)
    waiting = (
        RunJob.objects.filter(run__project=project).awaiting_review().order_by("-finished_at", "position")
    )
    first = _winners(waiting.values("pk")[:N_REVIEW]).order_by("-job__finished_at", "job__position")
    totals = _with_journey(_with_totals(Project.objects.filter(pk=project.pk))).get()
    context = {
        "project": project,
        "section": "dashboard",
        "steps": journey(totals, may_run=allows(request.project_role, Action.RUN)),
        "totals": totals,
        "doubts": doubts_of(project),
        "runs": [(run, pictures[run.pk]) for run in runs],
        "waiting": [winner for winner in first if on_disk(winner.final_asset)],
    }
    return render(request, "pipeline/dashboard.html", context)


def journey(project: Any, *, may_run: bool) -> list[Step]:
    """The steps of one universe and which of them is the next, from what exists in it.

    `project` carries the annotations of `_with_totals` and `_with_journey`.
    """
    library = reverse("projects:library", args=[project.slug])
    run = reverse("pipeline:run-new" if may_run else "pipeline:run-list", args=[project.slug])
    review = reverse("pipeline:review", args=[project.slug])
    steps = [
        _provider_step(project),
        Step("Universe", f"{project.name} is set up.", done=True),
        Step(
            "References and style",
            _words(
                (project.n_images, "image", "images"),
                (project.n_sets, "set", "sets"),
                (project.n_guides, "style guide", "style guides"),
            )
            or "Add scene images, style images and a style guide.",
            done=project.n_images > 0,
            url=library,
        ),
        Step(
            "Settings from an assistant",
            "Let any chat assistant write style guides, characters and sets, and see the changes first.",
            done=project.has_imported,
            url=reverse("bootstrap:exchange", args=[project.slug]),
            optional=True,
        ),
        Step(
            "Style baseline",
            "The first finished style run fixes how everything looks.",
            done=project.has_style_run,
            url=run,
        ),
        Step("Time of day", "The same scenes by day and by night.", done=project.has_time_run, url=run),
        Step("Weather", "The same scenes clear and in rain.", done=project.has_weather_run, url=run),
        Step(
            "Characters",
            _words((project.n_characters, "character", "characters")) or "Describe who must stay the same.",
            done=project.n_characters > 0,
            url=library,
            optional=True,
        ),
        Step(
            "Post-process",
            "Cut-out, refine, upscale and colour, switched on for a run under “After each image”.",
            done=project.has_steps_run,
            url=run,
            optional=True,
        ),
        Step(
            "Review and export",
            _words((project.n_approved, "panel approved", "panels approved"))
            or "Approve panels, reject what falls short, download the winners.",
            done=project.n_approved > 0 and project.n_waiting == 0,
            url=review,
        ),
    ]
    following = next((step for step in steps if not step.done and not step.optional), None)
    # Panels that wait for a person come before starting anything more.
    if project.n_waiting:
        following = steps[-1]
    return [replace(step, is_next=step is following) for step in steps]


def _provider_step(project: Any) -> Step:
    """The first step: done once the provider of the settings was found to work, or has made a run."""
    url = reverse("pipeline:accounts", args=[project.slug])
    checks = last_checks(project)
    if broken := [check for check in checks.values() if not check.ok]:
        told = "; ".join(f"{one.provider_code}: {one.message}" for one in broken)
        return Step("Provider", f"{told}. Mend it, and make what is missing again.", done=False, url=url)
    code = load(project).provider_code
    found = checks.get(code)
    if found is None and not project.n_runs:
        text = f"{code} makes the images unless you choose another. See if it works: it costs nothing."
        return Step("Provider", text, done=False, url=url, check=code)
    return Step("Provider", f"{code}: {found.message}." if found else f"{code} works.", done=True, url=url)


def _with_totals(projects: QuerySet[Project]) -> QuerySet[Project, Any]:
    """The last touched first, each with what it holds.

    Annotates `n_runs` and `n_panels` that were made, `n_judged` candidates and how many of them `n_passed`
    the guard, `spent_usd` (None for nothing), `latest_run` with a winner (its key) and `last_activity_at`.
    """
    made = Run.objects.filter(project=OuterRef("pk"), run_mode=Run.Mode.RUN)
    judged = Candidate.objects.filter(run__project=OuterRef("pk"))
    spent = CostEvent.objects.filter(project=OuterRef("pk")).order_by().values("project")
    passed = _count(judged.filter(status=Candidate.Status.DONE), "run__project")
    refused = _count(judged.filter(status=Candidate.Status.FAILED_OUTPUT_GUARD), "run__project")
    touched = Subquery(
        made.order_by("-created_at").values(at=Coalesce("finished_at", "created_at"))[:1],
        output_field=DateTimeField(),
    )
    with_winners = made.filter(Exists(RunJob.objects.filter(run=OuterRef("pk"), status=RunJob.Status.DONE)))
    return projects.annotate(
        n_runs=_count(made, "project"),
        n_panels=_count(
            RunJob.objects.filter(run__project=OuterRef("pk"), status=RunJob.Status.DONE), "run__project"
        ),
        n_passed=passed,
        n_judged=passed + refused,
        spent_usd=Subquery(spent.annotate(sum=Sum("total_cost_usd")).values("sum")),
        latest_run=Subquery(with_winners.order_by("-created_at").values("pk")[:1]),
        last_activity_at=Greatest(F("updated_at"), Coalesce(touched, F("updated_at"))),
    ).order_by("-last_activity_at", "name")


def _with_journey(projects: QuerySet[Project]) -> QuerySet[Project, Any]:
    """Annotate what `journey` looks at."""

    def finished(stage: str) -> Exists:
        ended = [Run.Status.OK, Run.Status.PARTIAL]
        return Exists(
            Run.objects.filter(project=OuterRef("pk"), run_mode=Run.Mode.RUN, stage=stage, status__in=ended)
        )

    jobs = RunJob.objects.filter(run__project=OuterRef("pk"))
    return projects.annotate(
        n_images=_count(ReferenceItem.objects.filter(project=OuterRef("pk")), "project"),
        n_sets=_count(ReferenceSet.objects.filter(project=OuterRef("pk")), "project"),
        n_guides=_count(StyleGuide.objects.filter(project=OuterRef("pk")), "project"),
        n_characters=_count(Character.objects.filter(project=OuterRef("pk")), "project"),
        n_approved=_count(jobs.filter(verdict=RunJob.Verdict.APPROVED), "run__project"),
        n_waiting=_count(jobs.awaiting_review(), "run__project"),
        # By its event in the trail: of the exchange nothing is known here.
        has_imported=Exists(
            AuditEvent.objects.filter(project_id=OuterRef("pk"), event_code="bootstrap.import")
        ),
        has_style_run=finished("style"),
        has_time_run=finished("time"),
        has_weather_run=finished("weather"),
        has_steps_run=Exists(
            Run.objects.filter(
                Exists(RunJob.objects.filter(run=OuterRef("pk"), status=RunJob.Status.DONE)),
                project=OuterRef("pk"),
                run_mode=Run.Mode.RUN,
                # The first step after generation.
                settings_snapshot__postprocess__pipeline_order__1__isnull=False,
            )
        ),
    )


def _count(rows: QuerySet[M], group: str) -> Coalesce:
    """How many of `rows`, which are already narrowed to one project; `group` is the path to it."""
    return Coalesce(Subquery(rows.order_by().values(group).annotate(n=Count("pk")).values("n")), 0)


def doubts_of(project: Project, run: Run | None = None) -> list[Attempt]:
    """The calls that wait for a decision, the oldest first, at most so many as a page can hold; one query."""
    found = Attempt.objects.in_doubt().filter(project=project)
    if run is not None:
        found = found.filter(run=run)
    return list(found.select_related("run", "candidate__job")[:N_DOUBTS])


def winners_by_run(runs: Iterable[UUID | None], n: int) -> dict[UUID | None, list[Candidate]]:
    """The first `n` winners of each run, in the order of the plan; two queries for any number of runs."""
    done = RunJob.objects.filter(run=OuterRef("pk"), status=RunJob.Status.DONE).order_by("position")
    # One look into the index of (run, position) for each place, instead of reading all jobs of long runs.
    places = {f"shown_{i}": Subquery(done.values("pk")[i : i + 1]) for i in range(n)}
    rows = Run.objects.filter(pk__in=[run for run in runs if run]).order_by().annotate(**places)
    jobs = [job for row in rows.values_list(*places) for job in row if job]
    found: dict[UUID | None, list[Candidate]] = defaultdict(list)
    for winner in _winners(jobs):
        if on_disk(winner.final_asset):
            found[winner.run_id].append(winner)
    return found


def on_disk(asset: Asset | None) -> Asset | None:
    """The file, unless its row says that it was not there when its log was read or it was archived."""
    return None if asset is None or asset.metadata.get("path_exists") is False else asset


def _winners(jobs: Any) -> QuerySet[Candidate]:
    """The chosen candidate of each of these jobs (keys, or a query for them), with its image and job."""
    chosen = Candidate.objects.filter(job__in=jobs, candidate_index=F("job__selected_candidate_index"))
    return (
        chosen.filter(final_asset__isnull=False)
        .select_related("final_asset", "job")
        .order_by("job__position")
    )


def _words(*counts: tuple[int, str, str]) -> str:
    """`3 images, 1 set`; nothing for what there is none of."""
    return ", ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n)
