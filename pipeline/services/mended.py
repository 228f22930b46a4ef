"""Runs that a refused account had stopped go on once it works again."""

import logging

from django.db.models import Exists, OuterRef, Q, QuerySet

from pipeline.models import Attempt, Candidate, Run, RunJob
from pipeline.models.runs import REDONE
from pipeline.services import budgets, control
from pipeline.services.runs import ABORTED
from projects.access import Principal
from projects.errors import KromaError
from projects.models import Project

logger = logging.getLogger(__name__)

# Codes of an image's error: the account as a whole was refused, or could not be called.
REFUSED = ("provider_auth", "provider_quota", "provider_unusable")
_CALLS = Attempt.objects.filter(candidate=OuterRef("pk"), status=Attempt.Status.FAILED)
# A cut-out tells of all its backends under one code; which was refused, its calls say.
_REFUSED = Q(error__code__in=REFUSED) | Q(
    Exists(_CALLS.filter(error_code__in=REFUSED)), error__code="bg_remove_failed"
)


def stopped_runs(project: Project) -> QuerySet[Run]:
    """Runs that ended with images missing because an account was refused, the newest first."""
    refused = Candidate.objects.filter(_REFUSED, run=OuterRef("pk"))
    ended = Run.objects.filter(
        Exists(refused),
        project=project,
        status__in=(Run.Status.PARTIAL, Run.Status.FAILED),
        is_imported=False,
    )
    return ended.order_by("-created_at")


def go_on(project: Project, code: str, *, by: Principal) -> list[Run]:
    """Make again what the account of this provider or tool had stopped; the runs that go on.

    Only what people have confirmed: a run that would now cost more than is left of its confirmed price, or
    that misses images for any other reason, stays as it is, for a person to look at. So does one that can't
    go on for now, as with an empty budget.
    """
    called = Attempt.objects.filter(
        candidate__run=OuterRef("pk"), provider_code=code, status=Attempt.Status.FAILED
    )
    # Without a key no call was made that would name the account.
    of_this = stopped_runs(project).filter(Q(provider_code=code) | Exists(called))
    return [run for run in of_this if _goes_on(run, by)]


def _goes_on(run: Run, by: Principal) -> bool:
    missing = Candidate.objects.filter(run=run, status__in=REDONE).exclude(job__status=RunJob.Status.DONE)
    # Counted, as SQL can't say of an image without an error that it has another one.
    if missing.filter(_REFUSED | Q(error__code=ABORTED)).count() < missing.count():
        return False
    try:
        left = run.estimate_usd - budgets.spent_by(run)
        control.retry_failed(run, by=by, confirm_spend=True, max_cost_usd=left)
    except KromaError as error:
        logger.info("Run %s does not go on by itself: %s", run.pk, error)
        return False
    return True
