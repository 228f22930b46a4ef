"""Reading lettering in drawings whose lettering is known."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline.engine.guard import inspect_pixels
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.signals import SURE_TEXT, TEXT, Expected, signals_of
from pipeline.tools.base import ToolFailed
from pipeline.tools.lettering import FILES, Reader
from tests.unit.tools.drawings import DAY, NIGHT, Array, figure, panel

PICTURES = {"day": figure(DAY)[0], "night": figure(NIGHT)[0], "panel": panel(960, 1280)}


def lettered(picture: Array, text: str, *, size: int, at: tuple[int, int], colour: str = "black") -> Array:
    image = Image.fromarray(picture.copy())
    ImageDraw.Draw(image).text(at, text, font=ImageFont.load_default(size), fill=colour)
    return np.asarray(image)


@pytest.mark.parametrize("name", PICTURES)
def test_a_title_is_read_where_it_stands(models: Path, name: str) -> None:
    colour = "white" if name == "night" else "black"
    picture = lettered(PICTURES[name], "SALTMARSH", size=80, at=(90, 140), colour=colour)
    (word,) = [word for word in Reader(models).read(picture) if word.certainty >= SURE_TEXT]
    assert word.text == "SALTMARSH"
    left, top, width, height = word.box
    assert 60 < left < 120
    assert 400 < left + width < 680
    assert 120 < top < 190
    assert 200 < top + height < 260


@pytest.mark.parametrize("name", PICTURES)
def test_a_signature_is_read_and_a_picture_without_lettering_is_not_flagged(models: Path, name: str) -> None:
    expected = Expected(read=Reader(models).read)
    signed = lettered(PICTURES[name], "J. Vermeer 26", size=28, at=(480, 1030), colour="red")
    (found,) = signals_of(signed, [TEXT], expected)
    assert found.is_hard
    assert "Vermeer" in found.evidence
    assert found.box is not None
    assert found.as_dict()["evidence"] == found.evidence
    (clean,) = signals_of(PICTURES[name], [TEXT], expected)
    assert not clean.is_flagged


def test_standing_lettering_is_read_too(models: Path) -> None:
    turned = np.rot90(lettered(PICTURES["day"], "SALTMARSH", size=80, at=(90, 140)), 3)
    assert "SALTMARSH" in [word.text for word in Reader(models).read(np.ascontiguousarray(turned))]


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (40, 30)])
def test_any_shape_is_read(models: Path, shape: tuple[int, int]) -> None:
    assert Reader(models).read(np.full((*shape, 3), 255, np.uint8)) == []


CHILD = """
import sys
from pathlib import Path
import django
django.setup()
import numpy as np
from pipeline.tools.lettering import Reader
Reader(Path(sys.argv[1])).read(np.full((6000, 6000, 3), 200, np.uint8))
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


def test_a_huge_picture_takes_bounded_memory(models: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(models)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "KROMA_DEBUG": "1"},
    )
    assert int(child.stdout) < 1200  # at its own size the net would take 8 GiB


def test_files_that_are_no_nets_are_one_error(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(b"no net")
    with pytest.raises(ToolFailed, match="models fetch") as caught:
        Reader(tmp_path).read(PICTURES["day"])
    assert caught.value.code == "model_unusable"


def test_missing_files_are_named_with_the_command(tmp_path: Path) -> None:
    assert Reader(tmp_path).missing().startswith(f"The model file {FILES[0]} is not in {tmp_path}")


def test_lettering_that_is_read_for_certain_is_refused(models: Path) -> None:
    settings = GuardSettings(True, False, 255, False, signals=(TEXT,))
    titled = lettered(PICTURES["day"], "SALTMARSH", size=80, at=(90, 140))
    report = inspect_pixels(
        titled, file="a.png", settings=settings, expected=Expected(read=Reader(models).read)
    )
    assert report.files[0].hard_fail_reasons == (TEXT,)
