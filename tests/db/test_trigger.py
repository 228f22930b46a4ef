"""From a request to a run: what is refused and in which order, which files it may name, what it plans."""

import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from pipeline.engine.runlog import parse_summary
from pipeline.engine.settings import SettingsLayer
from pipeline.engine.trigger import TriggerRequest
from pipeline.models import Asset, QualityReport, Run
from pipeline.services.planning import PreparedRun
from pipeline.services.trigger import (
    ModeInvalid,
    RequestInvalid,
    SlugInvalid,
    WrongType,
    answer_of,
    asked,
    carry_out,
    prepare,
    trigger_run,
)
from pipeline.store import store_for
from projects.access import NOBODY, OPERATOR, Principal
from projects.errors import KromaError, NotFound, PlanChanged, PlanRefused, SpendNotConfirmed
from projects.models import Project, StyleGuide, User
from tests.factories import make_project, make_user, png, put_scene
from tests.fakes import FakeProvider, Use, work_through

pytestmark = pytest.mark.django_db

DRY = TriggerRequest(scene_refs=("scenes/quay.png",))
PAID = replace(DRY, mode="run", confirm_spend=True)


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")} if root.exists() else set()


def log_of(run: Run) -> dict[str, Any]:
    return dict(json.loads(store_for(run.project).read(run.run_log_path)))


@pytest.fixture
def quay(project: Project) -> str:
    return put_scene(project).path


# --- Refusals and their order -----------------------------------------------------------------------


@pytest.mark.acceptance("T-08")
@pytest.mark.parametrize(
    ("request_", "kind", "code"),
    [
        (replace(DRY, mode="paid"), ModeInvalid, "invalid_mode"),
        (replace(DRY, scene_refs=()), RequestInvalid, "invalid_request"),
        (replace(DRY, scene_refs=None), RequestInvalid, "invalid_request"),
        (replace(DRY, candidates=7), RequestInvalid, "invalid_request"),
        (replace(DRY, time="night"), RequestInvalid, "invalid_request"),
        (replace(PAID, confirm_spend=False), SpendNotConfirmed, "spend_confirmation_required"),
    ],
)
def test_a_direct_call_with_a_bad_request_fails_alike_and_executes_nothing(
    project: Project, quay: str, use: Use, *, request_: TriggerRequest, kind: type[KromaError], code: str
) -> None:
    provider, root = use(FakeProvider()), store_for(project).root
    before = files_below(root)
    # A project that exists and one that does not: the request is judged first.
    for named in (project, "nowhere", "???"):
        with pytest.raises(kind) as caught:
            trigger_run(named, request_, by=OPERATOR)
        assert caught.value.code == code
    assert (Run.objects.count(), provider.requests, files_below(root)) == (0, [], before)


@pytest.mark.acceptance("T-08")
def test_a_body_and_a_call_are_judged_by_the_same_function() -> None:
    with pytest.raises(WrongType) as caught:
        asked({"scene_refs": ["a.png"], "candidates": "2"})
    assert (caught.value.status, caught.value.field) == (422, "candidates")
    with pytest.raises(SpendNotConfirmed) as unconfirmed:
        asked({"mode": "run", "scene_refs": ["a.png"]})
    assert (unconfirmed.value.kind, unconfirmed.value.status) == ("policy", 400)
    with pytest.raises(ModeInvalid, match="must be one of: dry, run"):
        asked({"mode": "x"})
    assert asked({"scene_refs": ["scenes/quay.png"]}) == DRY


@pytest.mark.acceptance("T-07")
def test_a_sound_request_finds_only_what_is_there_and_ours(project: Project, quay: str, alice: User) -> None:
    mallory = Principal(make_user(username="mallory"))
    for slug, by in (
        ("nowhere", OPERATOR),
        ("???", OPERATOR),
        (project.slug, mallory),
        (project.slug, NOBODY),
    ):
        with pytest.raises(NotFound, match=r"^Project not found$"):
            trigger_run(slug, DRY, by=by)
    assert trigger_run(project.slug, DRY, by=Principal(alice)).created_by == alice


