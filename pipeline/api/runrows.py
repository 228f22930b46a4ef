"""What is read of runs, their jobs and candidates to show them, in queries that are written once a process.

Values that databases hand out in different ways are read as text: no object is made of any of them.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import (
    Aggregate,
    CharField,
    DecimalField,
    Field,
    FloatField,
    Func,
    IntegerField,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Cast, Coalesce, JSONArray

from pipeline.models import Candidate, CostEvent, Run, RunJob
from projects.models import Project
from projects.prepared import Prepared


class RunRow(NamedTuple):
    """What is read of a run to show it: ids and moments as the database writes them in text."""

    id: str
    project_id: str
    run_mode: str
    status: str
    is_imported: int
    stage: str
    time_of_day: str
    weather: str
    model_name: str
    provider_code: str
    started_at: str | None
    finished_at: str | None
    created_at: str
    run_log_path: str
    image_size: str
    image_quality: str
    seed: int
    n_jobs: int
    n_candidates: int
    plan_hash: str
    estimate_usd: float
    spent_usd: float
    style_guide_id: str | None
    warnings: str
    snapshot: str


AS_TEXT: Mapping[str, Field[Any, Any]] = {
    **dict.fromkeys(("id", "project_id", "style_guide_id"), CharField()),
    **dict.fromkeys(("started_at", "finished_at", "created_at", "warnings"), TextField()),
    "estimate_usd": FloatField(),
    "is_imported": IntegerField(),
}


def run_rows(runs: QuerySet[Run]) -> QuerySet[Run, Any]:
    """The fields of `RunRow` for these runs, without an object for any value."""
    spent = CostEvent.objects.filter(run=OuterRef("pk")).order_by().values("run")
    total = Subquery(spent.annotate(sum=Sum("total_cost_usd")).values("sum"))
    made: dict[str, Any] = {
        "spent_usd": Cast(Coalesce(total, Value(0), output_field=DecimalField()), FloatField()),
        "snapshot": Cast("settings_snapshot", TextField()),
    }
    made |= {name: Cast(name, kind) for name, kind in AS_TEXT.items()}
    return runs.values_list(*(made.get(name, name) for name in RunRow._fields))


@cache
def _newest(limit: int) -> Prepared:
    return Prepared(
        lambda project: run_rows(Run.objects.filter(project=project).order_by("-created_at", "-id")[:limit]),
        {"project": UUIDField()},
        as_stored=True,
    )


_RUN = Prepared(
    lambda project, pk: run_rows(Run.objects.filter(project=project, pk=pk)),
    {"project": UUIDField(), "pk": UUIDField()},
    as_stored=True,
)


def newest_runs(project: Project, limit: int) -> list[RunRow]:
    """The newest runs of a project, the newest first; one query."""
    return list(map(RunRow._make, _newest(limit).rows(project=project.pk)))


def run_row(project: Project, pk: UUID) -> RunRow | None:
    """One run of a project; one query."""
    return next(map(RunRow._make, _RUN.rows(project=project.pk, pk=pk)), None)


class JobRow(NamedTuple):
    """What is read of a job; `document` is its inputs, or of a log from elsewhere its metadata, as text."""

    id: str
    job_key: str
    position: int
    label: str
    status: str
    prompt_text: str
    selected_candidate_index: int | None
    failure_reason: str
    verdict: str
    created_at: str
    finished_at: str | None
    document: str


@cache
def _jobs(document: str) -> Prepared:
    made = {
        "id": Cast("id", CharField()),
        "document": Cast(document, TextField()),
        **{name: Cast(name, TextField()) for name in ("created_at", "finished_at")},
    }
    columns = [made.get(name, name) for name in JobRow._fields]
    return Prepared(
        lambda run: RunJob.objects.filter(run=run).order_by("position").values_list(*columns),
        {"run": UUIDField()},
        as_stored=True,
    )


class CandidateRow(NamedTuple):
    """What is read of a candidate; `document` is its error, or of a log from elsewhere all of it, as text."""

    id: str
    output_asset_id: str | None
    final_asset_id: str | None
    document: str
    created_at: str
    output: str | None
    final: str | None
    final_sha256: str | None
    candidate_index: int
    status: str
    rank_hard_failures: int
    rank_soft_warnings: int
    rank_avg_chroma_exceed: str
    rank_reason: str
    seed: str
    output_name: str
    original_sha256: str


class _Digits(Func):
    """A float with as many digits as it takes to read the same one again, as text."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template="printf('%%%%!.17g', %(expressions)s)", **more)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s)::text", **more)


class _JsonList(Aggregate):
    """JSON values of a group as one list of JSON, as text, in no order."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, function="json_group_array", **more)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template="json_agg(%(expressions)s)::text", **more)


CANDIDATE_COLUMNS: Mapping[str, Any] = {
    **{name: Cast(name, CharField()) for name in ("id", "output_asset_id", "final_asset_id")},
    "created_at": Cast("created_at", TextField()),
    "output": "output_asset__rel_path",
    "final": "final_asset__rel_path",
    "final_sha256": "final_asset__sha256",
    "rank_avg_chroma_exceed": _Digits("rank_avg_chroma_exceed"),
}


@cache
def _candidates(document: str) -> Prepared:
    made = {**CANDIDATE_COLUMNS, "document": Cast(document, TextField())}
    columns = [made.get(name, name) for name in CandidateRow._fields]
    return Prepared(
        lambda run: (
            Candidate.objects.filter(run=run)
            .order_by()
            .values(of_job=Cast("job_id", CharField()))
            .annotate(rows=_JsonList(JSONArray(*columns)))
            .values_list("of_job", "rows")
        ),
        {"run": UUIDField()},
        as_stored=True,
    )


def job_rows(run: RunRow) -> list[JobRow]:
    """The jobs of a run in the order of the plan."""
    rows = _jobs("metadata" if run.is_imported else "inputs").rows(run=UUID(run.id))
    return list(map(JobRow._make, rows))


def candidate_texts(run: RunRow) -> dict[str, str]:
    """The candidates of each job of a run by the job's id, as a text that `candidate_rows` reads.

    One value for a job: fetching each value of each candidate would cost more than all the rest of an answer.
    """
    return dict(_candidates("metadata" if run.is_imported else "error").rows(run=UUID(run.id)))


def candidate_rows(text: str) -> list[CandidateRow]:
    """The candidates of a job by their index."""
    rows = map(CandidateRow._make, json.loads(text))
    return sorted(rows, key=lambda row: (row.candidate_index, row.id))
