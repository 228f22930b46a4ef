from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.core.management import CommandError

from kroma_site.prepare import OperatorCommand
from kroma_site.smoke import PATIENCE, Step, Walk


class Command(OperatorCommand):
    help = "Walk a running server through every main flow, over HTTP alone; exit code 1 if a step fails."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", required=True, metavar="URL", help="such as http://127.0.0.1:8788")
        parser.add_argument(
            "--token", default="", help="a token of an owner; left out, the first one of the server is made"
        )
        parser.add_argument(
            "--scene",
            default="",
            metavar="PATH",
            help="an image in its KROMA_INPUT_ROOTS, for a run",
        )
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, base_url: str, token: str, scene: str, json: bool, **options: Any) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CommandError(f"--base-url is {base_url}: use a whole address such as http://127.0.0.1:8788")

        def said(step: Step) -> None:
            self.say(f"FAILED  {step.name}: {step.problem}" if step.problem else f"passed  {step.name}")

        with httpx.Client(base_url=base_url.rstrip("/"), timeout=PATIENCE) as client:
            walk = Walk(client, token, scene)
            whole = walk.run(said)
        n_failed = sum(bool(step.problem) for step in walk.steps)
        if json:
            steps = [asdict(step) for step in walk.steps]
            self.print_json({"ok": whole, "project_slug": walk.slug, "steps": steps})
        else:
            self.stdout.write(f"{len(walk.steps) - n_failed} passed, {n_failed} failed, in {walk.slug}")
        if not whole:
            raise CommandError(f"{n_failed} of {len(walk.steps)} steps failed")
