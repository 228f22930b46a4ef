"""What a project has spent and holds back, and whether its budget bears more."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum
from django.utils import timezone

from pipeline.models import Attempt, Candidate, CostEvent, Run
from projects.errors import BudgetExceeded
from projects.models import Budget, Project

ZERO = Decimal(0)
MICRO = Decimal("0.000001")


@dataclass(frozen=True)
class Spending:
    """Sums in USD. `reserved` is held back for calls to come, in flight and in doubt."""

    today: Decimal
    this_month: Decimal
    reserved: Decimal


def reserve(project: Project, amount: Decimal, *, run: Run | None = None) -> None:
    """Make sure that the budget bears `amount` more, before the caller's transaction writes it down.

    Locks the budget until that transaction ends, so that two runs can't both take the last of it (on SQLite
    the write lock does it). `run` is the one that the amount belongs to, when it has spent something before.
    Raises `BudgetExceeded`.
    """
    if amount <= 0:
        return
    budget = Budget.objects.select_for_update().filter(project=project).first()
    if budget is None:
        return
    if budget.per_run_usd is not None:
        of_run = amount + (spent_by(run) if run else ZERO)
        if of_run > budget.per_run_usd:
            raise BudgetExceeded(
                f"The run would cost {money(of_run)} USD, and the budget of {project.name} allows "
                f"{money(budget.per_run_usd)} a run: make fewer images, or ask an owner to raise it"
            )
    spending = spending_of(project)
    for limit, spent, period in (
        (budget.per_day_usd, spending.today, "a day"),
        (budget.per_month_usd, spending.this_month, "a month"),
    ):
        left = None if limit is None else limit - spent - spending.reserved
        if limit is not None and left is not None and amount > left:
            raise BudgetExceeded(
                f"This would cost {money(amount)} USD, and of the {money(limit)} that the budget of "
                f"{project.name} allows {period} {money(max(left, ZERO))} is left ({money(spent)} spent, "
                f"{money(spending.reserved)} held back): make fewer images, wait, or ask an owner to raise it"
            )


def spending_of(project: Project, *, now: datetime | None = None) -> Spending:
    """What was spent today and this month (UTC), and what is held back; four queries."""
    now = now or timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    # What another installation has spent, as a log of it tells, is not for this budget.
    events = CostEvent.objects.filter(project=project).exclude(run__is_imported=True)
    to_come = Candidate.objects.filter(run__project=project, reserved_usd__gt=0)
    in_flight = Attempt.objects.filter(project=project).reserving()
    return Spending(
        today=_sum(events.filter(created_at__gte=midnight), "total_cost_usd"),
        this_month=_sum(events.filter(created_at__gte=midnight.replace(day=1)), "total_cost_usd"),
        reserved=_sum(to_come, "reserved_usd") + _sum(in_flight, "reserved_usd"),
    )


def money(amount: Decimal) -> str:
    """An amount as people read it: two places, more where it has more."""
    text = f"{amount.normalize():f}"
    whole, _, places = text.partition(".")
    return f"{whole}.{places.ljust(2, '0')}"


def price_in_words(price: Decimal | None, *, runs_here: bool) -> str:
    """What something costs at most, as people read it."""
    if price is None:
        return "price unknown"
    return "free, runs here" if runs_here and not price else f"{money(price)} USD"


def spent_by(run: Run) -> Decimal:
    """What a run has cost so far and what is held back for it, in USD."""
    held = Candidate.objects.filter(run=run, reserved_usd__gt=0)
    return (
        _sum(CostEvent.objects.filter(run=run), "total_cost_usd")
        + _sum(Attempt.objects.filter(run=run).reserving(), "reserved_usd")
        + _sum(held, "reserved_usd")
    )


def _sum(rows: object, field: str) -> Decimal:
    found: Decimal | None = rows.order_by().aggregate(sum=Sum(field))["sum"]  # type: ignore[attr-defined]
    # SQLite adds them up as binary fractions, exact to far more places than money has here.
    return (found or ZERO).quantize(MICRO)
