"""Settings, manifest and post-process files, and what they do to plans, pages and commands."""

import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from pipeline.engine.manifest import DEFAULT_MANIFEST
from pipeline.engine.settings import SettingsLayer
from pipeline.models import Run
from pipeline.services import runs
from pipeline.services.configuration import NOTHING_ASKED, Named, Places, Report, load, validate
from pipeline.services.planning import RunOrder, prepare_run
from pipeline.services.references import add_images
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import ConfigurationInvalid, PlanRefused
from projects.models import Project
from tests.factories import make_plan, make_run, make_set, png, put_scene, upload

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


@pytest.fixture
def app_root(data_folder: Path) -> Path:
    return data_folder


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def app_file(content: object, *, form: str = "json") -> Path:
    return put(Places.of(Project.objects.get()).app_root / f"config/pipeline.settings.{form}", content)


def project_file(content: object, *, form: str = "json") -> Path:
    return put(store_for(Project.objects.get()).root / f".kroma/pipeline.settings.{form}", content)


def validated(project: Project, **named: Any) -> Report:
    return validate(Places.of(project), named=Named(**named))


def faults(project: Project, **named: Any) -> str:
    return "\n".join(map(str, validated(project, **named).errors))


# --- Layers -----------------------------------------------------------------------------------------


@pytest.mark.acceptance("S-02")
def test_nothing_configured_is_valid_and_the_default(project: Project) -> None:
    found = load(project)
    assert (found.manifest, found.errors, found.warnings) == (DEFAULT_MANIFEST, (), ())
    assert found.plan.pipeline_order == ("generate",)
    report = validated(project)
    report.refuse()
    assert list(report.summary())[:4] == [
        "app_settings_loaded", "project_settings_loaded", "resolved_manifest_path",
        "resolved_postprocess_config_path",
    ]  # fmt: skip
    assert list(report.summary().values())[:4] == [False, False, None, None]


@pytest.mark.acceptance("S-01")
def test_request_beats_project_beats_app_beats_default(project: Project) -> None:
    def profile(request: SettingsLayer = NOTHING_ASKED) -> tuple[str | None, str]:
        found = load(project, request=request).effective
        return found.values.color_profile, found.origin["color_profile"]

    assert profile() == ("neutral", "default")
    app_file({"postprocess": {"color_profile": "cold_rain", "upscale": True}})
    assert profile() == ("cold_rain", "app")
    project_file({"pipeline": {"postprocess": {"color_profile": "neutral", "upscale": False}}})
    assert profile() == ("neutral", "project")
    assert profile(SettingsLayer(color_profile="cinematic_warm")) == ("cinematic_warm", "request")
    assert load(project).plan.upscale is False
    assert load(project, request=SettingsLayer(upscale=True)).plan.upscale is True


@pytest.mark.acceptance("S-02", "S-03", "S-04")
@pytest.mark.parametrize("write", [app_file, project_file])
def test_toml_beats_json_without_mixing_and_says_so(project: Project, write: Any) -> None:
    write({"postprocess": {"upscale_backend": "ncnn", "color_profile": "cold_rain"}})
    assert load(project).effective.values.color_profile == "cold_rain"
    write('[pipeline.postprocess]\nupscale_backend = "python"\n', form="toml")
    found = load(project)
    assert (found.effective.values.upscale_backend, found.effective.values.color_profile) == (
        "python",
        "neutral",
    )
    assert "is ignored beside the TOML file" in str(found.warnings[0])


def test_an_empty_file_sets_nothing(project: Project) -> None:
    app_file("", form="toml")
    project_file({})
    assert not validated(project).errors
    assert validated(project).summary()["app_settings_loaded"] is False


@pytest.mark.acceptance("S-03")
def test_paths_in_either_file_count_from_the_app_root(project: Project, app_root: Path) -> None:
    put(app_root / "config/m.json", {"safe_batch_limit": 3})
    project_file({"manifest_path": " config/m.json "})
    report = validated(project)
    assert report.configuration.manifest.safe_batch_limit == 3
    assert report.summary()["resolved_manifest_path"] == "config/m.json"
    assert report.summary()["project_settings_loaded"] is True


# --- Named files ------------------------------------------------------------------------------------


