"""Triggering runs and checking their settings over the API."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from django.conf import settings
from django.test import Client

from pipeline.api.orders import ConfigAnswer, TriggerAnswer, TriggerIn
from pipeline.engine.runlog import parse_summary
from pipeline.engine.trigger import CANDIDATES_ASKED, LARGEST_SEED, TriggerRequest
from pipeline.models import Run
from pipeline.providers.base import ProviderRefused
from pipeline.services import control, waiting
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import Project, StyleGuide
from tests.api.conftest import Api
from tests.factories import png, put_scene
from tests.fakes import FakeProvider, Use, work_through

TRIGGER = "/api/projects/saltmarsh/runs/trigger"
VALIDATE = "/api/projects/saltmarsh/runs/validate-config"
NOWHERE = "/api/projects/nowhere/runs/trigger"
DRY = {"scene_refs": ["scenes/quay.png"]}
PAID = {**DRY, "mode": "run", "confirm_spend": True}


@pytest.fixture
def quay(project: Project) -> str:
    return put_scene(project).path


def working(monkeypatch: pytest.MonkeyPatch, work: Callable[[Run], object] = work_through) -> list[float]:
    """Let the pauses of a wait be used to do the run's work; how long each was to be."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            work(Run.objects.select_related("project__storage").get())

    monkeypatch.setattr(waiting, "pause", pause)
    return pauses


# --- Refusals and their order -----------------------------------------------------------------------


@pytest.mark.parametrize("path", [TRIGGER, NOWHERE, "/api/projects/%21%21/runs/trigger"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"mode": "x", "project_root": "/"}, "Field 'mode' must be one of: dry, run"),
        (
            {"project_root": "/tmp", "scene_refs": []},
            "Field 'project_root' is managed by project storage and cannot be overridden",
        ),
        ({"scene_refs": [], "input": "a"}, "Field 'scene_refs' must not be empty"),
        ({"scene_refs": ["a", " "], "input": "a"}, "Field 'scene_refs' must not contain empty values"),
        ({"scene_refs": ["a"], "input": "a", "style_refs": []}, "Provide only one of: input, scene_refs"),
        ({"input": " ", "style_refs": []}, "Provide one of: input, scene_refs"),
        ({"input": "a", "style_refs": [], "stage": "x"}, "Field 'style_refs' must not be empty"),
        ({"input": "a", "stage": "x", "time": "x"}, "Field 'stage' must be one of: style, time, weather"),
        ({"input": "a", "time": "x", "weather": "x"}, "Field 'time' must be one of: day, night"),
        ({"input": "a", "weather": "x", "candidates": 0}, "Field 'weather' must be one of: clear, rain"),
        ({"input": "a", "candidates": 7, "time": "day"}, "Field 'candidates' must be between 1 and 6"),
        ({"input": "a", "time": "day", "weather": "rain"}, "Field 'time' requires stage 'time' or 'weather'"),
        ({"input": "a", "weather": "rain", "mode": "run"}, "Field 'weather' requires stage 'weather'"),
        ({"input": "a", "mode": " RUN "}, "Run mode requires explicit spend confirmation"),
    ],
)
def test_a_bad_request_is_refused_before_its_project_is_looked_up(
    project: Project, bypass: Api, path: str, body: dict[str, object], error: str
) -> None:
    status, kind, code, text = bypass.post(path, body).error
    assert (status, text) == (400, error)
    policy = "spend" in error
    mode = "'mode'" in error
    assert kind == ("policy" if policy else "validation")
    assert code == (
        "spend_confirmation_required" if policy else "invalid_mode" if mode else "invalid_request"
    )
    assert not Run.objects.exists()


