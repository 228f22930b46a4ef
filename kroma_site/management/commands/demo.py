import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import CommandError

from kroma_site.demo import universe
from kroma_site.headless import failures, split_paths, wait_for, winner_list
from kroma_site.prepare import OperatorCommand, prepare, worker_count
from pipeline.models import Run
from pipeline.providers.local.provider import CLASSICAL
from pipeline.services.references import find_inputs
from pipeline.services.trigger import carry_out
from pipeline.services.winners import publish_winners
from pipeline.store import store_for
from pipeline.tools.weights import FETCH
from projects.access import Principal
from projects.services.people import first_owner


class Command(OperatorCommand):
    help = "Build the example universe and make a run of it, with its own pictures or with yours."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--input", action="append", default=[], metavar="PATH", help="scene images of your own"
        )
        parser.add_argument("--workers", type=worker_count, default=settings.WORKERS, metavar="N")
        parser.add_argument("--once", action="store_true", help="do nothing if there is a finished run")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, once: bool, workers: int, **options: Any) -> None:
        scenes = find_inputs(split_paths(options["input"]))
        prepare()
        run = universe.latest_run() if once else None
        if run is not None and not run.is_open:
            self.say(f"The example universe is there, with a finished run of {run.n_jobs} panels.")
            return
        if run is None:
            self.say("Building the example universe Saltmarsh.")
            project = universe.build()
            plan, request = universe.plan(project, scenes=scenes)
            self.say(_look_in_words(str(plan.provider.get("look", ""))))
            run = carry_out(plan, request, by=Principal(first_owner()))
            self.say(f"{plan.n_images} images, free, runs here.")
        run = wait_for(run, n_workers=workers, say=self.say, bar=sys.stderr.isatty() and not once)
        self._tell(run, as_json=options["json"])

    def _tell(self, run: Run, *, as_json: bool) -> None:
        published = publish_winners(run)
        if as_json:
            document = {
                "ok": run.status == Run.Status.OK,
                "project_slug": run.project.slug,
                "run_id": str(run.pk),
                "run_log_path": str(store_for(run.project).path(run.run_log_path)),
                "winners_dir": str(published.folder),
                "contact_sheet": str(published.contact_sheet),
                "jobs": run.n_jobs,
                "winners": winner_list(published),
            }
            self.print_json(document)
        lost = failures(run)
        for failure in lost:
            self.say(f"No winner for {failure['scene']} ({failure['job']}): {failure['reason']}")
        tell = self.say if as_json else self.stdout.write
        tell(f"Winners: {published.folder}")
        tell(f"Contact sheet: {published.contact_sheet}")
        if run.status != Run.Status.OK:
            raise CommandError(f"{len(lost)} of {run.n_jobs} jobs have no winner")


def _look_in_words(look: str) -> str:
    """In which look the pictures are drawn, and how the better one is had."""
    if look == CLASSICAL:
        return (
            f"It is drawn in the classical looks: ink, hatching and flat colour. `{FETCH}` gets the style "
            "network, which paints on top of them, and the models of the tools."
        )
    return "It is painted by the style network, with ink, hatching and flat colour on top."
