from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management import CommandError
from django.utils import timezone

from kroma_site.prepare import OperatorCommand, prepare
from pipeline.models import Attempt
from pipeline.providers.images import MAX_IMAGE_BYTES
from pipeline.services.attempts import doubt_left_alone
from pipeline.services.control import decide_arrived, decide_lost
from projects.access import OPERATOR


class Command(OperatorCommand):
    help = "List the paid calls of which nobody knows whether they were billed, or decide about one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["list", "lost", "arrived"])
        parser.add_argument("call_id", nargs="?", default="", metavar="CALL_ID", help="as the list says it")
        parser.add_argument(
            "--picture", default="", metavar="FILE", help="arrived only: the image as the provider has it"
        )
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, what: str, call_id: str, picture: str, json: bool, **options: Any) -> None:
        if picture and what != "arrived":
            raise CommandError("--picture belongs to a call that arrived")
        data = _read(picture) if picture else None
        prepare()
        if what != "list":
            attempt = _attempt(call_id)
            if what == "arrived":
                decide_arrived(attempt, by=OPERATOR, picture=data)
            else:
                decide_lost(attempt, by=OPERATOR)
            attempt.refresh_from_db()
            if json:
                self.print_json({"ok": True, **_row(attempt)})
            else:
                self.stdout.write(f"{attempt.pk}: {attempt.status}")
            return
        doubt_left_alone(timezone.now())
        rows = [_row(attempt) for attempt in _calls().in_doubt()]
        if json:
            self.print_json({"ok": True, "calls": rows})
            return
        for row in rows:
            self.stdout.write("{id}  {project}  {what}  {provider}  {reserved_usd} USD  {sent}".format(**row))
        if not rows:
            self.stdout.write("No call is in doubt")


def _read(picture: str) -> bytes:
    try:
        with Path(picture).open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)  # one too many is refused by name
    except OSError as error:
        raise CommandError(f"{picture} can't be read ({error.strerror})") from error


def _calls() -> Any:
    return Attempt.objects.select_related("project", "candidate__job__run__project__storage")


def _attempt(call_id: str) -> Attempt:
    try:
        found: Attempt = _calls().get(pk=UUID(call_id))
    except (ValueError, Attempt.DoesNotExist) as error:
        raise CommandError(f"There is no call {call_id}: `doubt list` says which") from error
    return found


def _row(attempt: Attempt) -> dict[str, str]:
    candidate = attempt.candidate
    image = f"{candidate.job.job_key}, candidate {candidate.candidate_index}" if candidate else "no run"
    return {
        "id": str(attempt.pk),
        "project": attempt.project.slug,
        "run_id": str(attempt.run_id or ""),
        "what": f"{attempt.step} of {image}",
        "provider": attempt.provider_code,
        "reserved_usd": str(attempt.reserved_usd),
        "sent": attempt.started_at.isoformat(timespec="seconds"),
        "status": attempt.status,
    }
