"""Pixels to files and back, and the two tools that every machine has."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.engine.colour import BUILTIN_PROFILES, ColourProfile, apply_profile
from pipeline.engine.postprocess_config import DEFAULT_CONFIG
from pipeline.tools import registry
from pipeline.tools.base import ToolFailed
from pipeline.tools.colour import ColourTool
from pipeline.tools.pillow_upscale import PillowUpscaler
from pipeline.tools.pixels import decoded, encoded, small_webp
from tests.fakes import cleared


def noise(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]), st.integers(0, 99))
def test_png_gives_back_the_very_pixels(height: int, width: int, channels: int, seed: int) -> None:
    pixels = noise(height, width, channels, seed)
    assert np.array_equal(decoded(encoded(pixels, "png"), name="a"), pixels)


def test_jpeg_lays_clear_parts_on_white_and_webp_keeps_them_clear() -> None:
    pixels = cleared(np.zeros((32, 32, 3), np.uint8))
    jpeg = decoded(encoded(pixels, "jpg"), name="a")
    assert jpeg.shape[2] == 3
    assert jpeg[:, :8].min() > 250
    assert jpeg[:, -8:].max() < 8
    webp = decoded(encoded(pixels, "webp"), name="a")
    assert (webp[:, :16, 3].max(), webp[:, 16:, 3].min()) == (0, 255)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("size", "small"), [((1152, 768), (341, 512)), ((40, 30), (30, 40))])
def test_the_small_picture_is_never_enlarged(
    channels: int, size: tuple[int, int], small: tuple[int, int]
) -> None:
    with Image.open(io.BytesIO(small_webp(noise(*size, channels)))) as image:
        assert image.size == small


def test_the_upscaler_enlarges_alpha_too_and_leaves_its_input_alone() -> None:
    pixels = cleared(noise(20, 30, 3))
    before = pixels.copy()
    tool = PillowUpscaler(3)
    large = tool.apply(pixels)
    assert large.shape == (60, 90, 4)
    assert (large[:, :36, 3].max(), large[:, 54:, 3].min()) == (0, 255)
    assert np.array_equal(pixels, before)
    assert tool.parameters() == {"model": "lanczos", "scale": 3}


def test_a_picture_that_nothing_could_read_again_is_not_made() -> None:
    with pytest.raises(ToolFailed, match=r"choose a smaller 'upscale.scale'"):
        PillowUpscaler(255).apply(noise(64, 64, 3))


@pytest.mark.parametrize("name", BUILTIN_PROFILES)
def test_the_colour_step_is_the_profile_and_keeps_alpha(name: str) -> None:
    pixels = cleared(noise(24, 24, 3))
    tool = ColourTool(name, BUILTIN_PROFILES[name])
    toned = tool.apply(pixels)
    assert np.array_equal(toned[..., 3], pixels[..., 3])
    assert np.array_equal(toned[..., :3], apply_profile(pixels[..., :3], BUILTIN_PROFILES[name]))
    assert tool.apply(pixels[..., :3]).shape == (24, 24, 3)


def test_the_registry_knows_what_every_machine_has() -> None:
    assert registry.upscaler("pillow", DEFAULT_CONFIG).code == "pillow"
    assert registry.colourer("ink", ColourProfile(gamma=2)).parameters()["gamma"] == 2
    with pytest.raises(registry.ToolUnknown):
        registry.upscaler("gimp", DEFAULT_CONFIG)
