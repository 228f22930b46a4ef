import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine import names
from pipeline.engine.errors import PlanningError
from pipeline.engine.names import candidate_names, job_id, sanitised
from pipeline.engine.postprocess import PostprocessPlan

MOMENT = datetime(2026, 5, 4, 21, 7, 52, 118_999, tzinfo=UTC)
SAFE = re.compile(r"[a-z0-9_-]+")


@pytest.mark.acceptance("P-01")
@pytest.mark.parametrize(
    ("scene", "wanted"),
    [
        ("scenes/Pier 9 (dusk).PNG", "style_2_pier_9_dusk"),
        ("roof__top.png", "style_2_roof_top"),
        ("屋上.png", "style_2_2"),
        ("a.b.c.png", "style_2_a_b_c"),
        (".draft.png", "style_2_draft"),
        ("-x-.png", "style_2_-x-"),
        (".png", "style_2_png"),
        ("\u212a.png", "style_2_2"),  # the Kelvin sign, lower case k
        ("no_ending", "style_2_no_ending"),
    ],
)
def test_job_ids_of_the_reference(scene: str, wanted: str) -> None:
    assert job_id("style", 2, scene) == wanted


@pytest.mark.acceptance("W-34")
@given(scenes=st.lists(st.text(min_size=1), max_size=30))
def test_job_ids_are_unique_and_safe_file_names(scenes: list[str]) -> None:
    ids = [job_id("time", position, scene) for position, scene in enumerate(scenes, start=1)]
    assert len(set(ids)) == len(ids)
    assert all(SAFE.fullmatch(key) and "__" not in key for key in ids)


@pytest.mark.acceptance("X-03", "W-34")
@given(text=st.text())
def test_sanitising_is_safe_and_changes_nothing_the_second_time(text: str) -> None:
    once = sanitised(text)
    assert SAFE.fullmatch(once)
    assert sanitised(once) == once


@pytest.mark.acceptance("X-03")
def test_sanitising_keeps_underscores_and_falls_back() -> None:
    assert sanitised("Tower__c2 (Final).v3") == "tower__c2_final_v3"
    assert sanitised("屋上") == "image"
    assert sanitised("__", empty="file") == "file"


@pytest.mark.acceptance("X-04")
def test_full_chain_of_the_reference() -> None:
    plan = PostprocessPlan(
        upscale=True,
        upscale_backend="python",
        color=True,
        color_profile="noir-print",
        bg_remove=True,
        bg_remove_backends=("rembg",),
        upscale_scale=4,
        bg_remove_format="webp",
    )
    files = candidate_names("time_4_crane_hall", index=2, total=3, postprocess=plan)
    assert files.generated == "outputs/time_4_crane_hall__c2.png"
    assert files.background_removed == "background_removed/time_4_crane_hall__c2_nobg.webp"
    assert files.upscaled == "upscaled/time_4_crane_hall__c2_nobg_x4.png"
    assert files.colour_corrected == "color_corrected/time_4_crane_hall__c2_nobg_x4_noir-print.png"
    assert files.final == files.colour_corrected


@pytest.mark.acceptance("X-02", "X-04")
def test_one_candidate_has_no_number_and_ends_where_the_chain_ends() -> None:
    off = candidate_names("style_1_a", index=1, total=1, postprocess=PostprocessPlan.off())
    assert off.final == off.generated == "outputs/style_1_a.png"
    assert (off.background_removed, off.upscaled, off.colour_corrected) == (None, None, None)
    upscaled = PostprocessPlan(upscale=True, upscale_backend="ncnn", upscale_format="webp")
    assert candidate_names("a", index=1, total=1, postprocess=upscaled).final == "upscaled/a_x2.webp"


@pytest.mark.acceptance("X-03")
def test_a_profile_of_signs_leaves_its_underscore() -> None:
    plan = PostprocessPlan(color=True, color_profile="!!!")
    assert candidate_names("a", index=1, total=1, postprocess=plan).final == "color_corrected/a_.png"


@pytest.mark.acceptance("X-02")
@pytest.mark.parametrize(("index", "total"), [(0, 1), (1, 0), (3, 2)])
def test_a_candidate_that_does_not_exist_has_no_name(index: int, total: int) -> None:
    with pytest.raises(PlanningError, match="'a'"):
        candidate_names("a", index=index, total=total, postprocess=PostprocessPlan.off())


def test_stamps_are_utc_and_cut_to_milliseconds() -> None:
    assert names.stamp(MOMENT) == "2026-05-04T21-07-52-118Z"
    east = MOMENT.astimezone(timezone(timedelta(hours=9)))
    assert names.stamp(east) == names.stamp(MOMENT)
    assert names.timestamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"
    with pytest.raises(ValueError, match="time zone"):
        names.stamp(MOMENT.replace(tzinfo=None))


def test_archive_and_log_names() -> None:
    assert names.replaced_name("Old One.PNG", MOMENT) == "old_one_replaced_2026-05-04T21-07-52-118Z.PNG"
    assert names.bad_name("屋上.webp", MOMENT) == "file_bad_2026-05-04T21-07-52-118Z.webp"
    assert names.run_log_name(MOMENT) == "runs/run_2026-05-04T21-07-52-118Z.json"


@pytest.mark.acceptance("W-21")
def test_numbered_goes_on_until_a_name_is_free() -> None:
    taken = {"runs.d/run.json", "runs.d/run-2.json"}
    assert names.numbered("runs.d/run.json", taken.__contains__) == "runs.d/run-3.json"
    assert names.numbered("runs.d/other", taken.__contains__) == "runs.d/other"
    assert names.numbered("a.b/c", {"a.b/c"}.__contains__) == "a.b/c-2"