def test_what_follows_a_sound_request(project: Project, quay: str, bypass: Api) -> None:
    assert bypass.post(NOWHERE, DRY).error == (404, "validation", "not_found", "Project not found")
    assert bypass.post("/api/projects/saltmarsh%21/runs/trigger", DRY).error == (
        400, "validation", "invalid_project_slug", "Invalid project slug for pipeline run"
    )  # fmt: skip
    status, kind, code, text = bypass.post(TRIGGER, {"input": "nothing"}).error
    assert (status, kind, code) == (400, "validation", "planning_preflight_failed")
    assert text == "input not found: nothing"
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", 1), ("confirm_spend", "true"), ("input", ["a"]), ("scene_refs", "a"), ("scene_refs", [1]),
        ("candidates", "2"), ("candidates", 2.0), ("candidates", True), ("seed", 1.5), ("postprocess", []),
        ("max_cost_usd", {}), ("storage_sync_s3", 0), ("postprocess", {"upscale": "no"}),
    ],
)  # fmt: skip
def test_a_wrong_type_is_422_and_names_its_field(bypass: Api, field: str, value: object) -> None:
    status, kind, code, text = bypass.post(NOWHERE, {"mode": "x", field: value}).error
    assert (status, kind, code) == (422, "validation", "validation_error")
    assert text.startswith(f"Field '{field}")


def test_the_rules_of_bodies_hold_here_too(bypass: Api) -> None:
    assert bypass.raw("POST", NOWHERE, b"{").status == 400
    assert bypass.raw("POST", NOWHERE, b"[]").status == 422
    assert bypass.raw("POST", NOWHERE, b"{}", "text/plain").status == 415
    assert bypass.post(NOWHERE, {"mode": None}).error[3] == "Provide one of: input, scene_refs"


def test_who_may_not_run_may_not_even_plan(project: Project, quay: str, caller: Callable[..., Api]) -> None:
    for persona in ("rita", "vic"):
        assert caller(persona).post(TRIGGER, DRY).error[:3] == (403, "validation", "forbidden")
    assert caller("erin").post(TRIGGER, DRY).status == 200
    assert caller("erin").post(NOWHERE, DRY).status == 403


# --- Dry and queued ---------------------------------------------------------------------------------


def test_a_dry_run_is_planned_at_once(project: Project, quay: str, bypass: Api, use: Use) -> None:
    provider = use(FakeProvider())
    body = bypass.post(TRIGGER, DRY).body
    TriggerAnswer.model_validate(body, strict=True)
    told = body["pipeline_trigger"]
    assert (told["mode"], told["status_code"], told["stderr"]) == ("dry", 0, "")
    assert "Jobs: 1 (dry/planned)\n" in told["stdout"]
    run = Run.objects.get()
    assert body["run_id"] == body["run"]["id"] == str(run.pk)
    assert parse_summary(told["stdout"]).run_log_path == body["run"]["run_log_path"]
    assert provider.requests == []
    assert bypass.get(f"/api/projects/saltmarsh/runs/{run.pk}").body["run"] == body["run"]


def test_a_missing_scene_of_a_dry_run_is_a_line_of_stderr(project: Project, bypass: Api) -> None:
    told = bypass.post(TRIGGER, {"scene_refs": ["a.png"]}).body["pipeline_trigger"]
    assert told["status_code"] == 0
    assert "a.png" in told["stderr"]


def test_a_paid_run_is_queued(project: Project, quay: str, caller: Callable[..., Api]) -> None:
    body = caller("erin").post(TRIGGER, PAID).body
    assert "Jobs: 1 (run/queued)\n" in body["pipeline_trigger"]["stdout"]
    assert (body["run"]["status"], body["run"]["run_mode"]) == ("queued", "run")
    assert Run.objects.get().created_by.username == "erin"


def test_all_that_we_added_to_the_request_counts(
    project: Project, quay: str, bypass: Api, data_folder: Path
) -> None:
    (data_folder / "m.json").write_text(json.dumps({"prompts": {"style_base": "Ink."}}))
    guide = StyleGuide.objects.create(project=project, name="Bold", instructions="Thick lines.")
    more = {
        "seed": 7, "manifest_path": "m.json", "style_guide_id": str(guide.pk), "provider_code": "local",
        "postprocess": {"upscale": True, "upscale_backend": "pillow"}, "unknown": 1,
    }  # fmt: skip
    planned = bypass.post(TRIGGER, {**DRY, **more}).body["run"]
    assert (planned["seed"], planned["style_guide_id"]) == (7, str(guide.pk))
    assert planned["settings_snapshot_json"]["postprocess"]["upscale"] is True
    prompt = Run.objects.get().jobs.get().prompt_text
    assert prompt.startswith("Ink. Thick lines.")
    wrong = {**PAID, **more, "plan_hash": "0" * 64}
    assert bypass.post(TRIGGER, wrong).error[:3] == (400, "policy", "plan_changed")


