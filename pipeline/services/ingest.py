"""Reading a run log into rows; the log of a run made here is only held against its rows."""

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from django.db import transaction

from pipeline.engine.ingest import LogRecords, records_of
from pipeline.engine.jobs import parity_warning
from pipeline.engine.logdocument import LogRefused, parse_log
from pipeline.engine.normalise import normalised
from pipeline.models import Run
from pipeline.services.importing import import_log
from pipeline.services.logcheck import differences_of
from pipeline.services.logfiles import LONGEST_NAME, LogPaths, log_file, read_log
from pipeline.services.planning import display_path
from projects import audit
from projects.access import Principal
from projects.errors import Invalid, NotFound
from projects.models import Project, ProjectStorage
from projects.names import slugified
from projects.services.people import first_owner
from projects.services.projects import create_project


@dataclass(frozen=True)
class IngestResult:
    """What an ingest wrote. Of a run made here nothing is written: the counts are those of its rows.

    `derived_assets` are the rows for files of the steps between, which `assets_upserted` leaves out;
    `differences` are sentences about a run made here, `warnings` about a log that is odd.
    """

    project_slug: str
    run_id: UUID
    run_log_path: str
    jobs: int
    candidates: int
    assets_upserted: int
    quality_reports_written: int
    cost_events_written: int
    status: str
    derived_assets: int
    is_imported: bool
    differences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "ok": True,
            "project_slug": self.project_slug,
            "run_id": str(self.run_id),
            "run_log_path": self.run_log_path,
            "jobs": self.jobs,
            "candidates": self.candidates,
            "assets_upserted": self.assets_upserted,
            "quality_reports_written": self.quality_reports_written,
            "cost_events_written": self.cost_events_written,
            "status": self.status,
            "derived_assets": self.derived_assets,
            "is_imported": self.is_imported,
            "differences": list(self.differences),
            "warnings": list(self.warnings),
        }


def ingest_run_log(
    path: str | Path,
    *,
    project_slug: str,
    project_name: str = "",
    create_if_missing: bool = True,
    compute_hashes: bool = False,
    n_executed: int | None = None,
    by: Principal,
) -> IngestResult:
    """Read a run log, by its path (from the app root if relative), into the rows of a universe.

    A second time replaces what the first has written. A log of a run that was made here changes nothing: it
    and the files are held against the rows. `n_executed` is how many jobs an executor says that it carried
    out: another number than the log has is warned of.

    Raises `Invalid`, and `NotFound` for a universe that is missing and may not be made; then nothing was
    changed.
    """
    file = log_file(path)
    project = _project(project_slug, may_make=create_if_missing)
    records = read_records(file)
    parity = parity_warning([job.key for job in records.jobs], n_executed)
    counted = (parity,) if parity else ()
    names = LogPaths(project.storage.root())
    stored = names.name(str(file))
    if len(stored) > LONGEST_NAME:
        raise Invalid(f"The path of the run log {file} is longer than {LONGEST_NAME} characters: move it")
    run = _run_made_here(project, records, stored)
    if run is not None:
        found = differences_of(run, records, with_hashes=True)
        return replace(_as_checked(run, records, file, found), warnings=(*records.notes, *counted))
    records, otherwise = normalised(records)
    # Before the transaction, which would make others wait for the disk.
    looked = {written: names.look(written, with_hash=compute_hashes) for written in set(records.paths())}
    inputs = {image.path: names.look(image.path, with_hash=False) for image in records.inputs()}
    with transaction.atomic():
        if project._state.adding:
            project = create_project(
                name=project_name.strip() or project.slug, slug=project.slug, owner=first_owner(), by=by
            )
        imported = import_log(
            project, records, stored=stored, names=names, files=looked, inputs=inputs, by=by
        )
        audit.record(project, "run.imported", imported.run, by=by, path=stored, jobs=len(records.jobs))
    return IngestResult(
        project_slug=project.slug,
        run_id=imported.run.pk,
        run_log_path=display_path(file),
        jobs=len(records.jobs),
        candidates=imported.n_candidates,
        assets_upserted=records.n_asset_upserts,
        quality_reports_written=imported.n_reports,
        cost_events_written=len(records.costs),
        status=records.status,
        derived_assets=imported.n_derived,
        is_imported=True,
        warnings=(*_about_project(records, project), *records.notes, *counted, *otherwise, *imported.notes),
    )


def read_records(file: Path) -> LogRecords:
    """What a log file says. Raises `Invalid`."""
    try:
        return records_of(parse_log(read_log(file), source=f"The run log {file}"))
    except LogRefused as error:
        raise Invalid(str(error)) from error


def _project(project_slug: str, *, may_make: bool) -> Project:
    """The universe, or what it will be as far as its places go."""
    slug = slugified(project_slug)
    if not slug:
        raise Invalid("The universe needs a name with letters or digits in it")
    project = Project.objects.filter(slug=slug).select_related("storage").first()
    if project is None:
        if not may_make:
            raise NotFound(f"There is no universe {slug}")
        project = Project(slug=slug)
        ProjectStorage(project=project)
    elif project.status != Project.Status.ACTIVE:
        raise Invalid(f"The universe {slug} is archived: bring it back first")
    return project


def _run_made_here(project: Project, records: LogRecords, stored: str) -> Run | None:
    """The run that this installation planned or made and that the log, or its place, names."""
    made_here = Run.objects.filter(is_imported=False).select_related("project__storage")
    try:
        run = made_here.filter(pk=UUID(records.run_id)).first() if records.run_id else None
    except ValueError:
        run = None
    if run is not None and run.project_id != project.pk:
        raise Invalid(
            f"This log is of run {run.pk}, which was made here in the universe {run.project.slug}: "
            "name that universe"
        )
    return run or made_here.filter(project_id=project.pk, run_log_path=stored).first()


def _about_project(records: LogRecords, project: Project) -> list[str]:
    if not records.project or slugified(records.project) == project.slug:
        return []
    return [f"The log was written for the universe {records.project!r} and is read into {project.slug}"]


def _as_checked(run: Run, records: LogRecords, file: Path, found: list[str]) -> IngestResult:
    return IngestResult(
        project_slug=run.project.slug,
        run_id=run.pk,
        run_log_path=display_path(file),
        jobs=run.jobs.count(),
        candidates=run.candidates.count(),
        assets_upserted=run.assets.count(),
        quality_reports_written=run.quality_reports.count(),
        cost_events_written=run.cost_events.count(),
        status=run.status,
        derived_assets=0,
        is_imported=False,
        differences=tuple(found),
    )
