"""Whole runs over the API with each service of somebody else, and what a wrong key does."""

import json
from typing import Any

import pytest
from django.apps import apps
from django.core.serializers import serialize

from pipeline.models import Run
from pipeline.providers import comfyui
from pipeline.services import health
from pipeline.store import store_for
from projects.models import Project
from tests.api.conftest import Api
from tests.factories import put_scene
from tests.fakes import work_through
from tests.services_of_others import KEYS, WRONG_KEY, Service, service_of

pytestmark = [pytest.mark.acceptance("W-35", "X-13"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfyui, "FIRST_LOOK", 0.01)


def set_up(api: Api, project: Project, service: Service, *, key: str = "") -> str:
    """The account and its key, by the API; the path of the project."""
    path = f"/api/projects/{project.slug}"
    account = {"provider_code": service.code, "config_json": service.account["config"]}
    made = api.post(f"{path}/provider-accounts", {**account, "base_url": service.account["base_url"]})
    assert made.status == 200
    secret = {"provider_code": service.code, "secret_name": "api_key"}
    made = api.post(f"{path}/secrets", {**secret, "secret_value": key or KEYS[service.code]})
    assert made.status == 200
    assert key not in json.dumps(made.body) or not key
    return path


def triggered(api: Api, path: str, scene: str, service: Service) -> dict[str, Any]:
    """The answer of a trigger whose images this service makes, or cuts out."""
    asked: dict[str, object] = {"scene_refs": [scene], "mode": "run", "confirm_spend": True}
    if service.is_cutter:
        asked |= {
            "postprocess": {
                "bg_remove": True,
                "bg_remove_backends": [service.code],
                "bg_refine_openai": False,
            }
        }
    else:
        asked |= {"provider_code": service.code}
    answer = api.post(f"{path}/runs/trigger", asked)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def everything(project: Project, run: Run) -> str:
    """All rows of the database and the run log, as text."""
    rows = [serialize("json", model.objects.all()) for model in apps.get_models()]
    return "\n".join([*rows, store_for(project).read(run.run_log_path).decode()])


@pytest.mark.acceptance("W-35")
@pytest.mark.parametrize("code", KEYS)
def test_a_run_with_each_service(bypass: Api, project: Project, code: str) -> None:
    scene = put_scene(project, number=3)
    with service_of(code) as service:
        path = set_up(bypass, project, service)
        run = Run.objects.get(pk=triggered(bypass, path, scene.path, service)["run_id"])
        work_through(run)
        assert run.status == "ok"
        asked = [request for request in service.server.requests if request.method == "POST"]
        assert asked
        for request in asked:
            assert KEYS[code] in str(request.headers)
    shown = bypass.get(f"{path}/runs/{run.pk}").body
    assert KEYS[code] not in json.dumps(shown)
    assert KEYS[code] not in everything(project, run)
    attempts = {attempt.provider_code: attempt for attempt in run.attempts.all()}
    assert attempts[code].status == "stored"
    if code == "openai":
        assert attempts[code].request_id.startswith("req_")
        assert attempts[code].usage["input_tokens"] == 640


def test_a_run_may_choose_model_size_quality_and_fidelity_instead_of_the_account(
    bypass: Api, project: Project
) -> None:
    scene = put_scene(project)
    options = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low", "input_fidelity": "low"}
    with service_of("openai") as service:
        service.account["config"] = {}
        path = set_up(bypass, project, service)
        asked: dict[str, object] = {"scene_refs": [scene.path], "provider_code": "openai"}
        usual = bypass.post(f"{path}/runs/trigger", asked).body["run"]
        chosen = {**asked, "provider_options": options, "mode": "run", "confirm_spend": True}
        run = Run.objects.get(pk=bypass.post(f"{path}/runs/trigger", chosen).body["run_id"])
        assert 0 < run.estimate_usd < Run.objects.get(pk=usual["id"]).estimate_usd
        # What the account says by now does not count: the run is worked on as it was planned.
        changed = {"input_fidelity": "high", "quality": "high"}
        bypass.put(f"{path}/provider-accounts/openai", {"config_json": changed})
        work_through(run)
        (request,) = [one for one in service.server.requests if one.method == "POST"]
    assert options.items() <= request.fields.items()
    assert (run.status, run.image_size, run.image_quality) == ("ok", "1024x1024", "low")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"input_fidelity": "medium"}, "'provider_options.input_fidelity' must be one of: high, low"),
        ({"model": "m" * 101}, "'provider_options.model' must have at most 100 characters"),
        ({"size": 5}, "provider_options.size"),
        ("gpt", "provider_options"),
    ],
)
def test_options_that_can_not_be_are_named(bypass: Api, project: Project, options: object, text: str) -> None:
    scene = put_scene(project)
    asked = {"scene_refs": [scene.path], "provider_options": options}
    answer = bypass.post(f"/api/projects/{project.slug}/runs/trigger", asked)
    assert answer.status in (400, 422)
    assert text in answer.error[3]
    assert not Run.objects.exists()


def test_options_that_a_provider_does_not_have_are_told(bypass: Api, project: Project) -> None:
    scene = put_scene(project)
    asked = {"scene_refs": [scene.path], "provider_options": {"model": "x", "unknown": "y"}}
    answer = bypass.post(f"/api/projects/{project.slug}/runs/trigger", asked).body
    told = answer["pipeline_trigger"]["stderr"]
    assert "local has no choice of model: what is said is ignored" in told


@pytest.mark.acceptance("W-04")
def test_a_wrong_key_stops_the_run_and_the_right_one_lets_it_go_on(bypass: Api, project: Project) -> None:
    scene = put_scene(project)
    with service_of("openai") as service:
        path = set_up(bypass, project, service, key=WRONG_KEY)
        run = Run.objects.get(pk=triggered(bypass, path, scene.path, service)["run_id"])
        work_through(run)
        assert (run.status, run.candidates.get().error["code"]) == ("failed", "provider_auth")
        assert WRONG_KEY not in everything(project, run)
        assert health.check_changed() == 0
        set_up(bypass, project, service)
        assert health.check_changed() == 1
        work_through(run)
        assert run.status == "ok"
