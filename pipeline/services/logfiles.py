"""The files of a run log: the log itself, and what the paths in it stand for."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django.conf import settings

from pipeline.engine.logdocument import LARGEST_INTEGER
from pipeline.providers.images import ImageUnreadable, probe_image
from pipeline.store import sha256_of
from projects.errors import Invalid

LARGEST_LOG = 64 * 1024 * 1024  # bytes: tens of thousands of jobs
LONGEST_NAME = 1000  # characters of the column
_OF_WINDOWS = re.compile(r"[A-Za-z]:/|//")
_MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}


def log_file(path: str | Path) -> Path:
    """The run log that is meant, with `..` and links resolved; a relative path counts from the app root.

    Raises `Invalid` for what is no regular file.
    """
    written = str(path).strip()
    try:
        found = (Path(settings.APP_ROOT) / written).resolve()
        is_file = bool(written) and stat.S_ISREG(found.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Invalid(f"There is no run log {written}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise Invalid(f"The run log {written!a} can't be opened ({error})") from error
    if not is_file:
        raise Invalid(f"The run log {written or '(blank)'} is not a file")
    return found


def read_log(path: Path) -> bytes:
    """The bytes of a run log. Raises `Invalid` if it is too large or can't be read."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_LOG + 1)
    except OSError as error:
        raise Invalid(f"The run log {path} can't be read ({error.strerror})") from error
    if len(data) > LARGEST_LOG:
        raise Invalid(f"The run log {path} is larger than {LARGEST_LOG // 1024**2} MiB, which none is")
    return data


@dataclass(frozen=True, slots=True)
class FoundFile:
    """What is on disk under a path of a log; None and '' for what is not known."""

    exists: bool
    n_bytes: int | None = None
    mime_type: str = ""
    width: int | None = None
    height: int | None = None
    sha256: str = ""


class LogPaths:
    """What the paths in a log mean for one project. Folders are resolved once each, as a log repeats them."""

    def __init__(self, root: Path) -> None:
        self._app_root = os.path.realpath(settings.APP_ROOT)
        self._root = os.path.realpath(root)
        self._folders: dict[str, str] = {}

    def name(self, path: str) -> str:
        """How a row names the file: from the project's root if it lies there, else by its whole path."""
        if _OF_WINDOWS.match(path):
            return path
        real = self._real(path)
        inside = real.startswith(f"{self._root}/")
        if not inside:
            return path if path.startswith("/") else real
        return real[len(self._root) + 1 :]

    def look(self, path: str, *, with_hash: bool) -> FoundFile:
        """What is on disk there: size, kind and header, and its hash if asked for.

        Raises `Invalid` for a file that is there and can't be hashed.
        """
        real = self._real(path)
        try:
            found = os.stat(real)  # noqa: PTH116 - thousands of paths: no object for each
        except (OSError, ValueError):
            return FoundFile(exists=False)
        if not stat.S_ISREG(found.st_mode):
            return FoundFile(exists=False)
        width, height = _size(real)
        try:
            sha256 = sha256_of(Path(real)) if with_hash else ""
        except OSError as error:
            raise Invalid(f"{path} can't be read ({error.strerror}), so it has no hash") from error
        kind = _MIME_TYPES.get(PurePosixPath(real).suffix.lower(), "")
        return FoundFile(True, found.st_size, kind, width, height, sha256)

    def _real(self, path: str) -> str:
        absolute = path if path.startswith("/") else f"{self._app_root}/{path}"
        folder, _, filename = absolute.rstrip("/").rpartition("/")
        if filename in ("", ".", ".."):
            return os.path.realpath(absolute)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        return f"{real}/{filename}" if real != "/" else f"/{filename}"


def _size(path: str) -> tuple[int | None, int | None]:
    """Width and height in pixels as the header says; (None, None) for what is no image of ours."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(24)
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
            return (width, height) if max(width, height) <= LARGEST_INTEGER else (None, None)
        info = probe_image(Path(path))
    except (OSError, ImageUnreadable):
        return None, None
    return info.width, info.height
