"""What people say about finished panels."""

from django.db import transaction

from pipeline.models import Candidate, Review, RunJob
from pipeline.services.runs import guard_of, write_reasons
from projects import audit
from projects.access import Principal
from projects.errors import Invalid


def approve(job: RunJob, *, by: Principal, note: str = "") -> Review:
    """Accept the winner of a job. Raises `Invalid` for a job without one."""
    if job.status != RunJob.Status.DONE:
        raise Invalid(f"{job} has no winner that could be approved")
    return _say(job, Review.Verdict.APPROVED, by=by, note=note, verdict=RunJob.Verdict.APPROVED)


def reject(job: RunJob, *, by: Principal, note: str) -> Review:
    """Refuse what a job brought, with the reason. Raises `Invalid` without one, or for an open job."""
    if not note.strip():
        raise Invalid("A rejection needs a reason: say what is wrong, so that the next try can mend it")
    if job.finished_at is None:
        raise Invalid(f"{job} is still being made")
    return _say(job, Review.Verdict.REJECTED, by=by, note=note, verdict=RunJob.Verdict.REJECTED)


def reopen(job: RunJob, *, by: Principal) -> Review:
    """Take a verdict back: the job waits for review again."""
    return _say(job, Review.Verdict.REOPENED, by=by, note="", verdict=RunJob.Verdict.NONE)


def add_note(job: RunJob, *, by: Principal, note: str) -> Review:
    """Say something about a job without judging it. Raises `Invalid` for nothing."""
    if not note.strip():
        raise Invalid("The note is empty: write something first")
    return _say(job, Review.Verdict.NOTE, by=by, note=note)


def pick(job: RunJob, candidate_index: int, *, by: Principal, note: str = "") -> Review:
    """Make another finished candidate the winner. Raises `Invalid` if it has no usable picture.

    A verdict was about the picture before, so the job waits for review again.
    """
    candidates = list(Candidate.objects.filter(job=job).select_related("output_asset", "final_asset"))
    chosen = next((row for row in candidates if row.candidate_index == candidate_index), None)
    if chosen is None or chosen.status != Candidate.Status.DONE:
        raise Invalid(f"Candidate {candidate_index} of {job} has no finished picture that could be picked")
    if job.finished_at is None:
        raise Invalid(f"{job} is still being made")
    with transaction.atomic():
        RunJob.objects.filter(pk=job.pk).update(selected_candidate_index=candidate_index)
        write_reasons(candidates, candidate_index, guard=guard_of(job.run))
        Candidate.objects.filter(pk=chosen.pk).update(
            rank_reason=f"Picked by {by.name or 'a person'} over the automatic ranking."
        )
        none = RunJob.Verdict.NONE
        return _say(job, Review.Verdict.PICKED, by=by, note=note, candidate=chosen, verdict=none)


def _say(
    job: RunJob,
    word: Review.Verdict,
    *,
    by: Principal,
    note: str,
    verdict: RunJob.Verdict | None = None,
    candidate: Candidate | None = None,
) -> Review:
    project = job.run.project
    with transaction.atomic():
        review = Review.objects.create(
            project=project, job=job, candidate=candidate, verdict=word, note=note.strip(), reviewer=by.user
        )
        if verdict is not None:
            RunJob.objects.filter(pk=job.pk).update(verdict=verdict)
        audit.record(project, f"review.{word}", job, by=by, run=str(job.run_id), note=note.strip())
    return review