@pytest.mark.acceptance("T-12")
def test_an_odd_slug_is_refused_before_the_settings_are_read(project: Project, data_folder: Path) -> None:
    put(data_folder / "config/pipeline.settings.json", {"manifest_path": "m.json"})
    put(data_folder / "m.json", "{")
    with pytest.raises(SlugInvalid, match="Invalid project slug for pipeline run"):
        trigger_run(f"{project.slug}!", DRY, by=OPERATOR)
    Project.objects.filter(pk=project.pk).update(slug="salt marsh")
    project.refresh_from_db()
    with pytest.raises(SlugInvalid):
        trigger_run(project, DRY, by=OPERATOR)
    Project.objects.filter(pk=project.pk).update(slug="saltmarsh")
    with pytest.raises(PlanRefused, match=r"m\.json"):
        trigger_run("SALTMARSH", DRY, by=OPERATOR)


@pytest.mark.acceptance("W-29")
def test_a_run_carries_the_slug_of_its_row_however_it_was_written(project: Project, quay: str) -> None:
    run = trigger_run("SaltMarsh", DRY, by=OPERATOR)
    assert log_of(run)["project"] == "saltmarsh"


@pytest.mark.acceptance("T-09")
def test_spending_is_checked_again_right_before_it(project: Project, quay: str, use: Use) -> None:
    provider = use(FakeProvider())
    prepared = prepare(project, PAID)
    with pytest.raises(SpendNotConfirmed):
        carry_out(prepared, replace(PAID, confirm_spend=False), by=OPERATOR)
    assert not Run.objects.exists()
    run = trigger_run(project, replace(DRY, confirm_spend=True), by=OPERATOR)
    assert (run.run_mode, run.status, provider.requests) == ("dry", "ok", [])


@pytest.mark.acceptance("W-10")
def test_a_plan_hash_and_a_sum_are_enforced_when_they_are_sent(project: Project, quay: str, use: Use) -> None:
    use(FakeProvider(repeatable=False))
    with pytest.raises(PlanChanged):
        trigger_run(project, replace(PAID, plan_hash="0" * 64), by=OPERATOR)
    with pytest.raises(PlanChanged, match=r"0\.04"):
        trigger_run(project, replace(PAID, max_cost_usd=Decimal("0.03")), by=OPERATOR)
    assert not Run.objects.exists()


# --- Places -----------------------------------------------------------------------------------------


@pytest.mark.acceptance("T-10")
def test_the_root_is_that_of_the_project_storage(project: Project, quay: str, tmp_path: Path) -> None:
    log = log_of(trigger_run(project, DRY, by=OPERATOR))
    assert log["storage"] == {"project_root": "var/projects/saltmarsh", "resolved_from_backend": True}
    project.storage.local_project_root = str(tmp_path / "elsewhere")
    project.storage.save()
    run = trigger_run(project.slug, DRY, by=OPERATOR)
    assert log_of(run)["storage"]["project_root"] == str(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / run.run_log_path).is_file()


@pytest.mark.parametrize(
    "reference", ["scenes/quay.png", "var/projects/saltmarsh/scenes/quay.png", "{root}/scenes/quay.png"]
)
def test_a_scene_is_named_from_the_project_or_the_app_root(
    project: Project, quay: str, reference: str
) -> None:
    named = reference.format(root=store_for(project).root)
    plan = prepare(project, replace(PAID, scene_refs=(named,)))
    assert plan.plan.jobs[0].input_images == ("scenes/quay.png",)
    assert plan.plan.jobs[0].id == "style_1_quay"


