import hashlib
import itertools
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.providers.base import GenerateRequest, ProviderRefused
from pipeline.providers.images import probe_image, read_image
from pipeline.providers.local.measure import DEFAULT_TRAITS, measure, mix
from pipeline.providers.local.provider import CLASSICAL, LocalProvider
from pipeline.providers.local.render import WORKING_SIDE, draw_recipe
from tests.unit.providers import drawings

NO_MODELS = Path("no-models")  # the classical look needs none
SEEDS = (1, 2, 3, 2**64 - 1)


def request(
    images: tuple[Path, ...],
    *,
    seed: int = 1,
    stage: str = "style",
    time: str = "day",
    weather: str = "clear",
) -> GenerateRequest:
    return GenerateRequest("ignored", images, seed=seed, stage=stage, time=time, weather=weather)


def picture(*images: Path, **options: Any) -> np.ndarray:
    return drawings.levels(read_image(LocalProvider(NO_MODELS).generate(request(images, **options)).data))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def test_result_is_a_free_rgb_png_of_the_scene_s_size(files: dict[str, Path]) -> None:
    result = LocalProvider(NO_MODELS).generate(request((files["street"], files["flat"])))
    info = probe_image(result.data)
    assert (info.format, info.width, info.height, info.has_alpha) == ("PNG", 240, 320, False)
    assert (result.mime_type, result.extension, result.size) == ("image/png", "png", "240x320")
    assert (result.cost_usd, result.model) == (Decimal(0), CLASSICAL)


@pytest.mark.parametrize("styles", [(), ("flat",), ("hatched",), ("flat", "hatched")])
def test_candidates_differ_visibly(files: dict[str, Path], styles: tuple[str, ...]) -> None:
    references = [files[name] for name in styles]
    made = [picture(files["street"], *references, seed=seed) for seed in SEEDS]
    differences = [difference(one, other) for one, other in itertools.combinations(made, 2)]
    assert min(differences) >= 6


def test_styles_differ_more_than_candidates_do(files: dict[str, Path]) -> None:
    made = {name: picture(files["street"], files[name]) for name in ("flat", "hatched")}
    plain = picture(files["street"])
    assert difference(made["flat"], made["hatched"]) >= 20
    assert difference(made["flat"], plain) >= 10
    assert difference(made["hatched"], plain) >= 10


def test_style_is_more_than_its_palette(files: dict[str, Path], tmp_path: Path) -> None:
    """The same reference with its strokes smeared: as much black and white, but no ink."""
    soft = Image.open(files["hatched"]).resize((40, 40), Image.Resampling.BOX).resize((320, 320))
    washed = drawings.saved(tmp_path, "washed.png", soft)
    by_ink, by_wash = picture(files["street"], files["hatched"]), picture(files["street"], washed)
    assert difference(by_ink, by_wash) >= 10
    # Strokes are steep: the neighbour of a pixel is much further off.
    assert np.abs(np.diff(by_ink, axis=1)).mean() > 2 * np.abs(np.diff(by_wash, axis=1)).mean()


def test_black_and_white_references_give_black_and_white(files: dict[str, Path]) -> None:
    moods: tuple[dict[str, str], ...] = ({}, {"stage": "weather", "time": "night", "weather": "rain"})
    for mood in moods:
        made = picture(files["street"], files["hatched"], **mood)
        assert (made.max(axis=2) - made.min(axis=2)).max() <= 2
    assert (picture(files["street"], files["hatched"]) > 235).mean() > 0.2


def test_the_palette_follows_the_reference(files: dict[str, Path], tmp_path: Path) -> None:
    green = drawings.saved(
        tmp_path, "green.png", Image.merge("RGB", [*drawings.flat().split()[1:], drawings.flat().split()[0]])
    )
    warm, other = picture(files["street"], files["flat"]), picture(files["street"], green)
    assert difference(warm, other) >= 10
    assert warm[..., 0].mean() - warm[..., 2].mean() > other[..., 0].mean() - other[..., 2].mean() + 10


