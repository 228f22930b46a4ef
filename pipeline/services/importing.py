"""The rows of a run that another installation made, written at once and in bulk."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import count, pairwise
from pathlib import PurePosixPath

from django.db import models
from django.utils import timezone

from pipeline.engine.ingest import (
    ARCHIVED_BAD,
    CANDIDATE_FINAL,
    CANDIDATE_OUTPUT,
    JOB_FINAL,
    CandidateEntry,
    CostEntry,
    JobEntry,
    LogRecords,
)
from pipeline.models import (
    Asset,
    AssetLink,
    Attempt,
    Candidate,
    CostEvent,
    QualityReport,
    Review,
    Run,
    RunJob,
)
from pipeline.services.logfiles import LONGEST_NAME, FoundFile, LogPaths
from projects.access import Principal
from projects.errors import Invalid
from projects.models import Project, ProjectStorage

DERIVED_FROM = "derived_from"
AT_ONCE = 500  # rows of one INSERT, names of one question
_ALL_BITS = 2**128 - 1
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Imported:
    """The run that was written, and how much of what."""

    run: Run
    n_candidates: int
    n_reports: int
    n_derived: int
    notes: tuple[str, ...]


@dataclass(slots=True)
class _File:
    """What the log says of one file: the last word where it says something twice."""

    path: str
    kind: str
    job: uuid.UUID
    candidate: uuid.UUID | None
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Planned:
    """The files of a log by the names of their rows, and which was made from which."""

    names: Mapping[str, str]  # path in the log -> name of the row
    files: dict[str, _File] = field(default_factory=dict)
    links: dict[tuple[str, str], None] = field(default_factory=dict)  # (parent, child): names

    def name(self, path: str | None) -> str | None:
        return self.names.get(path) if path else None

    def put(self, path: str | None, kind: str, job: uuid.UUID, candidate: uuid.UUID | None) -> None:
        """An upsert of the contract: it overrides what was said of the file before."""
        name = self.name(path)
        if path and name:
            self.files[name] = _File(path, kind, job, candidate)

    def put_job_final(self, job: JobEntry, pk: uuid.UUID) -> None:
        name = self.name(job.final_output)
        if not name:
            return
        known = self.files.get(name)
        self.put(job.final_output, JOB_FINAL, pk, known.candidate if known and known.job == pk else None)
        self.files[name].metadata["selected_candidate"] = job.selected_candidate

    def put_steps(self, candidate: CandidateEntry, pk: uuid.UUID, job: uuid.UUID) -> None:
        """The files between, where the contract has not named them, and the links along the chain."""
        for kind, path in candidate.steps:
            name = self.name(path)
            if name and name not in self.files:
                self.files[name] = _File(path, kind, job, pk)
                if kind == ARCHIVED_BAD:
                    self.files[name].metadata["archived"] = "bad"
        chain = [candidate.output, *(path for _, path in candidate.steps), candidate.final_output]
        named = [name for path in chain if (name := self.name(path))]
        self.links.update(dict.fromkeys(pairwise(dict.fromkeys(named))))


def import_log(
    project: Project,
    records: LogRecords,
    *,
    stored: str,
    names: LogPaths,
    files: Mapping[str, FoundFile],
    inputs: Mapping[str, FoundFile],
    by: Principal,
) -> Imported:
    """Write a log from elsewhere, in place of what an earlier text of the same log has left.

    Call it inside a transaction. `stored` is how the run names its log, `files` and `inputs` what is on disk
    under each path of the log. Raises `Invalid` if people or providers have worked on the earlier rows.
    """
    # One import at a time, and none while a run publishes its files.
    ProjectStorage.objects.select_for_update().get(project=project)
    now = timezone.now()
    run = _run(project, records, stored, by, now)
    keys = _keys()
    jobs = [(job, next(keys)) for job in records.jobs]
    candidates = [(candidate, next(keys), pk) for job, pk in jobs for candidate in job.candidates]
    named = {path: name for path in files if len(name := names.name(path)) <= LONGEST_NAME}
    planned = _Planned(named)
    for candidate, pk, job_pk in candidates:
        planned.put(candidate.output, CANDIDATE_OUTPUT, job_pk, pk)
        planned.put(candidate.final_upsert, CANDIDATE_FINAL, job_pk, pk)
    for job, pk in jobs:
        planned.put_job_final(job, pk)
    for candidate, pk, job_pk in candidates:
        planned.put_steps(candidate, pk, job_pk)
    # Rows name each other in circles: the databases look at that when the transaction ends.
    RunJob.objects.bulk_create(_job_rows(run, jobs, names, inputs, now), batch_size=AT_ONCE)
    assets = _write_assets(run, planned, files, keys, now)
    Candidate.objects.bulk_create(_candidate_rows(run, candidates, planned, assets, now), batch_size=AT_ONCE)
    _write_links(project, planned, assets, keys, now)
    reports = _reports(run, records, candidates, planned=planned, assets=assets, keys=keys, now=now)
    QualityReport.objects.bulk_create(reports, batch_size=AT_ONCE)
    CostEvent.objects.bulk_create(_costs(run, records.costs, jobs, now), batch_size=AT_ONCE)
    kinds = {CANDIDATE_OUTPUT, CANDIDATE_FINAL, JOB_FINAL}
    n_long = len(files) - len(named)
    return Imported(
        run=run,
        n_candidates=len(candidates),
        n_reports=len(reports),
        n_derived=sum(file.kind not in kinds for file in planned.files.values()),
        notes=(f"{n_long} paths are longer than {LONGEST_NAME} characters and got no asset",)
        if n_long
        else (),
    )


def _run(project: Project, records: LogRecords, stored: str, by: Principal, now: datetime) -> Run:
    """The run, with the id of an earlier import of the same log, of which all else is removed."""
    run = Run.objects.filter(project=project, run_log_path=stored).first()
    if run is None:
        run = Run(project=project, run_log_path=stored, created_by=by.user, created_at=now)
    else:
        _clear(run)
    run.is_imported = True
    run.run_mode = records.mode
    run.status = Run.Status(records.status)
    run.stage = _cut(Run, "stage", records.stage)
    run.time_of_day = _cut(Run, "time_of_day", records.time)
    run.weather = _cut(Run, "weather", records.weather)
    run.provider_code = _cut(Run, "provider_code", records.provider_code)
    run.model_name = _cut(Run, "model_name", records.model)
    run.image_size = _cut(Run, "image_size", records.size)
    run.image_quality = _cut(Run, "image_quality", records.quality)
    run.seed = records.seed
    run.n_jobs = len(records.jobs)
    run.n_candidates = records.n_candidates
    run.plan_hash = _cut(Run, "plan_hash", records.plan_hash)
    run.settings_snapshot = dict(records.settings)
    # Such a log tells one moment only.
    run.started_at = run.finished_at = records.started_at or now
    run.save()
    return run


def _clear(run: Run) -> None:
    """Remove the rows of an earlier import. Assets stay, without a run until a log names them again."""
    if not run.is_imported:
        raise Invalid(f"Run {run.pk} was made here: its rows are never replaced by its log")
    if Attempt.objects.filter(run=run).exists() or Review.objects.filter(job__run=run).exists():
        raise Invalid(
            f"The run {run.pk} that was read from this log has reviews or calls to a provider by now, so its "
            "rows can't be replaced: copy the log to another name to read it as a run of its own"
        )
    AssetLink.objects.filter(child__run=run).delete()
    Asset.objects.filter(run=run).update(run=None, job=None, candidate=None)
    for model in (QualityReport, CostEvent, Candidate, RunJob):
        model.objects.filter(run=run).delete()


def _job_rows(
    run: Run,
    jobs: Iterable[tuple[JobEntry, uuid.UUID]],
    names: LogPaths,
    found: Mapping[str, FoundFile],
    now: datetime,
) -> list[RunJob]:
    return [
        RunJob(
            id=pk,
            run_id=run.pk,
            position=job.position,
            job_key=_cut(RunJob, "job_key", job.key),
            label=_cut(RunJob, "label", _stem(job.inputs[0].path) if job.inputs else job.key),
            status=_cut(RunJob, "status", job.status),
            prompt_text=job.prompt,
            inputs=[
                {
                    "path": names.name(image.path),
                    "sha256": _hash(image.sha256),
                    "label": _stem(image.path),
                    "path_exists": found[image.path].exists,
                }
                for image in job.inputs
            ],
            selected_candidate_index=job.selected_candidate,
            failure_reason=_cut(RunJob, "failure_reason", job.failure_reason),
            is_imported=True,
            metadata=job.metadata,
            created_at=now,
            finished_at=run.finished_at,
        )
        for job, pk in jobs
    ]


def _candidate_rows(
    run: Run,
    candidates: Iterable[tuple[CandidateEntry, uuid.UUID, uuid.UUID]],
    planned: _Planned,
    assets: Mapping[str, uuid.UUID],
    now: datetime,
) -> list[Candidate]:
    return [
        Candidate(
            id=pk,
            run_id=run.pk,
            job_id=job_pk,
            candidate_index=candidate.index,
            status=_cut(Candidate, "status", candidate.status),
            seed=candidate.seed,
            output_name=_cut(Candidate, "output_name", planned.name(candidate.output) or ""),
            original_sha256=_hash(candidate.original_sha256),
            output_asset_id=assets.get(planned.name(candidate.output) or ""),
            final_asset_id=assets.get(planned.name(candidate.final_output) or ""),
            rank_hard_failures=candidate.rank.hard_failures,
            rank_soft_warnings=candidate.rank.soft_warnings,
            rank_avg_chroma_exceed=candidate.rank.avg_chroma_exceed,
            rank_reason=_cut(Candidate, "rank_reason", candidate.rank_reason),
            error=candidate.error,
            # A log that was left behind half-way; the lease is over, and no worker looks at a closed run.
            lease_until=run.finished_at if candidate.status in ("running", "generated") else None,
            is_imported=True,
            metadata=candidate.metadata,
            created_at=now,
            finished_at=None if candidate.is_planned else run.finished_at,
        )
        for candidate, pk, job_pk in candidates
    ]


def _write_assets(
    run: Run,
    planned: _Planned,
    files: Mapping[str, FoundFile],
    keys: Iterator[uuid.UUID],
    now: datetime,
) -> dict[str, uuid.UUID]:
    """The key of the row of each file. Rows of runs made here stay as they are."""
    known: dict[str, tuple[uuid.UUID, bool]] = {}
    wanted = list(planned.files)
    for start in range(0, len(wanted), AT_ONCE):
        rows = Asset.objects.filter(project_id=run.project_id, rel_path__in=wanted[start : start + AT_ONCE])
        for pk, name, metadata in rows.values_list("pk", "rel_path", "metadata"):
            known[name] = pk, bool(metadata.get("imported"))
    new: list[Asset] = []
    again: list[Asset] = []
    found: dict[str, uuid.UUID] = {}
    for name, file in planned.files.items():
        key = next(keys)
        pk, is_imported = known.get(name, (key, True))
        found[name] = pk
        if is_imported:
            (again if name in known else new).append(
                _asset(run, key, name, file=file, found=files[file.path], now=now)
            )
    Asset.objects.bulk_create(new, batch_size=AT_ONCE)
    # The rows that are there keep their keys; a hundred times faster than bulk_update().
    Asset.objects.bulk_create(
        again,
        batch_size=AT_ONCE,
        update_conflicts=True,
        unique_fields=["project", "rel_path"],
        update_fields=_DESCRIBED,
    )
    return found


_DESCRIBED = (
    "kind", "mime_type", "width", "height", "n_bytes", "sha256",
    "run", "job", "candidate", "metadata", "created_at",
)  # fmt: skip


def _asset(run: Run, key: uuid.UUID, name: str, *, file: _File, found: FoundFile, now: datetime) -> Asset:
    return Asset(
        id=key,
        project_id=run.project_id,
        kind=file.kind,
        rel_path=name,
        mime_type=found.mime_type,
        width=found.width,
        height=found.height,
        n_bytes=found.n_bytes,
        sha256=found.sha256,
        run_id=run.pk,
        job_id=file.job,
        candidate_id=file.candidate,
        metadata={"path_exists": found.exists, "imported": True, **file.metadata},
        created_at=now,
    )


def _write_links(
    project: Project,
    planned: _Planned,
    assets: Mapping[str, uuid.UUID],
    keys: Iterator[uuid.UUID],
    now: datetime,
) -> None:
    rows = [
        AssetLink(
            id=next(keys),
            project_id=project.pk,
            parent_id=assets[parent],
            child_id=assets[child],
            link_type=DERIVED_FROM,
            created_at=now,
        )
        for parent, child in planned.links
    ]
    # Files of a run made here may have theirs already.
    AssetLink.objects.bulk_create(rows, batch_size=AT_ONCE, ignore_conflicts=True)


def _reports(
    run: Run,
    records: LogRecords,
    candidates: Iterable[tuple[CandidateEntry, uuid.UUID, uuid.UUID]],
    *,
    planned: _Planned,
    assets: Mapping[str, uuid.UUID],
    keys: Iterator[uuid.UUID],
    now: datetime,
) -> list[QualityReport]:
    rows = [
        QualityReport(
            id=next(keys),
            project_id=run.project_id,
            run_id=run.pk,
            candidate_id=pk,
            asset_id=assets.get(planned.name(candidate.final_output or candidate.output) or ""),
            report_type="output_guard",
            grade=_grade(candidate),
            hard_failures=candidate.rank.hard_failures,
            soft_warnings=candidate.rank.soft_warnings,
            avg_chroma_exceed=candidate.rank.avg_chroma_exceed,
            summary=candidate.report_summary(),
            created_at=now,
        )
        for candidate, pk, _ in candidates
    ]
    if records.run_report is not None:
        rows.append(
            QualityReport(
                project_id=run.project_id,
                run_id=run.pk,
                report_type="output_guard",
                summary=records.run_report,
                created_at=now,
            )
        )
    return rows


def _costs(
    run: Run, costs: Iterable[CostEntry], jobs: Iterable[tuple[JobEntry, uuid.UUID]], now: datetime
) -> list[CostEvent]:
    by_key: dict[str, uuid.UUID] = {}
    for job, pk in jobs:
        by_key.setdefault(job.key, pk)
    return [
        CostEvent(
            project_id=run.project_id,
            run_id=run.pk,
            job_id=by_key.get(cost.job_key),
            provider_code=_cut(CostEvent, "provider_code", cost.provider_code),
            model_name=_cut(CostEvent, "model_name", cost.model),
            event_type=_cut(CostEvent, "event_type", cost.event_type),
            units=cost.units,
            unit_cost_usd=cost.unit_cost,
            total_cost_usd=cost.total,
            currency=_cut(CostEvent, "currency", cost.currency),
            metadata=cost.metadata,
            # When it was spent, so that it is not taken for money of today.
            created_at=run.started_at or now,
        )
        for cost in costs
    ]


def _keys() -> Iterator[uuid.UUID]:
    """Keys as good as random ones, one after the other: they don't land all over the indexes."""
    first = uuid.uuid4().int
    return (uuid.UUID(int=(first + number) & _ALL_BITS) for number in count())


def _grade(candidate: CandidateEntry) -> str:
    if candidate.is_planned or candidate.is_synthetic:
        return ""
    if candidate.rank.hard_failures:
        return "fail"
    return "warn" if candidate.rank.soft_warnings else "pass" if candidate.status == "done" else ""


def _hash(text: str) -> str:
    return text if _SHA256.fullmatch(text) else ""


def _stem(path: str) -> str:
    return PurePosixPath(path).stem or path


def _cut(model: type[models.Model], name: str, text: str) -> str:
    """The text as long as the column takes it: PostgreSQL refuses a longer one."""
    return text[: _lengths(model)[name]]


@cache
def _lengths(model: type[models.Model]) -> dict[str, int]:
    return {
        column.name: column.max_length
        for column in model._meta.concrete_fields
        if isinstance(column, models.CharField) and column.max_length
    }
