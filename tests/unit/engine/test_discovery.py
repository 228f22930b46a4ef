import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.discovery import discover_images, is_image_name
from pipeline.engine.errors import PlanningError


def make(root: Path, files: list[str]) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in discover_images(root)]


@pytest.mark.acceptance("P-07")
def test_order_of_the_reference(tmp_path: Path) -> None:
    make(tmp_path, ["b.png", "a.png", "a-dir/1.jpg", "z-dir/2.jpg", "notes.txt"])
    assert found(tmp_path) == ["a-dir/1.jpg", "a.png", "b.png", "z-dir/2.jpg"]


@pytest.mark.acceptance("P-07")
def test_capitals_come_first_and_a_folder_stands_at_its_own_name(tmp_path: Path) -> None:
    # As whole paths "a/x.png" would come after "a.png" and "a-b.png"; by entry "a" comes before both.
    make(tmp_path, ["a/x.png", "a-b.png", "a.png", "B.TIFF", "ä.webp"])
    assert found(tmp_path) == ["B.TIFF", "a/x.png", "a-b.png", "a.png", "ä.webp"]


@pytest.mark.acceptance("P-07")
@given(
    files=st.lists(
        st.from_regex(r"[abAB]{1,2}(/[abZ\-.]{1,3})?\.png", fullmatch=True), unique=True, max_size=8
    ),
    seed=st.integers(),
)
def test_order_does_not_depend_on_creation(files: list[str], seed: int) -> None:
    files = [file for file in files if "./" not in file and ".." not in file]
    shuffled = random.Random(seed).sample(files, len(files))
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        make(Path(one), files)
        make(Path(other), shuffled)
        assert found(Path(one)) == found(Path(other))
        assert sorted(found(Path(one))) == sorted(file for file in files if is_image_name(file))


def test_links_and_special_files_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, ["in/a.png", "out/b.png"])
    (tmp_path / "in/link.png").symlink_to(tmp_path / "out/b.png")
    (tmp_path / "in/folder").symlink_to(tmp_path / "out")
    (tmp_path / "in/dangling.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    assert found(tmp_path / "in") == ["a.png"]


def test_a_file_stands_for_itself_if_it_is_an_image(tmp_path: Path) -> None:
    make(tmp_path, ["a.JPeG", "notes.txt"])
    assert discover_images(tmp_path / "a.JPeG") == [tmp_path / "a.JPeG"]
    assert discover_images(tmp_path / "notes.txt") == []


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match="nowhere"):
        discover_images(tmp_path / "nowhere")


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, ["locked/a.png"])
    scandir = os.scandir

    def guarded(path: Path) -> object:  # permissions mean nothing to root
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PlanningError, match=r"locked.*Permission denied"):
        discover_images(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "x/a.TIF", ".a.webp", "a.b.jpg", "a.bmp", "a.tiff", "a.jpeg"])
def test_image_names(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize("name", ["png", ".png", "a.png.txt", "a.gif", "a.", "a.png/b", ""])
def test_names_of_other_things(name: str) -> None:
    assert not is_image_name(name)
