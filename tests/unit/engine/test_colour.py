import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from pipeline.engine.colour import (
    BUILTIN_PROFILES,
    ColourProfile,
    apply_profile,
    apply_profile_rgba,
    delta_on_grey,
    profile_named,
    profiles_from_document,
)
from pipeline.engine.errors import PlanningError


def clamped(value: float) -> int:
    return max(0, min(255, round(value)))


def defined_by_pillow(rgb: NDArray[np.uint8], profile: ColourProfile) -> NDArray[np.uint8]:
    """Section 4.4 of the behaviour reference, step by step."""
    image = Image.fromarray(rgb)
    if profile.autocontrast_cutoff > 0:
        image = ImageOps.autocontrast(image, cutoff=profile.autocontrast_cutoff)
    for enhancer, factor in (
        (ImageEnhance.Brightness, profile.brightness),
        (ImageEnhance.Contrast, profile.contrast),
        (ImageEnhance.Color, profile.saturation),
        (ImageEnhance.Sharpness, profile.sharpness),
    ):
        if factor != 1:
            image = enhancer(image).enhance(factor)
    if profile.gamma > 0 and profile.gamma != 1:
        image = image.point([clamped(255 * (level / 255) ** (1 / profile.gamma)) for level in range(256)] * 3)
    multipliers = (profile.red_multiplier, profile.green_multiplier, profile.blue_multiplier)
    if any(factor != 1 for factor in multipliers):
        table = [clamped(level * factor) for factor in multipliers for level in range(256)]
        image = image.point(table)
    return np.asarray(image)


