import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageStat

from pipeline.engine.guard import chroma_delta, inspect_path, inspect_pixels, rounded
from pipeline.engine.manifest import GuardSettings

SOFT = GuardSettings(True, False, 2.0, False)


def noise(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def uniform(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    return np.full((3, 2, 3), (red, green, blue), np.uint8)


def defined_by_pillow(image: Image.Image) -> float:
    red, green, blue = image.convert("RGB").split()
    pairs = ((red, green), (red, blue), (green, blue))
    return sum(ImageStat.Stat(ImageChops.difference(*pair)).mean[0] for pair in pairs) / 3


@given(seed=st.integers(0, 2**32), height=st.integers(1, 40), width=st.integers(1, 40))
def test_delta_is_that_of_pillow(seed: int, height: int, width: int) -> None:
    rgb = noise(seed, height, width)
    assert chroma_delta(rgb) == pytest.approx(defined_by_pillow(Image.fromarray(rgb)), abs=1e-6)


def test_delta_of_views_and_of_the_extremes() -> None:
    rgb = noise(1, 30, 20)
    assert chroma_delta(rgb[::-1, ::2]) == chroma_delta(rgb[::-1, ::2].copy())
    assert chroma_delta(uniform(90, 90, 90)) == 0
    assert chroma_delta(np.full((3000, 2000, 3), (255, 0, 0), np.uint8)) == 170


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_delta_refuses_other_shapes(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="height, width, 3"):
        chroma_delta(wrong)


@pytest.mark.acceptance("X-06")
@pytest.mark.parametrize(
    ("enforce", "fail", "hard", "soft"),
    [
        (False, False, [], ["chroma_exceeds_threshold"]),
        (True, False, ["not_grayscale_like"], ["chroma_exceeds_threshold"]),
        (False, True, ["chroma_exceeds_threshold"], []),
        (True, True, ["not_grayscale_like", "chroma_exceeds_threshold"], []),
    ],
)
def test_what_exceeds_is_hard_or_soft(enforce: bool, fail: bool, hard: list[str], soft: list[str]) -> None:
    settings = GuardSettings(True, enforce, 2.0, fail)
    report = inspect_pixels(uniform(104, 100, 100), file="a.png", settings=settings)
    assert report.as_dict() == {
        "input": "a.png",
        "settings": {"max_chroma_delta": 2.0, "enforce_grayscale": enforce, "fail_on_chroma_exceed": fail},
        "summary": {"total_files": 1, "hard_failures": int(bool(hard)), "soft_warnings": int(bool(soft))},
        "files": [
            {
                "file": "a.png",
                "chroma_delta": 2.6667,
                "grayscale_like": False,
                "hard_fail_reasons": hard,
                "soft_warnings": soft,
            }
        ],
    }


def test_equal_to_the_threshold_passes_and_a_negative_one_counts_as_zero() -> None:
    settings = GuardSettings(True, True, 2.0, True)
    (file,) = inspect_pixels(uniform(103, 100, 100), file="a.png", settings=settings).files
    assert (file.chroma_delta, file.grayscale_like, file.hard_fail_reasons) == (2.0, True, ())
    negative = replace(settings, max_chroma_delta=-1.0)
    assert inspect_pixels(uniform(5, 5, 5), file="a.png", settings=negative).hard_failures == 0


def test_the_unrounded_delta_is_compared() -> None:
    rgb = np.full((200, 200, 3), 100, np.uint8)
    rgb[..., 0] = 103
    rgb[0, 0, 0] = 104
    (file,) = inspect_pixels(rgb, file="a.png", settings=SOFT).files
    assert file.chroma_delta == 2.0
    assert file.soft_warnings == ("chroma_exceeds_threshold",)


def test_a_folder_is_judged_in_order_and_a_broken_file_is_a_hard_failure(tmp_path: Path) -> None:
    Image.fromarray(uniform(104, 100, 100)).save(tmp_path / "b.png")
    Image.new("L", (3, 3), 40).save(tmp_path / "a.png")
    (tmp_path / "c.jpg").write_bytes(b"no image")
    (tmp_path / "d.txt").write_bytes(b"notes")
    report = inspect_path(tmp_path, settings=SOFT)
    assert [Path(file.file).name for file in report.files] == ["a.png", "b.png", "c.jpg"]
    assert report.summary() == {"total_files": 3, "hard_failures": 1, "soft_warnings": 1}
    broken = report.files[2].as_dict()
    assert broken["hard_fail_reasons"] == ["image_read_failed"]
    assert (broken["chroma_delta"], broken["grayscale_like"]) == (None, None)
    assert "cannot identify" in str(broken["error"])


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "input_not_found"), ("", "no_images_found")])
def test_nothing_to_look_at_is_a_pseudo_entry(tmp_path: Path, name: str, reason: str) -> None:
    report = inspect_path(tmp_path / name, settings=SOFT)
    assert report.summary() == {"total_files": 0, "hard_failures": 1, "soft_warnings": 0}
    assert [file.hard_fail_reasons for file in report.files] == [(reason,)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_image_is_read_as_pillow_converts_it(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(3, 8, 8))
    image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    path = tmp_path / "a.tif"
    image.save(path)
    (file,) = inspect_path(path, settings=SOFT).files
    assert file.chroma_delta == pytest.approx(defined_by_pillow(image), abs=1e-4)


def test_the_hidden_colour_of_clear_pixels_counts(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert inspect_path(tmp_path / "a.png", settings=SOFT).files[0].chroma_delta == 170


# No deadline: a damaged header may claim a picture that takes a moment to unpack.
@settings(deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "BMP"]),
    cut=st.integers(8, 400),
    damage=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_file_never_breaks_the_guard(kind: str, cut: int, damage: list[tuple[int, int]]) -> None:
    buffer = BytesIO()
    Image.fromarray(noise(5, 9, 9)).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    for position, value in damage:
        data[position % len(data)] = value
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "a.png")
        path.write_bytes(data[:cut])
        (file,) = inspect_path(path, settings=SOFT).files
    assert (file.chroma_delta is None) == (file.hard_fail_reasons == ("image_read_failed",))