@pytest.mark.acceptance("S-05")
def test_a_named_project_file_counts_from_the_project_root(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(store_for(project).root / "mine.toml", "[postprocess]\ncolor = true\n")
    put(tmp_path / "mine.toml", "[postprocess]\ncolor = false\n")
    monkeypatch.chdir(tmp_path)
    assert load(project, named=Named(project_settings=" mine.toml ")).plan.color is True


@pytest.mark.acceptance("S-09")
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("app_settings", "App settings: the app settings file"),
        ("project_settings", "Project settings: the project settings file"),
        ("manifest", "Planning manifest: 'manifest_path' of the request"),
        ("postprocess_config", "Post-process config: 'postprocess_config_path' of the request"),
    ],
)
def test_a_named_file_must_be_there_and_a_blank_name_is_none(
    project: Project, field: str, words: str
) -> None:
    assert not validated(project, **{field: "  "}).errors
    root = store_for(project).root if field == "project_settings" else Places.of(project).app_root
    text = faults(project, **{field: "nowhere.json"})
    assert text.startswith(words)
    assert f"{root / 'nowhere.json'}, which does not exist" in text
    (root / "folder").mkdir(parents=True)
    assert "is not a file" in faults(project, **{field: "folder"})
    assert "is no usable path" in faults(project, **{field: "a\0b"})
    os.mkfifo(root / "pipe")
    assert "is not a file" in faults(project, **{field: "pipe"})


def test_a_folder_in_the_usual_place_is_an_error(project: Project, app_root: Path) -> None:
    (app_root / "config/pipeline.settings.toml").mkdir(parents=True)
    assert "is not a file" in faults(project)


def test_a_relative_project_file_needs_a_project_root(app_root: Path, tmp_path: Path) -> None:
    report = validate(Places.at(app_root, None), named=Named(project_settings="mine.toml"))
    assert "no project root is known" in str(report.errors[0])
    mine = put(tmp_path / "mine.json", {"postprocess": {"color": True}})
    named = Named(project_settings=str(mine), by_operator=True)
    assert validate(Places.at(app_root, None), named=named).configuration.plan.color


def test_a_file_elsewhere_is_for_the_operator_only(project: Project, tmp_path: Path) -> None:
    outside = put(tmp_path / "elsewhere" / "m.json", {"safe_batch_limit": 3})
    assert "neither in the app root nor" in faults(project, manifest=str(outside))
    assert "neither in the app root nor" in faults(project, manifest="../elsewhere/m.json")
    assert not validated(project, manifest=str(outside), by_operator=True).errors
    app_file({"manifest_path": str(outside)})
    assert "neither in the app root nor" in faults(project, by_operator=True)


@pytest.mark.parametrize("place", ["elsewhere", "data/var/projects/other", "data/backend"])
def test_a_link_to_what_is_not_ours_is_refused(project: Project, tmp_path: Path, place: str) -> None:
    target = put(tmp_path / place / "s.json", {"postprocess": {"color": True}})
    link = project_file({})
    link.unlink()
    link.symlink_to(target)
    assert "neither in the app root nor" in faults(project)
    assert "neither in the app root nor" in faults(project, app_settings=str(target))
    link.unlink()
    link.symlink_to(link)
    assert "Project settings" in faults(project)


def test_a_file_in_an_input_root_may_be_named(project: Project, tmp_path: Path, settings: Settings) -> None:
    settings.INPUT_ROOTS = [tmp_path / "shared"]
    assert not faults(project, manifest=str(put(tmp_path / "shared" / "m.json", {})))


# --- What is found ----------------------------------------------------------------------------------


@pytest.mark.acceptance("S-15")
def test_all_problems_of_all_files_are_reported_at_once(project: Project, app_root: Path) -> None:
    app_file({"provider_code": "nobody", "postprocess": {"color": "yes", "upscale_backend": "magic"}})
    project_file("[pipeline", form="toml")
    put(
        app_root / "m.json",
        {"generation": {"candidates": 9, "max_candidates": 2}, "scene_refs": ["gone.png"], "policy": 1},
    )
    put(app_root / "p.json", {"upscale": {"scale": 0}, "color": {"settings_file": "c.json"}})
    put(app_root / "c.json", {"profiles": {"a": {"gamma": "x"}, "b": 1}})
    report = validated(project, manifest="m.json", postprocess_config="p.json")
    assert {(note.part, note.problem.key) for note in report.errors} >= {
        ("App settings", "postprocess.color"),
        ("App settings", "postprocess.upscale_backend"),
        ("App settings", "provider_code"),
        ("Project settings", ""),
        ("Planning manifest", "policy"),
        ("Planning manifest", "scene_refs[0]"),
        ("Planning manifest", "generation.candidates"),
        ("Post-process config", "upscale.scale"),
        ("Colour settings", "profiles.a.gamma"),
        ("Colour settings", "profiles.b"),
    }
    with pytest.raises(ConfigurationInvalid, match="App settings: "):
        report.refuse()
    with pytest.raises(PlanRefused, match=r"postprocess\.color"):
        prepare_run(project, RunOrder(mode="dry", scenes=(put_scene(project),)))


def test_scenes_of_the_manifest_may_lie_in_the_project_or_the_app_root(
    project: Project, app_root: Path
) -> None:
    put_scene(project, "quay.png")
    (app_root / "ink.png").write_bytes(png())
    put(app_root / "m.json", {"scene_refs": ["scenes/quay.png"], "style_refs": ["ink.png"]})
    assert not faults(project, manifest="m.json")