def picture(seed: int, *, blur: float, height: int = 80, width: int = 72) -> NDArray[np.uint8]:
    """Noise, or soft shapes over the whole range of levels."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if not blur:
        return noise
    soft = cv2.GaussianBlur(noise, (0, 0), blur)
    return np.asarray(cv2.normalize(soft, soft.copy(), 0, 255, cv2.NORM_MINMAX), np.uint8)


def check_bounds(rgb: NDArray[np.uint8], profile: ColourProfile) -> None:
    wanted = defined_by_pillow(rgb, profile).astype(int)
    off = np.abs(apply_profile(rgb, profile).astype(int) - wanted)
    assert off.max() <= 4
    assert off.mean() <= 0.15
    assert np.mean(off > 2) <= 0.001


@pytest.mark.parametrize(
    ("name", "grey", "brown"),
    [
        ("neutral", (128, 128, 128), (201, 99, 48)),
        ("cinematic_warm", (133, 128, 123), (219, 95, 34)),
        ("cold_rain", (121, 125, 131), (191, 96, 47)),
    ],
)
def test_the_checked_figures(name: str, grey: tuple[int, ...], brown: tuple[int, ...]) -> None:
    for before, after in (((128, 128, 128), grey), ((200, 100, 50), brown)):
        image = np.full((4, 4, 3), before, np.uint8)
        corrected = apply_profile(image, BUILTIN_PROFILES[name])
        assert np.array_equal(corrected, np.full((4, 4, 3), after, np.uint8))


@pytest.mark.parametrize("name", BUILTIN_PROFILES)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), blur=st.sampled_from([0, 1, 4, 12]))
def test_builtin_profiles_keep_to_pillow(name: str, seed: int, blur: float) -> None:
    check_bounds(picture(seed, blur=blur), BUILTIN_PROFILES[name])


factors = st.sampled_from([1.0, 0.0, 0.5, 0.9, 1.05, 1.3])


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    profile=st.builds(
        ColourProfile,
        brightness=factors,
        contrast=factors,
        saturation=factors,
        sharpness=factors,
        gamma=st.sampled_from([1.0, 0.0, 0.8, 1.2]),
        autocontrast_cutoff=st.sampled_from([0.0, 0.0, 2.0]),
        red_multiplier=factors,
        blue_multiplier=factors,
    ),
)
def test_custom_profiles_keep_to_pillow(seed: int, profile: ColourProfile) -> None:
    check_bounds(picture(seed, blur=2), profile)


@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    name=st.sampled_from(sorted(BUILTIN_PROFILES)),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_plain_areas_are_off_by_two_at_most(
    colour: tuple[int, ...], name: str, height: int, width: int
) -> None:
    rgb = np.full((height, width, 3), colour, np.uint8)
    profile = BUILTIN_PROFILES[name]
    off = apply_profile(rgb, profile).astype(int) - defined_by_pillow(rgb, profile)
    assert np.abs(off).max() <= 2


def test_a_profile_of_ones_copies_the_image() -> None:
    rgb = picture(3, blur=0)
    before = rgb.copy()
    same = apply_profile(rgb, ColourProfile())
    same[:] = 0
    assert np.array_equal(rgb, before)


def test_the_image_given_is_not_changed_and_views_work() -> None:
    rgb = picture(4, blur=0)
    before = rgb.copy()
    view = apply_profile(rgb[::-1, ::2], BUILTIN_PROFILES["cold_rain"])
    assert np.array_equal(view, apply_profile(rgb[::-1, ::2].copy(), BUILTIN_PROFILES["cold_rain"]))
    assert np.array_equal(rgb, before)


@pytest.mark.acceptance("W-11")
def test_alpha_comes_through() -> None:
    rgb = picture(5, blur=0)
    alpha = picture(6, blur=0)[..., 0]
    profile = BUILTIN_PROFILES["cinematic_warm"]
    corrected = apply_profile_rgba(np.dstack((rgb, alpha)), profile)
    assert np.array_equal(corrected[..., 3], alpha)
    assert np.array_equal(corrected[..., :3], apply_profile(rgb, profile))


@pytest.mark.acceptance("W-12")
def test_two_builtin_profiles_take_grey_over_the_default_limit() -> None:
    deltas = {name: round(delta_on_grey(profile), 4) for name, profile in BUILTIN_PROFILES.items()}
    assert deltas == {"neutral": 0, "cinematic_warm": 6.6667, "cold_rain": 6.6667}


def test_a_settings_file_replaces_and_warns() -> None:
    document = {"default_profile": "x", "profiles": {"dusk": {"gamma": 2, "glow": 1}, "plain": {}}}
    read = profiles_from_document(document, source="c.json")
    assert dict(read.profiles) == {"dusk": ColourProfile(gamma=2.0), "plain": ColourProfile()}
    assert read.warnings == ("'profiles.dusk.glow' in c.json is unknown and ignored",)
    assert profile_named("dusk", read.profiles) == ColourProfile(gamma=2.0)
    with pytest.raises(PlanningError, match=r"'neutral' is unknown; use dusk, plain"):
        profile_named("neutral", read.profiles)
    assert profile_named("neutral") == ColourProfile(contrast=1.02)


@pytest.mark.parametrize("document", [None, [], {}, {"profiles": []}, {"profiles": None}])
def test_a_file_without_profiles_is_refused(document: object) -> None:
    with pytest.raises(PlanningError, match=r"c\.json"):
        profiles_from_document(document, source="c.json")


@pytest.mark.parametrize("value", ["1", None, True, [], math.nan, math.inf, 10**400])
def test_a_value_that_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(PlanningError, match=r"'profiles\.dusk\.gamma' in c\.json"):
        profiles_from_document({"profiles": {"dusk": {"gamma": value}}}, source="c.json")
    with pytest.raises(PlanningError, match=r"'profiles\.dusk' in c\.json"):
        profiles_from_document({"profiles": {"dusk": value}}, source="c.json")


def test_the_picture_that_was_given_is_left_alone_and_never_given_back() -> None:
    given = np.random.default_rng(5).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    before = given.copy()
    for profile in (ColourProfile(), ColourProfile(brightness=1.2), ColourProfile(sharpness=1.5, gamma=1.2)):
        result = apply_profile(given, profile)
        assert not np.shares_memory(result, given)
        assert np.array_equal(given, before)
