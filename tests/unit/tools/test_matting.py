"""The cut-out against figures whose true mask is known."""

import hashlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.tools import matting
from pipeline.tools.base import ToolFailed
from pipeline.tools.matting import OURS, Box, Rembg
from tests.unit.tools.apart import PRINT_PEAK, run_apart
from tests.unit.tools.drawings import DAY, NIGHT, Array, figure


def overlap(alpha: Array, mask: Array) -> float:
    """Intersection over union, both cut at half."""
    ours, true = alpha > 127, mask > 127
    return float((ours & true).sum() / (ours | true).sum())


@pytest.mark.parametrize("background", [DAY, NIGHT], ids=["light", "dark"])
def test_a_figure_is_cut_out_along_its_outline(
    models: Path, background: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    picture, mask = figure(background)
    cut = Rembg(models, OURS).apply(picture)
    assert overlap(cut[..., 3], mask) >= 0.97
    assert (cut[..., :3] == picture).all()
    assert cut[mask == 255][:, 3].mean() > 250
    assert cut[:100, :100, 3].max() == 0


def test_what_was_transparent_stays_so(models: Path) -> None:
    picture, mask = figure(DAY)
    alpha = np.full(mask.shape, 255, np.uint8)
    alpha[560:] = 0
    cut = Rembg(models, OURS).apply(np.dstack([picture, alpha]))
    assert cut[560:, :, 3].max() == 0
    assert cut[:550, :, 3].max() == 255


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_without_a_figure_is_said_so(models: Path, grey: int) -> None:
    with pytest.raises(ToolFailed, match="No figure stands out") as caught:
        Rembg(models, OURS).apply(np.full((300, 400, 3), grey, np.uint8))
    assert caught.value.code == "nothing_found"


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 700, 3), (900, 2, 4)])
def test_odd_shapes_give_their_own_shape_or_a_sentence(models: Path, shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    with suppress(ToolFailed):
        assert Rembg(models, OURS).apply(picture).shape == (*shape[:2], 4)


def test_strips_give_the_same_edge_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, mask = figure(DAY)
    rough = (cv2.resize(mask, (341, 512)) > 127).astype(np.float32)
    monkeypatch.setattr(matting, "STRIP_PIXELS", 10**9)
    whole = matting._along_edges(picture, rough).astype(int)
    monkeypatch.setattr(matting, "STRIP_PIXELS", 768 * 100)
    strips = matting._along_edges(picture, rough).astype(int)
    assert abs(whole - strips).max() <= 1


def apart(models: Path, body: str) -> str:
    return run_apart(
        "import hashlib, numpy as np\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from pipeline.tools.matting import OURS, Box, Rembg\n"
        "from tests.unit.tools.drawings import DAY, figure\n"
        f"tool, picture = Rembg(Path({str(models)!r}), OURS), figure(DAY)[0]\n{body}"
    )


def test_another_process_gives_the_same_bytes(models: Path) -> None:
    here = hashlib.sha256(Rembg(models, OURS).apply(figure(DAY)[0]).tobytes()).hexdigest()
    there = apart(models, "print(hashlib.sha256(tool.apply(picture).tobytes()).hexdigest())")
    assert here == there


def test_a_large_picture_needs_little_memory(models: Path) -> None:
    """4096x4096: the picture, the result and at most 600 MiB for all the rest."""
    body = (
        "large = np.asarray(Image.fromarray(picture).resize((4096, 4096)))\n"
        "assert tool.apply(large).shape == (4096, 4096, 4)\n"
    )
    peak = int(apart(models, body + PRINT_PEAK)) / 1024
    assert peak < (3 + 4) * 16 + 600


def test_without_the_model_the_command_is_named(tmp_path: Path) -> None:
    tool = Rembg(tmp_path, "birefnet-general")
    assert (
        tool.missing() == f"The model file u2netp.onnx is not in {tmp_path}: `manage.py models fetch` gets it"
    )
    with pytest.raises(ToolFailed, match="models fetch"):
        tool.apply(figure(DAY)[0])


def test_a_file_that_is_not_the_pinned_one_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes(b"something else")
    assert "is not the one that is pinned" in Rembg(tmp_path, OURS).missing()


def test_the_version_names_the_model_that_runs(models: Path, tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes((models / "u2netp.onnx").read_bytes())
    tool = Rembg(tmp_path, "birefnet-general")
    assert tool.version.startswith("u2netp/")
    assert tool.parameters()["wanted_model"] == "birefnet-general"
    (tmp_path / "birefnet-general.onnx").write_bytes(b"an operator's own")
    assert tool.version.startswith("birefnet-general/")
    assert tool.parameters()["sha256"] == hashlib.sha256(b"an operator's own").hexdigest()
    assert tool.missing() == ""
    with pytest.raises(ToolFailed, match=r"birefnet-general\.onnx can't be used") as caught:
        tool.apply(figure(DAY)[0])
    assert caught.value.code == "model_unusable"


def test_an_operator_s_model_cuts_out(models: Path, tmp_path: Path) -> None:
    """The same net under the name of a family that takes its answer as it comes."""
    (tmp_path / "silueta.onnx").write_bytes((models / "u2netp.onnx").read_bytes())
    picture, mask = figure(DAY)
    assert overlap(Rembg(tmp_path, "silueta").apply(picture)[..., 3], mask) >= 0.95


@pytest.mark.parametrize("name", ["../u2netp", "unheard-of", ""])
def test_a_model_of_an_unknown_kind_is_not_looked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{Path(name).name}.onnx").write_bytes(b"x")
    assert Rembg(tmp_path / "models", name).model == OURS


def test_of_two_figures_the_one_in_the_box_is_cut_out(models: Path) -> None:
    picture, mask = figure(DAY)
    both = np.hstack([picture, picture])
    nothing = np.zeros_like(mask)
    cut = Rembg(models, OURS, box=Box(0.5, 0, 1, 1)).apply(both)
    assert (cut[..., :3] == both).all()
    assert cut[:, : picture.shape[1], 3].max() == 0
    assert overlap(cut[..., 3], np.hstack([nothing, mask])) >= 0.97


def test_a_box_changes_the_record_and_only_a_box_does(tmp_path: Path) -> None:
    plain, boxed = Rembg(tmp_path, OURS), Rembg(tmp_path, OURS, box=Box(0, 0, 0.5, 0.5))
    assert "box" not in plain.parameters()
    assert boxed.parameters() == {**plain.parameters(), "box": [0, 0, 0.5, 0.5]}


@pytest.mark.parametrize(
    "sides", [(0.5, 0, 0.5, 1), (0, 0.6, 1, 0.5), (-0.1, 0, 1, 1), (0, 0, 1.1, 1), (float("nan"), 0, 1, 1)]
)
def test_what_is_no_part_of_a_picture_is_no_box(sides: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="lies in its picture"):
        Box(*sides)


def test_a_box_is_never_empty() -> None:
    for sides in ((0, 0, 0.001, 0.001), (0.999, 0.999, 1, 1), (0, 0, 1, 1)):
        top, bottom, left, right = Box(*sides).pixels(3, 2)
        assert 0 <= top < bottom <= 3
        assert 0 <= left < right <= 2
