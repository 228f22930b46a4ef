"""Runs and what they are made of: jobs and candidates."""

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from projects.access import Principal
from projects.models import Project, StyleGuide

# What a candidate can still come out of by itself, without a person.
OPEN_CANDIDATE = ("planned", "running", "generated")
# What a retry makes again, unless its panel has a winner.
REDONE = ("failed", "canceled")
# Errors after which the kept bytes are no use to a second try: it has to call again.
USELESS_ORIGINAL = ("image_unreadable", "original_missing")


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, principal: Principal) -> Self:
        """Runs of the projects that the principal is a member of."""
        return self.filter(project__in=Project.objects.visible_to(principal))

    def with_progress(self) -> Self:
        """Annotate `n_open`, `n_done`, `n_rejected`, `n_failed`, `n_canceled`, `n_in_doubt`: candidates.

        Counting drops the model's own order: say the one you want.
        """

        def candidates(*statuses: str) -> Count:
            return Count("candidates", filter=Q(candidates__status__in=statuses))

        return self.annotate(
            n_open=candidates(*OPEN_CANDIDATE),
            n_done=candidates("done"),
            n_rejected=candidates("failed_output_guard"),
            n_failed=candidates("failed"),
            n_canceled=candidates("canceled"),
            n_in_doubt=candidates("in_doubt"),
        )

    def unfinished(self) -> Self:
        """Paid runs without an end; a paused one may reach it with what was in hand."""
        return self.filter(status__in=Run.OPEN_STATUSES)

    def going(self) -> Self:
        """Runs that workers may take something of."""
        return self.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING))

    def owing_a_log(self) -> Self:
        """Canceled runs of which something ended after the cancel, and nothing is open any more."""
        jobs = RunJob.objects.filter(run=OuterRef("pk"))
        return self.filter(
            Exists(jobs.filter(finished_at__gt=OuterRef("finished_at"))),
            ~Exists(jobs.filter(finished_at__isnull=True)),
            status=Run.Status.CANCELED,
        )

    def owing_post_run(self, now: datetime) -> Self:
        """Runs that have ended, with their log, and whose last step nobody has done or is at."""
        jobs = RunJob.objects.filter(run=OuterRef("pk"))
        log_follows = Exists(jobs.filter(finished_at__isnull=True)) | Exists(
            jobs.filter(finished_at__gt=OuterRef("finished_at"))
        )
        return self.filter(
            Q(post_run_until__isnull=True) | Q(post_run_until__lte=now),
            ~Q(status=Run.Status.CANCELED) | ~log_follows,
            finished_at__isnull=False,
            post_run_at__isnull=True,
            is_imported=False,
        )


