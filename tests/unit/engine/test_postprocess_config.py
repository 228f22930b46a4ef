import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.documents import Findings
from pipeline.engine.errors import PlanningError
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.postprocess_config import (
    DEFAULT_CONFIG,
    PostprocessConfig,
    config_from_document,
    effective_plan,
    read_config,
)
from pipeline.engine.settings import APP, CONFIG, REQUEST, SettingsLayer, merge

NOT_A_TEXT: list[object] = ["", "  ", None, 1, True, [], {}]
NOT_A_FLAG: list[object] = [1, "true", None, [], {}]
NOT_A_SIZE: list[object] = [-1, 1.0, "2", None, True, [], math.nan]
NOT_A_GPU: list[object] = ["0", 1.5, True, []]
NOT_A_FILE: list[object] = [None, 1, []]
NOT_BACKENDS: list[object] = [[], None, "rembg", ["magic"], [None]]
NOT_AN_OBJECT: list[object] = [None, [], "x", 1, True]
TEXTS = [
    "upscale.backend", "upscale.format", "upscale.binary", "upscale.model_dir", "upscale.model_name",
    "upscale.python.python_bin", "upscale.python.inference_script", "upscale.python.model_name",
    "color.default_profile", "bg_remove.format", "bg_remove.size", "bg_remove.rembg.python_bin",
    "bg_remove.rembg.model", "bg_remove.photoroom.endpoint", "bg_remove.photoroom.api_key_env",
    "bg_remove.removebg.endpoint", "bg_remove.removebg.api_key_env", "bg_remove.openai.api_key_env",
    "bg_remove.openai.model", "bg_remove.openai.quality", "bg_remove.openai.input_fidelity",
    "bg_remove.openai.output_format", "bg_remove.openai.background", "bg_remove.openai.prompt",
]  # fmt: skip
FLAGS = ["upscale.python.fp32", "bg_remove.crop", "bg_remove.openai.enabled", "bg_remove.openai.required"]
SIZES = ["upscale.tile", "upscale.python.tile", "upscale.python.tile_pad", "upscale.python.pre_pad"]
OBJECTS = [
    "upscale", "upscale.python", "color", "bg_remove", "bg_remove.rembg", "bg_remove.photoroom",
    "bg_remove.removebg", "bg_remove.openai",
]  # fmt: skip
WRONG: list[tuple[str, object]] = [
    *((key, value) for key in TEXTS for value in NOT_A_TEXT),
    *((key, value) for key in FLAGS for value in NOT_A_FLAG),
    *((key, value) for key in SIZES for value in NOT_A_SIZE),
    *((key, value) for key in OBJECTS for value in NOT_AN_OBJECT),
    *(("upscale.scale", value) for value in (0, 256, *NOT_A_SIZE)),
    *(("upscale.python.gpu_id", value) for value in NOT_A_GPU),
    *(("color.settings_file", value) for value in NOT_A_FILE),
    *(("bg_remove.backends", value) for value in NOT_BACKENDS),
    ("upscale.backend", "magic"),
    ("upscale.format", "gif"),
    ("bg_remove.format", "tiff"),
    ("upscale.python.model_name", "magic"),
]


def nested(key: str, value: object) -> dict[str, Any]:
    for word in reversed(key.split(".")):
        value = {word: value}
    return value  # type: ignore[return-value]


@pytest.mark.acceptance("S-13")
@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_names_file_and_key(key: str, value: object) -> None:
    with pytest.raises(PlanningError) as caught:
        config_from_document(nested(key, value), source="c/p.json")
    assert f"'{key}" in str(caught.value)
    assert "c/p.json" in str(caught.value)


@pytest.mark.acceptance("S-13")
def test_nothing_written_is_the_default() -> None:
    assert config_from_document({}, source="p.json") == DEFAULT_CONFIG
    assert (DEFAULT_CONFIG.upscale.scale, DEFAULT_CONFIG.bg_remove.rembg.model) == (2, "birefnet-general")
    assert DEFAULT_CONFIG.written.is_empty