@pytest.mark.acceptance("X-06")
@pytest.mark.parametrize(
    ("value", "wanted"), [(0.00005, 0.0001), (2.00003, 2.0), (-0.00005, -0.0001), (6.66666, 6.6667), (0, 0)]
)
def test_rounding_is_half_away_from_zero(value: float, wanted: float) -> None:
    assert rounded(value) == wanted


@pytest.mark.acceptance("W-13")
def test_the_hidden_colour_of_clear_pixels_does_not_count_where_the_manifest_ignores_it(
    tmp_path: Path,
) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (255, 0, 0, 0)  # clear, and red underneath
    pixels[2:] = (90, 90, 90, 255)
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    seeing = replace(SOFT, ignore_transparent=True)
    for report in (
        inspect_pixels(pixels, file="cut.png", settings=seeing),
        inspect_path(tmp_path / "cut.png", settings=seeing),
    ):
        assert report.files[0].chroma_delta == 0
    assert inspect_path(tmp_path / "cut.png", settings=SOFT).files[0].chroma_delta == 85
    pixels[3] = (255, 0, 0, 3)  # hardly to be seen, and seen all the same
    report = inspect_pixels(pixels, file="cut.png", settings=seeing)
    assert report.files[0].chroma_delta == 85
    pixels[..., 3] = 0
    assert inspect_pixels(pixels, file="cut.png", settings=seeing).files[0].chroma_delta == 0


def test_what_is_hidden_is_no_sign() -> None:
    pixels = np.full((64, 64, 4), (250, 250, 250, 255), np.uint8)
    pixels[:, ::2] = (0, 0, 0, 0)
    blank = replace(SOFT, ignore_transparent=True, signals=("blank",))
    assert inspect_pixels(pixels, file="x", settings=blank).files[0].hard_fail_reasons == ("blank",)
