"""Section 13: the trigger and its checks, what a dry and a paid run leave behind, validate-config."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pytest_django.fixtures import Settings

from pipeline.models import Run
from pipeline.services.execution import execute_candidate
from projects.models import AuditEvent
from tests.api.conftest import Answered, Api
from tests.api.contract import routes, shapes
from tests.api.contract.conftest import World
from tests.api.contract.routes import Body, absent, put_there
from tests.api.contract.shapes import faults
from tests.factories import configure, put_scene

P = routes.P
TRIGGER, CHECK = f"{P}/runs/trigger", f"{P}/runs/validate-config"
ROOT = "var/projects/saltmarsh"
MANAGED = "Field 'project_root' is managed by project storage and cannot be overridden"
SOURCE: Body = {"scene_refs": ["a.png"]}


class Rule(NamedTuple):
    """A check of the trigger: what breaks it (on top of a valid request), and what is said then."""

    breaks: Body
    text: str
    code: str = "invalid_request"
    kind: str = "validation"
    drops_source: bool = False

    @property
    def error(self) -> tuple[int, str, str, str]:
        return 400, self.kind, self.code, self.text


RULES = [  # in the order in which they are checked
    Rule({"mode": "paid"}, "Field 'mode' must be one of: dry, run", "invalid_mode"),
    Rule({"project_root": "/tmp/x"}, MANAGED),
    Rule({"scene_refs": []}, "Field 'scene_refs' must not be empty"),
    Rule({"scene_refs": ["a.png", " "]}, "Field 'scene_refs' must not contain empty values"),
    Rule({"input": "scenes", "scene_refs": ["a.png"]}, "Provide only one of: input, scene_refs"),
    Rule({}, "Provide one of: input, scene_refs", drops_source=True),
    Rule({"style_refs": []}, "Field 'style_refs' must not be empty"),
    Rule({"style_refs": ["", "a.png"]}, "Field 'style_refs' must not contain empty values"),
    Rule({"stage": "sketch"}, "Field 'stage' must be one of: style, time, weather"),
    Rule({"time": "dusk"}, "Field 'time' must be one of: day, night"),
    Rule({"weather": "fog"}, "Field 'weather' must be one of: clear, rain"),
    Rule({"candidates": 7}, "Field 'candidates' must be between 1 and 6"),
    Rule({"time": "day", "stage": "style"}, "Field 'time' requires stage 'time' or 'weather'"),
    Rule({"weather": "rain", "stage": "time"}, "Field 'weather' requires stage 'weather'"),
    Rule(
        {"mode": "run"},
        "Run mode requires explicit spend confirmation",
        "spend_confirmation_required",
        "policy",
    ),
]


def broken(*rules: Rule) -> Body:
    """A request that breaks these rules and no earlier one; what the first one needs wins."""
    body = dict(SOURCE)
    for rule in reversed(rules):
        if rule.drops_source:
            body.pop("scene_refs", None)
            body.pop("input", None)
        body.update(rule.breaks)
    return body


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.text)
@pytest.mark.parametrize("slug", ["nowhere", "saltmarsh"])
def test_each_rule_of_the_trigger_has_its_text(plain: World, rule: Rule, slug: str) -> None:
    answered = plain.api.post(f"/api/projects/{slug}/runs/trigger", broken(rule))
    assert answered.error == rule.error
    assert not Run.objects.exists()


@pytest.mark.parametrize("n", range(len(RULES) - 1), ids=lambda n: RULES[n].text)
def test_of_two_broken_rules_the_earlier_one_is_told(bypass: Api, n: int) -> None:
    for later in RULES[n + 1 :]:
        answered = bypass.post("/api/projects/nowhere/runs/trigger", broken(RULES[n], later))
        assert answered.error == RULES[n].error, later.text


def test_of_all_rules_broken_at_once_the_first_is_told_and_so_on(bypass: Api) -> None:
    for n, rule in enumerate(RULES):
        answered = bypass.post("/api/projects/nowhere/runs/trigger", broken(*RULES[n:]))
        assert answered.error == rule.error


VALID: list[Body] = [
    {}, {"mode": "dry"}, {"mode": " DRY "}, {"mode": ""}, {"mode": None}, {"project_root": " "},
    {"input": " "},
    {"stage": ""}, {"stage": " Style "}, {"stage": "TIME"}, {"stage": "time", "time": " Night "},
    {"stage": "weather", "time": "day", "weather": "RAIN"}, {"stage": "weather", "weather": "clear"},
    {"candidates": 1}, {"candidates": 6}, {"style_refs": [" b.png "]},
    {"scene_refs": [" a.png "]}, {"confirm_spend": True}, {"storage_sync_s3": True}, {"style_refs": None},
    {"mode": "run", "confirm_spend": True}, {"mode": " Run", "confirm_spend": True},
]  # fmt: skip


@pytest.mark.parametrize("body", VALID, ids=str)
def test_a_valid_request_is_judged_before_the_project_is_looked_up(bypass: Api, body: Body) -> None:
    answered = bypass.post("/api/projects/nowhere/runs/trigger", {**SOURCE, **body})
    assert answered.error == absent("Project not found")


@pytest.mark.parametrize("candidates", [0, -1, 7, 100])
def test_candidates_are_one_to_six(bypass: Api, candidates: int) -> None:
    answered = bypass.post("/api/projects/nowhere/runs/trigger", {**SOURCE, "candidates": candidates})
    assert answered.error == RULES[11].error


def test_a_slug_that_is_not_plain_is_told_after_the_project_was_found(bypass: Api) -> None:
    put_there(bypass.post("/api/projects", {"name": "Salt Marsh"}))
    answered = bypass.post("/api/projects/Salt%20Marsh/runs/trigger", SOURCE)
    assert answered.error == (
        400, "validation", "invalid_project_slug", "Invalid project slug for pipeline run"
    )  # fmt: skip
    answered = bypass.post("/api/projects/Salt%20Water/runs/trigger", SOURCE)
    assert answered.error == absent("Project not found")
    assert bypass.post("/api/projects/SALT_MARSH/runs/trigger", SOURCE).status == 200


# Dry runs


def triggered(world: World, **body: object) -> dict[str, Any]:
    return world.post(TRIGGER, {**SOURCE, **body})


def lines(answer: dict[str, Any]) -> dict[str, str]:
    """The lines of `stdout` by what stands before their colon."""
    rows = [
        line.partition(": ") for line in answer["pipeline_trigger"]["stdout"].splitlines() if line.strip()
    ]
    return {name: value for name, _, value in rows}


@pytest.mark.parametrize("n_scenes", [1, 3])
def test_a_dry_run_leaves_its_jobs_and_nothing_that_was_not_made(plain: World, n_scenes: int) -> None:
    scenes = [f"scene {n}.png" for n in range(n_scenes)]
    answer = triggered(plain, scene_refs=scenes)
    assert "audit_id" not in answer
    assert plain.get(P)["counts"] == {"runs": 1, "jobs": n_scenes, "assets": 0}
    run = plain.get(f"{P}/runs")["runs"][0]
    assert (run["run_mode"], run["status"], run["stage"]) == ("dry", "ok", "style")
    assert answer["run_id"] == run["id"]
    body = plain.get(f"{P}/runs/{run['id']}/jobs")
    assert body["count"] == n_scenes
    for job in body["jobs"]:
        assert faults(job, shapes.JOB) == []
        assert job["status"] == "planned"
        assert job["selected_candidate_index"] is None
        assert job["prompt_text"]
        assert [(row["candidate_index"], row["status"]) for row in job["candidates"]] == [(1, "planned")]
    keys = [job["job_key"] for job in body["jobs"]]
    assert [key.startswith(f"style_{n}") for n, key in enumerate(keys, 1)] == [True] * n_scenes
    for path in ("quality-reports", "cost-events", "assets", "exports"):
        assert plain.get(f"{P}/{path}")["count"] == 0


def test_a_dry_run_says_what_it_did(plain: World, settings: Settings) -> None:
    answer = triggered(plain, scene_refs=["a.png", "b.png"])
    told = answer["pipeline_trigger"]
    assert {"mode", "status_code", "stdout", "stderr", "adapter"} <= set(told)
    assert (told["mode"], told["status_code"]) == ("dry", 0)
    assert isinstance(told["adapter"], str)
    shown = lines(answer)
    assert list(shown) == ["Run log", "Project", "Project root", "Jobs", "KROMA_PIPELINE_SUMMARY_JSON"]
    assert re.fullmatch(ROOT + r"/runs/run_[^/]+\.json", shown["Run log"])
    assert (shown["Project"], shown["Project root"]) == ("saltmarsh", ROOT)
    assert shown["Jobs"] == "2 (dry/planned)"
    assert json.loads(shown["KROMA_PIPELINE_SUMMARY_JSON"]) == {
        "run_log_path": shown["Run log"], "project_slug": "saltmarsh", "project_root": ROOT, "jobs": 2,
        "mode": "dry",
    }  # fmt: skip
    log = json.loads((Path(settings.APP_ROOT) / shown["Run log"]).read_text())
    assert (log["mode"], log["stage"], len(log["jobs"])) == ("dry", "style", 2)
    run = plain.get(f"{P}/runs")["runs"][0]
    assert run["run_log_path"].endswith(shown["Run log"].removeprefix(ROOT))


def test_missing_scenes_of_a_dry_run_are_told_as_lines_only(plain: World) -> None:
    put_scene(plain.project, "there.png")
    told = triggered(plain, scene_refs=[f"{ROOT}/scenes/there.png"])["pipeline_trigger"]
    assert told["stderr"] == ""
    told = triggered(plain, scene_refs=["a.png", f"{ROOT}/scenes/there.png"])["pipeline_trigger"]
    assert [line for line in told["stderr"].splitlines() if "a.png" in line]
    assert "there.png" not in told["stderr"]


def test_stage_time_and_weather_reach_the_run(plain: World) -> None:
    answer = triggered(plain, stage=" Weather ", time="NIGHT", weather="Rain", candidates=2)
    run = plain.get(f"{P}/runs/{answer['run_id']}")["run"]
    assert (run["stage"], run["time_of_day"], run["weather"]) == ("weather", "night", "rain")
    assert plain.get(f"{P}/runs/{answer['run_id']}")["jobs"][0]["job_key"].startswith("weather_1")


def test_a_folder_stands_for_its_images_in_the_order_of_their_names(plain: World) -> None:
    for name in ("b.png", "a.png", "deeper/c.png"):
        put_scene(plain.project, name)
    answer = plain.post(TRIGGER, {"input": f" {ROOT}/scenes "})
    keys = [job["job_key"] for job in plain.get(f"{P}/runs/{answer['run_id']}")["jobs"]]
    assert keys == ["style_1_a", "style_2_b", "style_3_c"]


def preflight(answered: Answered) -> str:
    status, kind, code, text = answered.error
    assert (status, kind, code) == (400, "validation", "planning_preflight_failed")
    assert not Run.objects.exists()
    return str(text)


def test_an_input_that_is_not_there_fails_the_planning(plain: World) -> None:
    path = f"{ROOT}/nothing-here"
    assert preflight(plain.api.post(plain.at(TRIGGER), {"input": path})) == f"input not found: {path}"


def test_a_folder_without_images_fails_the_planning(plain: World, settings: Settings) -> None:
    (Path(settings.APP_ROOT) / ROOT / "empty").mkdir(parents=True)
    assert preflight(plain.api.post(plain.at(TRIGGER), {"input": f"{ROOT}/empty"}))


@pytest.mark.parametrize("limit", [20, 2])
def test_more_jobs_than_the_batch_limit_fail_the_planning(plain: World, limit: int) -> None:
    if limit != 20:
        configure(plain.project, manifest={"safe_batch_limit": limit})
    scenes = [f"{n}.png" for n in range(limit + 1)]
    text = preflight(plain.api.post(plain.at(TRIGGER), {"scene_refs": scenes}))
    assert str(limit) in text
    triggered(plain, scene_refs=scenes[:limit])


def test_more_candidates_than_the_manifest_allows_fail_the_planning_of_a_paid_run(plain: World) -> None:
    configure(plain.project, manifest={"generation": {"max_candidates": 2}})
    put_scene(plain.project)
    body = {"scene_refs": [f"{ROOT}/scenes/quay.png"], "mode": "run", "confirm_spend": True, "candidates": 3}
    preflight(plain.api.post(plain.at(TRIGGER), body))
    triggered(plain, candidates=2)


def test_bad_settings_fail_the_planning(plain: World, settings: Settings) -> None:
    folder = Path(settings.APP_ROOT) / ROOT / ".kroma"
    folder.mkdir(parents=True)
    (folder / "pipeline.settings.json").write_text('{"pipeline": {"postprocess": {"upscale": "yes"}}}')
    preflight(plain.api.post(plain.at(TRIGGER), SOURCE))


@pytest.mark.parametrize("path", ["/etc", "../../../etc", "/etc/passwd"])
def test_an_input_outside_the_allowed_folders_fails_the_planning(plain: World, path: str) -> None:
    assert "root:" not in preflight(plain.api.post(plain.at(TRIGGER), {"input": path}))


def test_runs_of_two_projects_are_apart(plain: World, other: World) -> None:
    answer = triggered(plain)
    triggered(other)
    assert plain.get(f"{P}/runs")["count"] == other.get(f"{P}/runs")["count"] == 1
    for path in (f"{P}/runs/{answer['run_id']}", f"{P}/runs/{answer['run_id']}/jobs"):
        assert other.api.get(other.at(path)).error == absent("Run not found")


# Paid runs


def paid(world: World, n_scenes: int = 1, **body: object) -> dict[str, Any]:
    scenes = []
    for n in range(n_scenes):
        put_scene(world.project, f"quay{n}.png", number=n)
        scenes.append(f"{ROOT}/scenes/quay{n}.png")
    return triggered(world, scene_refs=scenes, mode="run", confirm_spend=True, **body)


def test_a_paid_run_is_queued_and_can_be_read_at_once(plain: World) -> None:
    answer = paid(plain, 2, candidates=2)
    told, shown = answer["pipeline_trigger"], lines(answer)
    assert (told["mode"], told["status_code"]) == ("run", 0)
    assert list(shown) == ["Run log", "Project", "Project root", "Jobs", "KROMA_PIPELINE_SUMMARY_JSON"]
    assert shown["Jobs"] == "2 (run/queued)"
    summary = json.loads(shown["KROMA_PIPELINE_SUMMARY_JSON"])
    assert (summary["jobs"], summary["mode"], summary["run_log_path"]) == (2, "run", shown["Run log"])
    assert faults(answer["run"], shapes.RUN) == []
    assert answer["run"]["id"] == answer["run_id"]
    body = plain.get(f"{P}/runs/{answer['run_id']}")
    assert body["run"]["status"] == "queued"
    assert body["run"]["provider_code"] == "local"
    assert [len(job["candidates"]) for job in body["jobs"]] == [2, 2]
    assert plain.get(P)["counts"]["runs"] == 1


def test_a_worked_off_run_has_winners_reports_files_and_no_costs(plain: World) -> None:
    answer = paid(plain, candidates=2)
    for pk in Run.objects.get().candidates.values_list("pk", flat=True):
        execute_candidate(pk)
    body = plain.get(f"{P}/runs/{answer['run_id']}")
    run, (job,) = body["run"], body["jobs"]
    assert faults(run, shapes.RUN) == []
    assert faults(job, shapes.JOB) == []
    assert (run["run_mode"], run["status"]) == ("run", "ok")
    assert run["started_at"] <= run["finished_at"]
    assert run["started_at"]
    assert job["status"] == "done"
    assert [row["candidate_index"] for row in job["candidates"]] == [1, 2]
    assert {row["status"] for row in job["candidates"]} == {"done"}
    winner = job["candidates"][job["selected_candidate_index"] - 1]
    assert job["final_output"] == winner["final_output_path"] != ""
    assert job["final_asset_id"]
    assert plain.get(f"{P}/assets/{job['final_asset_id']}")["asset"]["run_id"] == run["id"]
    for row in plain.get(f"{P}/assets")["assets"]:
        assert faults(row, shapes.ASSET) == []
        assert shapes.SHA256.fullmatch(row["sha256"])
    reports = plain.get(f"{P}/quality-reports")["quality_reports"]
    assert {row["run_id"] for row in reports} == {run["id"]}
    assert len([row for row in reports if row["report_type"] == "output_guard"]) >= 2
    assert [fault for row in reports for fault in faults(row, shapes.QUALITY_REPORT)] == []
    assert plain.get(f"{P}/cost-events")["count"] == 0  # `local` is free


def test_a_scene_that_is_not_there_stops_a_paid_run_before_anything_is_spent(plain: World) -> None:
    body = {**SOURCE, "mode": "run", "confirm_spend": True}
    assert "a.png" in preflight(plain.api.post(plain.at(TRIGGER), body))


def test_a_paid_run_without_its_provider_s_key_is_refused_before_anything_is_written(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    put_scene(plain.project)
    body = {
        "scene_refs": [f"{ROOT}/scenes/quay.png"], "mode": "run", "confirm_spend": True,
        "provider_code": "openai",
    }  # fmt: skip
    answered = plain.api.post(plain.at(TRIGGER), body)
    assert answered.error[:3] == (400, "provider", "pipeline_command_failed")
    assert not Run.objects.exists()


def test_a_refused_trigger_writes_no_event(plain: World) -> None:
    before = AuditEvent.objects.count()
    for rule in RULES:
        plain.api.post(plain.at(TRIGGER), broken(rule))
    assert AuditEvent.objects.count() == before


# validate-config


def checked(world: World, **body: object) -> dict[str, Any]:
    summary: dict[str, Any] = world.post(CHECK, body)["summary"]
    return summary


def refused(world: World, **body: object) -> str:
    status, kind, code, text = world.api.post(world.at(CHECK), body).error
    assert (status, kind, code) == (400, "validation", "config_validation_failed")
    return str(text)


def test_no_settings_at_all_are_fine(plain: World) -> None:
    nothing = {
        "app_settings_loaded": False, "project_settings_loaded": False, "resolved_manifest_path": None,
        "resolved_postprocess_config_path": None,
    }  # fmt: skip
    for given in ({}, dict.fromkeys(routes.OF_CONFIG, "  "), dict.fromkeys(routes.OF_CONFIG)):
        summary = checked(plain, **given)
        assert {name: summary[name] for name in nothing} == nothing


def test_a_root_of_one_s_own_is_refused_but_after_the_project_was_looked_up(plain: World) -> None:
    answered = plain.api.post(plain.at(CHECK), {"project_root": "/tmp/x", "manifest_path": "none.json"})
    assert answered.error == (400, "validation", "project_root_managed", MANAGED)
    answered = plain.api.post("/api/projects/nowhere/runs/validate-config", {"project_root": "/tmp/x"})
    assert answered.error == absent("Project not found")


def test_layers_that_say_something_are_loaded(plain: World, settings: Settings) -> None:
    app, project = Path(settings.APP_ROOT), Path(settings.APP_ROOT) / ROOT
    (app / "config").mkdir(parents=True)
    (app / "config/pipeline.settings.toml").write_text("[pipeline.postprocess]\nupscale = false\n")
    assert (checked(plain)["app_settings_loaded"], checked(plain)["project_settings_loaded"]) == (True, False)
    (project / ".kroma").mkdir(parents=True)
    (project / ".kroma/pipeline.settings.json").write_text('{"pipeline": {"postprocess": {"color": false}}}')
    assert checked(plain)["project_settings_loaded"] is True
    (project / ".kroma/pipeline.settings.json").write_text("{}")
    assert checked(plain)["project_settings_loaded"] is False


def test_resolved_paths_are_those_that_were_configured_and_the_request_wins(
    plain: World, settings: Settings
) -> None:
    configure(plain.project)
    summary = checked(plain)
    assert summary["resolved_manifest_path"] == "manifest.json"
    assert summary["resolved_postprocess_config_path"] == "config.json"
    assert summary["project_settings_loaded"] is True
    for name in ("other-manifest.json", "other-config.json"):
        (Path(settings.APP_ROOT) / name).write_text("{}")
    summary = checked(plain, manifest_path="other-manifest.json", postprocess_config_path="other-config.json")
    assert summary["resolved_manifest_path"] == "other-manifest.json"
    assert summary["resolved_postprocess_config_path"] == "other-config.json"


@pytest.mark.parametrize(
    ("field", "prefix"),
    [
        ("app_settings_path", "settings layer validation failed"),
        ("project_settings_path", "settings layer validation failed"),
        ("manifest_path", "planning manifest validation failed"),
        ("postprocess_config_path", "postprocess config validation failed"),
    ],
)
@pytest.mark.parametrize(
    "path", ["none.json", "/etc/passwd", "../../../../etc/passwd", "/nowhere/at/all.json"]
)
def test_a_file_that_is_named_must_be_there_and_inside_the_allowed_folders(
    plain: World, field: str, prefix: str, path: str
) -> None:
    text = refused(plain, **{field: path})
    assert text.startswith(prefix)
    assert "root:" not in text


BAD_FILES = [
    ("manifest_path", "planning manifest validation failed", text)
    for text in (
        "not json", "[]", '{"scene_refs": "a.png"}', '{"safe_batch_limit": 0}', '{"safe_batch_limit": "x"}',
        '{"generation": {"candidates": "two"}}', '{"output_guard": {"enforce_grayscale": "yes"}}',
        '{"prompts": {"style_base": 1}}',
    )
] + [
    ("postprocess_config_path", "postprocess config validation failed", text)
    for text in (
        "not json", "[]", '{"upscale": {"scale": 0}}', '{"upscale": {"backend": 1}}',
        '{"upscale": {"scale": 1.5}}',
        '{"color": {"default_profile": 1}}', '{"bg_remove": {"backends": "rembg"}}',
        '{"bg_remove": {"openai": {"enabled": "yes"}}}',
    )
] + [
    ("app_settings_path", "settings layer validation failed", text)
    for text in (
        "not json", "[]", '{"pipeline": {"manifest_path": " "}}', '{"pipeline": {"manifest_path": 1}}',
        '{"pipeline": {"postprocess": {"upscale": "yes"}}}',
        '{"pipeline": {"postprocess": {"color_profile": ""}}}',
        '{"pipeline": {"postprocess": {"upscale_backend": "magic"}}}', '{"pipeline": {"postprocess": []}}',
        '{"pipeline": {"postprocess": {"bg_remove_backends": [1]}}}',
    )
]  # fmt: skip


@pytest.mark.parametrize(("field", "prefix", "text"), BAD_FILES)
def test_a_file_that_says_something_wrong_is_refused(
    plain: World, settings: Settings, field: str, prefix: str, text: str
) -> None:
    place = Path(settings.APP_ROOT) / "bad.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    assert refused(plain, **{field: "bad.json"}).startswith(prefix)
    assert not Run.objects.exists()


def test_checking_writes_nothing(plain: World) -> None:
    before = AuditEvent.objects.count()
    checked(plain)
    assert AuditEvent.objects.count() == before
    assert plain.get(P)["counts"] == {"runs": 0, "jobs": 0, "assets": 0}
