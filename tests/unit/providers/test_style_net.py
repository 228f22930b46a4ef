"""The look of the local renderer that has a style network."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pipeline.providers.base import GenerateRequest, ProviderRefused
from pipeline.providers.images import read_image
from pipeline.providers.local.provider import CLASSICAL, NEURAL, LocalProvider
from pipeline.providers.local.style import FILES, StyleNet
from tests.unit.providers import drawings

pytestmark = pytest.mark.acceptance("X-13")


def request(*images: Path, seed: int = 1) -> GenerateRequest:
    return GenerateRequest("", images, seed=seed, stage="style", time="day", weather="clear")


def picture(provider: LocalProvider, asked: GenerateRequest) -> np.ndarray:
    return drawings.levels(read_image(provider.generate(asked).data))


def test_the_net_is_taken_where_its_files_are(files: dict[str, Path], models: Path, tmp_path: Path) -> None:
    with_net, without = LocalProvider(models), LocalProvider(tmp_path)
    assert (with_net.look, without.look) == (NEURAL, CLASSICAL)
    asked = request(files["street"], files["flat"])
    result = with_net.generate(asked)
    assert (result.model, result.size) == (NEURAL, "240x320")
    recipe = cast(dict[str, float], result.usage["recipe"])
    assert 0.4 < recipe["net_strength"] < 0.6
    painted, plain = picture(with_net, asked), picture(without, asked)
    assert np.abs(painted - plain).mean() > 2
    assert np.array_equal(picture(LocalProvider(models, "classical"), asked), plain)


def test_the_references_decide_and_the_seed_varies(files: dict[str, Path], models: Path) -> None:
    net = StyleNet(models)
    street, flat, hatched = (np.asarray(read_image(files[name])) for name in ("street", "flat", "hatched"))
    in_colour = net.painted(street, [flat], [1.0], 0.5)
    assert in_colour.shape == street.shape
    assert np.abs(in_colour - net.painted(street, [hatched], [1.0], 0.5)).mean() > 0.02
    # The mixed manner lies between, and with no strength it is the scene's own.
    own = net.painted(street, [flat], [1.0], 0.0)
    assert np.abs(own - street / 255).mean() < np.abs(in_colour - street / 255).mean()
    asked = request(files["street"], files["flat"])
    provider = LocalProvider(models)
    one, other = picture(provider, asked), picture(provider, replace(asked, seed=2))
    assert np.abs(one - other).mean() > 3


def test_without_a_reference_there_is_no_manner_to_paint_in(files: dict[str, Path], models: Path) -> None:
    asked = request(files["street"])
    usage = LocalProvider(models).generate(asked).usage
    assert "net_strength" not in cast(dict[str, object], usage["recipe"])
    assert np.array_equal(
        picture(LocalProvider(models), asked), picture(LocalProvider(models, "classical"), asked)
    )


CHILD = """
import hashlib, os, sys
from pathlib import Path
import django
django.setup()
from pipeline.providers.base import GenerateRequest
from pipeline.providers.local.provider import LocalProvider
models, *images = map(Path, sys.argv[1:])
request = GenerateRequest("", tuple(images), seed=9, stage="style", time="day", weather="clear")
data = LocalProvider(models, "neural").generate(request).data
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
print(hashlib.sha256(data).hexdigest(), peak)
"""


def in_another_process(models: Path, *images: Path) -> tuple[str, int]:
    """The hash of the picture and the peak memory of its process in MiB."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(models), *map(str, images)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "KROMA_DEBUG": "1"},
    )
    found, peak = child.stdout.split()
    return found, int(peak)


def test_same_seed_same_bytes_in_another_process(files: dict[str, Path], models: Path) -> None:
    images = (files["street"], files["flat"], files["hatched"])
    data = LocalProvider(models).generate(request(*images, seed=9)).data
    assert in_another_process(models, *images)[0] == hashlib.sha256(data).hexdigest()


def test_a_huge_scene_takes_bounded_memory(files: dict[str, Path], models: Path, tmp_path: Path) -> None:
    huge = drawings.saved(tmp_path, "huge.png", drawings.street().resize((4096, 4096)))
    # 535 MiB were measured; the pixels alone as floats would take 200 at full size, a net on them 3 GiB.
    assert in_another_process(models, huge, files["flat"])[1] < 900


def test_what_is_missing_is_said_with_the_command(models: Path, tmp_path: Path) -> None:
    wanting = LocalProvider(tmp_path, "neural")
    assert wanting.missing().startswith(f"The model file {FILES[0]} is not in {tmp_path}")
    assert "`manage.py models fetch` gets it" in wanting.missing()
    assert not wanting.health().ok
    assert LocalProvider(models, "neural").health().ok
    with pytest.raises(ProviderRefused, match="models fetch"):
        wanting.generate(request(tmp_path / "scene.png"))


def test_a_look_of_another_version_is_not_guessed(models: Path) -> None:
    assert LocalProvider(models, "neural-9").missing() == (
        f"The look neural-9 is not installed: here are {CLASSICAL} and {NEURAL}"
    )
    assert LocalProvider(models, NEURAL).missing() == ""


def test_files_that_are_no_nets_are_one_error(files: dict[str, Path], tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(b"no net")
    pixels = np.asarray(read_image(files["street"]))
    with pytest.raises(ProviderRefused, match="models fetch") as caught:
        StyleNet(tmp_path).painted(pixels, [pixels], [1.0], 0.5)
    assert caught.value.code == "model_unusable"
