"""The one door to a project's files: atomic writes, containment under the project's root, hashes."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline.engine.names import ARCHIVE_BAD, ARCHIVE_REPLACED, INTERNAL, OUTPUTS, RUNS
from projects.errors import Invalid, KromaError
from projects.models import Project

ORIGINALS = f"{INTERNAL}/originals"
THUMBNAILS = f"{INTERNAL}/thumbnails"
REFERENCES = "references"
INPUTS = "inputs"
LAYOUT = (OUTPUTS, RUNS, ARCHIVE_BAD, ARCHIVE_REPLACED)
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class StorageFull(KromaError):
    """No room for a file; nothing was changed."""

    status = 507
    kind = "infra"
    code = "disk_full"


class AssetStore:
    """Files under one root. Names are relative to it, with `/`; one that leaves it is refused."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """The absolute path of a name. Raises `Invalid` if it lies outside the root, links resolved."""
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise Invalid(f"“{name}” is not a path inside the project's folder")
        root = self.root.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise Invalid(f"“{name}” leads out of the project's folder")
        return path

    def exists(self, name: str) -> bool:
        """Whether a regular file of that name is there."""
        return self.path(name).is_file()

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises `FileNotFoundError`."""
        return self.path(name).read_bytes()

    def sha256(self, name: str) -> str:
        """The hash of a file as hexadecimal text. Raises `FileNotFoundError`."""
        return sha256_of(self.path(name))

    def write(self, name: str, data: bytes) -> str:
        """Put a file in place atomically, in place of an older one; its sha256. Raises `StorageFull`."""
        path = self.path(name)
        with self.draft(name, data) as draft:
            draft.replace(path)
            _sync_folder(path.parent)
        return hashlib.sha256(data).hexdigest()

    def keep(self, folder: str, data: bytes, extension: str) -> tuple[str, str]:
        """Keep bytes under their own hash; `(sha256, name)`. What is there already is not written again."""
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{folder}/{sha256}.{extension}"
        if not self.exists(name):
            self.write(name, data)
        return sha256, name

    @contextmanager
    def draft(self, name: str, data: bytes) -> Iterator[Path]:
        """A synced temporary file beside `name`, to be renamed into place; removed if it was not.

        Raises `StorageFull` when there is no room for it.
        """
        target = self.path(name)
        draft = target.with_name(f".draft-{uuid.uuid4().hex}")
        try:
            with room_for(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with draft.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def make_layout(self) -> None:
        """Create the folders that every run has. Raises `StorageFull`, or `Invalid` if it is not allowed."""
        for folder in LAYOUT:
            path = self.path(folder)
            with room_for(path):
                try:
                    path.mkdir(parents=True, exist_ok=True)
                except PermissionError as error:
                    raise Invalid(f"Kroma may not write to {self.root}: give it the right to") from error


@contextmanager
def room_for(target: Path) -> Iterator[None]:
    """Turn “no space left” into one sentence that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise StorageFull(
            f"The disk that holds {target.parent} is full: free some space there, then run it again"
        ) from error


def store_for(project: Project) -> AssetStore:
    """The store of one project."""
    return AssetStore(project.storage.root())


def sha256_of(path: Path) -> str:
    """The hash of a file as hexadecimal text, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    # A rename is durable only once its folder is.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
