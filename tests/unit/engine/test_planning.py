import hashlib
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.errors import PlanningError
from pipeline.engine.manifest import DEFAULT_MANIFEST, GuardSettings
from pipeline.engine.planning import RunPlan, RunRequest, candidate_seed, plan_hash, plan_run
from pipeline.engine.postprocess import PostprocessPlan

OFF = PostprocessPlan.off()
REQUEST = RunRequest("dry", ("scenes/Quay Wide 01.png", "scenes/tower__stairs.webp"), ("ink.png", "wash.png"))
INPUTS = {
    "scenes/Quay Wide 01.png": "aa",
    "scenes/tower__stairs.webp": "bb",
    "ink.png": "cc",
    "wash.png": "dd",
}


def planned(request: RunRequest = REQUEST, **manifest: Any) -> RunPlan:
    return plan_run(request, replace(DEFAULT_MANIFEST, **manifest), OFF)


def hashed(plan: RunPlan, inputs: dict[str, str] = INPUTS, **provider: object) -> str:
    return plan_hash(plan, inputs=inputs, provider={"provider_code": "local"} | provider)


@pytest.mark.acceptance("P-01", "X-05")
def test_one_job_per_scene_in_order() -> None:
    plan = planned(replace(REQUEST, stage="weather", time="night", weather="rain", candidates=2))
    assert [job.id for job in plan.jobs] == ["weather_1_quay_wide_01", "weather_2_tower_stairs"]
    first = plan.jobs[0]
    assert first.input_images == ("scenes/Quay Wide 01.png", "ink.png", "wash.png")
    assert (first.position, first.mode, first.time, first.weather) == (1, "weather", "night", "rain")
    assert {job.prompt for job in plan.jobs} == {first.prompt}
    assert [candidate.index for candidate in first.candidates] == [1, 2]
    assert first.candidates[1].names.final == "outputs/weather_1_quay_wide_01__c2.png"
    assert (plan.n_candidates, plan.max_candidates) == (2, 6)


def test_the_batch_limit_holds_in_both_modes_and_can_be_overridden() -> None:
    for mode in ("dry", "run"):
        request = replace(REQUEST, mode=mode)
        with pytest.raises(PlanningError, match="limit of 1"):
            planned(request, safe_batch_limit=1)
        with pytest.raises(PlanningError, match="limit of 1"):
            planned(replace(request, batch_limit=1))
        assert len(planned(replace(request, batch_limit=2), safe_batch_limit=1).jobs) == 2


def test_only_a_paid_run_is_held_to_the_maximum() -> None:
    request = replace(REQUEST, candidates=4)
    dry = planned(request, max_candidates=3)
    assert (dry.n_candidates, dry.max_candidates) == (4, 3)
    with pytest.raises(PlanningError, match=r"4, more than 'generation\.max_candidates' \(3\)"):
        planned(replace(request, mode="run"), max_candidates=3)
    with pytest.raises(PlanningError, match="max_candidates"):
        planned(replace(REQUEST, mode="run"), candidates=7)


def test_the_ceiling_holds_for_every_run() -> None:
    assert planned(REQUEST, candidates=255).n_candidates == 255
    for wanted in (0, -1, 256):
        with pytest.raises(PlanningError, match="255"):
            planned(replace(REQUEST, candidates=wanted), max_candidates=1000)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scenes": ()}, "no scene references"),
        ({"scenes": ("a.png", " ")}, "scene reference is blank"),
        ({"style_refs": ("",)}, "style reference is blank"),
        ({"mode": "wet"}, "'mode' is 'wet'"),
        ({"stage": "mood"}, "'stage' is 'mood'"),
        ({"time": "dawn"}, "'time' is 'dawn'"),
        ({"weather": "snow"}, "'weather' is 'snow'"),
        ({"scenes": ("a/" + "x" * 230 + ".png",)}, "too long"),
    ],
)
def test_what_can_not_be_planned_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanningError, match=named):
        planned(replace(REQUEST, **change))


def test_a_seed_is_eight_bytes_of_a_hash() -> None:
    digest = hashlib.sha256(b"7|style_1_a|2").hexdigest()
    assert candidate_seed(7, "style_1_a", 2) == int(digest[:16], 16)
    plan = planned(replace(REQUEST, seed=7, candidates=2))
    assert plan.jobs[1].candidates[1].seed == candidate_seed(7, "style_2_tower_stairs", 2)


requests = st.builds(
    RunRequest,
    mode=st.just("dry"),
    scenes=st.lists(st.text(min_size=1, max_size=20).filter(str.strip), min_size=1, max_size=20).map(tuple),
    style_refs=st.just(("ink.png",)),
    stage=st.sampled_from(["style", "time", "weather"]),
    candidates=st.integers(1, 6),
    seed=st.integers(),
)


@pytest.mark.acceptance("P-04", "X-05")
@given(request=requests)
def test_planning_is_deterministic_and_no_two_files_collide(request: RunRequest) -> None:
    post = PostprocessPlan(color=True, color_profile="neutral", upscale=True, upscale_backend="pillow")
    plan = plan_run(request, DEFAULT_MANIFEST, post)
    assert plan == plan_run(replace(request), DEFAULT_MANIFEST, post)
    candidates = [candidate for job in plan.jobs for candidate in job.candidates]
    files = [name for c in candidates for name in (c.names.generated, c.names.upscaled, c.names.final)]
    assert len(set(files)) == 3 * len(candidates)
    assert len({c.seed for c in candidates}) == len(candidates)


def test_the_hash_is_the_same_for_dry_and_paid_and_wherever_the_files_lie() -> None:
    plan = planned()
    moved = replace(REQUEST, scenes=tuple(f"/elsewhere/{scene}" for scene in REQUEST.scenes))
    elsewhere = {f"/elsewhere/{path}": sha256 for path, sha256 in INPUTS.items()} | INPUTS
    assert len(hashed(plan)) == 64
    assert hashed(plan) == hashed(planned(replace(REQUEST, mode="run")))
    assert hashed(plan) == hashed(planned(moved), elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"candidates": 2},
        {"style_guide": "thin lines"},
        {"stage": "time"},
        {"style_refs": ("wash.png", "ink.png")},
        {"scenes": REQUEST.scenes[:1]},
    ],
)
def test_the_hash_follows_the_request(change: dict[str, Any]) -> None:
    assert hashed(planned(replace(REQUEST, **change))) != hashed(planned())


def test_the_hash_follows_everything_else() -> None:
    plan = planned()
    upscaled = PostprocessPlan(upscale=True, upscale_backend="python")
    others = [
        hashed(plan, INPUTS | {"ink.png": "ee"}),
        hashed(plan, {}),
        hashed(plan, model="gpt-image-1"),
        hashed(plan, unit_price=Decimal("0.040000")),
        hashed(plan, unit_price=Decimal("0.050000")),
        hashed(planned(guard=GuardSettings(True, True, 2.0, False))),
        hashed(plan_run(REQUEST, DEFAULT_MANIFEST, upscaled)),
        hashed(plan_run(REQUEST, DEFAULT_MANIFEST, replace(upscaled, upscale_scale=4))),
        hashed(plan_run(REQUEST, DEFAULT_MANIFEST, replace(upscaled, upscale_format="webp"))),
    ]
    assert len({hashed(plan), *others}) == len(others) + 1


def test_the_hash_refuses_what_it_can_not_write_exactly() -> None:
    with pytest.raises(TypeError):
        hashed(planned(), weights=object())
    with pytest.raises(ValueError, match="JSON compliant"):
        hashed(planned(), price=float("nan"))
