"""Sending a project's files to its S3 bucket: when it may be done, and what came of it."""

import fcntl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import transaction

from pipeline.bucket import Bucket, BucketUnusable, Place, S3Fault
from pipeline.engine.mirror import object_prefix
from pipeline.engine.names import INTERNAL
from pipeline.services.mirror import Mirror, Watch
from pipeline.store import AssetStore, store_for, writing
from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import Project, ProjectStorage
from projects.services.secrets import secret_value
from projects.services.storage import DEFAULT_PREFIX

LOCK = f"{INTERNAL}/s3-sync.lock"


class SyncGoingOn(S3Fault):
    """Another sync of the same project is at work on this machine."""


@dataclass(frozen=True)
class SyncResult:
    """What a sync did, or with `dry_run` would do. `missing_root`: there was nothing to send from."""

    project_slug: str
    project_root: str
    destination: str
    dry_run: bool
    delete: bool
    uploaded: tuple[str, ...] = ()
    skipped: int = 0
    n_deleted: int = 0
    to_delete: tuple[str, ...] = ()
    n_bytes: int = 0
    failed: tuple[str, ...] = ()
    missing_root: bool = False

    @property
    def ok(self) -> bool:
        """Whether all is in the bucket."""
        return not self.failed

    def as_dict(self) -> dict[str, object]:
        """As programs read it; a dry run names the files, too."""
        if self.missing_root:
            return {
                "ok": True,
                "skipped": True,
                "reason": "missing_local_project_root",
                "project_root": self.project_root,
                "destination": self.destination,
            }
        names = {"to_upload": list(self.uploaded), "to_delete": list(self.to_delete)} if self.dry_run else {}
        return {
            "ok": self.ok,
            "project_slug": self.project_slug,
            "project_root": self.project_root,
            "destination": self.destination,
            "dry_run": self.dry_run,
            "delete": self.delete,
            "uploaded": len(self.uploaded),
            "skipped": self.skipped,
            "deleted": self.n_deleted,
            "bytes": self.n_bytes,
            "failed": list(self.failed),
            **names,
        }


def sync_project(
    project: Project,
    *,
    by: Principal,
    dry_run: bool = False,
    delete: bool = False,
    allow_missing_local: bool = False,
    watch: Watch | None = None,
) -> SyncResult:
    """Bring the project's bucket up to date with its folders; safe to repeat, and to cut short at any point.

    `delete` also removes objects below the project's own prefix whose files are gone, once all else is up.
    Raises `Invalid` where the settings or the folder forbid it (then nobody was called), and `S3Fault` where
    nothing could be begun; what went wrong later is told in the result, beside what went up.
    """
    storage, store = project.storage, store_for(project)
    if not storage.s3_enabled:
        raise Invalid(
            f"S3 is switched off for {project.name}: switch it on in the project's storage settings"
        )
    if not storage.s3_bucket.strip():
        raise Invalid(f"{project.name} has no S3 bucket: name one in the project's storage settings")
    prefix = object_prefix(storage.s3_prefix or DEFAULT_PREFIX, str(project.pk))
    result = SyncResult(
        project_slug=project.slug,
        project_root=str(store.root),
        destination=f"s3://{storage.s3_bucket}/{prefix}",
        dry_run=dry_run,
        delete=delete,
    )
    if not store.root.exists() and allow_missing_local:
        return replace(result, missing_root=True)
    _check_root(store.root)
    with closing(Bucket(_place(project, storage))) as bucket:
        mirror = Mirror(
            store=store,
            bucket=bucket,
            prefix=prefix,
            place=f"{storage.s3_endpoint_url} {result.destination}",
            watch=watch or (lambda through, total: None),
        )
        if dry_run:
            return _compared(mirror, result)
        with _alone(store, project):
            result = _synced(mirror, result)
    if result.uploaded or result.n_deleted:
        with transaction.atomic():
            audit.record(
                project,
                "storage.s3.sync",
                by=by,
                destination=result.destination,
                uploaded=len(result.uploaded),
                deleted=result.n_deleted,
                bytes=result.n_bytes,
                failed=len(result.failed),
            )
    return result


def _check_root(root: Path) -> None:
    if not root.exists():
        raise Invalid(f"The project's folder {root} does not exist: nothing can be sent from it")
    if not root.is_dir():
        raise Invalid(f"{root} is a file and not the project's folder: name a folder in the storage settings")


def _place(project: Project, storage: ProjectStorage) -> Place:
    """Where to go, with the project's own keys if it has any. Raises `BucketUnusable` for half a pair."""
    key_id = secret_value(project, "s3", "access_key_id")
    key = secret_value(project, "s3", "secret_access_key")
    if bool(key_id) != bool(key):
        missing = "secret_access_key" if key_id else "access_key_id"
        raise BucketUnusable(f"{project.name} has only half of its S3 key: store s3/{missing}, too")
    return Place(
        bucket=storage.s3_bucket.strip(),
        region=storage.s3_region,
        profile=storage.s3_profile,
        endpoint_url=storage.s3_endpoint_url,
        access_key_id=key_id,
        secret_access_key=key,
    )


def _compared(mirror: Mirror, result: SyncResult) -> SyncResult:
    due, obsolete = mirror.compare()
    gone = tuple(obsolete) if result.delete else ()
    return replace(
        result,
        uploaded=tuple(file.name for file in due),
        skipped=mirror.n_same,
        n_deleted=len(gone),
        to_delete=gone,
        n_bytes=sum(file.size for file in due),
        failed=tuple(mirror.faults),
    )


def _synced(mirror: Mirror, result: SyncResult) -> SyncResult:
    due, obsolete = mirror.compare()
    try:
        mirror.send(due)
        n_deleted = mirror.remove(obsolete) if result.delete else 0
    finally:
        mirror.memory.save(mirror.store)
    return replace(
        result,
        uploaded=tuple(mirror.up),
        skipped=mirror.n_same,
        n_deleted=n_deleted,
        n_bytes=mirror.n_bytes,
        failed=tuple(mirror.faults),
    )


@contextmanager
def _alone(store: AssetStore, project: Project) -> Iterator[None]:
    """Hold the project for one sync. Raises `SyncGoingOn`; the kernel frees it when its holder dies."""
    path = store.path(LOCK)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SyncGoingOn(
                f"Another sync of {project.name} is going on: try again when it has ended"
            ) from None
        yield
