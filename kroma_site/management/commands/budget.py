from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management import CommandError

from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.universes import any_project_named
from pipeline.services.budgets import money, spending_of
from projects.access import OPERATOR
from projects.models import Budget
from projects.services.budgets import PERIODS, set_budget

NO_LIMIT = "none"


class Command(OperatorCommand):
    help = "Show what a universe may spend, has spent and holds back, in USD; with options, set its limits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        for period in PERIODS:
            option = f"--{period.replace('_', '-')}"
            parser.add_argument(option, metavar="USD", help=f"a limit, or {NO_LIMIT}; unchanged if left out")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, project: str, json: bool, **options: Any) -> None:
        prepare()
        universe = any_project_named(project)
        budget = Budget.objects.filter(project=universe).first()
        limits = {period: getattr(budget, f"{period}_usd", None) for period in PERIODS}
        given = {period: options[period] for period in PERIODS if options[period] is not None}
        if given:
            limits |= {period: _amount(period, text) for period, text in given.items()}
            set_budget(universe, **limits, by=OPERATOR)
        spending = spending_of(universe)
        document = {
            "limits": {period: None if limit is None else money(limit) for period, limit in limits.items()},
            "spent_today": money(spending.today),
            "spent_this_month": money(spending.this_month),
            "reserved": money(spending.reserved),
        }
        if json:
            self.print_json({"ok": True, "project_slug": universe.slug, **document})
            return
        for period, limit in limits.items():
            self.stdout.write(f"{period.replace('_', ' ')}: {'no limit' if limit is None else money(limit)}")
        self.stdout.write(
            f"spent today {money(spending.today)}, this month {money(spending.this_month)}, "
            f"held back {money(spending.reserved)} USD"
        )


def _amount(period: str, text: str) -> Decimal | None:
    if text.strip().lower() == NO_LIMIT:
        return None
    try:
        return Decimal(text)
    except InvalidOperation as error:
        option = f"--{period.replace('_', '-')}"
        raise CommandError(f"{option} is {text}: use an amount in USD, or {NO_LIMIT}") from error
