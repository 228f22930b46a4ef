"""Routes: quality and costs."""

from django.http import HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field, JsonValue

from pipeline.api.answers import at, sent
from pipeline.models import CostEvent, QualityReport
from projects.access import Action
from projects.api.base import ApiRequest, Bearer, answers, project_of
from projects.api.lists import ListAnswer, ListQuery, page_of

DEFAULT, MOST = 500, 2000  # rows of a list
NEWEST = ("-created_at", "-id")

router = Router(tags=["quality and costs"])


class QualityReportOut(Schema):
    """What a check found out about a file."""

    id: str
    project_id: str
    run_id: str
    candidate_id: str = Field(description="'' for a report about a whole run.")
    asset_id: str
    report_type: str = Field(examples=["output_guard"])
    grade: str = Field(description="pass, warn or fail; '' if it was not judged.", examples=["pass"])
    hard_failures: int
    soft_warnings: int
    avg_chroma_exceed: float = Field(description="Levels above the guard's limit.")
    summary_json: dict[str, JsonValue]
    created_at: str


class QualityReportListAnswer(ListAnswer):
    """Some reports of a project."""

    quality_reports: list[QualityReportOut]


class CostEventOut(Schema):
    """Money that was spent."""

    id: str
    project_id: str
    run_id: str = Field(description="'' for a call outside any run.")
    job_id: str = Field(description="The id of the job, not its key.")
    provider_code: str = Field(examples=["openai"])
    model_name: str
    event_type: str = Field(examples=["image_generation"])
    units: float
    unit_cost_usd: float
    total_cost_usd: float
    currency: str = Field(examples=["USD"])
    meta_json: dict[str, JsonValue]
    created_at: str


class CostEventListAnswer(ListAnswer):
    """Some costs of a project."""

    cost_events: list[CostEventOut]


@router.get(
    "/api/projects/{slug}/quality-reports",
    auth=Bearer(Action.READ),
    response=answers(QualityReportListAnswer),
    summary="List quality reports",
)
def list_quality_reports(request: ApiRequest, slug: str, query: Query[ListQuery]) -> HttpResponse:
    """What the checks have found out, the newest first."""
    reports = QualityReport.objects.filter(project=project_of(request))
    page = page_of(reports, query, order=NEWEST, default=DEFAULT, most=MOST)
    return sent(page.answer("quality_reports", _report_body))


@router.get(
    "/api/projects/{slug}/cost-events",
    auth=Bearer(Action.READ),
    response=answers(CostEventListAnswer),
    summary="List cost events",
)
def list_cost_events(request: ApiRequest, slug: str, query: Query[ListQuery]) -> HttpResponse:
    """What was spent, the newest first."""
    events = CostEvent.objects.filter(project=project_of(request))
    page = page_of(events, query, order=NEWEST, default=DEFAULT, most=MOST)
    return sent(page.answer("cost_events", _cost_body))


def _report_body(report: QualityReport) -> dict[str, object]:
    return {
        "id": report.pk,
        "project_id": report.project_id,
        "run_id": report.run_id or "",
        "candidate_id": report.candidate_id or "",
        "asset_id": report.asset_id or "",
        "report_type": report.report_type,
        "grade": report.grade,
        "hard_failures": report.hard_failures,
        "soft_warnings": report.soft_warnings,
        "avg_chroma_exceed": report.avg_chroma_exceed,
        "summary_json": report.summary,
        "created_at": at(report.created_at),
    }


def _cost_body(event: CostEvent) -> dict[str, object]:
    return {
        "id": event.pk,
        "project_id": event.project_id,
        "run_id": event.run_id or "",
        "job_id": event.job_id or "",
        "provider_code": event.provider_code,
        "model_name": event.model_name,
        "event_type": event.event_type,
        "units": float(event.units),
        "unit_cost_usd": float(event.unit_cost_usd),
        "total_cost_usd": float(event.total_cost_usd),
        "currency": event.currency,
        "meta_json": event.metadata,
        "created_at": at(event.created_at),
    }
