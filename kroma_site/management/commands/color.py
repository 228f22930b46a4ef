from argparse import ArgumentParser
from typing import Any

from kroma_site.files import FilesCommand, picked
from pipeline.services.loose_files import colour_files
from projects.access import OPERATOR


class Command(FilesCommand):
    help = "Correct the colours of an image or a folder of images by a profile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_file_options(parser, output="color_corrected")
        parser.add_argument("--profile", default="", metavar="NAME")
        parser.add_argument("--settings-file", default="", metavar="FILE", help="profiles of your own")

    def handle(self, *, project: str, profile: str, settings_file: str, **options: Any) -> None:
        outcome, chain = colour_files(
            self.universe(project),
            source=options["input"],
            output=options["output"],
            profile=profile,
            settings_file=settings_file,
            watch=self.watch,
            by=OPERATOR,
        )
        record: dict[str, object] = {
            "profile": chain.plan.color_profile,
            "settings": chain.config.color.settings_file or "builtin",
        }
        words = f"corrected with {chain.plan.color_profile}"
        self.tell(outcome, record, words=words, as_json=options["json"], shown=picked("seconds"))
