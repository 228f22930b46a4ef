"""The steps after generation: their files, rows and records, and what happens when one goes wrong."""

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from pipeline.engine.settings import SettingsLayer
from pipeline.models import Asset, AssetLink, Attempt, QualityReport, Run
from pipeline.services import chain, control, finishing, runs, toolchain
from pipeline.services.chain import files_of
from pipeline.services.configuration import Places, load, validate
from pipeline.services.planning import RunOrder, prepare_run
from pipeline.services.references import add_images
from pipeline.services.runlogs import render_run_log
from pipeline.services.winners import winners_of
from pipeline.store import AssetStore, store_for
from projects.access import OPERATOR
from projects.errors import PlanRefused
from projects.models import Project
from tests.factories import configure, make_plan, make_run, make_set, png, put_scene, upload
from tests.fakes import FakePaidTool, FakeProvider, FakeTool, Use, UseTools, expire_leases, work_through

pytestmark = pytest.mark.django_db

ALL = {"bg_remove": True, "upscale": True, "color": True, "color_profile": "cold_rain"}


def log_of(run: Run) -> dict[str, Any]:
    return json.loads(store_for(run.project).read(run.run_log_path))


def tree(store: AssetStore) -> list[str]:
    """Every file that the contract names, with the stamp of an archived one left out."""
    found = []
    for folder in ("outputs", "background_removed", "upscaled", "color_corrected", "archive"):
        for path in (store.root / folder).rglob("*.*"):
            name = path.relative_to(store.root).as_posix()
            found.append(name.partition("_replaced_")[0].partition("_bad_")[0])
    return sorted(found)


def pixels_of(store: AssetStore, name: str) -> np.ndarray:
    with Image.open(store.path(name)) as image:
        return np.asarray(image)


# --- What is made --------------------------------------------------------------------------------