@pytest.mark.parametrize("mode", [DRY, PAID])
def test_no_path_leads_out_of_the_allowed_folders(
    project: Project, quay: str, mode: TriggerRequest, tmp_path: Path, data_folder: Path
) -> None:
    secret, other = tmp_path / "secret.png", make_project(name="Other")
    secret.write_bytes(png())
    (data_folder / "shared.png").write_bytes(png())
    put_scene(other)
    root = store_for(project).root
    (root / "link.png").symlink_to(secret)
    (root / "linked").symlink_to(tmp_path)
    for path in (
        str(secret), "../../../secret.png", "scenes/../scenes/quay.png", "link.png", "linked/secret.png",
        str(data_folder / "shared.png"), f"{store_for(other).root}/scenes/quay.png", "/etc/hostname",
    ):  # fmt: skip
        for request in (
            replace(mode, scene_refs=(path,)),
            replace(mode, scene_refs=None, input=path),
            replace(mode, style_refs=(path,)),
        ):
            with pytest.raises(PlanRefused, match=r"lies neither|has '\.\.'"):
                prepare(project, request)
    # As if it were not there: nobody learns what lies beside the folders.
    for path in ("var/projects/other/scenes/quay.png", "shared.png"):
        assert "is not there" in prepare(project, replace(DRY, scene_refs=(path,))).warnings[0]


def test_files_of_an_input_root_are_copied_into_the_project(
    project: Project, quay: str, tmp_path: Path, settings: Settings
) -> None:
    shared = tmp_path / "shared"
    (shared / "deep").mkdir(parents=True)
    for number, name in enumerate(("b.png", "deep/a.png")):
        (shared / name).write_bytes(png(number=number))
    settings.INPUT_ROOTS = [shared]
    by_list = prepare(
        project, replace(PAID, scene_refs=(f"{shared}/b.png", quay), style_refs=(f"{shared}/deep/a.png",))
    )
    assert [job.id for job in by_list.plan.jobs] == ["style_1_b", "style_2_quay"]
    store = store_for(project)
    for path in by_list.images:
        assert store.exists(path)
    by_folder = prepare(project, replace(PAID, scene_refs=None, input=str(shared)))
    assert [job.id for job in by_folder.plan.jobs] == ["style_1_b", "style_2_a"]
    (shared / "broken.png").write_bytes(b"no")
    with pytest.raises(PlanRefused, match=r"broken\.png"):
        prepare(project, replace(PAID, scene_refs=(f"{shared}/broken.png",)))
    missing = prepare(project, replace(DRY, scene_refs=(f"{shared}/gone.png",)))
    assert "gone.png is not there" in missing.warnings[0]
    with pytest.raises(PlanRefused, match=r"gone\.png is not there"):
        prepare(project, replace(PAID, scene_refs=(f"{shared}/gone.png",)))


@pytest.mark.parametrize("path", ["a\udcff.png", "x" * 5000, "loop.png"])
def test_paths_that_no_system_takes_are_refused_in_words(project: Project, path: str) -> None:
    root = store_for(project).root
    root.mkdir(parents=True, exist_ok=True)
    (root / "loop.png").symlink_to(root / "loop.png")
    with pytest.raises(PlanRefused):
        prepare(project, replace(PAID, scene_refs=(path,)))


# --- What is planned --------------------------------------------------------------------------------


@pytest.mark.acceptance("P-05", "P-08", "P-09", "P-11", "T-01")
def test_a_dry_run_of_scenes_writes_its_log_and_the_folders(
    project: Project, quay: str, data_folder: Path, use: Use
) -> None:
    provider = use(FakeProvider())
    put(data_folder / "m.json", {"generation": {"candidates": 2}, "output_guard": {"max_chroma_delta": 3}})
    post = SettingsLayer(upscale=True, upscale_backend="pillow")
    run = trigger_run(project, replace(DRY, manifest_path="m.json", postprocess=post), by=OPERATOR)
    assert {"outputs", "runs", "archive/bad", "archive/replaced"} <= files_below(store_for(project).root)
    log = log_of(run)
    assert (log["mode"], log["generation"]["candidates"], log["output_guard"]["max_chroma_delta"]) == (
        "dry",
        2,
        3,
    )
    (job,) = log["jobs"]
    assert (job["status"], job["planned_generation"]) == ("planned", {"candidates": 2})
    assert job["planned_postprocess"] == log["postprocess"]
    assert job["planned_output_guard"] == log["output_guard"]
    assert log["postprocess"]["pipeline_order"] == ["generate", "upscale"]
    assert (provider.requests, Asset.objects.count(), QualityReport.objects.count()) == ([], 0, 0)
    answer = answer_of(run)
    summary = parse_summary(str(answer["stdout"]))
    assert str(answer["stdout"]).splitlines()[-1].startswith("KROMA_PIPELINE_SUMMARY_JSON:")
    assert (summary.run_log_path, summary.jobs) == (f"var/projects/saltmarsh/{run.run_log_path}", 1)
    assert (answer["status_code"], answer["stderr"]) == (0, "")


