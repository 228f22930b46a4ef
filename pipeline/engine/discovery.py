"""Which images a path stands for, in an order that is the same on every machine."""

import os
import stat
from pathlib import Path

from pipeline.engine.errors import PlanningError

IMAGE_EXTENSIONS = frozenset({"jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"})


def is_image_name(name: str) -> bool:
    """Whether a file name or path ends like an image; `.png` alone is a hidden file without an ending."""
    stem, _, extension = name.rpartition("/")[2].rpartition(".")
    return bool(stem) and extension.lower() in IMAGE_EXTENSIONS


def discover_images(path: Path) -> list[Path]:
    """The images of a file or, recursively, of a folder.

    Entries of a folder, files and folders together, go by the bytes of their names, and a folder's
    files stand at the folder's place. Links inside a folder are neither listed nor followed; `path`
    itself is what the caller named, and may be one. Raises `PlanningError` for a path that does not
    exist or a folder that can't be read.
    """
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise PlanningError(
            f"Input '{path}' can't be read ({error.strerror}); check the path and its permissions"
        ) from error
    if not stat.S_ISDIR(kind):
        return [path] if stat.S_ISREG(kind) and is_image_name(path.name) else []
    found: list[Path] = []
    # A stack instead of recursion: folders may be nested deeper than Python likes to call.
    waiting = [(path, True)]
    while waiting:
        entry, is_folder = waiting.pop()
        if is_folder:
            waiting.extend(reversed(_entries(entry)))
        else:
            found.append(entry)
    return found


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """The sub-folders (True) and images (False) right inside `folder`, in order."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
            kinds = [
                (e.name, e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False)) for e in entries
            ]
    except OSError as error:
        raise PlanningError(
            f"Folder '{folder}' can't be read ({error.strerror}); check its permissions"
        ) from error
    return [
        (folder / name, is_dir)
        for name, is_dir, is_file in kinds
        if is_dir or (is_file and is_image_name(name))
    ]