def test_style_stage_ignores_time_and_weather(files: dict[str, Path]) -> None:
    images = (files["street"], files["flat"])
    plain = LocalProvider(NO_MODELS).generate(request(images))
    stormy = LocalProvider(NO_MODELS).generate(request(images, time="night", weather="rain"))
    assert plain.data == stormy.data


def test_time_stage_ignores_weather_and_clear_adds_nothing(files: dict[str, Path]) -> None:
    images = (files["street"], files["flat"])
    by_time = LocalProvider(NO_MODELS).generate(request(images, stage="time", time="night", weather="rain"))
    by_weather = LocalProvider(NO_MODELS).generate(request(images, stage="weather", time="night"))
    assert by_time.data == by_weather.data


@pytest.mark.parametrize("styles", [(), ("flat",)])
def test_night_is_darker_and_bluer_than_day(files: dict[str, Path], styles: tuple[str, ...]) -> None:
    images = (files["street"], *(files[name] for name in styles))
    plain = picture(*images)
    day, night = (picture(*images, stage="time", time=time) for time in ("day", "night"))
    assert difference(plain, day) >= 6
    assert night.mean() < 0.6 * day.mean()
    blueness = [made[..., 2].mean() / made[..., 0].mean() for made in (day, night)]
    assert blueness[1] > 1.1 > blueness[0] - 0.2
    assert blueness[1] > blueness[0] + 0.1


def test_lit_windows_shine_at_night(files: dict[str, Path]) -> None:
    night = picture(files["street"], stage="time", time="night")
    scene = drawings.levels(drawings.street())
    window = (scene[..., 0] > 250) & (scene[..., 2] < 150)
    assert night[window].mean() > 1.8 * night.mean()
    assert night[window][:, 0].mean() > night[window][:, 2].mean() + 40


@pytest.mark.parametrize("time", ["day", "night"])
def test_rain_falls_in_steep_streaks(files: dict[str, Path], time: str) -> None:
    images = (files["street"], files["flat"])
    dry, wet = (picture(*images, stage="weather", time=time, weather=sky) for sky in ("clear", "rain"))
    assert difference(dry, wet) >= 10
    chroma = [np.ptp(made, axis=2).mean() for made in (dry, wet)]
    assert chroma[1] < 0.9 * chroma[0]
    # Many thin streaks: the sky, nearly even before, changes from pixel to pixel across them.
    across = [np.abs(np.diff(made[5:50], axis=1)).mean() for made in (dry, wet)]
    along = np.abs(np.diff(wet[5:50], axis=0)).mean()
    assert across[1] > 1.5 * across[0]
    assert across[1] > 1.3 * along


CHILD = """
import hashlib, sys
from pathlib import Path
import cv2, django
django.setup()
from pipeline.providers.base import GenerateRequest
from pipeline.providers.local.provider import LocalProvider
cv2.setNumThreads(int(sys.argv[1]))
images = tuple(Path(name) for name in sys.argv[2:])
request = GenerateRequest("", images, seed=9, stage="weather", time="night", weather="rain")
print(hashlib.sha256(LocalProvider(Path("no-models")).generate(request).data).hexdigest())
"""


def test_same_bytes_in_other_processes_and_for_any_number_of_threads(
    files: dict[str, Path], tmp_path: Path
) -> None:
    big = drawings.saved(tmp_path, "big.png", drawings.street().resize((600, 800)))
    images = (big, files["flat"], files["hatched"])
    asked = request(images, seed=9, stage="weather", time="night", weather="rain")
    data = LocalProvider(NO_MODELS).generate(asked).data
    hashes = {hashlib.sha256(data).hexdigest()}
    for threads in ("1", "2"):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, threads, *map(str, images)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": threads, "OMP_NUM_THREADS": threads},
        )
        hashes.add(child.stdout.strip())
    assert len(hashes) == 1


