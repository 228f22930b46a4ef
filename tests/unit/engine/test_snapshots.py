"""What a run's record holds of its steps, written and read again."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.colour import ColourProfile
from pipeline.engine.documents import Findings
from pipeline.engine.manifest import DEFAULT_MANIFEST
from pipeline.engine.planning import RunRequest, plan_hash, plan_run
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.postprocess_config import DEFAULT_CONFIG, PostprocessConfig, read_config

WORDS = st.text("abcdef", min_size=1, max_size=8)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "upscale": st.fixed_dictionaries(
            {},
            optional={
                "backend": st.sampled_from(["ncnn", "python", "pillow"]),
                "scale": st.integers(1, 255),
                "format": st.sampled_from(["png", "jpg", "webp"]),
                "python": st.fixed_dictionaries(
                    {}, optional={"tile": st.integers(0, 9), "gpu_id": st.none() | st.integers(0, 3)}
                ),
            },
        ),
        "color": st.fixed_dictionaries({}, optional={"default_profile": WORDS, "settings_file": WORDS}),
        "bg_remove": st.fixed_dictionaries(
            {"openai": st.fixed_dictionaries({"enabled": st.just(False)}, optional={"model": WORDS})},
            optional={
                "backends": st.lists(st.sampled_from(["rembg", "photoroom", "removebg"]), min_size=1),
                "rembg": st.fixed_dictionaries({}, optional={"model": WORDS}),
                "photoroom": st.fixed_dictionaries({}, optional={"endpoint": WORDS}),
            },
        ),
    },
)


@given(DOCUMENTS)
def test_a_config_survives_its_record(document: dict[str, object]) -> None:
    config = read_config(document, Findings("a.json"))
    again = PostprocessConfig.from_dict(json.loads(json.dumps(config.as_dict())))
    assert (again.upscale, again.color, again.bg_remove) == (config.upscale, config.color, config.bg_remove)


def test_a_record_from_before_has_the_defaults() -> None:
    assert PostprocessConfig.from_dict({}) == DEFAULT_CONFIG


@given(st.lists(st.floats(0, 9), min_size=9, max_size=9))
def test_a_profile_survives_its_record(factors: list[float]) -> None:
    profile = ColourProfile(*factors)
    assert ColourProfile(**json.loads(json.dumps(profile.as_dict()))) == profile


@given(st.tuples(*[st.booleans()] * 4), st.integers(1, 255), st.sampled_from(["jpg", "webp"]))
def test_a_plan_survives_its_record(steps: tuple[bool, ...], scale: int, extension: str) -> None:
    bg_remove, refine, upscale, color = steps
    plan = PostprocessPlan(
        upscale=upscale,
        upscale_backend="pillow",
        color=color,
        color_profile="ink",
        bg_remove=bg_remove,
        bg_remove_backends=("rembg", "photoroom"),
        bg_refine_openai=refine,
        upscale_scale=scale,
        bg_remove_format=extension,
    )
    again = PostprocessPlan.from_dicts(
        json.loads(json.dumps(plan.as_dict())), json.loads(json.dumps(plan.files_as_dict()))
    )
    assert again == plan
    assert plan.has_steps == (len(plan.pipeline_order) > 1)


def test_tools_enter_the_hash_of_a_plan_and_none_leave_it_as_it_was() -> None:
    request = RunRequest(mode="run", scenes=("a.png",), style_refs=())
    plan = plan_run(request, DEFAULT_MANIFEST, PostprocessPlan.off())
    provider = {"code": "local"}

    def hashed(*tools: dict[str, object]) -> str:
        return plan_hash(plan, inputs={}, provider=provider, tools=tools)

    rembg = {"step": "bg_remove", "tool": "rembg", "version": "1", "parameters": {"sha256": "0"}}
    assert hashed() == plan_hash(plan, inputs={}, provider=provider)
    hashes = {hashed(), hashed(rembg), hashed({**rembg, "version": "2"}), hashed(rembg, rembg)}
    assert len(hashes) == 4
