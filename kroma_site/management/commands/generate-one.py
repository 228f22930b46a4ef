import json as json_format  # noqa: N999 - the reference names the command
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import CommandError

from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.universes import project_named
from pipeline.services.planning import display_name, display_path
from pipeline.services.single import Wanted, generate_one
from pipeline.store import store_for
from projects.access import OPERATOR


class Command(OperatorCommand):
    help = "Make one image from others with one call of a provider."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--prompt", required=True, metavar="TEXT")
        parser.add_argument(
            "--images", required=True, metavar="FILE", help="a JSON list of image paths, the scene first"
        )
        parser.add_argument("--output", required=True, metavar="PATH", help="a PNG in the universe's folder")
        parser.add_argument("--provider", default="", metavar="CODE", help="that of the settings if left out")
        for name in ("model", "size", "quality"):
            parser.add_argument(f"--{name}", default="", help="that of the account if left out")
        parser.add_argument("--seed", type=int, default=0, metavar="N")
        parser.add_argument("--confirm-spend", action="store_true", help="what costs money may be called")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, project: str, images: str, confirm_spend: bool, json: bool, **options: Any) -> None:
        wanted = Wanted(
            prompt=options["prompt"],
            images=_listed(Path(images)),
            output=options["output"],
            provider_code=options["provider"].strip(),
            model=options["model"].strip(),
            size=options["size"].strip(),
            quality=options["quality"].strip(),
            seed=options["seed"],
        )
        prepare()
        universe = project_named(project)
        made = generate_one(universe, wanted, confirm_spend=confirm_spend, by=OPERATOR)
        output = display_name(store_for(universe), made.asset.rel_path)
        if json:
            self.print_json(
                {
                    "ok": True,
                    "project": universe.slug,
                    "output": output,
                    "input_images": [display_path(path) for path in made.images],
                    "model": made.model,
                    "size": made.size,
                    "quality": made.quality,
                    "bytes_written": made.n_bytes,
                }
            )
        else:
            self.stdout.write(f"Made {output} with {made.model}, {made.size}, {made.n_bytes} bytes")


def _listed(file: Path) -> tuple[str, ...]:
    try:
        document = json_format.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{file} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise CommandError(f"{file} is no JSON: {error}") from error
    if not isinstance(document, list) or not all(isinstance(path, str) and path.strip() for path in document):
        raise CommandError(f'{file} must be a JSON list of paths, such as ["scene.png", "style.png"]')
    return tuple(document)