def test_global_random_state_is_neither_read_nor_changed(files: dict[str, Path]) -> None:
    image = picture(files["street"], files["flat"])
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    cv2.setRNGSeed(5)
    assert np.array_equal(picture(files["street"], files["flat"]), image)
    assert np.random.random() == expected


def test_large_scenes_are_reduced_and_keep_their_shape(tmp_path: Path, files: dict[str, Path]) -> None:
    wide = drawings.saved(tmp_path, "wide.jpg", drawings.street().resize((3072, 384)))
    result = LocalProvider(NO_MODELS).generate(request((wide, files["flat"])))
    assert result.size == f"{WORKING_SIDE}x192"


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (200, 2), (16, 16)])
def test_tiny_scenes_and_references_are_drawn_too(tmp_path: Path, size: tuple[int, int]) -> None:
    tiny = drawings.saved(tmp_path, "tiny.png", drawings.street().resize(size))
    asked = request((tiny, tiny), stage="weather", time="night", weather="rain")
    made = LocalProvider(NO_MODELS).generate(asked)
    assert made.size == f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_blank_scenes_and_references_are_drawn_too(tmp_path: Path, colour: str) -> None:
    blank = drawings.saved(tmp_path, "blank.png", Image.new("RGB", (64, 64), colour))
    made = picture(blank, blank, stage="weather", time="day", weather="rain")
    assert made.shape == (64, 64, 3)


def test_a_file_that_is_gone_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ProviderRefused, match=r"^gone\.png is missing") as caught:
        LocalProvider(NO_MODELS).generate(request((files["street"], tmp_path / "gone.png")))
    assert (caught.value.code, caught.value.retryable) == ("input_missing", False)
    with pytest.raises(ProviderRefused, match="needs a scene") as caught:
        LocalProvider(NO_MODELS).generate(request(()))
    assert caught.value.code == "input_missing"


def test_a_file_that_is_no_image_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ProviderRefused, match=r"^broken\.png is damaged") as caught:
        LocalProvider(NO_MODELS).generate(request((files["street"], broken)))
    assert caught.value.code == "input_unreadable"


def test_traits_tell_ink_from_flat_colour() -> None:
    ink = measure(np.asarray(drawings.hatched())).traits
    flat = measure(np.asarray(drawings.flat())).traits
    assert ink.hatch_share > 0.3
    assert flat.hatch_share < 0.05
    assert 35 <= ink.hatch_angle <= 55
    assert ink.chroma < 2
    assert flat.chroma > 30
    assert flat.line_width > 2 / 320
    assert flat.flatness > 0.8


def test_traits_do_not_depend_on_the_size_of_the_reference() -> None:
    small = measure(np.asarray(drawings.flat().resize((640, 480)))).traits
    large = measure(np.asarray(drawings.flat().resize((1280, 960)))).traits
    assert small.line_width == pytest.approx(large.line_width, rel=0.25)
    assert small.line_share == pytest.approx(large.line_share, rel=0.35)


def test_mixed_traits_lie_between() -> None:
    ink = measure(np.asarray(drawings.hatched())).traits
    flat = measure(np.asarray(drawings.flat())).traits
    both = mix([ink, flat], [0.25, 0.75])
    assert both.chroma == pytest.approx(0.25 * ink.chroma + 0.75 * flat.chroma)
    assert both.hatch_angle == flat.hatch_angle


def test_recipe_depends_on_seed_alone() -> None:
    assert draw_recipe([DEFAULT_TRAITS], 7) == draw_recipe([DEFAULT_TRAITS], 7)
    assert draw_recipe([DEFAULT_TRAITS], 7) != draw_recipe([DEFAULT_TRAITS], 8)
    recipe, _ = draw_recipe([DEFAULT_TRAITS] * 3, 7)
    assert sum(recipe.weights) == pytest.approx(1)