@pytest.mark.parametrize(
    ("written", "read"), [("PNG", "png"), ("jpeg", "jpg"), (" jpg ", "jpg"), ("webp", "webp")]
)
def test_formats_take_any_case_and_jpeg_is_jpg(written: str, read: str) -> None:
    document = {
        "upscale": {"format": written},
        "bg_remove": {"format": written, "openai": {"output_format": written, "background": "opaque"}},
    }
    config = config_from_document(document, source="p.json")
    assert config.upscale.format == config.bg_remove.format == config.bg_remove.openai.output_format == read


def test_the_tile_of_the_python_backend_follows_the_common_one() -> None:
    assert config_from_document({"upscale": {"tile": 64}}, source="p").upscale.python.tile == 64
    document = {"upscale": {"tile": 64, "python": {"tile": 0, "gpu_id": None}}}
    assert config_from_document(document, source="p").upscale.python.tile == 0


@pytest.mark.parametrize(
    ("bg_remove", "key"),
    [
        ({"format": "webp"}, "bg_remove.openai.output_format"),
        ({"openai": {"output_format": "webp"}}, "bg_remove.openai.output_format"),
        ({"format": "jpg", "openai": {"output_format": "jpeg"}}, "bg_remove.openai.background"),
    ],
)
def test_the_refine_pass_must_agree_with_the_format(bg_remove: dict[str, Any], key: str) -> None:
    with pytest.raises(PlanningError, match=f"'{key}'"):
        config_from_document({"bg_remove": bg_remove}, source="p.json")
    off = {**bg_remove, "openai": {**bg_remove.get("openai", {}), "enabled": False}}
    config = config_from_document({"bg_remove": off}, source="p.json")
    layers = [(APP, SettingsLayer(bg_remove=True)), (CONFIG, config.written)]
    assert not effective_plan(merge(layers), config).bg_refine_openai
    with pytest.raises(PlanningError, match=f"'{key}'"):
        effective_plan(merge([(REQUEST, SettingsLayer(bg_refine_openai=True)), *layers]), config)


@pytest.mark.acceptance("W-18")
def test_everything_wrong_and_unknown_is_found_at_once() -> None:
    findings = Findings("p.json")
    document = {
        "upscale": {"scale": 0, "tyle": 1},
        "color": {"default_profile": ""},
        "bg_remove": {"crop": 1},
    }
    read_config(document, findings)
    assert [error.key for error in findings.errors] == [
        "upscale.scale", "color.default_profile", "bg_remove.crop",
    ]  # fmt: skip
    assert "did you mean 'upscale.tile'?" in findings.warnings[0].message


def plan(config: PostprocessConfig = DEFAULT_CONFIG, **settings: Any) -> PostprocessPlan:
    return effective_plan(merge([(APP, SettingsLayer(**settings)), (CONFIG, config.written)]), config)


@pytest.mark.acceptance("S-13")
def test_settings_beat_the_file_and_the_file_beats_the_defaults() -> None:
    document = {
        "upscale": {"backend": "ncnn", "scale": 4, "format": "webp"},
        "color": {"default_profile": "cold_rain"},
        "bg_remove": {"backends": ["removebg"], "openai": {"required": False}},
    }
    config = config_from_document(document, source="p.json")
    on = {"upscale": True, "color": True, "bg_remove": True}
    made = plan(config, **on)
    assert (made.upscale_backend, made.color_profile, made.bg_remove_backends) == (
        "ncnn",
        "cold_rain",
        ("removebg",),
    )
    assert (made.bg_refine_openai, made.bg_refine_openai_required) == (True, False)
    assert (made.upscale_scale, made.upscale_format) == (4, "webp")
    over = plan(
        config, **on, upscale_backend="python", color_profile="neutral", bg_remove_backends=("rembg",)
    )
    assert (over.upscale_backend, over.color_profile, over.bg_remove_backends) == (
        "python",
        "neutral",
        ("rembg",),
    )
    assert plan(**on).upscale_backend == "python"


def test_what_is_off_hides_its_companions() -> None:
    assert plan(color_profile="cold_rain", bg_refine_openai=True) == PostprocessPlan.off()


@given(
    on=st.fixed_dictionaries({name: st.booleans() for name in ("upscale", "color", "bg_remove")}),
    refine=st.booleans(),
)
def test_a_plan_comes_back_from_what_a_run_keeps(on: dict[str, bool], refine: bool) -> None:
    made = plan(**on, bg_refine_openai=refine)
    assert PostprocessPlan.from_dicts(made.as_dict(), made.files_as_dict()) == made
