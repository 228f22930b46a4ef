from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management import CommandError

from kroma_site.headless import RunCommand
from kroma_site.prepare import prepare, worker_count
from pipeline.models import Run
from pipeline.services.budgets import price_in_words
from pipeline.services.control import cancel_run, pause_run, resume_run, retry_failed
from projects.access import OPERATOR
from projects.errors import SpendNotConfirmed


class Command(RunCommand):
    help = "Cancel, pause or resume a run, or make again what is missing of it (retry)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["cancel", "pause", "resume", "retry"])
        parser.add_argument("run_id", metavar="RUN_ID", help="as `pipeline run` and the run's address say it")
        parser.add_argument("--workers", type=worker_count, default=settings.WORKERS, metavar="N")
        parser.add_argument("--confirm-spend", action="store_true", help="retry only: it may make images")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, what: str, run_id: str, confirm_spend: bool, **options: Any) -> None:
        if what == "retry" and not confirm_spend:
            raise SpendNotConfirmed("Making images again needs --confirm-spend")
        prepare()
        run = _run(run_id)
        if what == "retry":
            retry = retry_failed(run, by=OPERATOR, confirm_spend=confirm_spend)
            runs_here = not run.settings_snapshot.get("provider", {}).get("uses_network")
            price = price_in_words(retry.price_usd, runs_here=runs_here)
            self.say(f"{retry.n_images} images again, {price}. Run {run.pk}")
        elif what == "resume":
            resume_run(run, by=OPERATOR)
        else:
            {"cancel": cancel_run, "pause": pause_run}[what](run, by=OPERATOR)
            run.refresh_from_db()
            if options["json"]:
                self.print_json({"ok": True, "status": run.status, "run_id": str(run.pk)})
            else:
                self.stdout.write(f"Run {run.pk}: {run.status}")
            return
        self.finish(run, n_workers=options["workers"], as_json=options["json"])


def _run(run_id: str) -> Run:
    """The run of this id. Raises `CommandError`."""
    try:
        return Run.objects.select_related("project__storage").get(pk=UUID(run_id))
    except (ValueError, Run.DoesNotExist) as error:
        raise CommandError(
            f"There is no run {run_id}: the last part of its page's address names it"
        ) from error