@pytest.mark.acceptance("P-06", "P-07")
def test_input_is_a_file_or_a_folder_walked_in_order(project: Project) -> None:
    for name in ("b.png", "a.png", "a-dir/1.png", "z-dir/2.png", "B.png"):
        put_scene(project, f"all/{name}")
    put(store_for(project).root / "scenes/all/notes.txt", "no")
    request = replace(DRY, scene_refs=None, input="scenes/all")
    inputs = [job["input_images"][0] for job in log_of(trigger_run(project, request, by=OPERATOR))["jobs"]]
    assert [path.partition("/all/")[2] for path in inputs] == [
        "B.png", "a-dir/1.png", "a.png", "b.png", "z-dir/2.png",
    ]  # fmt: skip
    assert prepare(project, request).plan == prepare(project, request).plan
    one = prepare(project, replace(request, input="var/projects/saltmarsh/scenes/all/b.png"))
    assert [job.id for job in one.plan.jobs] == ["style_1_b"]
    with pytest.raises(PlanRefused, match=r"^input not found: nowhere$"):
        prepare(project, replace(request, input="nowhere"))
    with pytest.raises(PlanRefused, match="no scene references"):
        prepare(project, replace(request, input="scenes/all/notes.txt"))


def test_a_missing_file_stops_a_paid_run_and_is_named_by_a_dry_one(project: Project, quay: str) -> None:
    request = replace(DRY, scene_refs=("a.png", quay), style_refs=("b.png",))
    with pytest.raises(PlanRefused, match=r"a is not there \(a\.png\)"):
        trigger_run(project, replace(request, mode="run", confirm_spend=True), by=OPERATOR)
    assert not Run.objects.exists()
    run = trigger_run(project, request, by=OPERATOR)
    told = str(answer_of(run)["stderr"]).splitlines()
    assert [line.split()[2] for line in told] == ["a", "b"]
    assert log_of(run)["warnings"] == told


@pytest.mark.acceptance("W-06")
def test_a_dry_run_says_that_it_could_not_be_paid_for(project: Project, quay: str, data_folder: Path) -> None:
    put(data_folder / "m.json", {"generation": {"max_candidates": 2}})
    request = replace(DRY, candidates=3, manifest_path="m.json")
    assert "more than 'generation.max_candidates' (2)" in prepare(project, request).warnings[0]
    with pytest.raises(PlanRefused, match=r"generation\.max_candidates"):
        prepare(project, replace(request, mode="run", confirm_spend=True))


@pytest.mark.acceptance("S-10")
def test_the_manifest_supplies_what_the_request_leaves_out(
    project: Project, quay: str, data_folder: Path
) -> None:
    (data_folder / "styles").mkdir()
    (data_folder / "styles/ink.png").write_bytes(png(number=9))
    put(data_folder / "m.json", {"style_refs": ["styles/ink.png"], "scene_refs": ["gone.png"]})
    found = prepare(project, replace(PAID, manifest_path="m.json"))
    scene, style = found.plan.jobs[0].input_images
    assert (scene, style.startswith("inputs/styles-"), style.endswith("/ink.png")) == (quay, True, True)
    own = prepare(project, replace(PAID, manifest_path="m.json", style_refs=(quay,)))
    assert own.plan.jobs[0].input_images == (quay, quay)


