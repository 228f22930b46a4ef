from argparse import ArgumentParser
from typing import Any

from kroma_site.files import FilesCommand, picked
from pipeline.engine.settings import UPSCALE_BACKENDS
from pipeline.services.loose_files import upscale_files
from projects.access import OPERATOR


class Command(FilesCommand):
    help = "Enlarge an image or a folder of images."

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_file_options(parser, output="upscaled")
        parser.add_argument("--backend", default="", choices=["", *UPSCALE_BACKENDS], metavar="NAME")
        parser.add_argument("--scale", type=int, choices=[2, 3, 4])

    def handle(self, *, project: str, backend: str, scale: int | None, **options: Any) -> None:
        outcome, chain = upscale_files(
            self.universe(project),
            source=options["input"],
            output=options["output"],
            backend=backend,
            scale=scale,
            watch=self.watch,
            by=OPERATOR,
        )
        used = chain.plan.upscale_backend or ""
        record: dict[str, object] = {
            "backend": used,
            "scale": chain.plan.upscale_scale,
            "model": chain.upscale_model,
        }
        words = f"enlarged {chain.plan.upscale_scale} times by {used}"
        self.tell(outcome, record, words=words, as_json=options["json"], shown=picked("seconds"))
