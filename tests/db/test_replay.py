"""A run made again from its log: the same hashes, or each that differs, and nothing touched."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from pipeline.models import Run
from pipeline.providers.local.provider import LocalProvider
from pipeline.services import replay
from pipeline.services.replay import Replay, prepare_replay, repeat
from pipeline.services.runs import record_dry_run
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import Project
from tests.db.test_ingest import EXAMPLES, dump
from tests.factories import make_finished_run, make_plan, png
from tests.fakes import FakeProvider

pytestmark = pytest.mark.django_db


def log_of(run: Run) -> Path:
    return store_for(run.project).path(run.run_log_path)


def replayed(path: Path) -> Replay:
    found = prepare_replay(path)
    repeat(found)
    return found


def changed(run: Run, change: Callable[[dict[str, Any]], object]) -> Path:
    log = json.loads(log_of(run).read_text())
    change(log)
    log_of(run).write_text(json.dumps(log))
    return log_of(run)


def files_of(project: Project) -> dict[str, bytes]:
    root = store_for(project).root
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_run_of_the_local_renderer_comes_out_the_same_and_nothing_is_touched(project: Project) -> None:
    run = make_finished_run(project, n_scenes=2, candidates=2)
    rows, files = dump(), files_of(project)
    seen: list[int] = []
    found = prepare_replay(log_of(run))
    repeat(found, on_image=lambda: seen.append(1))
    assert (found.differences, found.notes) == ([], [])
    assert found.as_dict() | {"run_log_path": ""} == {
        "ok": True, "run_log_path": "", "run_id": str(run.pk), "provider_code": "local", "repeatable": True,
        "jobs": 2, "candidates": 4, "images": 4, "differences": [], "notes": [],
    }  # fmt: skip
    assert len(seen) == 4
    assert (dump(), files_of(project)) == (rows, files)


def test_what_the_guard_rejects_is_rejected_again(project: Project) -> None:
    folder = store_for(project).root / ".kroma"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"output_guard": {"enforce_grayscale": True, "max_chroma_delta": 0.0}}
    (Path(settings.APP_ROOT) / "manifest.json").write_text(json.dumps(manifest))
    (folder / "pipeline.settings.json").write_text(json.dumps({"manifest_path": "manifest.json"}))
    plan = make_plan(project, n_scenes=2, candidates=1)
    from pipeline.services.runs import start_run  # noqa: PLC0415
    from tests.fakes import work_through  # noqa: PLC0415

    run = start_run(plan, by=OPERATOR, confirm_spend=True)
    work_through(run)
    statuses = set(run.candidates.values_list("status", flat=True))
    assert "failed_output_guard" in statuses
    assert replayed(log_of(run)).differences == []


def test_every_hash_that_differs_is_told(project: Project) -> None:
    run = make_finished_run(project, n_scenes=2)

    def change(log: dict[str, Any]) -> None:
        log["jobs"][0]["candidates"][0]["original_sha256"] = "0" * 64
        log["jobs"][1]["candidates"][0]["sha256"] = "1" * 64
        log["jobs"][1]["candidates"][0]["rank"]["soft_warnings"] = 5

    found = replayed(changed(run, change))
    told = {(difference.what, difference.job) for difference in found.differences}
    assert told == {
        ("Original", "style_1_scene_0"),
        ("Output of final_output", "style_2_scene_1"),
        ("Rank", "style_2_scene_1"),
    }


def test_a_log_whose_plan_was_edited_is_found_out(project: Project) -> None:
    run = make_finished_run(project, n_scenes=2)

    def change(log: dict[str, Any]) -> None:
        log["seed"] += 1
        log["jobs"][1]["prompt"] += " and a cat"
        log["jobs"][1]["candidates"][0]["output"] = "outputs/other.png"

    told = [str(difference) for difference in replayed(changed(run, change)).differences]
    assert sum(line.startswith("Seed of candidate 1 of style_") for line in told) == 2
    assert any(line.startswith("Plan hash of the run") for line in told)
    assert any(line.startswith("Output of candidate 1 of style_2") for line in told)
    assert sum(line.startswith("Original") for line in told) == 2  # by another seed


@pytest.mark.parametrize("gone", [True, False])
def test_inputs_that_are_not_what_they_were_are_told_and_not_used(project: Project, gone: bool) -> None:
    run = make_finished_run(project, n_scenes=2)
    scene = store_for(project).path("scenes/scene 0.png")
    if gone:
        scene.unlink()
    else:
        scene.write_bytes(png(number=9))
    found = replayed(log_of(run))
    [difference] = found.differences
    assert "scenes/scene 0.png" in difference.what
    assert (difference.found == "no file") is gone
    assert found.n_made == 1


def test_a_project_that_was_moved_is_found_beside_its_log(project: Project) -> None:
    run = make_finished_run(project)
    moved = Path(settings.APP_ROOT).parent / "elsewhere"
    store_for(project).root.rename(moved)
    found = replayed(moved / run.run_log_path)
    assert (found.differences, found.n_made) == ([], 1)


def test_an_older_look_is_said_plainly(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_finished_run(project)
    plain = LocalProvider.describe
    monkeypatch.setattr(LocalProvider, "describe", lambda self: {**plain(self), "look": "classical-9"})
    [note] = replayed(log_of(run)).notes
    assert "made with the look classical-1, and classical-9 is installed" in note


def test_of_another_provider_only_the_plan_is_compared(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_finished_run(project)
    fake = FakeProvider(repeatable=False)
    monkeypatch.setattr(replay, "provider_for", lambda code, access=None: fake)
    found = replayed(changed(run, lambda log: log["jobs"][0]["candidates"][0].update(seed=1)))
    assert fake.requests == []
    assert (found.is_repeatable, found.n_made) == (False, 0)
    assert [difference.what for difference in found.differences] == ["Seed"]
    assert "can't be made again" in found.notes[-1]


def test_a_dry_run_is_planned_again(project: Project) -> None:
    run = record_dry_run(make_plan(project, n_scenes=2, candidates=2, mode="dry"), by=OPERATOR)
    found = replayed(log_of(run))
    assert (found.differences, found.n_made) == ([], 0)
    assert found.notes == ["A dry run made no images: its plan was compared"]


@pytest.mark.parametrize("name", ["run", "dry"])
def test_a_log_of_an_older_kroma_says_what_it_lacks(name: str) -> None:
    found = replayed(EXAMPLES / f"{name}.json")
    assert any("no 'seed'" in note for note in found.notes)
    assert found.n_made == 0
    assert all(difference.what.startswith("Input ") for difference in found.differences)


def test_logs_that_make_no_sense_are_survived(tmp_path: Path) -> None:
    log: dict[str, Any] = {
        "mode": "run", "seed": 1, "provider_code": "local", "output_guard": {"max_chroma_delta": "x"},
        "postprocess": {"upscale": 7, "bg_remove_backends": 3}, "jobs": [{"id": "a"}, {"candidates": [{}]}],
    }  # fmt: skip
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    assert len(replayed(path).notes) == 3
    log |= {"postprocess": {}, "output_guard": {"max_chroma_delta": 2, "enabled": True}}
    log["output_guard"] |= {"enforce_grayscale": False, "fail_on_chroma_exceed": False}
    path.write_text(json.dumps(log))
    assert {difference.what for difference in replayed(path).differences} == {"Id"}


def called(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("pipeline", "replay", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_the_command_says_what_differs_and_fails_then(project: Project) -> None:
    run = make_finished_run(project)
    path = log_of(run)
    assert called(str(path)) == ("1 jobs planned again, 1 images made again\n", "")
    assert json.loads(called(str(path), "--json")[0])["ok"] is True
    changed(run, lambda log: log["jobs"][0]["candidates"][0].update(original_sha256="0" * 64))
    out, error = called(str(path))
    assert out.startswith("Original of candidate 1 of style_1_scene_0: 000")
    assert error == "1 differences from the log"
    told = json.loads(called(str(path), "--json")[0])
    assert (told["ok"], told["differences"][0]["candidate"]) == (False, 1)
    assert "There is no run log" in called("nowhere.json")[1]
