import sys  # noqa: N999 - the reference names the command
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from kroma_site.prepare import OperatorCommand, prepare
from pipeline.engine.runlog import Summary, parse_summary
from pipeline.services.ingest import IngestResult, ingest_run_log
from projects.access import OPERATOR
from projects.names import slugified

LONGEST_OUTPUT = 16 * 1024 * 1024  # characters of a pipeline's output


class Command(OperatorCommand):
    help = "Read a run log into the rows of a universe; the log of a run made here is only checked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "run_log", metavar="RUN_LOG", help="the file, or - for a pipeline's output on standard input"
        )
        parser.add_argument("--project", default="", metavar="SLUG", help="needed unless the output names it")
        parser.add_argument("--name", default="", help="of the universe, if it is made")
        parser.add_argument("--create-if-missing", action=BooleanOptionalAction, default=True)
        parser.add_argument("--compute-hashes", action="store_true", help="of every file that is there")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, run_log: str, project: str, **options: Any) -> None:
        summary = _summary_on_standard_input() if run_log == "-" else None
        path = summary.run_log_path if summary else str(Path(run_log).expanduser().absolute())
        told = summary.project_slug if summary else None
        slug = project or told or ""
        if not slug:
            raise CommandError("--project is needed: it names the universe that the log is read into")
        prepare()
        result = ingest_run_log(
            path,
            project_slug=slug,
            project_name=options["name"],
            create_if_missing=options["create_if_missing"],
            compute_hashes=options["compute_hashes"],
            n_executed=summary.jobs if summary else None,
            by=OPERATOR,
        )
        if told and slugified(told) != result.project_slug:
            self.say(f"Warning: the summary is about {told}; the log is read into {result.project_slug}.")
        for line in result.warnings:
            self.say(f"Warning: {line}.")
        if options["json"]:
            self.print_json(result.as_dict())
            return
        for line in _told(result):
            self.stdout.write(line)


def _summary_on_standard_input() -> Summary:
    """What the output of a pipeline says of its log. Raises `CommandError`."""
    try:
        summary = parse_summary(sys.stdin.read(LONGEST_OUTPUT))
    except UnicodeDecodeError as error:
        raise CommandError("Standard input is no text in UTF-8") from error
    if summary is None:
        raise CommandError(
            "Standard input names no run log: it needs the line that begins with “Run log:” or with the "
            "marker of a summary"
        )
    return summary


def _told(result: IngestResult) -> list[str]:
    if result.is_imported:
        return [
            f"Run {result.run_id} of {result.project_slug}: {result.status}",
            f"{result.jobs} jobs, {result.candidates} candidates, {result.assets_upserted} assets, "
            f"{result.quality_reports_written} quality reports, {result.cost_events_written} cost events",
        ]
    first = f"Run {result.run_id} of {result.project_slug} was made here: its rows stay as they are"
    if not result.differences:
        return [first, "The log and the files are what the rows say"]
    return [first, *(f"Difference: {line}" for line in result.differences)]