@pytest.mark.acceptance("A-07")
def test_keys_that_nobody_reads_have_no_effect(project: Project, quay: str, bypass: Api) -> None:
    smuggled = {"extra_args": ["--confirm-spend"], "args": "--mode run", "command": "rm", "argv": [1]}
    plain, odd = (bypass.post(TRIGGER, body).body["run"] for body in (DRY, {**DRY, **smuggled}))
    assert Run.objects.filter(run_mode="run").count() == 0
    assert len(set(Run.objects.values_list("plan_hash", flat=True))) == 1
    for shown in (plain, odd):
        shown["settings_snapshot_json"]["timestamp"] = ""
    assert plain["settings_snapshot_json"] == odd["settings_snapshot_json"]


# --- Waiting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["0", "301", "-1", "x", "1.5", ""])
def test_a_wait_out_of_range_is_refused_before_the_body(bypass: Api, wait: str) -> None:
    status, _, code, text = bypass.post(f"{NOWHERE}?wait={wait}", {"mode": "x"}).error
    assert (status, code) == (400, "validation_error")
    assert text == "Field 'wait' must be a whole number of seconds from 1 to 300"


def test_who_waits_gets_the_finished_run(
    project: Project, quay: str, bypass: Api, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    pauses = working(monkeypatch)
    body = bypass.post(f"{TRIGGER}?wait=300", PAID).body
    assert "Jobs: 1 (run/completed)\n" in body["pipeline_trigger"]["stdout"]
    assert body["run"]["status"] == "ok"
    assert pauses == [0.1, pytest.approx(0.13)]


@pytest.mark.acceptance("W-28")
def test_a_run_that_failed_while_it_was_waited_for_is_an_error_that_names_it(
    project: Project, quay: str, bypass: Api, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Any) -> bytes:
        raise ProviderRefused("The provider refuses", code="provider_refused")

    use(FakeProvider(answer=refuse))
    working(monkeypatch)
    answer = bypass.post(f"{TRIGGER}?wait=60", PAID)
    assert answer.error == (
        400, "provider", "pipeline_command_failed", "Pipeline command failed: 1 of 1 jobs have no winner"
    )  # fmt: skip
    run = Run.objects.get()
    assert answer.body["run_id"] == str(run.pk)
    assert answer.body["run_log_path"] == f"var/projects/saltmarsh/{run.run_log_path}"
    assert (store_for(project).root / run.run_log_path).is_file()


@pytest.mark.acceptance("W-28")
def test_what_the_guard_rejected_is_said_with_its_folder(
    project: Project, quay: str, bypass: Api, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = {"enforce_grayscale": True, "max_chroma_delta": 0.0, "fail_on_chroma_exceed": True}
    (Path(settings.APP_ROOT) / "m.json").write_text(json.dumps({"output_guard": guard}))
    use(FakeProvider(answer=lambda request: png(number=3)))
    working(monkeypatch)
    error = bypass.post(f"{TRIGGER}?wait=60", {**PAID, "manifest_path": "m.json"}).error
    assert error[3] == (
        "Pipeline command failed: 1 of 1 jobs have no winner; files that the guard rejected are in "
        "var/projects/saltmarsh/archive/bad"
    )


def test_a_run_that_somebody_canceled_is_an_error_for_who_waits(
    project: Project, quay: str, bypass: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(monkeypatch, lambda run: control.cancel_run(run, by=OPERATOR))
    error = bypass.post(f"{TRIGGER}?wait=60", PAID).error
    assert error[3] == "Pipeline command failed: the run was canceled"


def test_who_waits_too_short_gets_the_queued_answer(
    project: Project, quay: str, bypass: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(waiting, "pause", lambda seconds: None)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(clock)))
    body = bypass.post(f"{TRIGGER}?wait=5", PAID).body
    assert "(run/queued)" in body["pipeline_trigger"]["stdout"]
    assert body["run"]["status"] == "queued"
    assert 4 < next(clock) < 10


def test_waiting_never_takes_all_threads(
    project: Project, quay: str, bypass: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = working(monkeypatch)
    taken = 0
    while waiting.PLACES.acquire(blocking=False):
        taken += 1
    try:
        body = bypass.post(f"{TRIGGER}?wait=300", PAID).body
    finally:
        waiting.PLACES.release(taken)
    assert taken == 4
    assert "(run/queued)" in body["pipeline_trigger"]["stdout"]
    assert pauses == []


# --- Its description --------------------------------------------------------------------------------


def test_the_description_of_the_request_is_that_of_the_engine(alice_client: Client) -> None:
    document = alice_client.get("/api/openapi.json").json()
    schema = document["components"]["schemas"]["TriggerIn"]
    assert set(schema["properties"]) == set(TriggerRequest.__dataclass_fields__) - {"batch_limit"}
    assert schema["oneOf"] == [{"required": ["input"]}, {"required": ["scene_refs"]}]
    assert [example["mode"] for example in schema["examples"]] == ["dry", "run"]
    bounds = next(part for part in schema["properties"]["candidates"]["anyOf"] if "minimum" in part)
    assert (bounds["minimum"], bounds["maximum"]) == (1, CANDIDATES_ASKED)
    assert LARGEST_SEED in [part.get("maximum") for part in schema["properties"]["seed"]["anyOf"]]
    refs = next(part for part in schema["properties"]["scene_refs"]["anyOf"] if "minItems" in part)
    assert refs["minItems"] == 1
    stages = next(part for part in schema["properties"]["stage"]["anyOf"] if "enum" in part)
    assert stages["enum"] == ["style", "time", "weather"]
    operation = document["paths"]["/api/projects/{slug}/runs/trigger"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TriggerIn"
    }
    assert get_args(TriggerIn.model_fields["mode"].annotation)


# --- validate-config --------------------------------------------------------------------------------


def test_settings_that_can_be_used_are_told(
    project: Project, quay: str, bypass: Api, data_folder: Path
) -> None:
    (data_folder / "m.json").write_text("{}")
    for answer in (bypass.post(VALIDATE), bypass.raw("POST", VALIDATE, b"", "")):
        ConfigAnswer.model_validate(answer.body, strict=True)
        summary = answer.body["summary"]
        assert (summary["app_settings_loaded"], summary["project_settings_loaded"]) == (False, False)
        assert summary["resolved_manifest_path"] is None
        assert summary["resolved_postprocess_config_path"] is None
    named = bypass.post(VALIDATE, {"manifest_path": " m.json ", "project_root": " "}).body["summary"]
    assert named["resolved_manifest_path"] == "m.json"


def test_whoever_reads_a_project_may_check_its_settings(project: Project, caller: Callable[..., Api]) -> None:
    assert caller("vic").post(VALIDATE).status == 200


def test_the_project_comes_before_the_forbidden_field(project: Project, bypass: Api) -> None:
    body = {"project_root": "/tmp"}
    assert bypass.post("/api/projects/x/runs/validate-config", body).error == (
        404, "validation", "not_found", "Project not found"
    )  # fmt: skip
    assert bypass.post(VALIDATE, body).error == (
        400, "validation", "project_root_managed",
        "Field 'project_root' is managed by project storage and cannot be overridden",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "begins"),
    [
        ("app_settings_path", "settings layer validation failed"),
        ("project_settings_path", "settings layer validation failed"),
        ("manifest_path", "planning manifest validation failed"),
        ("postprocess_config_path", "postprocess config validation failed"),
    ],
)
def test_what_is_wrong_with_a_file_begins_with_its_part(
    project: Project, bypass: Api, field: str, begins: str
) -> None:
    for path in ("nothing.json", "/etc/passwd", "../../secret.json"):
        status, kind, code, text = bypass.post(VALIDATE, {field: path}).error
        assert (status, kind, code) == (400, "validation", "config_validation_failed")
        assert text.startswith(begins)
    assert bypass.post(VALIDATE, {field: 1}).status == 422