@pytest.mark.acceptance("X-14", "X-04", "X-01")
@pytest.mark.parametrize(
    ("steps", "files"),
    [
        ({}, ["outputs/style_1_scene_0.png"]),
        ({"bg_remove": True}, ["background_removed/style_1_scene_0_nobg.png"]),
        ({"upscale": True}, ["upscaled/style_1_scene_0_x2.png"]),
        ({"color": True}, ["color_corrected/style_1_scene_0_neutral.png"]),
        (
            ALL,
            [
                "background_removed/style_1_scene_0_nobg.png",
                "upscaled/style_1_scene_0_nobg_x2.png",
                "color_corrected/style_1_scene_0_nobg_x2_cold_rain.png",
            ],
        ),
    ],
)
def test_each_step_alone_and_all_together_make_the_planned_files(
    project: Project, use: Use, use_tools: UseTools, steps: dict[str, object], files: list[str]
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    configure(project, steps=steps)
    run = make_run(project)
    work_through(run)
    assert run.status == "ok"
    store, candidate = store_for(project), run.candidates.get()
    assert tree(store) == sorted({"outputs/style_1_scene_0.png", *files})
    rows = files_of(candidate.output_asset, candidate.assets.all())
    assert [row.rel_path for row in rows][-len(files) :] == files
    assert all(store.sha256(row.rel_path) == row.sha256 for row in rows)
    assert candidate.final_asset == rows[-1]
    assert rows[-1].kind == "job_final_output"
    assert (rows[0].kind == "candidate_output") == (len(rows) > 1)
    links = AssetLink.objects.filter(link_type="derived_from").values_list("parent", "child")
    assert set(links) == {(a.pk, b.pk) for a, b in itertools.pairwise(rows)}
    assert store.exists(f".kroma/thumbnails/{rows[-1].sha256}.webp")
    with Image.open(store.path(rows[-1].rel_path)) as image:
        assert image.size == (rows[-1].width, rows[-1].height)


@pytest.mark.acceptance("X-14")
def test_every_row_says_how_its_file_was_made(project: Project, use: Use, use_tools: UseTools) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    configure(project, steps=ALL)
    run = make_run(project)
    work_through(run)
    candidate = run.candidates.get()
    generated, *made = files_of(candidate.output_asset, candidate.assets.all())
    assert [row.metadata["step"] for row in made] == ["bg_remove", "upscale", "color"]
    assert [row.metadata["tool"] for row in made] == ["rembg", "pillow", "cold_rain"]
    assert made[0].metadata["parameters"] == {"model": "fake", "weights_sha256": "0" * 64}
    assert made[2].metadata["parameters"]["blue_multiplier"] == 1.05
    assert all(row.metadata["seconds"] >= 0 and row.metadata["version"] for row in made)
    assert [row.metadata["source_sha256"] for row in made] == [row.sha256 for row in (generated, *made[:-1])]
    block = QualityReport.objects.get().summary["output_guard"]
    assert (block["tool"], block["parameters"]["max_chroma_delta"]) == ("chroma", 2.0)
    assert block["checked_input"].endswith("color_corrected/style_1_scene_0_nobg_x2_cold_rain.png")


def test_candidates_that_lose_keep_their_kind(project: Project, use: Use) -> None:
    use(FakeProvider())
    configure(project, steps={"color": True})
    run = make_run(project)
    work_through(run)
    run = start_with_candidates(project, 2)
    work_through(run)
    kinds = sorted(run.assets.values_list("kind", flat=True))
    assert kinds == ["candidate_final_output", "candidate_output", "candidate_output", "job_final_output"]


def start_with_candidates(project: Project, n: int) -> Run:
    return make_run(project, candidates=n)


@pytest.mark.acceptance("X-14", "W-11")
def test_alpha_of_the_cut_out_comes_through_upscale_and_colour(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    configure(project, steps=ALL)
    run = make_run(project)
    work_through(run)
    final = pixels_of(store_for(project), run.candidates.get().final_asset.rel_path)
    assert final.shape == (256, 192, 4)
    assert final[:, :90, 3].max() == 0
    assert final[:, -90:, 3].min() == 255


@pytest.mark.parametrize(("extension", "kind"), [("jpg", "JPEG"), ("webp", "WEBP")])
def test_cut_outs_in_other_formats(
    project: Project, use: Use, use_tools: UseTools, extension: str, kind: str
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    configure(
        project,
        steps={"bg_remove": True, "upscale": True},
        config={
            "upscale": {"backend": "pillow", "format": extension},
            "bg_remove": {"format": extension, "openai": {"enabled": False}},
        },
    )
    run = make_run(project)
    work_through(run)
    store = store_for(project)
    cut, last = f"background_removed/style_1_scene_0_nobg.{extension}", run.candidates.get().final_asset
    assert last.rel_path == f"upscaled/style_1_scene_0_nobg_x2.{extension}"
    with Image.open(store.path(cut)) as image:
        assert image.format == kind
        corner = image.convert("RGBA").getpixel((0, 0))
    assert corner[:3] == (255, 255, 255) if extension == "jpg" else corner[3] == 0
    assert last.mime_type == f"image/{kind.lower()}"
    assert [winner.filename for winner in winners_of(run)] == [f"001_scene_0.{extension}"]


def test_the_answer_of_a_paid_backend_is_written_as_it_is(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    jpeg = png(number=9, format="JPEG")
    paid = FakePaidTool("photoroom", answer=lambda data: jpeg)
    use_tools(paid)
    configure(
        project, steps={"bg_remove": True, "bg_remove_backends": ["photoroom"], "bg_refine_openai": False}
    )
    run = make_run(project)
    work_through(run)
    store = store_for(project)
    assert store.read("background_removed/style_1_scene_0_nobg.png") == jpeg
    assert paid.calls == [store.read("outputs/style_1_scene_0.png")], "a PNG is sent as it is"


# --- Fallback and refine -------------------------------------------------------------------------


@pytest.mark.acceptance("X-13", "W-16")
def test_the_first_backend_that_succeeds_counts_and_the_others_are_named(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    rembg, room = FakeTool("rembg", fault="no subject found"), FakePaidTool("photoroom")
    last = FakePaidTool("removebg")
    use_tools(rembg, room, last)
    backends = ["rembg", "photoroom", "removebg"]
    configure(project, steps={"bg_remove": True, "bg_remove_backends": backends})
    run = make_run(project)
    work_through(run)
    block = log_of(run)["jobs"][0]["bg_remove"]
    assert block["backend"] == "photoroom"
    assert block["backends_tried"] == backends
    assert block["backend_failures"] == [{"backend": "rembg", "error": "no subject found"}]
    assert (len(room.calls), len(last.calls)) == (1, 0)
    assert run.cost_events.count() == 1


def test_when_all_backends_fail_one_text_lists_them(project: Project, use: Use, use_tools: UseTools) -> None:
    provider = use(FakeProvider())
    rembg, room = FakeTool("rembg", fault="no subject found"), FakePaidTool("photoroom", fault="no credit")
    use_tools(rembg, room)
    configure(project, steps={"bg_remove": True, "bg_remove_backends": ["rembg", "photoroom"]})
    run = make_run(project)
    work_through(run)
    error = run.candidates.get().error
    assert (error["step"], error["kind"], error["code"]) == ("bg_remove", "provider", "bg_remove_failed")
    assert error["message"].endswith("rembg: no subject found | photoroom: no credit")
    entry = log_of(run)["jobs"][0]["candidates"][0]
    assert entry["output"].endswith("outputs/style_1_scene_0.png")
    assert "bg_remove" not in entry
    assert entry["error"]["step"] == "bg_remove"
    # The kept original stays, so that a retry makes the rest for free.
    rembg.fault = ""
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert (run.status, len(provider.requests)) == ("ok", 1)


REFINED = {"bg_remove": True, "bg_refine_openai": True}


def test_a_refined_cut_out_replaces_the_unrefined_one(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    refiner = FakePaidTool("openai", answer=lambda data: png(number=4))
    use_tools(FakeTool("rembg"), refiner=refiner)
    configure(project, steps=REFINED)
    run = make_run(project)
    work_through(run)
    store = store_for(project)
    name = "background_removed/style_1_scene_0_nobg.png"
    assert store.read(name) == png(number=4)
    assert tree(store) == ["archive/replaced/style_1_scene_0_nobg", name, "outputs/style_1_scene_0.png"]
    cut = Asset.objects.get(metadata__step="bg_remove")
    assert cut.metadata["archived"] == "replaced"
    assert store.sha256(cut.rel_path) == cut.sha256
    assert refiner.calls == [store.read(cut.rel_path)]
    block = log_of(run)["jobs"][0]["bg_remove"]
    assert (block["refine_openai"], block["refine_error"]) == (True, None)
    assert block["sha256"] == run.candidates.get().final_asset.sha256
    assert block["refine"]["tool"] == "openai"


@pytest.mark.acceptance("W-15")
def test_a_refine_pass_that_fails_and_need_not_succeed_leaves_the_cut_out(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    refiner = FakePaidTool("openai", fault="busy")
    use_tools(FakeTool("rembg"), refiner=refiner)
    configure(project, steps={**REFINED, "bg_refine_openai_required": False, "upscale": True})
    run = make_run(project)
    work_through(run)
    assert run.status == "ok"
    block = log_of(run)["jobs"][0]["bg_remove"]
    assert (block["refine_openai"], block["refine_error"]) == (False, "busy")
    assert not list((store_for(project).root / "archive/replaced").iterdir())
    assert len(refiner.calls) == 1


def test_a_required_refine_pass_that_fails_ends_the_candidate(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    rembg, refiner = FakeTool("rembg"), FakePaidTool("openai", fault="busy")
    use_tools(rembg, refiner=refiner)
    configure(project, steps={**REFINED, "bg_refine_openai_required": True})
    run = make_run(project)
    work_through(run)
    error = run.candidates.get().error
    assert (error["step"], error["http_status"], error["message"]) == ("bg_refine_openai", 402, "busy")
    block = log_of(run)["jobs"][0]["candidates"][0]["bg_remove"]
    assert (block["refine_openai"], block["refine_error"]) == (False, "busy")
    refiner.fault = ""
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert run.status == "ok"
    assert len(rembg.seen) == 1, "the cut-out was there"
    assert log_of(run)["jobs"][0]["bg_remove"]["refine_error"] is None


def test_an_upscaler_that_fails_is_told_of(project: Project, use: Use, use_tools: UseTools) -> None:
    use(FakeProvider())
    use_tools(upscaler=FakeTool("ncnn", fault="the program ended with 1"))
    configure(project, steps={"upscale": True, "upscale_backend": "ncnn"})
    run = make_run(project)
    work_through(run)
    error = run.candidates.get().error
    assert (error["step"], error["kind"], error["code"]) == ("upscale", "infra", "fake_failed")
    assert "the program ended with 1" in run.candidates.get().rank_reason


# --- The guard -----------------------------------------------------------------------------------


@pytest.mark.acceptance("X-11", "X-12")
def test_a_rejected_candidate_loses_its_last_file_to_the_archive_and_keeps_the_others(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    guard = {"output_guard": {"enforce_grayscale": True, "max_chroma_delta": 0.1}}
    configure(project, steps=ALL, manifest=guard)
    run = make_run(project)
    work_through(run)
    candidate = run.candidates.get()
    assert (candidate.status, candidate.final_asset) == ("failed_output_guard", None)
    assert tree(store_for(project)) == [
        "archive/bad/style_1_scene_0_nobg_x2_cold_rain",
        "background_removed/style_1_scene_0_nobg.png",
        "outputs/style_1_scene_0.png",
        "upscaled/style_1_scene_0_nobg_x2.png",
    ]
    job = log_of(run)["jobs"][0]
    assert job["status"] == "failed_output_guard"
    assert "color" not in job
    entry = job["candidates"][0]
    assert entry["color"]["output"] == entry["output_guard"]["checked_input"]
    bad = Asset.objects.get(metadata__archived="bad")
    assert entry["output_guard"]["bad_archive"].endswith(bad.rel_path)
    assert (bad.kind, bad.metadata["step"]) == ("candidate_final_output", "color")
    assert "final_output" not in entry


def test_with_the_guard_off_what_is_made_is_done(project: Project, use: Use) -> None:
    use(FakeProvider())
    guard = {"output_guard": {"enabled": False, "enforce_grayscale": True, "max_chroma_delta": 0.1}}
    configure(project, steps={"color": True}, manifest=guard)
    run = make_run(project, candidates=2)
    work_through(run)
    assert run.status == "ok"
    assert not QualityReport.objects.exists()
    job = log_of(run)["jobs"][0]
    assert "output_guard" not in job
    assert all("output_guard" not in entry for entry in job["candidates"])
    assert job["candidates"][0]["rank"] == {
        "hard_failures": 0, "soft_warnings": 0, "avg_chroma_exceed": 0.0
    }  # fmt: skip
    assert "guard" in run.candidates.get(candidate_index=1).rank_reason


# --- Cut short at any point ----------------------------------------------------------------------


class Death(BaseException):
    pass


def dies_at(n: int, function: Callable[..., Any], count: Iterator[int], *, after: bool) -> Callable[..., Any]:
    """The function, and a death at its call number `n`; bytes that are paid for are always kept."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        mine = not str(args[-1:]).startswith("('.kroma/originals") and next(count) == n
        if mine and not after:
            raise Death
        result = function(*args, **kwargs)
        if mine:
            raise Death
        return result

    return guarded


POINTS = [
    (AssetStore, "put"),
    (AssetStore, "move"),
    (Asset.objects, "create"),
    (AssetLink.objects, "create"),
    (finishing, "judged"),
    (chain.steps, "changed"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("point", POINTS, ids=[name for _, name in POINTS])
def test_cut_short_at_any_point_a_repeat_leaves_the_same_files_and_rows(
    project: Project, use: Use, use_tools: UseTools, point: tuple[Any, str], after: bool
) -> None:
    """Each try dies one call later, until none dies; another run holds all the names."""
    owner, name = point
    provider = use(FakeProvider(repeatable=False, answer=lambda request: png(number=1)))
    room = FakePaidTool("photoroom")
    refiner = FakePaidTool("openai", answer=lambda data: png(number=4))
    use_tools(room, refiner=refiner)
    guard = {"output_guard": {"enforce_grayscale": True, "max_chroma_delta": 0.1}}
    steps = {**ALL, "bg_remove_backends": ["photoroom"], "bg_refine_openai": True}
    configure(project, steps=steps)
    work_through(make_run(project))
    configure(project, steps=steps, manifest=guard)
    provider.answer = lambda request: png(number=2)
    calls_before = len(provider.requests), len(room.calls), len(refiner.calls)
    run = make_run(project)
    for n in itertools.count():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, dies_at(n, getattr(owner, name), itertools.count(), after=after))
            try:
                work_through(run)
            except Death:
                expire_leases()
                run.candidates.update(n_claims=0)
                continue
        break
    assert n > 0
    expire_leases()
    runs.ring_again()
    work_through(run)
    store, candidate = store_for(project), run.candidates.get()
    assert (run.status, candidate.status) == ("failed", "failed_output_guard")
    now = len(provider.requests), len(room.calls), len(refiner.calls)
    assert [b - a for a, b in zip(calls_before, now, strict=True)] == [1, 1, 1], "nothing is bought again"
    kinds = ["generated", "bg_remove", "bg_refine_openai", "upscale", "color"]
    for made in (run, Run.objects.exclude(pk=run.pk).get()):
        rows = made.assets.order_by("created_at")
        assert [row.metadata.get("step", "generated") for row in rows] == kinds
        assert all(store.sha256(row.rel_path) == row.sha256 for row in rows)
    assert len(tree(store)) == Asset.objects.count() == 10
    assert AssetLink.objects.count() == 8


def test_a_step_whose_file_has_vanished_is_done_again_for_free(
    project: Project, use: Use, use_tools: UseTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider(repeatable=False))
    room = FakePaidTool("photoroom")
    use_tools(room)
    configure(project, steps={**ALL, "bg_remove_backends": ["photoroom"]})
    run = make_run(project)

    def die(*args: object) -> None:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "_judge", die)
        with pytest.raises(Death):
            work_through(run)
    store = store_for(project)
    store.path("background_removed/style_1_scene_0_nobg.png").unlink()
    store.path("color_corrected/style_1_scene_0_nobg_x2_cold_rain.png").write_bytes(b"by hand")
    expire_leases()
    work_through(run)
    assert (run.status, len(room.calls)) == ("ok", 1)
    rows = files_of(run.candidates.get().output_asset, Asset.objects.all())
    assert [store.sha256(row.rel_path) == row.sha256 for row in rows] == [True] * 4
    kept = [path.read_bytes() for path in (store.root / "archive/replaced").iterdir()]
    assert kept == [b"by hand"]


@pytest.mark.acceptance("W-07", "W-08")
def test_older_runs_keep_all_their_files_when_another_takes_their_names(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use_tools(FakeTool("rembg"))
    configure(project, steps=ALL)
    for number in (1, 2, 3):
        use(FakeProvider(answer=lambda request, number=number: png(number=number)))
        work_through(make_run(project))
    store = store_for(project)
    assert Asset.objects.count() == len(tree(store)) == 12
    for asset in Asset.objects.all():
        assert store.sha256(asset.rel_path) == asset.sha256
    newest = Run.objects.first()
    assert newest is not None
    assert {asset.rel_path.partition("/")[0] for asset in newest.assets.all()} == {
        "outputs", "background_removed", "upscaled", "color_corrected"
    }  # fmt: skip


# --- Plans ---------------------------------------------------------------------------------------


@pytest.mark.acceptance("S-08")
def test_a_request_switches_a_step_on_and_off_whatever_the_layers_say(
    project: Project, use_tools: UseTools
) -> None:
    use_tools(FakeTool("rembg"), refiner=FakePaidTool("openai"))
    configure(project, steps={"color": True, "color_profile": "cold_rain"})
    order = RunOrder(mode="run", scenes=(put_scene(project),))

    def planned(**asked: object) -> dict[str, object]:
        configuration = load(project, request=SettingsLayer(**asked))
        return prepare_run(project, order, configuration=configuration).plan.postprocess.as_dict()

    assert planned()["color_profile"] == "cold_rain"
    assert (planned(color=False)["color"], planned(color=False)["color_profile"]) == (False, None)
    assert planned(upscale=True)["pipeline_order"] == ["generate", "upscale", "color"]
    cut = planned(bg_remove=True, bg_refine_openai=True)
    assert cut["pipeline_order"] == ["generate", "bg_remove", "bg_refine_openai", "color"]
    assert planned(bg_remove=True, bg_refine_openai=False)["bg_refine_openai"] is False
    assert planned(bg_remove=True, bg_refine_openai_required=False)["bg_refine_openai_required"] is False


def test_a_step_that_can_not_run_is_refused_before_anything_is_written(
    project: Project, use_tools: UseTools
) -> None:
    use_tools(upscaler=FakeTool("ncnn", lack="the program tools/x is not there: install it."))
    configure(project, steps={"upscale": True, "upscale_backend": "ncnn"})
    with pytest.raises(PlanRefused, match=r"'postprocess.upscale' .* project settings.*tools/x is not there"):
        make_plan(project)
    assert not Run.objects.exists()
    assert any("tools/x" in warning for warning in make_plan(project, mode="dry").warnings)


def test_one_backend_is_enough_to_cut_out(project: Project, use: Use, use_tools: UseTools) -> None:
    use(FakeProvider())
    rembg, room = FakeTool("rembg"), FakePaidTool("photoroom", lack="there is no key for photoroom.")
    use_tools(room, rembg)
    configure(project, steps={"bg_remove": True, "bg_remove_backends": ["photoroom", "rembg"]})
    plan = make_plan(project)
    assert any("there is no key for photoroom" in warning for warning in plan.warnings)
    run = make_run(project)
    work_through(run)
    assert log_of(run)["jobs"][0]["bg_remove"]["backend"] == "rembg"
    rembg.lack = "no weights: fetch them."
    with pytest.raises(PlanRefused, match=r"photoroom: there is no key.* \| rembg: no weights"):
        make_plan(project)


def test_a_refine_pass_that_nobody_asked_for_is_dropped_without_a_key(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"), refiner=FakePaidTool("openai", lack="there is no key for openai."))
    configure(project, steps={"bg_remove": True}, config={"bg_remove": {}})
    plan = make_plan(project)
    assert plan.plan.postprocess.bg_refine_openai is False
    assert any("refine pass is left out" in warning for warning in plan.warnings)
    run = make_run(project)
    work_through(run)
    assert log_of(run)["postprocess"]["pipeline_order"] == ["generate", "bg_remove"]
    configure(project, steps={"bg_remove": True, "bg_refine_openai": True}, config={"bg_remove": {}})
    with pytest.raises(PlanRefused, match="no key for openai"):
        make_plan(project)


def test_what_makes_the_files_enters_the_plan(project: Project, use_tools: UseTools) -> None:
    rembg = FakeTool("rembg")
    use_tools(rembg)
    colours = {"ink": {"contrast": 1.1}}
    steps = {"bg_remove": True, "color": True, "color_profile": "ink"}
    configure(project, steps=steps, colours=colours)
    before = make_plan(project).plan_hash
    assert make_plan(project).plan_hash == before
    configure(project, steps=steps, colours={"ink": {"contrast": 1.2}})
    assert make_plan(project).plan_hash != before
    configure(project, steps=steps, colours=colours)
    rembg.version = "fake-2"
    assert make_plan(project).plan_hash != before


def test_paid_steps_enter_the_price_at_most(project: Project, use_tools: UseTools) -> None:
    room, other = FakePaidTool("photoroom"), FakePaidTool("removebg")
    use_tools(FakeTool("rembg"), room, other, refiner=FakePaidTool("openai"))
    backends = ["rembg", "photoroom", "removebg"]
    configure(project, steps={"bg_remove": True, "bg_remove_backends": backends, "bg_refine_openai": True})
    assert str(make_plan(project, n_scenes=2, candidates=3).price_usd) == "0.24"
    other.cost = None
    assert make_plan(project).price_usd is None


def test_a_run_is_worked_on_as_it_was_planned_whatever_the_files_say_by_now(
    project: Project, use: Use
) -> None:
    use(FakeProvider(answer=lambda request: flat_grey()))
    colours = {"ink": {"brightness": 0.5}}
    configure(project, steps={"color": True, "color_profile": "ink"}, colours=colours)
    run = make_run(project)
    configure(project, steps={}, colours={})
    work_through(run)
    final = run.candidates.get().final_asset
    assert pixels_of(store_for(project), final.rel_path).max() == 64
    assert log_of(run)["jobs"][0]["color"]["settings"].endswith("colours.json")


def flat_grey() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (128, 128, 128)).save(buffer, "PNG")
    return buffer.getvalue()


def test_runs_from_before_there_were_steps_go_on(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project)
    for key in ("postprocess_files", "postprocess_config", "color_profile_values", "tools"):
        del run.settings_snapshot[key]
    run.save()
    assert not toolchain.of_run(run).tools
    work_through(run)
    assert run.status == "ok"
    assert Attempt.objects.get().status == "stored"


# --- The record ----------------------------------------------------------------------------------

# Section 9.7 of the reference, by key.
CONTRACT = {
    "bg_remove": ["input", "output", "backend", "backends_tried", "refine_openai", "refine_error"],
    "upscale": ["backend", "input", "output", "scale", "model"],
    "color": ["input", "output", "profile", "settings"],
    "output_guard": ["checked_input", "summary", "files", "bad_archive"],
}


@pytest.mark.acceptance("X-10", "X-11")
def test_the_blocks_of_a_log_are_those_of_the_contract_and_more(
    project: Project, use: Use, use_tools: UseTools
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"), FakePaidTool("photoroom"))
    configure(project, steps={**ALL, "bg_remove_backends": ["rembg", "photoroom"]})
    run = make_run(project, candidates=2)
    work_through(run)
    log = log_of(run)
    root = log["storage"]["project_root"]
    stem = "style_1_scene_0__c1"
    chain_of_names = [
        f"{root}/outputs/{stem}.png",
        f"{root}/background_removed/{stem}_nobg.png",
        f"{root}/upscaled/{stem}_nobg_x2.png",
        f"{root}/color_corrected/{stem}_nobg_x2_cold_rain.png",
    ]
    job = log["jobs"][0]
    entry = job["candidates"][0]
    for name, keys in CONTRACT.items():
        assert set(keys) <= entry[name].keys()
        assert job[name] == job["candidates"][job["selected_candidate"] - 1][name]
    steps = ("bg_remove", "upscale", "color")
    assert [(entry[step]["input"], entry[step]["output"]) for step in steps] == list(
        itertools.pairwise(chain_of_names)
    )
    assert entry["output"] == chain_of_names[0]
    assert entry["output_guard"]["checked_input"] == entry["final_output"] == chain_of_names[-1]
    assert entry["bg_remove"]["backends_tried"] == ["rembg", "photoroom"]
    assert (entry["upscale"]["backend"], entry["upscale"]["scale"], entry["upscale"]["model"]) == (
        "pillow", 2, "lanczos"
    )  # fmt: skip
    assert (entry["color"]["profile"], entry["color"]["settings"]) == ("cold_rain", "builtin")
    store = store_for(project)
    for step, shown in zip(steps, chain_of_names[1:], strict=True):
        assert entry[step]["sha256"] == store.sha256(shown.removeprefix(f"{root}/"))
    assert job["planned_postprocess"] == log["postprocess"]
    assert log["postprocess"]["pipeline_order"] == ["generate", *steps]


def test_a_log_takes_the_same_queries_however_many_files_there_are(
    project: Project, use: Use, use_tools: UseTools, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    configure(project, steps=ALL)
    few, many = make_run(project), make_run(project, n_scenes=3, candidates=2)
    for run in (few, many):
        work_through(run)
    with CaptureQueriesContext(connection) as queries:
        render_run_log(few, store_for(project))
    with django_assert_num_queries(len(queries)):
        render_run_log(many, store_for(project))


# --- The pages -----------------------------------------------------------------------------------


def test_the_pages_show_the_steps(
    project: Project, use: Use, use_tools: UseTools, erin_client: Client
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg", fault="no subject"), FakePaidTool("photoroom"))
    configure(project, steps={**ALL, "bg_remove_backends": ["rembg", "photoroom"]})
    dashboard = reverse("pipeline:dashboard", args=[project.slug])
    steps = {step.title: step.done for step in erin_client.get(dashboard).context["steps"]}
    assert not steps["Post-process"]
    run = make_run(project)
    work_through(run)
    steps = {step.title: step.done for step in erin_client.get(dashboard).context["steps"]}
    assert steps["Post-process"]
    page = erin_client.get(run.get_absolute_url()).content.decode()
    candidate = run.candidates.get()
    for asset in candidate.assets.all():
        assert reverse("pipeline:asset-file", args=[project.slug, asset.pk]) in page
    assert "rembg did not: no subject" in page
    assert "Cut-out (rembg, else photoroom) → Enlarged (2 times, pillow) → Colour (cold_rain)" in page
    final = erin_client.get(reverse("pipeline:asset-file", args=[project.slug, candidate.final_asset.pk]))
    assert b"".join(final.streaming_content) == store_for(project).read(candidate.final_asset.rel_path)
    packed = erin_client.get(reverse("pipeline:run-winners", args=[project.slug, run.pk]))
    with zipfile.ZipFile(io.BytesIO(b"".join(packed.streaming_content))) as package:
        first = package.read(package.namelist()[0])
    assert first == store_for(project).read(candidate.final_asset.rel_path)


def test_the_run_page_takes_the_same_queries_however_many_files_there_are(
    project: Project,
    use: Use,
    use_tools: UseTools,
    erin_client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    use(FakeProvider())
    use_tools(FakeTool("rembg"))
    configure(project, steps=ALL)
    few, many = make_run(project), make_run(project, n_scenes=3, candidates=2)
    for run in (few, many):
        work_through(run)
    with CaptureQueriesContext(connection) as queries:
        erin_client.get(few.get_absolute_url())
    with django_assert_num_queries(len(queries)):
        erin_client.get(many.get_absolute_url())


def test_the_composer_shows_what_happens_to_each_picture(
    project: Project, use_tools: UseTools, erin_client: Client
) -> None:
    use_tools(FakeTool("rembg"))
    configure(project, steps=ALL)
    scenes = make_set(project=project)
    add_images(scenes, [upload()], by=OPERATOR)
    page = erin_client.get(reverse("pipeline:run-new", args=[project.slug]), {"scenes": str(scenes.pk)})
    text = page.content.decode()
    assert page.context["plan"].steps == [
        ("Cut-out", "rembg"), ("Enlarged", "2 times, pillow"), ("Colour", "cold_rain")
    ]  # fmt: skip
    assert 'id="plan-steps"' in text


def test_validation_tells_what_the_planned_steps_lack(project: Project, use_tools: UseTools) -> None:
    use_tools(
        FakeTool("rembg"),
        FakePaidTool("photoroom", lack="there is no key for photoroom."),
        upscaler=FakeTool("ncnn", lack="tools/x is not there."),
    )
    steps = {**ALL, "upscale_backend": "ncnn", "bg_remove_backends": ["rembg", "photoroom"]}
    configure(project, steps=steps)
    for found in (project, None):
        report = validate(Places.of(project), project=found)
        assert [note.problem.message for note in report.errors] == [
            "'postprocess.upscale' is switched on by the project settings, and it can't run here: "
            "tools/x is not there"
        ]
        assert any("no key for photoroom" in str(note) for note in report.warnings)


def test_signs_are_looked_for_where_the_manifest_asks_and_stand_in_the_log(
    project: Project, use: Use
) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (96, 128), (250, 250, 250)).save(blank, "PNG")
    use(FakeProvider(answer=lambda request: blank.getvalue()))
    configure(project)
    work_through(run := make_run(project))
    assert run.status == "ok"
    configure(project, manifest={"output_guard": {"signals": ["blank", "blurred"]}})
    work_through(run := make_run(project))
    assert run.candidates.get().status == "failed_output_guard"
    log = json.loads(store_for(project).read(run.run_log_path))
    assert log["output_guard"]["signals"] == ["blank", "blurred"]
    (file,) = log["jobs"][0]["candidates"][0]["output_guard"]["files"]
    assert file["hard_fail_reasons"] == ["blank"]
    assert [one["code"] for one in file["signals"]] == ["blank", "blurred"]
    assert run.candidates.get().rank_reason == "Rejected by the guard: the picture is blank."
    soft = io.BytesIO()
    drawn = np.zeros((128, 96, 3), np.uint8)
    drawn[30:90, 20:70] = 255
    Image.fromarray(drawn).filter(ImageFilter.GaussianBlur(8)).save(soft, "PNG")
    use(FakeProvider(answer=lambda request: soft.getvalue()))
    work_through(run := make_run(project))
    assert run.candidates.get().rank_soft_warnings == 1
    assert run.candidates.get().rank_reason == "Chosen: the picture is blurred: one warning."


GUARDED: dict[str, object] = {"output_guard": {"signals": ["text", "small", "shape"], "min_side": 100}}


def test_lettering_size_and_shape_are_judged_against_the_scene(
    project: Project, use: Use, settings: Settings, models: Path
) -> None:
    settings.MODELS_DIR = models
    picture = Image.new("RGB", (480, 320), (250, 250, 250))
    ImageDraw.Draw(picture).text((60, 100), "SALTMARSH", font=ImageFont.load_default(60), fill="black")
    lettered = io.BytesIO()
    picture.save(lettered, "PNG")
    use(FakeProvider(answer=lambda request: lettered.getvalue()))
    configure(project, manifest=GUARDED)
    work_through(run := make_run(project))
    candidate = run.candidates.get()
    assert candidate.status == "failed_output_guard"
    assert candidate.rank_reason == "Rejected by the guard: there is lettering in the picture, “SALTMARSH”."
    log = json.loads(store_for(project).read(run.run_log_path))
    assert log["output_guard"]["min_side"] == 100
    (file,) = log["jobs"][0]["candidates"][0]["output_guard"]["files"]
    found = {one["code"]: one for one in file["signals"]}
    assert (found["text"]["evidence"], found["text"]["flagged"]) == ("SALTMARSH", True)
    assert (found["small"]["value"], found["small"]["flagged"]) == (320, False)
    assert found["shape"]["flagged"]  # lying, and the scene stands
    assert file["soft_warnings"] == ["shape"]


def test_a_run_that_is_to_be_read_is_refused_without_the_model_files(
    project: Project, use: Use, settings: Settings, models: Path
) -> None:
    use(FakeProvider())
    configure(project, manifest=GUARDED)
    with pytest.raises(PlanRefused, match=r"look for lettering .*models fetch"):
        make_plan(project)
    assert "look for lettering" in " ".join(make_plan(project, mode="dry").warnings)
    settings.MODELS_DIR = models
    run = make_run(project)
    settings.MODELS_DIR = models / "gone"  # since the plan
    work_through(run)
    candidate = run.candidates.get()
    assert (candidate.status, candidate.error["code"]) == ("failed", "tool_missing")
    settings.MODELS_DIR = models
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    assert run.status == "ok"
    assert run.attempts.count() == 1  # judged again, not made again
