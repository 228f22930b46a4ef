"""Assets, quality reports and costs over the API."""

import hashlib
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pipeline.api.analytics import CostEventListAnswer, QualityReportListAnswer
from pipeline.api.assets import AssetAnswer, AssetListAnswer
from pipeline.models import Asset
from pipeline.services.ingest import ingest_run_log
from pipeline.services.runs import record_dry_run
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import Project
from tests.api.conftest import Api
from tests.db.test_ingest import example, written
from tests.factories import make_finished_run, make_plan, make_project, make_run
from tests.fakes import FakeProvider, Use, work_through

PROJECT = "/api/projects/saltmarsh"
ASSETS = f"{PROJECT}/assets"
NOT_FOUND = (404, "validation", "not_found", "Asset not found")


def test_assets_are_read_as_the_contract_has_them(project: Project, bypass: Api) -> None:
    run = make_finished_run(project, n_scenes=2)
    body = bypass.get(ASSETS).body
    AssetListAnswer.model_validate(body, strict=True)
    assert body["count"] == 2
    newest = Asset.objects.order_by("-created_at", "-id")
    assert [asset["id"] for asset in body["assets"]] == [str(asset.pk) for asset in newest]
    asset, row = body["assets"][0], newest[0]
    assert asset["kind"] == asset["asset_kind"] == "job_final_output"
    assert asset["rel_path"] == row.rel_path
    assert asset["storage_uri"] == f"var/projects/saltmarsh/{row.rel_path}"
    assert (asset["run_id"], asset["job_id"]) == (str(run.pk), str(row.job_id))
    assert (asset["width"], asset["height"], asset["mime_type"]) == (row.width, row.height, "image/png")
    one = bypass.get(f"{ASSETS}/{row.pk}").body
    AssetAnswer.model_validate(one, strict=True)
    assert one["asset"] == asset


def test_a_file_that_was_never_here_has_no_size_and_no_run(project: Project, bypass: Api) -> None:
    Asset.objects.create(project=project, kind="candidate_output", rel_path="/elsewhere/a.png")
    (asset,) = bypass.get(ASSETS).body["assets"]
    assert (asset["width"], asset["height"]) == (None, None)
    assert (asset["run_id"], asset["job_id"], asset["candidate_id"], asset["sha256"]) == ("", "", "", "")
    assert asset["storage_uri"] == asset["rel_path"] == "/elsewhere/a.png"
    assert bypass.get(f"{ASSETS}/{asset['id']}/file").status == 404


def test_assets_of_others_do_not_exist(project: Project, bypass: Api) -> None:
    make_finished_run(make_project(name="Other"))
    foreign = str(Asset.objects.get().pk)
    for asset_id in (foreign, "x", foreign.upper()):
        assert bypass.get(f"{ASSETS}/{asset_id}").error == NOT_FOUND
        assert bypass.get(f"{ASSETS}/{asset_id}/file").error == NOT_FOUND
    assert bypass.get("/api/projects/x/assets/x").error == NOT_FOUND
    assert bypass.get("/api/projects/x/assets/x/file").error == NOT_FOUND
    assert bypass.get("/api/projects/x/assets").error[3] == "Project not found"
    assert bypass.get(ASSETS).body == {"ok": True, "count": 0, "assets": [], "next_cursor": ""}