class Run(models.Model):
    """One plan, dry or confirmed: what was asked for, and all that came of it."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PAUSED = "paused"
        CANCELED = "canceled"
        OK = "ok"
        PARTIAL = "partial"
        FAILED = "failed"
        UNKNOWN = "unknown"

    class Mode(models.TextChoices):
        DRY = "dry"
        RUN = "run"

    OPEN_STATUSES = (Status.QUEUED, Status.RUNNING, Status.PAUSED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="runs")
    run_mode = models.CharField(max_length=3, choices=Mode)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    stage = models.CharField(max_length=10)
    time_of_day = models.CharField(max_length=10)
    weather = models.CharField(max_length=10)
    provider_code = models.CharField(max_length=100)
    model_name = models.CharField(max_length=100, blank=True)
    image_size = models.CharField(max_length=20, blank=True)
    image_quality = models.CharField(max_length=20, blank=True)
    seed = models.BigIntegerField(default=0)
    n_jobs = models.PositiveIntegerField(default=0)
    n_candidates = models.PositiveIntegerField(default=1, help_text="per job")
    style_guide = models.ForeignKey(StyleGuide, models.SET_NULL, null=True, blank=True, related_name="runs")
    plan_hash = models.CharField(max_length=64)
    estimate_usd = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    # What the jobs share: generation, postprocess, output_guard, provider (its look and version), warnings.
    settings_snapshot = models.JSONField(default=dict)
    run_log_path = models.CharField(
        max_length=1000, help_text="relative to the project root; absolute for an imported log outside it"
    )
    # Read from a log that another installation wrote: its rows may be replaced by a newer text of that log.
    is_imported = models.BooleanField(default=False)
    sync_s3 = models.BooleanField(default=False, help_text="send the project's files to S3 after the run")
    # What the post-run step could not do, a sentence each; never a reason for the run to fail.
    warnings = models.JSONField(default=list, blank=True)
    post_run_until = models.DateTimeField(null=True, blank=True, help_text="lease of the post-run step")
    post_run_at = models.DateTimeField(null=True, blank=True, help_text="when that step was done")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="runs"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    objects = RunQuerySet.as_manager()

    if TYPE_CHECKING:
        n_open: int
        n_done: int
        n_rejected: int
        n_failed: int
        n_canceled: int
        n_in_doubt: int

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # newest runs of a project: run list, dashboard
            models.Index(fields=["project", "-created_at"], name="run_newest_of_project"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project", "run_log_path"], name="run_log_path_once"),
            models.CheckConstraint(
                name="run_finished_iff_closed",
                condition=Q(status__in=["queued", "running", "paused"], finished_at__isnull=True)
                | (~Q(status__in=["queued", "running", "paused"]) & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="run_status_known",
                condition=Q(
                    status__in=[
                        "queued", "running", "paused", "canceled", "ok", "partial", "failed", "unknown"
                    ]
                ),
            ),
            models.CheckConstraint(name="run_mode_known", condition=Q(run_mode__in=["dry", "run"])),
            models.CheckConstraint(name="run_estimate_not_negative", condition=Q(estimate_usd__gte=0)),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.stage} run of {self.created_at:%d %b %Y %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("pipeline:run", args=[self.project.slug, self.pk])

    @property
    def is_open(self) -> bool:
        """Whether something may still happen to it."""
        return self.status in self.OPEN_STATUSES

    @property
    def display_status(self) -> str:
        """The status in words for people: a dry run is `planned`."""
        return "planned" if self.run_mode == self.Mode.DRY else str(self.status)


class RunJobQuerySet(models.QuerySet["RunJob"]):
    def visible_to(self, principal: Principal) -> Self:
        """Jobs of the projects that the principal is a member of."""
        return self.filter(run__project__in=Project.objects.visible_to(principal))

    def awaiting_review(self) -> Self:
        """Finished jobs with a winner about which nobody has said anything."""
        return self.filter(status=RunJob.Status.DONE, verdict="")

    def with_redone(self) -> Self:
        """Annotate how many candidates a retry makes: `n_redone`, and `n_called` of them by a new call."""
        redone = Q(candidates__status__in=REDONE)
        call = Q(candidates__original_sha256="") | Q(candidates__error__code__in=USELESS_ORIGINAL)
        return self.annotate(
            n_redone=Count("candidates", filter=redone), n_called=Count("candidates", filter=redone & call)
        )

    def ready_to_close(self) -> Self:
        """Jobs without an outcome whose candidates have all come to an end."""
        open_candidates = Candidate.objects.filter(
            job=OuterRef("pk"), status__in=[*OPEN_CANDIDATE, "in_doubt"]
        )
        return self.filter(finished_at__isnull=True).filter(~Exists(open_candidates))


class RunJob(models.Model):
    """One scene image to be made with one prompt; its candidates compete to be its winner."""

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        FAILED_OUTPUT_GUARD = "failed_output_guard"
        CANCELED = "canceled"

    class Verdict(models.TextChoices):
        NONE = "", "not reviewed"
        APPROVED = "approved"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, models.PROTECT, related_name="jobs")
    position = models.PositiveIntegerField(help_text="1-based place in the plan")
    job_key = models.CharField(max_length=500)
    label = models.CharField(max_length=300, help_text="what people call the scene")
    status = models.CharField(max_length=20, choices=Status, default=Status.PLANNED)
    prompt_text = models.TextField()
    # [{"path": relative to the project root, "sha256": ..., "label": ...}], the scene first.
    inputs = models.JSONField(default=list)
    selected_candidate_index = models.PositiveIntegerField(null=True, blank=True)
    failure_reason = models.CharField(max_length=100, blank=True)
    is_imported = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True, help_text="the job as an imported log has it")
    # The newest review's verdict, kept here so that lists need no join.
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.NONE, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    objects = RunJobQuerySet.as_manager()

    if TYPE_CHECKING:
        n_redone: int
        n_called: int

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="job_position_once"),
            # Logs from elsewhere hold what they hold.
            models.UniqueConstraint(
                fields=["run", "job_key"], condition=Q(is_imported=False), name="job_key_once"
            ),
            models.CheckConstraint(
                name="job_done_has_winner",
                condition=~Q(status="done") | Q(selected_candidate_index__isnull=False) | Q(is_imported=True),
            ),
            models.CheckConstraint(
                name="job_status_known",
                condition=Q(
                    status__in=["planned", "running", "done", "failed", "failed_output_guard", "canceled"]
                )
                | Q(is_imported=True),
            ),
            models.CheckConstraint(
                name="job_verdict_known", condition=Q(verdict__in=["", "approved", "rejected"])
            ),
        ]

    def __str__(self) -> str:
        return self.label or self.job_key


class CandidateQuerySet(models.QuerySet["Candidate"]):
    def visible_to(self, principal: Principal) -> Self:
        """Candidates of the projects that the principal is a member of."""
        return self.filter(run__project__in=Project.objects.visible_to(principal))

    def claim(
        self, pk: uuid.UUID | str, *, now: datetime, token: uuid.UUID | None = None
    ) -> uuid.UUID | None:
        """Take one candidate for work: the lease's token, or None if it is not ours to take.

        One conditional UPDATE without a join: PostgreSQL judges the row again after it waited for another
        worker only by the row's own columns. Takes what is planned, and what a dead worker left (its lease
        has expired).
        A candidate of a run that is paused or canceled stays where it is, and so does one that is to be tried
        again later.
        """
        token = token or uuid.uuid4()
        due = Q(not_before__isnull=True) | Q(not_before__lte=now)
        free = Q(status="planned") & due | Q(status__in=["running", "generated"], lease_until__lt=now)
        taken = self.filter(free, pk=pk, run__in=Run.objects.going()).update(
            status=Candidate.Status.RUNNING,
            not_before=None,
            waits_for="",
            lease_token=token,
            lease_until=now + timedelta(seconds=settings.LEASE_SECONDS),
            started_at=Coalesce(F("started_at"), now),
            n_claims=F("n_claims") + 1,
        )
        return token if taken else None

    def stalled(self, now: datetime) -> Self:
        """What a dead worker left behind in a run that should go on."""
        left = self.filter(status__in=["running", "generated"], lease_until__lt=now)
        return left.not_rung_since(now).filter(run__in=Run.objects.going())

    def left_in_canceled(self, now: datetime) -> Self:
        """What nobody works on any more in a canceled run, and nobody will."""
        idle = Q(status="planned") | Q(status__in=["running", "generated"], lease_until__lt=now)
        return self.filter(idle, run__in=Run.objects.filter(status=Run.Status.CANCELED))

    def unrung(self, now: datetime) -> Self:
        """Planned candidates whose last ring is long enough ago to think that it was lost.

        Those that wait for a busy account are rung when it has a free place: `waiting()`.
        """
        return self.filter(status="planned", waits_for="", run__in=Run.objects.going()).not_rung_since(now)

    def waiting(self) -> Self:
        """Planned candidates that wait for an account, until a moment or until it has a free place."""
        return self.filter(status="planned", run__in=Run.objects.going()).exclude(waits_for="")

    def due(self, now: datetime) -> Self:
        """Those whose moment has come, or that wait for none."""
        return self.filter(Q(not_before__isnull=True) | Q(not_before__lte=now))

    def unlocked(self) -> Self:
        """Those that no other transaction is changing, inside a transaction.

        Changes of many rows have no common order, and two that wait for each other's rows would be stuck.
        """
        free = self.order_by().select_for_update(skip_locked=True)
        return type(self)(self.model).filter(pk__in=free.values("pk"))

    def not_rung_since(self, now: datetime) -> Self:
        """Those whose last ring is so long ago that nobody can have heard it."""
        before = now - timedelta(seconds=settings.LEASE_SECONDS)
        return self.filter(Q(rung_at__isnull=True) | Q(rung_at__lt=before))


class Candidate(models.Model):
    """One generated variant of a job."""

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        GENERATED = "generated"
        DONE = "done"
        FAILED = "failed"
        FAILED_OUTPUT_GUARD = "failed_output_guard"
        IN_DOUBT = "in_doubt"
        CANCELED = "canceled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, models.PROTECT, related_name="candidates")
    job = models.ForeignKey(RunJob, models.PROTECT, related_name="candidates")
    candidate_index = models.PositiveIntegerField()
    status = models.CharField(max_length=20, choices=Status, default=Status.PLANNED)
    # 64 bits unsigned as the plan makes it: as text, since databases stop at 63.
    seed = models.CharField(max_length=20)
    output_name = models.CharField(max_length=600, help_text="planned file, relative to the project root")
    original_sha256 = models.CharField(max_length=64, blank=True)
    original_path = models.CharField(max_length=200, blank=True)
    output_asset = models.ForeignKey("Asset", models.PROTECT, null=True, blank=True, related_name="output_of")
    final_asset = models.ForeignKey("Asset", models.PROTECT, null=True, blank=True, related_name="final_of")
    rank_hard_failures = models.PositiveIntegerField(default=0)
    rank_soft_warnings = models.PositiveIntegerField(default=0)
    rank_avg_chroma_exceed = models.FloatField(default=0.0)
    rank_reason = models.CharField(max_length=500, blank=True)
    # {"step", "kind", "code", "message", "http_status"} of a failure, else empty.
    error = models.JSONField(default=dict, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    n_claims = models.PositiveIntegerField(default=0, help_text="how often a worker has taken it")
    not_before = models.DateTimeField(null=True, blank=True, help_text="when the next call may be tried")
    waits_for = models.CharField(max_length=100, blank=True, help_text="provider whose account is busy")
    # Held back of the budget for calls that are still to be made; an attempt takes its part over.
    reserved_usd = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    is_imported = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True, help_text="the candidate as an imported log has it")
    rung_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    objects = CandidateQuerySet.as_manager()

    class Meta:
        ordering = ["job", "candidate_index"]
        indexes = [
            # what the bell looks for: leases that ran out, planned ones nobody took
            models.Index(fields=["status", "lease_until"], name="candidate_by_lease"),
            # what a budget has to hold back for calls that are still to be made
            models.Index(fields=["run"], condition=Q(reserved_usd__gt=0), name="candidate_reserving"),
            # who is rung when an account has a free place again
            models.Index(
                fields=["waits_for", "created_at"], condition=~Q(waits_for=""), name="candidate_waiting"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "candidate_index"],
                condition=Q(is_imported=False),
                name="candidate_index_once",
            ),
            models.CheckConstraint(name="candidate_index_from_1", condition=Q(candidate_index__gte=1)),
            models.CheckConstraint(
                name="candidate_worked_on_iff_leased",
                condition=Q(status__in=["running", "generated"], lease_until__isnull=False)
                | (~Q(status__in=["running", "generated"]) & Q(lease_until__isnull=True)),
            ),
            models.CheckConstraint(
                name="candidate_done_has_final",
                condition=~Q(status="done") | Q(final_asset__isnull=False) | Q(is_imported=True),
            ),
            models.CheckConstraint(
                name="candidate_reserves_while_open",
                condition=Q(reserved_usd=0)
                | Q(reserved_usd__gt=0, status__in=["planned", "running", "generated", "in_doubt"]),
            ),
        ]

    def __str__(self) -> str:
        return f"candidate {self.candidate_index}"
