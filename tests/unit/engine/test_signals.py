"""Signs of broken pictures, on drawings whose fault is known."""

import cv2
import numpy as np
import pytest

from pipeline.engine.errors import PlanningError
from pipeline.engine.guard import inspect_pixels
from pipeline.engine.manifest import DEFAULT_MANIFEST, GuardSettings, manifest_from_document
from pipeline.engine.signals import (
    BLANK,
    BLOCKY,
    BLURRED,
    NOISY,
    PIXEL_SIGNS,
    SHAPE,
    SIGNS,
    SMALL,
    TEXT,
    Expected,
    Word,
    signals_of,
    signs_told,
)
from tests.unit.tools.drawings import DAY, NIGHT, Array, figure, panel

PICTURES = {"day": figure(DAY)[0], "night": figure(NIGHT)[0], "panel": panel(960, 1280), "small": panel()}


def flagged(picture: Array) -> set[str]:
    return {signal.code for signal in signals_of(picture, SIGNS) if signal.is_flagged}


def noisy(picture: Array, deviation: float) -> Array:
    grain = np.random.default_rng(1).normal(0, deviation, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def shaded() -> Array:
    """Soft shading as of watercolour, in which blocks show."""
    y, x = np.mgrid[0:512, 0:640]
    light = 128 + 60 * np.sin(x / 37) * np.cos(y / 53) + 6 * np.sin(x / 3.1 + y / 2.3)
    return np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def compressed(picture: Array, quality: int) -> Array:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))


@pytest.mark.parametrize("name", PICTURES)
def test_a_sound_drawing_has_no_sign(name: str) -> None:
    assert flagged(PICTURES[name]) == set()


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("radius", [3, 6])
def test_a_blurred_one_is_told(name: str, radius: float) -> None:
    assert flagged(np.asarray(cv2.GaussianBlur(PICTURES[name], (0, 0), radius))) == {BLURRED}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("deviation", [6, 12])
def test_a_noisy_one_is_told_with_a_place_in_it(name: str, deviation: float) -> None:
    picture = noisy(PICTURES[name], deviation)
    assert flagged(picture) == {NOISY}
    (signal,) = signals_of(picture, [NOISY])
    left, top, width, height = signal.box or (-1, -1, -1, -1)
    assert 0 <= left < left + width <= picture.shape[1]
    assert 0 <= top < top + height <= picture.shape[0]


def test_the_place_is_where_the_noise_is() -> None:
    picture = noisy(PICTURES["day"], 6)
    picture[640:704, 320:384] = noisy(picture, 60)[640:704, 320:384]
    (signal,) = signals_of(picture, [NOISY])
    left, top, width, height = signal.box or (0, 0, 0, 0)
    assert left < 384
    assert top < 704
    assert left + width > 320
    assert top + height > 640


def test_blocks_are_told_in_shaded_pictures() -> None:
    assert flagged(shaded()) <= {BLURRED}
    assert BLOCKY not in flagged(compressed(shaded(), 95))
    assert BLOCKY in flagged(compressed(shaded(), 10))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_tone_is_blank(level: int) -> None:
    blank = np.full((300, 200, 3), level, np.uint8)
    assert flagged(blank) == {BLANK}
    blank[0, 0] = 255 - level if level != 128 else 0
    assert flagged(noisy(blank, 1)) == {BLANK}


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (9, 9, 3)])
def test_any_shape_is_looked_at(shape: tuple[int, int, int]) -> None:
    assert len(signals_of(np.zeros(shape, np.uint8), SIGNS)) == len(PIXEL_SIGNS)


