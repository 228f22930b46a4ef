"""Runs over the API: lists, one run, its jobs, and what people do to it."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pipeline.api import shapes
from pipeline.api.orders import JobListAnswer, RunDetailAnswer, RunListAnswer
from pipeline.models import Asset, Candidate, Run, RunJob
from pipeline.providers.base import ProviderRefused
from pipeline.services import reviews
from pipeline.services.execution import execute_candidate
from pipeline.services.ingest import ingest_run_log
from pipeline.services.runs import record_dry_run
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import AuditEvent, Project
from tests.api.conftest import Api
from tests.db.test_ingest import example, written
from tests.factories import make_finished_run, make_plan, make_project, make_run
from tests.fakes import FakeProvider, Use, work_through

BASE = "/api/projects/saltmarsh/runs"
NOT_FOUND = (404, "validation", "not_found", "Run not found")


def refusing(request: Any) -> bytes:
    raise ProviderRefused("Refused", code="provider_refused")


def test_a_dry_run_is_read_as_the_contract_has_it(project: Project, bypass: Api) -> None:
    run = record_dry_run(make_plan(project, n_scenes=2, mode="dry"), by=OPERATOR)
    body = bypass.get(BASE).body
    RunListAnswer.model_validate(body, strict=True)
    (shown,) = body["runs"]
    assert (body["count"], body["next_cursor"]) == (1, "")
    assert shown["id"] == str(run.pk)
    assert shown["project_id"] == str(project.pk)
    assert (shown["run_mode"], shown["status"], shown["display_status"]) == ("dry", "ok", "planned")
    assert (shown["stage"], shown["time_of_day"], shown["weather"]) == ("style", "day", "clear")
    assert shown["run_log_path"] == f"var/projects/saltmarsh/{run.run_log_path}"
    assert {"timestamp", "generation", "postprocess", "output_guard"} <= shown[
        "settings_snapshot_json"
    ].keys()
    detail = bypass.get(f"{BASE}/{run.pk}").body
    RunDetailAnswer.model_validate(detail, strict=True)
    assert detail["run"] == shown
    assert [job["status"] for job in detail["jobs"]] == ["planned", "planned"]
    assert [len(job["candidates"]) for job in detail["jobs"]] == [1, 1]
    assert detail["jobs"][0]["selected_candidate_index"] is None
    assert detail["jobs"][0]["meta_json"]["planned_generation"] == {"candidates": 1}
    assert "candidates" not in detail["jobs"][0]["meta_json"]


def test_a_paid_run_is_read_with_its_jobs_candidates_and_files(project: Project, bypass: Api) -> None:
    run = make_finished_run(project, n_scenes=2, candidates=2)
    detail = bypass.get(f"{BASE}/{run.pk}").body
    RunDetailAnswer.model_validate(detail, strict=True)
    job = detail["jobs"][1]
    winner = job["candidates"][job["selected_candidate_index"] - 1]
    asset = Candidate.objects.get(pk=winner["id"]).final_asset
    assert job["job_key"] == "style_2_scene_1"
    assert job["run_id"] == str(run.pk)
    assert job["final_asset_id"] == winner["final_asset_id"] == str(asset.pk)
    assert job["final_output"] == winner["final_output_path"] == f"var/projects/saltmarsh/{asset.rel_path}"
    assert [c["candidate_index"] for c in job["candidates"]] == [1, 2]
    assert all(c["job_id"] == job["id"] for c in job["candidates"])
    assert isinstance(winner["rank_avg_chroma_exceed"], float)
    assert job["created_at"].endswith("Z")
    assert len(job["created_at"]) == len("2026-05-04T21:06:40Z")


def test_the_jobs_and_candidates_carry_what_the_run_log_has(project: Project, bypass: Api) -> None:
    run = make_finished_run(project, n_scenes=2, candidates=2)
    logged = json.loads(store_for(project).read(run.run_log_path))["jobs"]
    shown = bypass.get(f"{BASE}/{run.pk}/jobs").body["jobs"]
    for job, log in zip(shown, logged, strict=True):
        without_blocks = {k: v for k, v in log.items() if k not in ("candidates", "output_guard")}
        meta = job["meta_json"]
        assert {key: meta[key] for key in without_blocks} == without_blocks
        assert meta.keys() - log.keys() == set()
        assert meta["candidates"] == [candidate["meta_json"] for candidate in job["candidates"]]
        for candidate, entry in zip(job["candidates"], log["candidates"], strict=True):
            assert candidate["meta_json"].items() <= entry.items()
            assert entry.keys() - candidate["meta_json"].keys() == {"attempts", "output_guard"}


def test_the_jobs_of_a_run_have_a_route_of_their_own(project: Project, bypass: Api) -> None:
    run = make_finished_run(project, n_scenes=3)
    body = bypass.get(f"{BASE}/{run.pk}/jobs").body
    JobListAnswer.model_validate(body, strict=True)
    assert (body["count"], body["run_id"]) == (3, str(run.pk))
    assert body["jobs"] == bypass.get(f"{BASE}/{run.pk}").body["jobs"]


@pytest.mark.acceptance("W-27")
def test_winners_beside_failed_jobs_are_failed_on_the_wire_and_partial_for_people(
    project: Project, bypass: Api, use: Use
) -> None:
    provider = use(FakeProvider())
    run = make_run(project, n_scenes=2)
    first, second = run.candidates.order_by("job__position")
    execute_candidate(first.pk)
    provider.answer = refusing
    execute_candidate(second.pk)
    run.refresh_from_db()
    assert run.status == "partial"
    shown = bypass.get(f"{BASE}/{run.pk}").body
    assert (shown["run"]["status"], shown["run"]["display_status"]) == ("failed", "partial")
    failed = shown["jobs"][1]
    assert (failed["status"], failed["failure_reason"]) == ("failed", "all_candidates_failed")
    assert failed["meta_json"]["failure_reason"] == "all_candidates_failed"
    assert (failed["final_asset_id"], failed["final_output"]) == ("", "")
    assert failed["candidates"][0]["meta_json"]["error"]["code"] == "provider_refused"


def test_what_a_run_has_cost_is_in_it(project: Project, bypass: Api, use: Use) -> None:
    use(FakeProvider(repeatable=False))
    run = make_run(project, n_scenes=2)
    work_through(run)
    (shown,) = bypass.get(BASE).body["runs"]
    assert (shown["estimate_usd"], shown["spent_usd"]) == (0.08, 0.08)
    make_run(project)
    assert [row["spent_usd"] for row in bypass.get(BASE).body["runs"]] == [0.0, 0.08]


def test_a_log_from_elsewhere_is_read_as_it_is(project: Project, bypass: Api) -> None:
    log = example("run")
    ingest_run_log(written(log), project_slug="saltmarsh", by=OPERATOR)
    run = Run.objects.get()
    detail = bypass.get(f"{BASE}/{run.pk}").body
    RunDetailAnswer.model_validate(detail, strict=True)
    assert detail["run"]["status"] == "failed"
    assert detail["run"]["run_log_path"] == "logs/run.json"
    snapshot = detail["run"]["settings_snapshot_json"]
    assert {key: snapshot[key] for key in ("timestamp", "generation", "postprocess", "output_guard")} == {
        key: log.get(key) for key in ("timestamp", "generation", "postprocess", "output_guard")
    }
    assert [job["meta_json"] for job in detail["jobs"]] == log["jobs"]
    assert [c["meta_json"] for c in detail["jobs"][0]["candidates"]] == log["jobs"][0]["candidates"]
    assert detail["jobs"][0]["final_output"] == log["jobs"][0]["final_output"]


def test_the_snapshot_has_no_addresses_and_no_files_of_settings(project: Project, bypass: Api) -> None:
    run = make_run(project)
    run.settings_snapshot["provider"] = {"provider": "openai", "base_url": "http://inside.example/v1"}
    run.settings_snapshot["settings"] = {"manifest_path": {"value": "/home/operator/m.json", "layer": "app"}}
    run.save()
    text = bypass.get(f"{BASE}/{run.pk}").response.content.decode()
    assert '"provider":"openai"' in text
    assert "inside.example" not in text
    assert "/home/operator" not in text
    assert str(store_for(project).root) not in text


def test_a_name_that_is_no_utf8_does_not_spoil_the_answer(project: Project, bypass: Api) -> None:
    run = make_run(project)
    job = run.jobs.get()
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL holds no such text")
    job.inputs = [{**job.inputs[0], "path": "scenes/\udce9.png"}]
    job.save()
    (shown,) = bypass.get(f"{BASE}/{run.pk}").body["jobs"]
    assert shown["meta_json"]["input_images"] == ["var/projects/saltmarsh/scenes/\udce9.png"]


def test_lists_are_newest_first_and_bounded(project: Project, bypass: Api) -> None:
    runs = [record_dry_run(make_plan(project, mode="dry"), by=OPERATOR) for _ in range(4)]
    newest = [str(run.pk) for run in reversed(runs)]
    assert [run["id"] for run in bypass.get(BASE).body["runs"]] == newest
    for limit, count in ((0, 1), (-5, 1), (2, 2), (99999, 4)):
        assert bypass.get(BASE, limit=limit).body["count"] == count
    first = bypass.get(BASE, limit=3).body
    rest = bypass.get(BASE, limit=3, cursor=first["next_cursor"]).body
    assert [run["id"] for run in first["runs"] + rest["runs"]] == newest
    assert bypass.get(BASE, limit="many").error[:3] == (400, "validation", "validation_error")


def test_runs_of_others_do_not_exist(project: Project, bypass: Api) -> None:
    other = make_run(make_project(name="Other"))
    for run_id in (other.pk, "x", str(other.pk).upper(), "00000000-0000-4000-8000-000000000000"):
        assert bypass.get(f"{BASE}/{run_id}").error == NOT_FOUND
        assert bypass.get(f"{BASE}/{run_id}/jobs").error == NOT_FOUND
        for what in ("cancel", "pause", "resume"):
            assert bypass.post(f"{BASE}/{run_id}/{what}").error == NOT_FOUND
        assert bypass.post(f"{BASE}/{run_id}/retry", {"confirm_spend": True}).error == NOT_FOUND
    assert bypass.get("/api/projects/x/runs").error == (404, "validation", "not_found", "Project not found")
    assert bypass.get("/api/projects/x/runs/x").error == NOT_FOUND
    assert bypass.get("/api/projects/x/runs/x/jobs").error == NOT_FOUND


def test_queries_do_not_grow(project: Project, caller: Callable[..., Api]) -> None:
    vic = caller("vic")
    small = make_finished_run(project)
    addresses = [BASE, f"{BASE}/{small.pk}", f"{BASE}/{small.pk}/jobs"]
    vic.get(BASE)  # notes the use of the token
    few = []
    for address in addresses:
        with CaptureQueriesContext(connection) as queries:
            assert vic.get(address).status == 200
        few.append(len(queries))
    assert few == [3, 5, 5]  # the token, the project, the rows
    large = make_finished_run(project, n_scenes=5, candidates=2)
    for address, n_queries in zip([BASE, f"{BASE}/{large.pk}", f"{BASE}/{large.pk}/jobs"], few, strict=True):
        with CaptureQueriesContext(connection) as queries:
            assert vic.get(address).status == 200
        assert len(queries) == n_queries, address


# --- What people do to a run ------------------------------------------------------------------------


def test_a_run_is_paused_resumed_and_canceled(project: Project, caller: Callable[..., Api], use: Use) -> None:
    use(FakeProvider())
    erin = caller("erin")
    run = make_run(project)
    for what, status in (("pause", "paused"), ("resume", "running"), ("cancel", "canceled")):
        body = erin.post(f"{BASE}/{run.pk}/{what}").body
        assert (body["ok"], body["run"]["id"], body["run"]["status"]) == (True, str(run.pk), status)
    events = AuditEvent.objects.filter(subject_id=str(run.pk), actor="erin").values_list(
        "event_code", flat=True
    )
    assert list(events.order_by("sequence")) == ["run.paused", "run.resumed", "run.canceled"]
    for what in ("pause", "resume", "cancel"):
        assert erin.post(f"{BASE}/{run.pk}/{what}").error[:3] == (400, "validation", "validation_error")
    assert erin.raw("POST", f"{BASE}/{run.pk}/cancel", b"", content_type="").status == 400


def test_only_who_may_run_may_change_a_run(project: Project, caller: Callable[..., Api]) -> None:
    run = make_run(project)
    for persona in ("rita", "vic"):
        api = caller(persona)
        assert api.get(f"{BASE}/{run.pk}").status == 200
        for what in ("cancel", "pause", "resume", "retry", "../trigger"):
            assert api.post(f"{BASE}/{run.pk}/{what}".replace(f"{run.pk}/../", "")).error[:3] == (
                403, "validation", "forbidden"
            )  # fmt: skip
    run.refresh_from_db()
    assert run.status == "queued"


def test_a_retry_makes_again_what_is_missing(project: Project, caller: Callable[..., Api], use: Use) -> None:
    provider = use(FakeProvider(repeatable=False, answer=refusing))
    run = make_run(project)
    work_through(run)
    address = f"{BASE}/{run.pk}/retry"
    erin = caller("erin")
    assert erin.post(address, {}).error[:3] == (400, "policy", "spend_confirmation_required")
    assert erin.post(address, {"confirm_spend": "yes"}).status == 422
    assert erin.post(address, {"confirm_spend": True, "max_cost_usd": -1}).error[:3] == (
        400, "validation", "invalid_request"
    )  # fmt: skip
    assert erin.post(address, {"confirm_spend": True, "max_cost_usd": 0.01}).error[:3] == (
        400, "policy", "plan_changed"
    )  # fmt: skip
    body = erin.post(address, {"confirm_spend": True, "max_cost_usd": "0.04"}).body
    assert body["retry"] == {"images": 1, "jobs": 1, "price_usd": 0.04}
    assert body["run"]["status"] == "queued"
    provider.answer = FakeProvider().answer
    work_through(run)
    assert bypass_status(erin, run) == "ok"
    assert erin.post(address, {"confirm_spend": True}).status == 400


def bypass_status(api: Api, run: Run) -> str:
    return str(api.get(f"{BASE}/{run.pk}").body["run"]["status"])


def test_a_verdict_is_seen(project: Project, bypass: Api) -> None:
    run = make_finished_run(project)
    reviews.approve(run.jobs.get(), by=OPERATOR)
    assert bypass.get(f"{BASE}/{run.pk}").body["jobs"][0]["verdict"] == "approved"


@pytest.mark.parametrize(
    ("rows", "name", "value"),
    [
        (Run.objects, "image_size", "333x444"),
        (RunJob.objects, "label", "pier"),
        (Candidate.objects, "rank_reason", "Chosen by lot"),
        (Candidate.objects, "output_name", "outputs/other.png"),
        (Asset.objects, "rel_path", "archive/replaced/other.png"),
        (Asset.objects, "sha256", "ab" * 32),
    ],
)
def test_what_was_rendered_before_is_never_older_than_its_rows(
    project: Project, bypass: Api, rows: Any, name: str, value: str
) -> None:
    run = make_finished_run(project)
    addresses = [BASE, f"{BASE}/{run.pk}", f"{BASE}/{run.pk}/jobs"]
    before = [bypass.get(address).body for address in addresses]
    assert value not in json.dumps(before)
    stored = rows.values_list("pk", name)[0]
    rows.filter(pk=stored[0]).update(**{name: value})
    assert value in json.dumps([bypass.get(address).body for address in addresses])
    rows.filter(pk=stored[0]).update(**{name: stored[1]})
    assert [bypass.get(address).body for address in addresses] == before


@pytest.mark.parametrize(("length", "n_kept"), [(shapes.LARGEST_KEPT // 2, 1), (shapes.LARGEST_KEPT, 0)])
def test_only_so_much_is_kept_of_what_was_rendered(
    project: Project, bypass: Api, length: int, n_kept: int
) -> None:
    run = make_finished_run(project)
    RunJob.objects.update(prompt_text="p" * length)
    shapes._job_json.cache_clear()
    answers = [bypass.get(f"{BASE}/{run.pk}").body for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["jobs"][0]["prompt_text"] == "p" * length
    assert shapes._job_json.cache_info().currsize == n_kept


@pytest.mark.parametrize("exceed", [2.0, 0.1 + 0.2, 1 / 3, 1e-7, 123456.78901234567])
def test_what_a_candidate_exceeds_by_comes_with_all_its_digits(
    project: Project, bypass: Api, exceed: float
) -> None:
    run = make_finished_run(project)
    Candidate.objects.update(rank_avg_chroma_exceed=exceed)
    shown = bypass.get(f"{BASE}/{run.pk}").body["jobs"][0]["candidates"][0]["rank_avg_chroma_exceed"]
    assert (shown, type(shown)) == (exceed, float)


@pytest.mark.acceptance("W-22")
def test_every_moment_is_iso_8601_with_its_zone(project: Project, bypass: Api) -> None:
    run = make_finished_run(project)
    found: list[str] = []

    def look(value: object) -> None:
        if isinstance(value, dict):
            found.extend(str(one) for key, one in value.items() if key.endswith(("_at", "timestamp")) and one)
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    for path in (BASE, f"{BASE}/{run.pk}", "/api/projects/saltmarsh/assets", "/api/projects"):
        before = len(found)
        look(bypass.get(path).body)
        assert len(found) > before, path
    for moment in found:
        assert datetime.fromisoformat(moment).utcoffset() == timedelta(0), moment
