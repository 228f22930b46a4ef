"""What a universe is set to: as a page, as the service behind the API, and as a command."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from pipeline.services.settings_table import settings_table
from pipeline.services.trigger import WrongType
from pipeline.services.validation import RootManaged, validate_config
from pipeline.store import store_for
from projects.access import NOBODY, OPERATOR
from projects.errors import ConfigurationInvalid, NotFound
from projects.models import Budget, Project

pytestmark = pytest.mark.django_db


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def told(client: Client, project: Project) -> str:
    answer = client.get(reverse("pipeline:settings", args=[project.slug]))
    assert answer.status_code == 200
    return answer.content.decode()


# --- The page ---------------------------------------------------------------------------------------


def test_every_key_has_its_value_its_layer_and_its_file(
    vic_client: Client, project: Project, data_folder: Path
) -> None:
    put(data_folder / "config/pipeline.settings.toml", '[pipeline]\nmanifest_path = "m.json"\n')
    put(data_folder / "m.json", {"safe_batch_limit": 33, "prompts": {"time_day": "Noon."}})
    put(store_for(project).root / ".kroma/pipeline.settings.json", {"postprocess": {"color": True}})
    rows = {row.key: row for row in settings_table(project).rows}
    assert (rows["postprocess.color"].value, rows["postprocess.color"].origin) == (
        "on",
        "the project settings",
    )
    assert rows["postprocess.color"].file.endswith(".kroma/pipeline.settings.json")
    assert (rows["manifest_path"].value, rows["manifest_path"].file) == (
        "m.json",
        "config/pipeline.settings.toml",
    )
    assert (rows["safe_batch_limit"].value, rows["safe_batch_limit"].file) == ("33", "m.json")
    assert rows["prompts.time_day"].origin == "the manifest"
    assert (rows["postprocess.upscale"].value, rows["postprocess.upscale"].is_default) == ("off", True)
    text = told(vic_client, project)
    assert "At most 33 scenes in one run" in text
    assert 'aria-current="page">Settings' in text
    assert all(key in text for key in rows)


def test_the_files_are_listed_whether_or_not_they_are_there(project: Project, data_folder: Path) -> None:
    put(data_folder / "config/pipeline.settings.json", {"postprocess_config_path": "p.json"})
    looked = {file.path: file.found for file in settings_table(project).files}
    assert looked == {
        "config/pipeline.settings.toml": False,
        "config/pipeline.settings.json": True,
        "var/projects/saltmarsh/.kroma/pipeline.settings.toml": False,
        "var/projects/saltmarsh/.kroma/pipeline.settings.json": False,
        "p.json": False,
    }


def test_all_that_is_wrong_stands_on_the_page_at_once(
    vic_client: Client, project: Project, data_folder: Path
) -> None:
    put(
        data_folder / "config/pipeline.settings.json",
        {"postprocess": {"color": "yes", "upscale": 1, "colour": 1}},
    )
    text = told(vic_client, project)
    assert "2 things are wrong" in text
    assert all(key in text for key in ("postprocess.color", "postprocess.upscale", "postprocess.colour"))
    assert "did you mean" in text
    assert "things are wrong" not in told(vic_client, project).replace("2 things are wrong", "")


def test_the_page_asks_the_same_however_much_there_is(
    vic_client: Client, project: Project, data_folder: Path, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with CaptureQueriesContext(connection) as before:
        told(vic_client, project)
    refs = [f"{n}.png" for n in range(40)]
    put(data_folder / "config/pipeline.settings.json", {"manifest_path": "m.json", "x": 1, "y": 2})
    put(data_folder / "m.json", {"scene_refs": refs})
    with django_assert_num_queries(len(before)):
        assert "40 things are wrong" in told(vic_client, project)


# --- The service ------------------------------------------------------------------------------------


@pytest.mark.acceptance("S-15")
def test_the_project_comes_first_then_its_root_then_the_files(project: Project, data_folder: Path) -> None:
    put(data_folder / "bad.json", "{")
    asked: dict[str, object] = {"project_root": "/x", "manifest_path": "bad.json"}
    for slug, by in (("nowhere", OPERATOR), (project.slug, NOBODY)):
        with pytest.raises(NotFound, match="Project not found"):
            validate_config(slug, asked, by=by)
    with pytest.raises(RootManaged, match="is managed by project storage") as caught:
        validate_config("SaltMarsh", asked, by=OPERATOR)
    assert (caught.value.code, caught.value.status) == ("project_root_managed", 400)
    with pytest.raises(ConfigurationInvalid, match=r"^planning manifest validation failed: .*bad\.json"):
        validate_config(project.slug, {**asked, "project_root": " "}, by=OPERATOR)


@pytest.mark.acceptance("S-15")
def test_a_sound_configuration_is_summed_up(project: Project, data_folder: Path) -> None:
    put(data_folder / "config/pipeline.settings.json", {"manifest_path": "none.json"})
    put(data_folder / "m.json", {})
    put(store_for(project).root / "mine.toml", '[postprocess]\nupscale = true\nupscale_backend = "pillow"\n')
    body = {"manifest_path": " m.json ", "project_settings_path": "mine.toml", "app_settings_path": None}
    found = validate_config(project.slug, body, by=OPERATOR).summary()
    assert list(found.items())[:4] == [
        ("app_settings_loaded", True),
        ("project_settings_loaded", True),
        ("resolved_manifest_path", "m.json"),
        ("resolved_postprocess_config_path", None),
    ]
    assert found["effective"]["postprocess.upscale"] == {"value": True, "layer": "project"}
    assert validate_config(project.slug, {"manifest_path": "m.json"}, by=OPERATOR).errors == ()


def test_no_body_is_an_empty_one(project: Project) -> None:
    assert validate_config(project.slug, None, by=OPERATOR).errors == ()


@pytest.mark.acceptance("S-09", "S-15")
@pytest.mark.parametrize(
    ("field", "start"),
    [
        ("app_settings_path", "settings layer validation failed: App settings: the app settings file"),
        ("project_settings_path", "settings layer validation failed: Project settings: the project settings"),
        ("manifest_path", "planning manifest validation failed: "),
        ("postprocess_config_path", "postprocess config validation failed: "),
    ],
)
@pytest.mark.parametrize("place", ["nowhere.json", "/etc/hostname", "../../../etc/passwd"])
def test_what_is_missing_or_elsewhere_is_refused_by_its_part(
    project: Project, field: str, start: str, place: str
) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        validate_config(project.slug, {field: place}, by=OPERATOR)
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize("body", [[], "x", {"manifest_path": 3}, {"project_root": ["x"]}])
def test_types_are_judged_before_the_project(body: object) -> None:
    with pytest.raises(WrongType) as caught:
        validate_config("nowhere", body, by=OPERATOR)
    assert caught.value.status == 422


# --- The command ------------------------------------------------------------------------------------


def called(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("validate-pipeline-config", *arguments, stdout=out)
    assert out.getvalue().startswith("{\n  ")
    return dict(json.loads(out.getvalue()))


@pytest.mark.acceptance("S-15")
def test_the_command_needs_no_database(tmp_path: Path) -> None:
    put(tmp_path / "app/config/pipeline.settings.json", {"manifest_path": "m.json"})
    put(tmp_path / "app/m.json", {})
    put(
        tmp_path / "mine/.kroma/pipeline.settings.toml",
        '[postprocess]\nupscale = true\nupscale_backend = "pillow"\n',
    )
    with CaptureQueriesContext(connection) as queries:
        found = called("--app-root", str(tmp_path / "app"), "--project-root", str(tmp_path / "mine"))
    assert len(queries) == 0
    assert (found["app_settings_loaded"], found["resolved_manifest_path"]) == (True, "m.json")
    assert found["effective"]["postprocess.upscale"] == {"value": True, "layer": "project"}


@pytest.mark.acceptance("S-09", "S-15")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--manifest", "nowhere.json"], r"nowhere\.json, which does not exist"),
        (["--app-settings", "nowhere.json"], "App settings: the app settings file"),
        (["--project-root", "/tmp", "--project-settings", "no-such.json"], r"/tmp/no-such\.json"),
        (["--bogus"], "unrecognized"),
        (["--manifest"], "expected one argument"),
    ],
)
def test_the_command_fails_in_words(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        called(*arguments)
    assert caught.value.returncode == 1


# --- The budget -------------------------------------------------------------------------------------


def test_an_owner_sets_the_budget_and_others_see_it(
    alice_client: Client, vic_client: Client, erin_client: Client, project: Project
) -> None:
    url = reverse("pipeline:settings-budget", args=[project.slug])
    limits = {"per_run": "2.50", "per_day": "", "per_month": "40"}
    assert erin_client.post(url, limits).status_code == 403
    assert alice_client.post(url, limits).status_code == 302
    assert (project.budget.per_run_usd, project.budget.per_day_usd) == (Decimal("2.5"), None)
    assert 'value="2.500000"' in told(alice_client, project)
    shown = told(vic_client, project)
    assert "$2.50" in shown
    assert "$40.00" in shown
    assert "budget-save" not in shown


@pytest.mark.parametrize("amount", ["-1", "much", "1e30"])
def test_a_budget_that_is_no_amount_comes_back(alice_client: Client, project: Project, amount: str) -> None:
    url = reverse("pipeline:settings-budget", args=[project.slug])
    answer = alice_client.post(url, {"per_run": amount, "per_day": "1", "per_month": ""})
    assert answer.status_code == 422
    assert not Budget.objects.exists()
