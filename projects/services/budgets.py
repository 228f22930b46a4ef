"""How much a project may spend."""

from decimal import Decimal

from django.db import transaction

from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import Budget, Project

PERIODS = ("per_run", "per_day", "per_month")
LARGEST = Decimal(10) ** 9  # USD


def set_budget(
    project: Project,
    *,
    per_run: Decimal | None,
    per_day: Decimal | None,
    per_month: Decimal | None,
    by: Principal,
) -> Budget:
    """Set all limits of a project at once, in USD; None is no limit. Raises `Invalid`.

    Holds for what is started from now on: what is reserved already stays reserved.
    """
    limits = dict(zip(PERIODS, (per_run, per_day, per_month), strict=True))
    for period, limit in limits.items():
        if limit is None:
            continue
        if not (limit.is_finite() and 0 <= limit < LARGEST and limit == round(limit, 6)):
            raise Invalid(
                f"The limit {period.replace('_', ' ')} is {limit}: use an amount in USD from 0, with at most "
                "six places"
            )
    with transaction.atomic():
        earlier = Budget.objects.select_for_update().filter(project=project).first()
        before = {period: _text(getattr(earlier, f"{period}_usd", None)) for period in PERIODS}
        budget, _ = Budget.objects.update_or_create(
            project=project, defaults={f"{period}_usd": limit for period, limit in limits.items()}
        )
        after = {period: _text(limit) for period, limit in limits.items()}
        audit.record(project, "budget.set", budget, by=by, before=before, after=after)
    return budget


def _text(limit: Decimal | None) -> str | None:
    return None if limit is None else f"{limit.normalize():f}"
