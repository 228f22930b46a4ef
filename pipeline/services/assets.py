"""Publishing files under the contract's names, with their rows; archiving what gave way; thumbnails."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from pipeline.engine import names
from pipeline.models import Asset, AssetLink, Candidate, RunJob
from pipeline.providers.images import ImageUnreadable, read_image, thumbnail_webp
from pipeline.services import leases
from pipeline.store import THUMBNAILS, AssetStore, sha256_of, store_for
from projects.models import Project, ProjectStorage, ReferenceItem

logger = logging.getLogger(__name__)

THUMBNAIL_SIDE = 512  # pixels


@dataclass(frozen=True)
class NewFile:
    """A file to be published. `size` is width and height in pixels, `source` what it was made from.

    `sha256` may be left out where it is not known yet.
    """

    name: str
    kind: str
    data: bytes
    mime_type: str
    size: tuple[int, int]
    metadata: Mapping[str, object]
    source: Asset | None = None
    sha256: str = ""


def publish(candidate: Candidate, store: AssetStore, new: NewFile, *, token: UUID) -> Asset:
    """Put a file of a candidate at its planned name, archive what was there, write its row.

    The first file of the chain, which has no source, becomes the candidate's output. Raises `StorageFailed`,
    `LeaseLost`.
    """
    with store.draft(new.name, new.data) as draft, transaction.atomic():
        _lock_names(candidate.run.project_id)
        leases.renew_or_stop(candidate.pk, token)  # whoever took over publishes, not we
        asset = _put(candidate.run.project_id, store, new, draft, candidate=candidate)
        if new.source is None:
            Candidate.objects.filter(pk=candidate.pk).update(output_asset=asset)
    if new.source is None:
        candidate.output_asset = asset
    return asset


def publish_loose(project: Project, store: AssetStore, new: NewFile) -> Asset:
    """As `publish`, for a file that belongs to no candidate. The same bytes again change nothing.

    Raises `StorageFailed`.
    """
    sha256 = new.sha256 or hashlib.sha256(new.data).hexdigest()
    with store.draft(new.name, new.data) as draft, transaction.atomic():
        _lock_names(project.pk)
        there = Asset.objects.filter(project=project, rel_path=new.name, sha256=sha256).first()
        if there is not None and _has_its_bytes(there, store):
            return there
        return _put(project.pk, store, replace(new, sha256=sha256), draft, candidate=None)


def is_whole(asset: Asset, store: AssetStore) -> bool:
    """Whether the row's file is there with its hash, in its place or where a try that died has moved it.

    The row follows the file. Raises `StorageFailed`.
    """
    if _has_its_bytes(asset, store):
        return True
    with transaction.atomic():
        _lock_names(asset.project_id)
        asset.refresh_from_db(fields=["rel_path", "metadata"])  # another run may have taken its name
        if _has_its_bytes(asset, store):
            return True
        for folder, reason in ((names.ARCHIVE_REPLACED, "replaced"), (names.ARCHIVE_BAD, "bad")):
            if moved := _archived_earlier(store, folder, asset, reason):
                asset.rel_path = moved
                asset.metadata = {**asset.metadata, "archived": reason, "path_exists": True}
                asset.save(update_fields=["rel_path", "metadata"])
                return True
    return False


def note(asset: Asset, **facts: object) -> None:
    """Add facts to the record of a file."""
    with transaction.atomic():
        _lock_names(asset.project_id)
        asset.refresh_from_db(fields=["rel_path", "metadata"])  # it may have been archived meanwhile
        asset.metadata = {**asset.metadata, **facts}
        asset.save(update_fields=["metadata"])


def archive_loose(project: Project, store: AssetStore, name: str) -> str:
    """Move an image to `archive/bad`, with its row if it has one; its new name.

    Raises `StorageFailed`, `FileNotFoundError`.
    """
    with transaction.atomic():
        _lock_names(project.pk)
        row = Asset.objects.filter(project=project, rel_path=name).first()
        stamped = names.bad_name(name, timezone.now())
        if row is not None and _has_its_bytes(row, store):
            _archive(row, store, names.ARCHIVE_BAD, stamped, reason="bad")
            return row.rel_path
        target = _free_name(project.pk, store, f"{names.ARCHIVE_BAD}/{stamped}")
        store.move(name, target)
        return target


def archive_bad(asset: Asset, store: AssetStore) -> None:
    """Move a file that the guard rejected to the archive; its row follows it. A second call is a no-op.

    Raises `StorageFailed`.
    """
    with transaction.atomic():
        _lock_names(asset.project_id)
        asset.refresh_from_db(fields=["rel_path", "metadata"])  # another run may have taken its name
        if asset.metadata.get("archived") != "bad":
            stamped = names.bad_name(asset.rel_path, timezone.now())
            _archive(asset, store, names.ARCHIVE_BAD, stamped, reason="bad")


def keep_thumbnail(store: AssetStore, sha256: str, make: Callable[[], bytes]) -> None:
    """Keep the small WebP picture of a file with this hash, made by `make` if it is missing."""
    name = thumbnail_name(sha256)
    if not store.exists(name):
        store.write(name, make())


def thumbnail_name(sha256: str) -> str:
    """Where the small picture of a file with this hash lies, relative to the project root."""
    return f"{THUMBNAILS}/{sha256}.webp"


def make_reference_thumbnail(pk: UUID | str) -> None:
    """Make the small picture of a reference image, if it is missing and its file is still there."""
    item = ReferenceItem.objects.select_related("project__storage").filter(pk=pk).first()
    if item is None or not item.facts:
        return
    store = store_for(item.project)
    try:
        image = read_image(store.path(item.content_uri), name=item.label, longest_side=2 * THUMBNAIL_SIDE)
    except (FileNotFoundError, ImageUnreadable) as error:
        logger.warning("Reference %s gets no thumbnail: %s", item.pk, error)
        return
    keep_thumbnail(store, item.facts["sha256"], lambda: thumbnail_webp(image, longest_side=THUMBNAIL_SIDE))


def keep_scene_thumbnail(store: AssetStore, job: RunJob) -> None:
    """Make the small picture of the scene that a job redraws, for scenes that no upload has brought."""
    scene = job.inputs[0]

    def small() -> bytes:
        image = read_image(store.path(scene["path"]), longest_side=2 * THUMBNAIL_SIDE)
        return thumbnail_webp(image, longest_side=THUMBNAIL_SIDE)

    try:
        keep_thumbnail(store, scene["sha256"], small)
    except (FileNotFoundError, ImageUnreadable) as error:
        logger.warning("The scene of job %s gets no thumbnail: %s", job.pk, error)


def _lock_names(project_id: UUID) -> None:
    """Hold the names of one project until the transaction ends (on SQLite the write lock does it)."""
    ProjectStorage.objects.select_for_update().get(project=project_id)


def _put(
    project_id: UUID, store: AssetStore, new: NewFile, draft: Path, *, candidate: Candidate | None
) -> Asset:
    """Give a draft its name, with its row and where it comes from; the names are locked."""
    sha256 = new.sha256 or hashlib.sha256(new.data).hexdigest()
    _make_room(project_id, store, new.name, sha256)
    store.put(draft, new.name)
    asset = Asset.objects.create(
        project_id=project_id,
        kind=new.kind,
        rel_path=new.name,
        mime_type=new.mime_type,
        width=new.size[0],
        height=new.size[1],
        n_bytes=len(new.data),
        sha256=sha256,
        run=candidate.run if candidate else None,
        job=candidate.job if candidate else None,
        candidate=candidate,
        metadata=dict(new.metadata),
    )
    if new.source is not None:
        AssetLink.objects.create(
            project_id=project_id, parent=new.source, child=asset, link_type="derived_from"
        )
    return asset


def _has_its_bytes(asset: Asset, store: AssetStore) -> bool:
    path = store.path(asset.rel_path)
    return path.is_file() and sha256_of(path) == asset.sha256


def _make_room(project_id: UUID, store: AssetStore, name: str, sha256: str) -> None:
    """Archive the row and the file that hold this name, also a file that no row knows."""
    stamped = names.replaced_name(name, timezone.now())
    row = Asset.objects.filter(project_id=project_id, rel_path=name).first()
    if row is not None:
        _archive(row, store, names.ARCHIVE_REPLACED, stamped, reason="replaced", new_sha256=sha256)
    path = store.path(name)
    if path.is_file() and sha256_of(path) != sha256:
        store.move(name, _free_name(project_id, store, f"{names.ARCHIVE_REPLACED}/{stamped}"))


def _free_name(project_id: UUID, store: AssetStore, wanted: str) -> str:
    """The name, numbered until neither a file nor a row has it: a row may outlive its file."""

    def taken(name: str) -> bool:
        return store.exists(name) or Asset.objects.filter(project_id=project_id, rel_path=name).exists()

    return names.numbered(wanted, taken)


def _archive(
    asset: Asset, store: AssetStore, folder: str, stamped: str, *, reason: str, new_sha256: str = ""
) -> None:
    """Move a row with its file to a free name in an archive folder, before a file with `new_sha256` comes.

    A try that died between the rename and its commit has moved the file already, and perhaps put another one
    in its place: the hashes tell. A file that is nowhere leaves its row, which says so.
    """
    target = _free_name(asset.project_id, store, f"{folder}/{stamped}")
    found = True
    # What stands there may be the new file of that try when both have the same bytes.
    # A row that was read from a log may know no hash: then its file is the one that has its name.
    is_old = _has_its_bytes(asset, store) if asset.sha256 else store.exists(asset.rel_path)
    if is_old and asset.sha256 != new_sha256:
        store.move(asset.rel_path, target)
    elif earlier := _archived_earlier(store, folder, asset, reason):
        target = earlier
    elif is_old:
        store.move(asset.rel_path, target)
    else:
        found = False
    asset.rel_path = target
    asset.metadata = {**asset.metadata, "archived": reason, "path_exists": found}
    asset.save(update_fields=["rel_path", "metadata"])


def _archived_earlier(store: AssetStore, folder: str, asset: Asset, reason: str) -> str:
    """The archived file with this content that no row names yet, '' if there is none."""
    stem = names.sanitised(PurePosixPath(asset.rel_path).stem, empty="file")
    for path in sorted(store.path(folder).glob(f"{stem}_{reason}_*")):
        name = f"{folder}/{path.name}"
        taken = Asset.objects.filter(project_id=asset.project_id, rel_path=name).exists()
        if not taken and sha256_of(path) == asset.sha256:
            return name
    return ""
