"""Upscaling by a net: sharper than interpolation, without seams, alpha kept."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.tools.base import ToolFailed
from pipeline.tools.waifu2x import ANIME, CUNET, PHOTO, Net, Waifu2x, doubled, net_named
from pipeline.tools.weights import WEIGHTS
from tests.photographs import NAMES, photograph
from tests.unit.tools.apart import PRINT_PEAK, run_apart
from tests.unit.tools.drawings import Array, panel

LANCZOS = Image.Resampling.LANCZOS


def psnr(one: Array, other: Array) -> float:
    """Peak signal to noise ratio in dB."""
    return float(10 * np.log10(255**2 / max(((one.astype(float) - other) ** 2).mean(), 1e-9)))


def resized(picture: Array, factor: float, how: Image.Resampling) -> Array:
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((round(width * factor), round(height * factor)), how))


@pytest.mark.parametrize("net", [ANIME, PHOTO, CUNET], ids=lambda net: net.name)
def test_a_drawing_is_at_least_2_db_nearer_than_by_lanczos(models: Path, net: Net) -> None:
    original = panel()
    small = resized(original, 0.5, Image.Resampling.BICUBIC)
    ours = Waifu2x(models, net, 2).apply(small)
    assert ours.shape == original.shape
    assert psnr(ours, original) >= psnr(resized(small, 2, LANCZOS), original) + 2


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_is_at_least_2_db_nearer_than_by_lanczos(models: Path, name: str) -> None:
    original = photograph(name)
    small = resized(original, 0.5, Image.Resampling.BICUBIC)
    ours = Waifu2x(models, PHOTO, 2).apply(small)
    assert psnr(ours, original) >= psnr(resized(small, 2, LANCZOS), original) + 2


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_every_scale_gives_its_size(models: Path, scale: int) -> None:
    small = panel()[:41, :57]
    large = Waifu2x(models, ANIME, scale).apply(small)
    assert large.shape == (41 * scale, 57 * scale, 3)
    assert psnr(resized(large, 1 / scale, Image.Resampling.BOX), small) > 30


@pytest.mark.parametrize("net", [ANIME, PHOTO], ids=lambda net: net.name)
@pytest.mark.parametrize("tile", [32, 52])
def test_tiles_leave_no_seam(models: Path, net: Net, tile: int) -> None:
    picture = panel()[:130, :150]
    whole = doubled(picture, net, models=models, tile=400).astype(int)
    assert abs(doubled(picture, net, models=models, tile=tile) - whole).max() <= 1


def test_cunet_s_tiles_differ_little(models: Path) -> None:
    """Its layers weigh the whole tile, so tiles can't be equal to the whole; they stay near it."""
    picture = panel()[:200, :220]
    whole = doubled(picture, CUNET, models=models, tile=400).astype(int)
    tiled = doubled(picture, CUNET, models=models, tile=100)
    assert (abs(tiled - whole) > 2).mean() < 0.02


def test_alpha_is_kept(models: Path) -> None:
    picture = panel()[:64, :64]
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 32:] = 255
    large = Waifu2x(models, ANIME, 2).apply(np.dstack([picture, alpha]))
    assert large.shape == (128, 128, 4)
    assert (large[..., 3] == resized(alpha, 2, LANCZOS)).all()
    assert (large[..., :3] == Waifu2x(models, ANIME, 2).apply(picture)).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 90, 3), (9, 9, 4)])
def test_the_smallest_pictures_are_doubled_too(models: Path, shape: tuple[int, int, int]) -> None:
    for net in (ANIME, CUNET):
        large = Waifu2x(models, net, 2).apply(np.full(shape, 200, np.uint8))
        assert large.shape == (2 * shape[0], 2 * shape[1], shape[2])
        assert abs(large.astype(int) - 200).max() < 12


def test_a_result_that_could_not_be_read_again_is_refused(models: Path) -> None:
    with pytest.raises(ToolFailed, match="more than the 50,000,000") as caught:
        Waifu2x(models, ANIME, 255).apply(panel())
    assert caught.value.code == "image_too_large"


def apart(models: Path, body: str) -> str:
    return run_apart(
        "import hashlib, numpy as np\nfrom pathlib import Path\nfrom PIL import Image\n"
        "from pipeline.tools.waifu2x import ANIME, Waifu2x\nfrom tests.unit.tools.drawings import panel\n"
        f"tool = Waifu2x(Path({str(models)!r}), ANIME, 2)\n{body}"
    )


def test_another_process_gives_the_same_bytes(models: Path) -> None:
    here = hashlib.sha256(Waifu2x(models, ANIME, 2).apply(panel()).tobytes()).hexdigest()
    assert apart(models, "print(hashlib.sha256(tool.apply(panel()).tobytes()).hexdigest())") == here


def test_a_large_result_needs_little_memory(models: Path) -> None:
    """One of 4000x3000, with its picture, and at most 650 MiB for all the rest."""
    body = (
        "large = np.asarray(Image.fromarray(panel()).resize((2000, 1500)))\n"
        "assert tool.apply(large).shape == (3000, 4000, 3)\n"
    )
    assert int(apart(models, body + PRINT_PEAK)) / 1024 < 9 + 35 + 650


@pytest.mark.parametrize(
    ("model_name", "net"),
    [
        ("realesrgan-x4plus", ANIME),
        ("waifu2x-anime", ANIME),
        ("waifu2x-PHOTO", PHOTO),
        ("waifu2x-cunet", CUNET),
        ("", ANIME),
    ],
)
def test_the_configured_name_chooses_the_net(model_name: str, net: Net) -> None:
    assert net_named(model_name) is net


def test_without_the_model_the_command_is_named(tmp_path: Path) -> None:
    tool = Waifu2x(tmp_path, ANIME, 2)
    assert tool.missing().endswith("`manage.py models fetch` gets it")
    with pytest.raises(ToolFailed, match=r"waifu2x_anime\.param is not in"):
        tool.apply(panel())


def test_what_is_recorded_names_net_scale_tile_and_weights() -> None:
    recorded = Waifu2x(Path("/models"), CUNET, 2, tile=50).parameters()
    assert (recorded["model"], recorded["scale"], recorded["tile"]) == ("waifu2x_cunet", 2, 52)
    hashes = {name: WEIGHTS[name].sha256 for name in ("waifu2x_cunet.param", "waifu2x_cunet.bin")}
    assert recorded["sha256"] == hashes
