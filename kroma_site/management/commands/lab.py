from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import CommandError

from kroma_site.prepare import OperatorCommand
from pipeline.models.lab import LabWork
from pipeline.services.labtools import PROFILES, SCALES, UPSCALERS, check_tool, laboured


class Command(OperatorCommand):
    help = "Let one tool work on one image, outside of any universe; needs no database and costs nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tool", choices=LabWork.Tool.values)
        parser.add_argument("image", type=Path, metavar="IMAGE")
        parser.add_argument("output", type=Path, metavar="OUTPUT.png")
        parser.add_argument(
            "--scale", type=int, choices=SCALES, default=SCALES[0], help="upscale: how many times"
        )
        parser.add_argument(
            "--upscaler", choices=list(UPSCALERS), default="ncnn", help="upscale: by which net"
        )
        parser.add_argument("--profile", choices=PROFILES, default=PROFILES[0], help="colour: which profile")
        parser.add_argument(
            "--style", type=Path, metavar="IMAGE", help="restyle: an image that shows the style"
        )
        parser.add_argument(
            "--box", type=float, nargs=4, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
            help="cutout: where the figure is, in per cent",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="restyle: another seed, another variant")
        parser.add_argument("--force", action="store_true", help="replace the output if it is there")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(
        self,
        *,
        tool: str,
        image: Path,
        output: Path,
        style: Path | None,
        force: bool,
        json: bool,
        **options: Any,
    ) -> None:
        if output.exists() and not force:
            raise CommandError(f"{output} exists: name another file, or say --force")
        if output.suffix.lower() != ".png":
            raise CommandError(f"{output} can't be written: end its name with .png")
        wanted = {name: options[name] for name in ("scale", "upscaler", "profile", "seed", "box")}
        check_tool(tool, wanted, has_style=style is not None)
        done = laboured(tool, wanted, image, style)
        try:
            output.write_bytes(done.data)
        except OSError as error:
            raise CommandError(f"{output} can't be written: {error.strerror}") from error
        if json:
            self.print_json({"ok": True, "output": str(output), **done.facts})
        else:
            self.stdout.write(f"{output}: {done.facts['seconds']} s")
