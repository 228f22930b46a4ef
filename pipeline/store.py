"""The one door to a project's files: atomic writes, containment under the project's root, hashes."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath

from pipeline.engine.names import ARCHIVE_BAD, ARCHIVE_REPLACED, INTERNAL, OUTPUTS, RUNS
from projects.errors import Invalid, KromaError
from projects.models import Project
from projects.models.continuity import UPLOADS

ORIGINALS = f"{INTERNAL}/originals"
THUMBNAILS = f"{INTERNAL}/thumbnails"
REFERENCES = UPLOADS
INPUTS = "inputs"
LAYOUT = (OUTPUTS, RUNS, ARCHIVE_BAD, ARCHIVE_REPLACED)
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class StorageFailed(KromaError):
    """A file could not be written or moved; nothing was changed."""

    status = 507
    kind = "infra"
    code = "storage_failed"


class StorageFull(StorageFailed):
    """No room for a file; nothing was changed."""

    code = "disk_full"


class AssetStore:
    """Files under one root. Names are relative to it, with `/`; one that leaves it is refused."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _resolved_root(self) -> Path:
        # Once: each part of it costs a question to the file system. A root that moves meanwhile only refuses.
        return self.root.resolve()

    def path(self, name: str) -> Path:
        """The absolute path of a name. Raises `Invalid` if it lies outside the root, links resolved."""
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise Invalid(f"“{name}” is not a path inside the project's folder")
        path = (self._resolved_root / name).resolve()
        if not path.is_relative_to(self._resolved_root):
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
        """Put a file in place atomically, in place of an older one; its sha256. Raises `StorageFailed`."""
        with self.draft(name, data) as draft:
            self.put(draft, name)
        return hashlib.sha256(data).hexdigest()

    def put(self, draft: Path, name: str) -> None:
        """Rename a draft into place, durably. Raises `StorageFailed`."""
        path = self.path(name)
        with writing(path):
            draft.replace(path)
            _sync_folder(path.parent)

    def move(self, name: str, target: str) -> None:
        """Rename a file within the root, durably. Raises `StorageFailed`, `FileNotFoundError`."""
        source, path = self.path(name), self.path(target)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            source.rename(path)
            _sync_folder(path.parent)

    def keep(self, folder: str, data: bytes, extension: str) -> tuple[str, str]:
        """Keep bytes under their own hash; `(sha256, name)`. What is there already is not written again."""
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{folder}/{sha256}.{extension}"
        with writing(self.path(name)):
            there = self.exists(name)
        if not there:
            self.write(name, data)
        return sha256, name

    @contextmanager
    def draft(self, name: str, data: bytes) -> Iterator[Path]:
        """A synced temporary file beside `name`, to be renamed into place; removed if it was not.

        Raises `StorageFailed`, as `StorageFull` when there is no room for it.
        """
        target = self.path(name)
        draft = target.with_name(f".draft-{uuid.uuid4().hex}")
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with draft.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            yield draft
        finally:
            with suppress(OSError):
                draft.unlink()

    def check_room(self, n_bytes: int) -> None:
        """Raise `StorageFull` if the disk of the originals has less room than that."""
        folder = self.path(ORIGINALS)
        with writing(folder / "original"):
            folder.mkdir(parents=True, exist_ok=True)
            room = shutil.disk_usage(folder).free
            if room < n_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def make_layout(self) -> None:
        """Create the folders that every run has. Raises `StorageFailed`."""
        for folder in LAYOUT:
            path = self.path(folder)
            with writing(path):
                path.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the file system says while `target` is written into one sentence that names the place."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StorageFull(
                f"The disk that holds {target.parent} is full: free some space there, then run it again"
            ) from error
        raise StorageFailed(
            f"{target} can't be written ({error.strerror}): look at the rights and names in its folder"
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
