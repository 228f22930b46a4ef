"""Every name of a tool leads to it, with the configured values."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from pipeline.engine.colour import BUILTIN_PROFILES
from pipeline.engine.postprocess_config import DEFAULT_CONFIG, config_from_document
from pipeline.engine.settings import BG_BACKENDS, UPSCALE_BACKENDS
from pipeline.providers.base import NO_ACCESS
from pipeline.tools.registry import ToolUnknown, background_remover, colourer, refiner, upscaler


@pytest.mark.parametrize("code", BG_BACKENDS)
def test_every_configurable_background_remover_is_there(code: str) -> None:
    assert background_remover(code, DEFAULT_CONFIG, NO_ACCESS).code == code


@pytest.mark.parametrize("code", UPSCALE_BACKENDS)
def test_every_configurable_upscaler_is_there(code: str) -> None:
    assert upscaler(code, DEFAULT_CONFIG).code == code


def test_the_refiner_and_the_colour_step_are_there() -> None:
    assert refiner(DEFAULT_CONFIG, NO_ACCESS).code == "openai"
    assert colourer("neutral", BUILTIN_PROFILES["neutral"]).code == "neutral"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ToolUnknown, match="'magic' is unknown: known are rembg, photoroom, removebg"):
        background_remover("magic", DEFAULT_CONFIG, NO_ACCESS)
    with pytest.raises(ToolUnknown, match="'magic' is unknown: known are ncnn, python, pillow"):
        upscaler("magic", DEFAULT_CONFIG)


def test_the_configured_values_arrive(settings: Settings, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path
    document = {"upscale": {"scale": 4, "tile": 96, "model_name": "waifu2x-photo"}}
    tool = upscaler("ncnn", config_from_document(document, source="the test"))
    recorded = tool.parameters()
    assert (recorded["model"], recorded["scale"], recorded["tile"]) == ("waifu2x_photo", 4, 96)
    assert str(tmp_path) in tool.missing()
