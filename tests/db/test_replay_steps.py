"""The steps after generation, made again from a log: the same files, or each that differs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.colour import ColourProfile
from pipeline.models import Run
from pipeline.services import replay as replay_service
from pipeline.services.replay import Replay
from pipeline.store import ORIGINALS, store_for
from pipeline.tools.colour import ColourTool
from pipeline.tools.pillow_upscale import PillowUpscaler
from projects.models import Project
from tests.db.test_ingest import dump
from tests.db.test_replay import changed, files_of, log_of, replayed
from tests.factories import configure, make_run, png
from tests.fakes import FakePaidTool, FakeProvider, FakeTool, Use, UseTools, work_through

pytestmark = pytest.mark.django_db

UPSCALE_AND_COLOUR = {"upscale": True, "color": True, "color_profile": "cold_rain"}
ALL = {"bg_remove": True, **UPSCALE_AND_COLOUR}


@pytest.fixture
def use_again(use: Use, monkeypatch: pytest.MonkeyPatch) -> Use:
    """As `use`, for the replay too."""

    def install(provider: FakeProvider) -> FakeProvider:
        monkeypatch.setattr(replay_service, "provider_for", lambda code, access=None: provider)
        return use(provider)

    return install


def made(project: Project, *, steps: dict[str, object], n_scenes: int = 1, **others: Any) -> Run:
    configure(project, steps=steps, **others)
    run = make_run(project, n_scenes=n_scenes, candidates=2)
    work_through(run)
    return run


def told(found: Replay) -> set[str]:
    return {difference.what for difference in found.differences}


def first_candidate(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda log: change(log["jobs"][0]["candidates"][0])


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_upscale_and_colour_come_out_the_same_and_nothing_is_touched(project: Project, form: str) -> None:
    config = {"upscale": {"backend": "pillow", "format": form}}
    run = made(project, steps=UPSCALE_AND_COLOUR, n_scenes=2, config=config)
    assert run.status == "ok"
    rows, files = dump(), files_of(project)
    found = replayed(log_of(run))
    assert (found.differences, found.notes, found.n_made) == ([], [], 4)
    assert (dump(), files_of(project)) == (rows, files)


def test_colours_of_the_time_of_the_run_count_not_those_of_today(project: Project) -> None:
    colours = {"teal": {"blue_multiplier": 1.3, "contrast": 1.2}}
    steps = {"color": True, "color_profile": "teal"}
    run = made(project, steps=steps, colours=colours)
    configure(project, steps={"upscale": True}, colours={"teal": {"red_multiplier": 1.5}})
    assert replayed(log_of(run)).differences == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda c: c["upscale"].update(sha256="0" * 64), "Output of upscale"),
        (lambda c: c["color"].update(sha256="0" * 64), "Output of color"),
        (lambda c: c["upscale"].update(source_sha256="0" * 64), "Output of generate"),
        (lambda c: c.update(sha256="0" * 64), "Output of final_output"),
        (lambda c: c["output_guard"]["files"][0].update(chroma_delta=99.5), "Guard's chroma_delta"),
        (lambda c: c["output_guard"]["files"][0].update(soft_warnings=[]), "Guard's soft_warnings"),
        (lambda c: c["output_guard"]["summary"].update(hard_failures=3), "Guard's hard_failures"),
    ],
)
def test_each_file_and_figure_that_differs_is_told(
    project: Project, change: Callable[[dict[str, Any]], object], what: str
) -> None:
    run = made(project, steps=UPSCALE_AND_COLOUR)
    found = replayed(changed(run, first_candidate(change)))
    assert told(found) == {what}
    assert [(d.job, d.candidate) for d in found.differences] == [("style_1_scene_0", 1)]


def test_another_version_of_a_tool_is_said_plainly(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(project, steps=UPSCALE_AND_COLOUR)
    monkeypatch.setattr(PillowUpscaler, "version", "lanczos-9")
    found = replayed(log_of(run))
    assert found.notes == [
        "The step upscale was made by pillow with version lanczos-1, and here it has version lanczos-9: "
        "other files are to be expected"
    ]
    assert found.differences == []


def test_a_tool_that_works_otherwise_is_found_out_by_its_files(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(project, steps=UPSCALE_AND_COLOUR)
    monkeypatch.setattr(ColourTool, "apply", lambda self, pixels: pixels)
    found = replayed(log_of(run))
    assert {"Output of color", "Output of final_output"} <= told(found)
    assert "Output of upscale" not in told(found)


def test_other_weights_are_said_plainly(project: Project, use_again: Use, use_tools: UseTools) -> None:
    use_again(FakeProvider())
    use_tools(FakeTool("rembg"))
    run = made(project, steps=ALL)
    assert replayed(log_of(run)).differences == []
    found = replayed(changed(run, lambda log: log["tools"][0]["parameters"].update(weights_sha256="f" * 64)))
    [note] = [note for note in found.notes if "weights" in note]
    assert f"bg_remove was made by rembg with weights_sha256 {'f' * 64}" in note
    assert "Plan hash" in told(found)


def test_the_backend_that_succeeded_that_day_is_the_one_repeated(
    project: Project, use_again: Use, use_tools: UseTools
) -> None:
    use_again(FakeProvider())
    room = FakePaidTool("photoroom", fault="No credits left")
    use_tools(room, rembg := FakeTool("rembg"))
    run = made(project, steps={**ALL, "bg_remove_backends": ["photoroom", "rembg"]})
    assert run.status == "ok"
    room.fault, n_calls, n_seen = "", len(room.calls), len(rembg.seen)
    found = replayed(log_of(run))
    assert found.differences == []
    assert (len(room.calls), len(rembg.seen)) == (n_calls, n_seen + 2)
    assert "The step bg_remove is not repeated, as each call of photoroom costs" in found.notes[0]


def test_paid_steps_are_not_repeated_and_those_after_them_work_on_what_they_sent(
    project: Project, use_again: Use, use_tools: UseTools
) -> None:
    use_again(FakeProvider())
    room, refiner = FakePaidTool("photoroom"), FakePaidTool("openai", answer=lambda data: png(number=4))
    use_tools(room, refiner=refiner)
    steps = {**ALL, "bg_remove_backends": ["photoroom"], "bg_refine_openai": True}
    run = made(project, steps=steps)
    assert run.status == "ok"
    n_calls = len(room.calls), len(refiner.calls)
    found = replayed(log_of(run))
    assert (found.differences, len(found.notes)) == ([], 2)
    assert (len(room.calls), len(refiner.calls)) == n_calls
    found = replayed(changed(run, first_candidate(lambda c: c["upscale"].update(sha256="0" * 64))))
    assert told(found) == {"Output of upscale"}
    for path in (store_for(project).root / ORIGINALS).glob("*"):
        path.unlink()
    found = replayed(log_of(run))
    assert found.differences == []
    assert "The file that bg_remove made is not there any more" in found.notes[-1]


def test_a_tool_that_is_missing_here_is_said_and_the_steps_before_it_are_compared(
    project: Project, use_again: Use, use_tools: UseTools
) -> None:
    use_again(FakeProvider())
    use_tools(FakeTool("rembg"), upscaler=(upscaler := FakeTool("pillow")))
    run = made(project, steps=ALL)
    upscaler.lack = "It was never installed."
    path = changed(run, first_candidate(lambda c: c["bg_remove"].update(sha256="0" * 64)))
    found = replayed(path)
    assert found.notes == ["The step upscale can't be repeated by pillow here: It was never installed"]
    assert told(found) == {"Output of bg_remove"}


def test_a_step_that_failed_fails_again(project: Project, use_again: Use, use_tools: UseTools) -> None:
    use_again(FakeProvider())
    use_tools(rembg := FakeTool("rembg", fault="Out of memory"))
    run = made(project, steps=ALL)
    assert run.status == "failed"
    assert replayed(log_of(run)).differences == []
    rembg.fault = ""
    assert "Status" in told(replayed(log_of(run)))


def test_a_log_from_before_the_steps_were_recorded_says_what_is_not_repeated(project: Project) -> None:
    run = made(project, steps=UPSCALE_AND_COLOUR)

    def older(log: dict[str, Any]) -> None:
        for key in ("postprocess_config", "color_profile_values", "tools"):
            del log[key]

    found = replayed(changed(run, older))
    assert (found.differences, found.n_made) == ([], 2)
    assert any("not repeated are: upscale, color" in note for note in found.notes)


def test_a_log_from_elsewhere_starts_no_program(project: Project, tmp_path: Path) -> None:
    run = made(project, steps=UPSCALE_AND_COLOUR)
    program, mark = tmp_path / "program", tmp_path / "mark"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)

    def hostile(log: dict[str, Any]) -> None:
        log["postprocess"]["upscale_backend"] = "python"
        python = log["postprocess_config"]["upscale"]["python"]
        python |= {"python_bin": str(program), "inference_script": str(program)}

    found = replayed(changed(run, hostile))
    assert not mark.exists()
    assert any("only the log of a run that was made here may start one" in note for note in found.notes)


@pytest.mark.parametrize(
    "odd", [{"postprocess_config": {"upscale": 7}}, {"tools": [5]}, {"color_profile_values": {"x": 1}}]
)
def test_records_of_steps_that_make_no_sense_are_survived(project: Project, odd: dict[str, Any]) -> None:
    run = made(project, steps=UPSCALE_AND_COLOUR)
    assert replayed(changed(run, lambda log: log.update(odd))).notes


def test_the_log_holds_the_colours_and_tools_of_its_steps(project: Project) -> None:
    import json  # noqa: PLC0415

    log = json.loads(log_of(made(project, steps=UPSCALE_AND_COLOUR)).read_text())
    assert ColourProfile(**log["color_profile_values"]).blue_multiplier == 1.05
    assert [(tool["step"], tool["tool"]) for tool in log["tools"]] == [
        ("upscale", "pillow"),
        ("color", "cold_rain"),
    ]
    assert log["postprocess_config"]["upscale"]["scale"] == 2
    assert "tools" not in json.loads(log_of(made(project, steps={})).read_text())