def test_the_bytes_of_an_asset_come_to_who_holds_a_token(
    project: Project, caller: Callable[..., Api]
) -> None:
    make_finished_run(project)
    asset = Asset.objects.get()
    vic = caller("vic")
    answer = vic.get(f"{ASSETS}/{asset.pk}/file")
    data = b"".join(answer.response.streaming_content)
    assert hashlib.sha256(data).hexdigest() == asset.sha256
    assert answer.response["Content-Type"] == "image/png"
    assert answer.response["ETag"] == f'"{asset.sha256}"'
    assert answer.response["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.response["X-Content-Type-Options"] == "nosniff"
    assert answer.response["X-Request-ID"]
    headers = {"authorization": f"Bearer {vic.token}"}
    again = vic.client.get(
        f"{ASSETS}/{asset.pk}/file", headers={**headers, "if-none-match": f'"{asset.sha256}"'}
    )
    assert (again.status_code, again.content) == (304, b"")
    head = vic.client.head(f"{ASSETS}/{asset.pk}/file", headers=headers)
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", str(len(data)))
    assert head["ETag"] == f'"{asset.sha256}"'
    assert vic.get(ASSETS).response["Cache-Control"] == "no-store"
    assert Api().get(f"{ASSETS}/{asset.pk}/file").status == 401


def test_an_asset_whose_file_is_gone_is_said_so(project: Project, bypass: Api) -> None:
    make_finished_run(project)
    asset = Asset.objects.get()
    store_for(project).path(asset.rel_path).unlink()
    status, _, code, text = bypass.get(f"{ASSETS}/{asset.pk}/file").error
    assert (status, code) == (404, "not_found")
    assert "any more" in text
    assert str(store_for(project).root) not in text


def test_quality_reports_are_those_of_candidates(project: Project, bypass: Api) -> None:
    run = make_finished_run(project, n_scenes=2)
    body = bypass.get(f"{PROJECT}/quality-reports").body
    QualityReportListAnswer.model_validate(body, strict=True)
    assert body["count"] == 2
    report = body["quality_reports"][0]
    assert (report["run_id"], report["report_type"]) == (str(run.pk), "output_guard")
    assert report["asset_id"] in {str(asset.pk) for asset in Asset.objects.all()}
    assert report["grade"] in ("pass", "warn")
    assert isinstance(report["avg_chroma_exceed"], float)
    assert report["summary_json"]["output_guard"]["summary"]["total_files"] == 1


def test_a_dry_run_leaves_no_reports_assets_or_costs(project: Project, bypass: Api) -> None:
    record_dry_run(make_plan(project, n_scenes=2, mode="dry"), by=OPERATOR)
    for name in ("assets", "quality-reports", "cost-events"):
        assert bypass.get(f"{PROJECT}/{name}").body["count"] == 0


def test_costs_are_floats_and_name_the_stored_job(project: Project, bypass: Api, use: Use) -> None:
    use(FakeProvider(repeatable=False))
    run = make_run(project)
    work_through(run)
    body = bypass.get(f"{PROJECT}/cost-events").body
    CostEventListAnswer.model_validate(body, strict=True)
    (event,) = body["cost_events"]
    assert (event["run_id"], event["job_id"]) == (str(run.pk), str(run.jobs.get().pk))
    assert (event["units"], event["unit_cost_usd"], event["total_cost_usd"]) == (1.0, 0.04, 0.04)
    assert all(isinstance(event[name], float) for name in ("units", "unit_cost_usd", "total_cost_usd"))
    assert (event["currency"], event["event_type"]) == ("USD", "image_generation")


def test_a_log_from_elsewhere_has_reports_of_candidates_and_of_the_run(project: Project, bypass: Api) -> None:
    ingest_run_log(written(example("run")), project_slug="saltmarsh", by=OPERATOR)
    body = bypass.get(f"{PROJECT}/quality-reports").body
    QualityReportListAnswer.model_validate(body, strict=True)
    AssetListAnswer.model_validate(bypass.get(ASSETS).body, strict=True)
    of_run = [report for report in body["quality_reports"] if not report["candidate_id"]]
    assert [report["summary_json"]["scope"] for report in of_run] == ["run"]
    assert body["count"] == 5


@pytest.mark.parametrize("name", ["assets", "quality-reports", "cost-events", "exports"])
def test_lists_are_bounded_and_cost_the_same_whatever_they_hold(
    project: Project, bypass: Api, use: Use, name: str
) -> None:
    use(FakeProvider(repeatable=False))
    work_through(make_run(project))
    address = f"{PROJECT}/{name}"
    with CaptureQueriesContext(connection) as few:
        assert bypass.get(address).status == 200
    work_through(make_run(project, n_scenes=3))
    with CaptureQueriesContext(connection) as many:
        count = bypass.get(address).body["count"]
    assert len(many) == len(few)
    assert count == (0 if name == "exports" else 4)
    assert bypass.get(address, limit=0).body["count"] == min(count, 1)
    assert bypass.get(address, limit="x").error[:3] == (400, "validation", "validation_error")
    assert bypass.get(f"/api/projects/x/{name}").error[3] == "Project not found"
