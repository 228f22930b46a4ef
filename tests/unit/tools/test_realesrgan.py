"""The operator's own Real-ESRGAN, with a script in its place that does what the test needs."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.postprocess_config import UpscalePython
from pipeline.tools.base import ToolFailed
from pipeline.tools.realesrgan import RealEsrgan
from tests.unit.tools.drawings import panel

# Doubles the picture as the real one would name it, and writes down what it was given.
DOUBLE = """
import json, os, sys
from PIL import Image
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = Image.open(given["-i"])
image.resize((image.width * 2, image.height * 2)).save(os.path.join(given["-o"], "picture_out.png"))
with open("given.json", "w") as file:
    json.dump({"arguments": sys.argv[1:], "environ": dict(os.environ)}, file)
"""


def tool(folder: Path, script: str, **settings: object) -> RealEsrgan:
    (folder / "scripts").mkdir(exist_ok=True)
    (folder / "scripts" / "inference.py").write_text(script)
    chosen = UpscalePython(python_bin=sys.executable, inference_script="scripts/inference.py")
    return RealEsrgan(replace(chosen, **settings), scale=2, app_root=folder, limit=30)


def test_the_script_s_picture_is_the_result_with_its_alpha(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setenv("KROMA_DATABASE_URL", "canary")
    picture = np.dstack([panel()[:20, :30], np.full((20, 30), 90, np.uint8)])
    large = tool(tmp_path, DOUBLE).apply(picture)
    assert large.shape == (40, 60, 4)
    assert (large[..., 3] == 90).all()
    assert "canary" not in (tmp_path / "scripts" / "given.json").read_text()


def test_the_arguments_are_those_of_the_script(tmp_path: Path) -> None:
    made = tool(tmp_path, DOUBLE, model_name="realesrgan_X2plus", tile=256, fp32=True, gpu_id=1)
    program, script, *arguments = made.arguments("python3", Path("/scratch"))
    assert (program, script) == ("python3", str(tmp_path / "scripts/inference.py"))
    assert arguments == [
        *("-i", "/scratch/picture.png", "-o", "/scratch", "-n", "RealESRGAN_x2plus", "-s", "2"),
        *("--suffix", "out", "-t", "256", "--tile_pad", "10", "--pre_pad", "0", "--ext", "png"),
        *("--fp32", "-g", "1"),
    ]
    plain = tool(tmp_path, DOUBLE).arguments("python3", Path("/scratch"))
    assert "--fp32" not in plain
    assert "-g" not in plain


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "import sys; print('loading'); sys.exit('CUDA is not there')",
            "ended with code 1: CUDA is not there",
        ),
        ("print('Error out of memory')", "ended without a result: Error out of memory"),
        ("", "ended without a result: it said nothing"),
        ("import sys; open(sys.argv[4] + '/picture_out.png', 'w').write('x')", "is not an image"),
        (DOUBLE.replace("* 2", "* 3"), r"made 90x60 pixels instead of 60x40"),
    ],
)
def test_a_script_that_fails_is_quoted(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(ToolFailed, match=says) as caught:
        tool(tmp_path, script).apply(panel()[:20, :30])
    assert caught.value.code == "tool_failed"


def test_a_script_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('child.pid', 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(ToolFailed, match="stopped after 2 s") as caught:
        replace(tool(tmp_path, script), limit=2).apply(panel()[:20, :30])
    assert caught.value.code == "tool_timeout"
    child = int((tmp_path / "scripts" / "child.pid").read_text())
    deadline = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < deadline, "the script's child goes on"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # dead, and only not yet waited for


def test_what_is_absent_is_named_with_its_key(tmp_path: Path) -> None:
    made = tool(tmp_path, DOUBLE)
    assert made.missing() == ""
    without_program = replace(made, settings=replace(made.settings, python_bin="venv/bin/python"))
    assert str(tmp_path / "venv/bin/python") in without_program.missing()
    assert "'upscale.python.python_bin'" in without_program.missing()
    on_path = replace(made, settings=replace(made.settings, python_bin="no-such-program"))
    assert "no-such-program, is not there" in on_path.missing()
    (tmp_path / "scripts" / "inference.py").unlink()
    assert "'upscale.python.inference_script'" in made.missing()
    with pytest.raises(ToolFailed, match="inference_script") as caught:
        made.apply(panel())
    assert caught.value.code == "tool_missing"


def test_an_unknown_model_is_named_with_the_known_ones(tmp_path: Path) -> None:
    assert "known are RealESRGAN_x4plus," in tool(tmp_path, DOUBLE, model_name="mine").missing()
