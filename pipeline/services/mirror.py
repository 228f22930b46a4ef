"""Comparing a project's folders with its bucket, and sending what differs.

One listing says what the bucket has, and a memory in the project's folder which file each entity tag stands
for, so that an unchanged project costs one request for each thousand objects and reads no file. A memory that
was lost costs reading: the entity tag of what we sent is computed from the file again.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from pipeline.bucket import CONNECTIONS, DELETED_AT_ONCE, Bucket, BucketUnusable, S3Fault, StoredObject
from pipeline.engine.mirror import FOLDERS, Part, batches, etag_of, is_temporary, parts_of
from pipeline.engine.names import INTERNAL
from pipeline.store import AssetStore, StorageFailed

MEMORY = f"{INTERNAL}/s3-sync.json"
PARALLEL = CONNECTIONS  # files at once; each holds one part of a file in memory

# Called with the bytes that are through and the bytes of all that is to be sent.
Watch = Callable[[int, int], None]
# What tells a file from another one at the same name: size, times of change in ns, inode.
Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to be mirrored; `name` is relative to the project root."""

    name: str
    path: Path
    signature: Signature

    @property
    def size(self) -> int:
        """In bytes."""
        return self.signature[0]


@dataclass
class Memory:
    """What was sent from here to one place, and which uploads in parts are unfinished there."""

    place: str
    sent: dict[str, tuple[Signature, str]] = field(default_factory=dict)  # name -> entity tag
    uploads: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> upload id, sha256

    @classmethod
    def load(cls, store: AssetStore, place: str) -> "Memory":
        """What is remembered of this place; nothing if that is unreadable, as it can be found out again."""
        try:
            document = json.loads(store.read(MEMORY))
            if document["place"] != place:
                return cls(place)
            sent = {name: (_remembered(found), str(etag)) for name, (found, etag) in document["sent"].items()}
            uploads = {name: (str(pk), str(sha256)) for name, (pk, sha256) in document["uploads"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(place)
        return cls(place, sent, uploads)

    def save(self, store: AssetStore) -> None:
        """Keep it for the next sync. Raises `StorageFailed`."""
        store.write(MEMORY, json.dumps(vars(self)).encode())


@dataclass
class Mirror:
    """One look at a project's folders and its bucket, and what is done about the difference."""

    store: AssetStore
    bucket: Bucket
    prefix: str
    place: str  # the bucket and its server: what is remembered of another one does not count
    watch: Watch
    memory: Memory = field(init=False)
    n_same: int = field(default=0, init=False)
    n_bytes: int = field(default=0, init=False)  # sent over the network
    up: list[str] = field(default_factory=list, init=False)
    faults: list[str] = field(default_factory=list, init=False)
    _through: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)
    _n_unsent: int = field(default=0, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def compare(self) -> tuple[list[LocalFile], list[str]]:
        """The files that the bucket lacks or has otherwise, and the objects whose files are gone; in order.

        Raises `S3Fault`, and `StorageFailed` for a folder that can't be read.
        """
        self.memory = Memory.load(self.store, self.place)
        files = list(self._sendable())
        there = self.bucket.objects(self.prefix)
        due = []
        for file in files:
            found = there.pop(self.prefix + file.name, None)
            if found is not None and self._is_same(file, found):
                self.n_same += 1
            else:
                due.append(file)
        names = {file.name for file in files}
        self.memory.sent = {name: sent for name, sent in self.memory.sent.items() if name in names}
        return due, sorted(there)

    def send(self, due: Sequence[LocalFile]) -> None:
        """Send files, several at once, until nothing more can be sent: `up`, `n_bytes` and `faults` tell."""
        self._total = sum(file.size for file in due)
        self.memory.uploads = {
            name: upload for name, upload in self.memory.uploads.items() if self._is_wanted(name, upload, due)
        }
        with ThreadPoolExecutor(PARALLEL, "s3") as pool:
            try:
                for done in [pool.submit(self._try_to_send, file) for file in due]:
                    done.result()
            finally:
                self._stop.set()
        self.up.sort()
        if self._n_unsent:
            files = "file was" if self._n_unsent == 1 else "files were"
            self.faults.append(f"{self._n_unsent} {files} not sent: the next sync sends what is missing")

    def remove(self, names: Sequence[str]) -> int:
        """Delete objects, if all files are up; how many are gone."""
        if not names:
            return 0
        if self.faults:
            self.faults.append("Nothing was deleted, as not all files are up")
            return 0
        n_gone = 0
        for batch in batches(names, DELETED_AT_ONCE):
            try:
                told = self.bucket.delete(batch)
            except S3Fault as fault:
                self._say(str(fault))
                break
            self.faults += told
            n_gone += len(batch) - len(told)
        return n_gone

    def _sendable(self) -> Iterator[LocalFile]:
        for file in local_files(self.store.root):
            try:
                file.name.encode()
            except UnicodeEncodeError:
                self.faults.append(f"{file.name!a} can't be sent: rename it, its name is not UTF-8")
            else:
                yield file

    def _is_same(self, file: LocalFile, found: StoredObject) -> bool:
        if found.size != file.size:
            return False
        if self.memory.sent.get(file.name) == (file.signature, found.etag):
            return True
        try:
            with _opened(file) as opened:
                etag = etag_of([_md5(opened.read(part.size)) for part in parts_of(file.size)])
        except OSError:
            return False  # gone or locked: sending it says so
        if etag == found.etag:
            self.memory.sent[file.name] = (file.signature, etag)
        return etag == found.etag

    def _is_wanted(self, name: str, upload: tuple[str, str], due: Sequence[LocalFile]) -> bool:
        """Whether an unfinished upload may be continued; the parts of another one are dropped."""
        if any(file.name == name for file in due):
            return True
        try:
            self.bucket.abort(self.prefix + name, upload[0])
        except S3Fault:
            return True  # the next sync tries again
        return False

    def _try_to_send(self, file: LocalFile) -> None:
        """In a thread of the pool: send one file, and say what stood against it."""
        try:
            if not self._stop.is_set():
                self._send(file)
                return
        except FileNotFoundError:
            return  # archived or replaced in the meantime
        except BucketUnusable as fault:
            self._stop.set()
            self._say(str(fault))
        except S3Fault as fault:
            self._say(str(fault))
            return
        except OSError as error:
            self._say(f"{file.name} can't be read: {error.strerror or error}")
            return
        with self._lock:
            self._n_unsent += 1

    def _send(self, file: LocalFile) -> None:
        name = self.prefix + file.name
        with _opened(file) as opened:
            signature = _signature(os.fstat(opened.fileno()))
            parts = parts_of(signature[0])
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            if len(parts) == 1:
                data = _piece(opened, parts[0])
                etag = self.bucket.put(name, data, sha256=sha256)
                self._count(len(data), sent=True)
            else:
                etag = self._send_parts(file.name, opened, parts, sha256)
        with self._lock:
            self.memory.sent[file.name] = (signature, etag)
            self.up.append(file.name)

    def _send_parts(self, name: str, opened: BufferedReader, parts: Sequence[Part], sha256: str) -> str:
        """Send a large file, or what is missing of it; its entity tag."""
        key = self.prefix + name
        upload_id, arrived = self._resumed(name, sha256)
        if not upload_id:
            upload_id = self.bucket.begin(key, sha256=sha256)
            with self._lock:
                self.memory.uploads[name] = (upload_id, sha256)
                self.memory.save(self.store)  # before the first part: whoever comes after us finds it
        etags = {}
        for part in parts:
            data = _piece(opened, part)
            there = arrived.get(part.number)
            has_arrived = there == StoredObject(part.size, _md5(data).hex())
            if there is not None and has_arrived:
                etags[part.number] = there.etag
            else:
                etags[part.number] = self.bucket.put_part(key, upload_id, part.number, data)
            self._count(part.size, sent=not has_arrived)
        etag = self.bucket.complete(key, upload_id, etags)
        with self._lock:
            del self.memory.uploads[name]
        return etag

    def _resumed(self, name: str, sha256: str) -> tuple[str, dict[int, StoredObject]]:
        """The unfinished upload of the same content and its parts; blank if there is none."""
        with self._lock:
            upload_id, content = self.memory.uploads.get(name, ("", ""))
        if not upload_id:
            return "", {}
        if content != sha256:
            self.bucket.abort(self.prefix + name, upload_id)
            return "", {}
        arrived = self.bucket.parts(self.prefix + name, upload_id)
        return ("", {}) if arrived is None else (upload_id, arrived)

    def _count(self, size: int, *, sent: bool) -> None:
        with self._lock:
            self._through += size
            self.n_bytes += size if sent else 0
            self.watch(self._through, self._total)

    def _say(self, fault: str) -> None:
        with self._lock:
            if fault not in self.faults:
                self.faults.append(fault)


def local_files(root: Path) -> Iterator[LocalFile]:
    """The files that are mirrored, in order; no temporary ones, and links are not followed.

    Raises `StorageFailed` for a folder that can't be read, as its files would look deleted.
    """
    for folder in FOLDERS:
        yield from _files_in(root / folder, folder)


def _files_in(folder: Path, name: str) -> Iterator[LocalFile]:
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageFailed(f"{folder} can't be read ({error.strerror}): look at its rights") from error
    for entry in entries:
        if is_temporary(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_in(folder / entry.name, f"{name}/{entry.name}")
        elif entry.is_file(follow_symlinks=False):
            try:
                signature = _signature(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            yield LocalFile(f"{name}/{entry.name}", folder / entry.name, signature)


def _signature(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _remembered(numbers: Sequence[int]) -> Signature:
    size, modified, changed, inode = map(int, numbers)
    return size, modified, changed, inode


def _opened(file: LocalFile) -> BufferedReader:
    # A link that took the file's place since we looked is not followed either.
    return os.fdopen(os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _piece(opened: BufferedReader, part: Part) -> bytes:
    opened.seek(part.offset)
    data = opened.read(part.size)
    if len(data) != part.size:
        raise OSError("it was changed while it was sent")
    return data


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