@pytest.mark.acceptance("P-02", "P-10")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"manifest_path": "broken.json"}, r"broken\.json"),
        ({"manifest_path": "nowhere.json"}, r"nowhere\.json, which does not exist"),
        ({"app_settings_path": "nowhere.json"}, "the app settings file leads to"),
        ({"project_settings_path": "nowhere.json"}, "the project settings file leads to"),
        ({"provider_code": "nobody"}, "Unknown provider 'nobody'"),
        ({"style_guide_id": "nobody's"}, "no style guide"),
        ({"scene_refs": ("a.png",)}, "is not there"),
    ],
)
def test_what_fails_before_a_run_leaves_nothing(
    project: Project, quay: str, data_folder: Path, use: Use, *, fields: dict[str, Any], words: str
) -> None:
    put(data_folder / "broken.json", '{"generation": 3}')
    before = files_below(data_folder)
    for mode in (PAID,) if "scene_refs" in fields else (PAID, DRY):
        with pytest.raises(PlanRefused, match=words) as caught:
            trigger_run(project, replace(mode, **fields), by=OPERATOR)
        assert caught.value.code == "planning_preflight_failed"
    assert files_below(data_folder) == before
    assert not Run.objects.exists()


@pytest.mark.acceptance("P-10")
def test_a_run_leaves_no_file_behind_that_is_not_its_own(project: Project, quay: str, use: Use) -> None:
    use(FakeProvider())
    work_through(trigger_run(project, PAID, by=OPERATOR))
    trigger_run(project, DRY, by=OPERATOR)
    kinds = Counter(path.split("/")[0] for path in files_below(store_for(project).root) if "." in path[1:])
    assert set(kinds) <= {"scenes", "outputs", "runs", ".kroma"}
    assert kinds["runs"] == 2


@pytest.mark.acceptance("S-09")
@pytest.mark.parametrize("layer", ["app", "project"])
def test_a_named_settings_file_is_used_and_must_be_there(project: Project, quay: str, layer: str) -> None:
    root = store_for(project).root if layer == "project" else store_for(project).root.parents[2]
    put(root / "mine.toml", '[postprocess]\ncolor = true\ncolor_profile = "cold_rain"\n')
    request = replace(DRY, **{f"{layer}_settings_path": "mine.toml"})
    assert prepare(project, request).plan.postprocess.color_profile == "cold_rain"
    (root / "mine.toml").unlink()
    with pytest.raises(PlanRefused, match=rf"the {layer} settings file leads to .*mine\.toml"):
        prepare(project, request)


# --- Steps ------------------------------------------------------------------------------------------

TOGGLES = {
    "upscale": {},
    "color": {},
    "bg_remove": {},
    "bg_refine_openai": {"bg_remove": True},
    "bg_refine_openai_required": {"bg_remove": True, "bg_refine_openai": True},
}


@pytest.mark.acceptance("S-08")
@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize("below", [True, False])
@pytest.mark.parametrize("toggle", TOGGLES)
def test_a_toggle_has_three_states(
    project: Project, quay: str, data_folder: Path, *, toggle: str, below: bool, said: bool | None
) -> None:
    put(
        data_folder / "config/pipeline.settings.json",
        {"postprocess": {**TOGGLES[toggle], toggle: below}},
    )
    request = replace(DRY, postprocess=SettingsLayer(**{toggle: said}))
    assert getattr(prepare(project, request).plan.postprocess, toggle) is (below if said is None else said)