@pytest.mark.acceptance("W-14")
def test_only_what_is_asked_for_is_looked_for_and_changes_the_verdict() -> None:
    blurred = np.asarray(cv2.GaussianBlur(PICTURES["day"], (0, 0), 6))
    plain = GuardSettings(True, False, 255, False)
    (file,) = inspect_pixels(blurred, file="a.png", settings=plain).files
    assert (file.signals, file.soft_warnings) == ((), ())
    assert "signals" not in file.as_dict()
    asked = GuardSettings(True, False, 255, False, signals=(BLURRED, BLANK))
    (file,) = inspect_pixels(blurred, file="a.png", settings=asked).files
    assert (file.hard_fail_reasons, file.soft_warnings) == ((), (BLURRED,))
    assert file.as_dict()["signals"][0] == {
        "code": BLURRED, "value": pytest.approx(0.92, abs=0.05), "threshold": 0.72, "flagged": True,
        "box": None,
    }  # fmt: skip
    (file,) = inspect_pixels(np.full_like(blurred, 9), file="a.png", settings=asked).files
    assert file.hard_fail_reasons == (BLANK,)


def test_a_manifest_names_the_signs_and_its_record_does() -> None:
    assert DEFAULT_MANIFEST.guard.signals == ()
    assert "signals" not in DEFAULT_MANIFEST.guard.as_dict()
    guard = manifest_from_document({"output_guard": {"signals": ["noisy", "BLANK"]}}, source="m").guard
    assert guard.signals == (NOISY, BLANK)
    assert GuardSettings(**guard.as_dict()) == guard
    with pytest.raises(PlanningError, match=r"output_guard.signals\[0\]"):
        manifest_from_document({"output_guard": {"signals": ["ugly"]}}, source="m")


def test_a_short_side_below_the_least_one_is_told() -> None:
    picture = np.zeros((600, 511, 3), np.uint8)
    (signal,) = signals_of(picture, [SMALL], Expected(min_side=512))
    assert (signal.is_flagged, signal.value, signal.threshold) == (True, 511, 512)
    assert not signals_of(picture, [SMALL], Expected(min_side=511))[0].is_flagged
    assert signals_of(picture, [SMALL]) == ()


@pytest.mark.parametrize(
    ("size", "flagged"),
    [
        ((768, 1152), False),
        ((384, 576), False),
        ((767, 1152), False),
        ((1152, 768), True),
        ((700, 1152), True),
    ],
)
def test_other_proportions_than_those_of_the_scene_are_told(size: tuple[int, int], flagged: bool) -> None:
    (signal,) = signals_of(np.zeros((1152, 768, 3), np.uint8), [SHAPE], Expected(size=size))
    assert signal.is_flagged == flagged
    assert not signal.is_hard


@pytest.mark.parametrize(
    ("words", "value", "flagged", "hard"),
    [
        ([], 0, False, False),
        ([("ab", 1.0)], 0, False, False),  # two letters are hatching as often as not
        ([("- - - -", 1.0)], 0, False, False),
        ([("Saltmarsh", 0.69)], 0.69, False, False),
        ([("Saltmarsh", 0.7)], 0.7, True, False),
        ([("ink", 0.75), ("Saltmarsh", 0.9)], 0.9, True, True),
    ],
)
def test_lettering_counts_by_its_certainty(
    words: list[tuple[str, float]], value: float, flagged: bool, hard: bool
) -> None:
    found = [Word(text, certainty, (1, 2, 3, 4)) for text, certainty in words]
    (signal,) = signals_of(PICTURES["small"], [TEXT], Expected(read=lambda rgb: found))
    assert (signal.value, signal.is_flagged, signal.is_hard) == (value, flagged, hard)
    assert signal.box == ((1, 2, 3, 4) if value else None)


def test_nothing_is_read_where_nobody_reads() -> None:
    assert signals_of(PICTURES["small"], [TEXT]) == ()


def test_flagged_signs_are_told_with_what_was_read() -> None:
    read = {"code": "text", "flagged": True, "evidence": "SALT"}
    files = [
        {"signals": [read, {"code": "blurred", "flagged": False}]},
        {"signals": [{"code": "small", "flagged": True}]},
    ]
    assert signs_told({"files": files}) == {
        "text": "there is lettering in the picture, “SALT”",
        "small": "the picture is too small",
    }


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"files": None},
        {"files": "x"},
        {
            "files": [
                None,
                {"signals": 3},
                {"signals": [None, {"code": []}, {"code": "other", "flagged": True}]},
            ]
        },
    ],
)
def test_signs_of_another_form_are_passed_over(block: dict[str, object]) -> None:
    assert signs_told(block) == {}