def test_a_profile_that_colours_grey_beyond_the_guard_is_warned_of(project: Project) -> None:
    app_file({"postprocess": {"color": True, "color_profile": "cold_rain"}})
    warning = next(str(note) for note in validated(project).warnings if note.part == "Colour settings")
    assert "6.67" in warning
    assert "max_chroma_delta" in warning
    app_file({"postprocess": {"color": True, "color_profile": "neutral"}})
    assert not [note for note in validated(project).warnings if note.part == "Colour settings"]


def test_a_profile_that_does_not_exist_is_an_error_once_colour_is_on(project: Project) -> None:
    app_file({"postprocess": {"color_profile": "dusk"}})
    assert not faults(project)
    assert "'dusk' is unknown" in str(validated(project).warnings[0])
    project_file({"postprocess": {"color": True}})
    assert "'postprocess.color_profile' of the app settings: Colour profile 'dusk' is unknown" in faults(
        project
    )


@pytest.mark.acceptance("S-07")
def test_every_file_is_read_once(project: Project, app_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app_file({"manifest_path": "m.json", "postprocess_config_path": "p.json"})
    project_file({"postprocess": {"color": False}})
    put(app_root / "m.json", {})
    put(app_root / "p.json", {"color": {"settings_file": "c.json"}})
    put(app_root / "c.json", {"profiles": {"neutral": {}}})
    opened: Counter[str] = Counter()
    really = Path.open

    def counted(self: Path, *arguments: Any, **options: Any) -> Any:
        opened[self.name] += self.suffix == ".json" and "runs" not in self.parts
        return really(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    runs.start_run(make_plan(project), by=OPERATOR, confirm_spend=True)
    files = {name: n for name, n in opened.items() if n}
    assert files == {"pipeline.settings.json": 2, "m.json": 1, "p.json": 1, "c.json": 1}, "one of each layer"


# --- Runs -------------------------------------------------------------------------------------------


@pytest.mark.acceptance("S-10", "S-12")
def test_the_manifest_decides_limit_candidates_guard_and_prompt(project: Project, app_root: Path) -> None:
    manifest = {
        "safe_batch_limit": 1,
        "generation": {"candidates": 3, "max_candidates": 3},
        "output_guard": {"max_chroma_delta": 9},
        "prompts": {"style_base": "Woodcut."},
    }
    put(app_root / "m.json", manifest)
    app_file({"manifest_path": "m.json"})
    scenes = tuple(put_scene(project, f"{n}.png", number=n) for n in range(2))
    with pytest.raises(PlanRefused, match="batch limit of 1"):
        prepare_run(project, RunOrder(mode="run", scenes=scenes))
    plan = prepare_run(project, RunOrder(mode="run", scenes=scenes[:1]))
    run = runs.start_run(plan, by=OPERATOR, confirm_spend=True)
    assert plan.plan.jobs[0].prompt.startswith("Woodcut.")
    kept = run.settings_snapshot
    assert (run.n_candidates, kept["generation"]["max_candidates"]) == (3, 3)
    assert kept["output_guard"]["max_chroma_delta"] == 9
    assert kept["settings"]["manifest_path"] == {"value": "m.json", "layer": "app"}


def test_a_step_that_is_on_refuses_a_run_and_shows_in_a_dry_one(project: Project, app_root: Path) -> None:
    put(app_root / "p.json", {"upscale": {"scale": 4, "format": "webp"}})
    app_file({"postprocess_config_path": "p.json", "postprocess": {"upscale_backend": "ncnn"}})
    project_file({"postprocess": {"upscale": True}})
    with pytest.raises(PlanRefused, match=r"'postprocess\.upscale' is switched on by the project settings"):
        make_plan(project)
    assert not Run.objects.exists()
    plan = make_plan(project, mode="dry")
    assert plan.plan.jobs[0].candidates[0].names.final == "upscaled/style_1_scene_0_x4.webp"
    run = runs.record_dry_run(plan, by=OPERATOR)
    log = json.loads(store_for(project).read(run.run_log_path))
    assert log["postprocess"] == plan.plan.postprocess.as_dict() == run.settings_snapshot["postprocess"]
    # The log is that of the run, whatever the files say by now.
    project_file({})
    runs.runlogs.write_run_log(run)
    assert json.loads(store_for(project).read(run.run_log_path)) == log


def test_the_provider_comes_from_the_first_layer_that_names_one(project: Project) -> None:
    assert make_run(project).provider_code == "local"
    app_file({"provider_code": "elsewhere"})
    with pytest.raises(PlanRefused, match="Unknown provider 'elsewhere'"):
        make_plan(project)
    project_file({"provider_code": "local"})
    assert make_plan(project).provider_code == "local"
    order = RunOrder(mode="run", scenes=(put_scene(project),))
    asked = load(project, request=SettingsLayer(provider_code="nobody"))
    with pytest.raises(PlanRefused, match="Unknown provider 'nobody'"):
        prepare_run(project, order, configuration=asked)


def test_the_composer_shows_the_limit_of_the_manifest_and_what_is_wrong(
    erin_client: Client,
    project: Project,
    app_root: Path,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    add_images(make_set(project=project), [upload()], by=OPERATOR)
    url = reverse("pipeline:run-new", args=[project.slug])
    with CaptureQueriesContext(connection) as before:
        assert "At most 20 in one run" in erin_client.get(url).content.decode()
    put(app_root / "m.json", {"safe_batch_limit": 33})
    app_file({"manifest_path": "m.json"})
    with django_assert_num_queries(len(before)):
        assert "At most 33 in one run" in erin_client.get(url).content.decode()
    app_file({"provider_code": "elsewhere", "manifest_path": 3})
    answer = erin_client.get(url)
    assert answer.status_code == 200
    assert "Unknown provider" in answer.content.decode()


# --- The command ------------------------------------------------------------------------------------


def called(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("pipeline", "validate", *arguments, stdout=out)
    return dict(json.loads(out.getvalue()))


@pytest.mark.acceptance("S-14")
def test_the_examples_pass_unchanged() -> None:
    examples = "pipeline/examples"
    told = called("--app-root", str(CHECKOUT), "--app-settings", f"{examples}/pipeline.settings.toml")
    assert (told["errors"], told["warnings"]) == ([], [])
    assert told["resolved_manifest_path"] == f"{examples}/manifest.json"
    assert told["effective"]["postprocess.color_profile"] == {"value": "ink_paper", "layer": "app"}
    named = (
        "--manifest",
        f"{examples}/manifest.json",
        "--postprocess-config",
        f"{examples}/postprocess.json",
    )
    told = called("--app-root", str(CHECKOUT), *named)
    assert (told["errors"], told["warnings"]) == ([], [])


@pytest.mark.acceptance("S-14")
def test_the_readme_explains_the_layers_and_names_the_examples() -> None:
    text = " ".join((CHECKOUT / "README.md").read_text().split())
    assert (
        "from the first layer that sets it: the request, `<project root>/.kroma/pipeline.settings.toml`"
        in text
    )
    assert "`pipeline/examples/`" in text


def test_the_command_ends_with_the_errors_a_line_each(project: Project, capsys: Any) -> None:
    app_file({"postprocess": {"color": 1, "upscale": 1}})
    out = io.StringIO()
    for arguments in ((), ("--project", project.slug)):
        with pytest.raises(CommandError) as caught:
            call_command("pipeline", "validate", *arguments, stdout=out)
        assert len(str(caught.value).splitlines()) == 2
        assert caught.value.returncode == 1
    assert out.getvalue() == ""
    with pytest.raises(CommandError):
        call_command("pipeline", "validate", "--json", stdout=out)
    assert [error["key"] for error in json.loads(out.getvalue())["errors"]] == [
        "postprocess.upscale", "postprocess.color",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bogus"], "unrecognized"),
        (["--manifest"], "expected one argument"),
        (["--project", "nobody"], "no universe nobody"),
        (["--project", "saltmarsh", "--app-root", "x"], "leave --project-root and --app-root out"),
    ],
)
def test_a_wrong_option_is_an_error(project: Project, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        called(*arguments)


@pytest.mark.acceptance("S-15")
def test_project_root_and_files_anywhere_without_a_project(tmp_path: Path, app_root: Path) -> None:
    with CaptureQueriesContext(connection) as queries:
        put(tmp_path / "mine/.kroma/pipeline.settings.toml", "[pipeline.postprocess]\ncolor = true\n")
        put(tmp_path / "else.json", {"safe_batch_limit": 2})
        told = called("--project-root", str(tmp_path / "mine"), "--manifest", str(tmp_path / "else.json"))
    assert (len(queries), told["project_settings_loaded"], told["warnings"]) == (0, True, [])


def test_a_command_plans_with_the_files_of_a_universe_that_is_not_made_yet(
    tmp_path: Path, app_root: Path, settings: Settings
) -> None:
    settings.DATABASE_FILE = tmp_path / "data" / "backend" / "app.db"
    put(app_root / "var/projects/fen/.kroma/pipeline.settings.toml", "[postprocess]\ncolor = 1\n")
    (tmp_path / "quay.png").write_bytes(png())
    with pytest.raises(CommandError, match=r"postprocess\.color"):
        call_command("pipeline", "dry", "--project", "fen", "--input", str(tmp_path / "quay.png"))
    assert not Project.objects.exists()
