from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError

from kroma_site.files import FilesCommand, picked
from pipeline.engine.settings import BG_BACKENDS
from pipeline.services.loose_files import cut_out_files
from projects.access import OPERATOR


class Command(FilesCommand):
    help = "Remove the background of an image or a folder of images."

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_file_options(parser, output="background_removed")
        parser.add_argument(
            "--backends", default="", metavar="A,B", help=f"in this order: {', '.join(BG_BACKENDS)}"
        )
        parser.add_argument("--refine", choices=["true", "false"], help="the refine pass after it")
        parser.add_argument("--confirm-spend", action="store_true", help="what costs money may be called")

    def handle(self, *, project: str, backends: str, refine: str | None, **options: Any) -> None:
        wanted = tuple(name.strip().lower() for name in backends.split(",") if name.strip())
        if unknown := [name for name in wanted if name not in BG_BACKENDS]:
            raise CommandError(f"--backends has no '{unknown[0]}': use {', '.join(BG_BACKENDS)}")
        outcome, chain, warnings = cut_out_files(
            self.universe(project),
            source=options["input"],
            output=options["output"],
            backends=wanted,
            refine=None if refine is None else refine == "true",
            confirm_spend=options["confirm_spend"],
            watch=self.watch,
            by=OPERATOR,
        )
        for warning in warnings:
            self.say(f"Note: {warning}")
        plan = chain.plan
        record: dict[str, object] = {
            "backends": list(plan.bg_remove_backends),
            "refine_openai": plan.bg_refine_openai,
            "refine_openai_required": plan.bg_refine_openai_required,
            "format": plan.bg_remove_format,
        }
        shown = picked("backend", "refine_openai", "refine_error", "backend_failures", "seconds")
        self.tell(outcome, record, words="cut out", as_json=options["json"], shown=shown)