@pytest.mark.acceptance("S-08")
def test_off_beats_the_layers_and_hides_its_companions(
    project: Project, quay: str, data_folder: Path
) -> None:
    put(data_folder / "config/pipeline.settings.json", {"postprocess": {"color": True, "bg_remove": True}})
    put(
        store_for(project).root / ".kroma/pipeline.settings.json",
        {"postprocess": {"color_profile": "cold_rain"}},
    )
    on = prepare(project, DRY).plan.postprocess
    assert (on.color, on.color_profile) == (True, "cold_rain")
    off = SettingsLayer(color=False, bg_remove=False, upscale=False)
    plan = prepare(project, replace(DRY, postprocess=off)).plan.postprocess
    assert plan.as_dict() == {
        "upscale": False, "upscale_backend": None, "color": False, "color_profile": None, "bg_remove": False,
        "bg_remove_backends": [], "bg_refine_openai": False, "bg_refine_openai_required": False,
        "pipeline_order": ["generate"],
    }  # fmt: skip
    run = trigger_run(project, replace(DRY, postprocess=off), by=OPERATOR)
    assert run.settings_snapshot["settings"]["postprocess.color"] == {"value": False, "layer": "request"}


@pytest.mark.acceptance("S-16", "W-17")
def test_dry_and_paid_resolve_the_same_plan(project: Project, quay: str, data_folder: Path) -> None:
    steps = {"upscale": True, "upscale_backend": "pillow", "color": True, "color_profile": "cold_rain"}
    put(data_folder / "config/pipeline.settings.json", {"postprocess": steps})
    dry = prepare(project, DRY)
    paid: PreparedRun = prepare(project, PAID)
    assert paid.plan.postprocess == dry.plan.postprocess
    assert (paid.plan.jobs, paid.plan_hash) == (dry.plan.jobs, dry.plan_hash)
    runs = [trigger_run(project, request, by=OPERATOR) for request in (DRY, PAID)]
    assert runs[0].settings_snapshot["postprocess"] == runs[1].settings_snapshot["postprocess"]


@pytest.mark.acceptance("T-11")
@pytest.mark.parametrize(("mode", "kept"), [(DRY, False), (PAID, True)])
def test_the_sync_is_asked_for_in_paid_runs_only(
    project: Project, quay: str, use: Use, mode: TriggerRequest, kept: bool
) -> None:
    use(FakeProvider())
    assert trigger_run(project, replace(mode, storage_sync_s3=True), by=OPERATOR).sync_s3 is kept
    assert trigger_run(project, mode, by=OPERATOR).sync_s3 is False


@pytest.mark.acceptance("W-01")
def test_a_queued_run_is_answered_at_once(project: Project, quay: str) -> None:
    run = trigger_run(project, PAID, by=OPERATOR)
    answer = answer_of(run)
    assert (answer["mode"], answer["status_code"]) == ("run", 0)
    assert "Jobs: 1 (run/queued)" in str(answer["stdout"])


@pytest.mark.acceptance("W-39")
def test_the_style_guide_is_one_of_the_universe(project: Project, quay: str) -> None:
    mine = StyleGuide.objects.create(project=project, name="Ink", instructions="Only ink.")
    other = StyleGuide.objects.create(project=make_project(name="Other"), name="Ink")
    run = trigger_run(project, replace(DRY, style_guide_id=str(mine.pk)), by=OPERATOR)
    assert "Only ink." in run.jobs.get().prompt_text
    with pytest.raises(PlanRefused, match="no style guide"):
        trigger_run(project, replace(DRY, style_guide_id=str(other.pk)), by=OPERATOR)


@pytest.mark.acceptance("S-07")
def test_a_trigger_opens_each_settings_file_once(
    project: Project, quay: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch, use: Use
) -> None:
    use(FakeProvider())
    put(data_folder / "config/pipeline.settings.json", {"manifest_path": "m.json"})
    put(data_folder / "m.json", {})
    opened: Counter[str] = Counter()
    really = Path.open

    def counted(self: Path, *arguments: Any, **options: Any) -> Any:
        opened[self.name] += 1
        return really(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    trigger_run(project, replace(PAID, postprocess=SettingsLayer(color=False)), by=OPERATOR)
    assert (opened["pipeline.settings.json"], opened["m.json"]) == (1, 1)
