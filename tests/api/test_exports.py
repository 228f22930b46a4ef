"""Packages of a run over the API."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError

from pipeline.api.exports import ExportAnswer, ExportListAnswer, ExportMadeAnswer
from pipeline.models import Export, Run
from pipeline.services import exports, reviews
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import AuditEvent, Project
from tests.api.conftest import Api
from tests.factories import make_finished_run, make_project, make_run

BASE = "/api/projects/saltmarsh/exports"
NOT_FOUND = (404, "validation", "not_found", "Project export not found")


def package(api: Api, export: dict[str, Any]) -> zipfile.ZipFile:
    response = api.get(f"{BASE}/{export['id']}/file").response
    data = b"".join(response.streaming_content)
    assert response["Content-Type"] == "application/zip"
    assert response["Content-Disposition"].startswith("attachment")
    assert response["ETag"] == f'"{export["checksum_sha256"]}"'
    assert hashlib.sha256(data).hexdigest() == export["checksum_sha256"]
    assert len(data) == export["file_size_bytes"]
    return zipfile.ZipFile(io.BytesIO(data))


def folder_of(run: Run) -> list[str]:
    return sorted(path.name for path in store_for(run.project).path("exports").iterdir())


@pytest.mark.acceptance("U-13")
def test_the_winners_of_a_run_are_packed_with_the_hash_of_each(
    project: Project, caller: Callable[..., Api]
) -> None:
    run = make_finished_run(project, n_scenes=3)
    reviews.reject(run.jobs.get(position=2), by=OPERATOR, note="Too dark")
    erin = caller("erin")
    body = erin.post(BASE, {"run_id": f" {run.pk} "}).body
    ExportMadeAnswer.model_validate(body, strict=True)
    export = body["export"]
    assert (export["run_id"], export["status"], export["export_format"]) == (str(run.pk), "completed", "zip")
    assert export["storage_uri"] == f"var/projects/saltmarsh/{export['rel_path']}"
    assert export["completed_at"] >= export["created_at"] != ""
    event = AuditEvent.objects.get(pk=body["audit_id"])
    assert (event.event_code, event.subject_id, event.actor) == ("export.created", export["id"], "erin")
    assert event.payload["run_id"] == str(run.pk)
    with package(erin, export) as found:
        manifest = json.loads(found.read("manifest.json"))
        assert manifest == export["manifest_json"]
        listed = [*manifest["files"], manifest["run_log"]]
        assert {entry["name"] for entry in listed} | {"manifest.json"} == set(found.namelist())
        for entry in listed:
            assert hashlib.sha256(found.read(entry["name"])).hexdigest() == entry["sha256"]
            assert found.getinfo(entry["name"]).file_size == entry["bytes"]
    assert manifest["selection"] == "winners"
    assert [entry["job"] for entry in manifest["files"]] == ["style_1_scene_0", "style_3_scene_2"]
    assert folder_of(run) == [export["rel_path"].partition("/")[2]]


def test_once_panels_are_approved_only_they_are_packed(project: Project, bypass: Api) -> None:
    run = make_finished_run(project, n_scenes=2)
    reviews.approve(run.jobs.get(position=2), by=OPERATOR)
    export = bypass.post(BASE, {"run_id": str(run.pk), "export_format": " ZIP "}).body["export"]
    assert export["manifest_json"]["selection"] == "approved"
    assert [entry["job"] for entry in export["manifest_json"]["files"]] == ["style_2_scene_1"]


def test_exports_are_listed_and_read(project: Project, bypass: Api) -> None:
    run = make_finished_run(project)
    made = [bypass.post(BASE, {"run_id": str(run.pk)}).body["export"] for _ in range(2)]
    body = bypass.get(BASE).body
    ExportListAnswer.model_validate(body, strict=True)
    assert body["exports"] == made[::-1]
    one = bypass.get(f"{BASE}/{made[0]['id']}").body
    ExportAnswer.model_validate(one, strict=True)
    assert one["export"] == made[0]
    Export.objects.create(project=project, status="queued", export_format="zip")
    queued = bypass.get(BASE).body["exports"][0]
    assert (queued["completed_at"], queued["run_id"], queued["storage_uri"]) == ("", "", "")
    assert bypass.get(f"{BASE}/{queued['id']}/file").status == 404


def test_what_can_not_be_packed_leaves_nothing_behind(
    project: Project, bypass: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad(text: str) -> tuple[int, str, str, str]:
        return 400, "validation", "validation_error", text

    foreign = str(make_finished_run(make_project(name="Other")).pk)
    for path in (BASE, "/api/projects/x/exports"):
        assert bypass.post(path, {}).error == bad("Field 'run_id' is required")
        assert bypass.post(path, {"run_id": None}).status == 422
        assert bypass.post(path, {"run_id": "x", "export_format": "tar"}).error == bad(
            "Field 'export_format' must be one of: zip"
        )
    assert bypass.post("/api/projects/x/exports", {"run_id": "x"}).error[3] == "Project not found"
    for run_id in (foreign, "x", foreign.upper()):
        assert bypass.post(BASE, {"run_id": run_id}).error == bad(
            f"Run '{run_id}' was not found in this project"
        )
    assert bypass.post(BASE, {"run_id": str(make_run(project).pk)}).error == bad("This run has no winner yet")
    run = make_finished_run(project)
    picture = store_for(project).path(run.assets.get().rel_path)
    data = picture.read_bytes()
    picture.unlink()
    assert "not on disk any more" in bypass.post(BASE, {"run_id": str(run.pk)}).error[3]
    picture.write_bytes(data)

    def broken(*args: object, **kwargs: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as patched:
        patched.setattr(exports.audit, "record", broken)
        assert bypass.post(BASE, {"run_id": str(run.pk)}).status == 500
    assert not Export.objects.exists()
    assert folder_of(run) == []


def test_exports_of_others_do_not_exist(project: Project, bypass: Api) -> None:
    other = make_project(name="Other")
    foreign, _ = exports.create_export(make_finished_run(other), by=OPERATOR)
    for path in (f"{BASE}/{foreign.pk}", f"{BASE}/x", "/api/projects/x/exports/x"):
        assert bypass.get(path).error == NOT_FOUND
        assert bypass.get(f"{path}/file").error == NOT_FOUND


def test_who_may_only_read_may_not_pack(project: Project, caller: Callable[..., Api]) -> None:
    run = make_finished_run(project)
    for persona in ("rita", "vic"):
        assert caller(persona).post(BASE, {"run_id": str(run.pk)}).status == 403
        assert caller(persona).get(BASE).status == 200
