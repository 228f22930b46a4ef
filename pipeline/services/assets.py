"""Publishing files under the contract's names, with their rows; archiving what gave way; thumbnails."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from pipeline.engine import names
from pipeline.models import Asset, Candidate, RunJob
from pipeline.providers.images import ImageUnreadable, read_image, thumbnail_webp
from pipeline.store import THUMBNAILS, AssetStore, sha256_of, store_for
from projects.models import ProjectStorage, ReferenceItem

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8] | NDArray[Any]
THUMBNAIL_SIDE = 512  # pixels


def publish_output(candidate: Candidate, store: AssetStore, data: bytes, *, size: tuple[int, int]) -> Asset:
    """Put a candidate's PNG at its planned name, archive what was there, write its row; once a candidate.

    `size` is width and height in pixels. Raises `StorageFull`.
    """
    if candidate.output_asset_id:
        return Asset.objects.get(pk=candidate.output_asset_id)
    name = candidate.output_name
    with store.draft(name, data) as draft, transaction.atomic():
        _lock_names(candidate)
        sha256 = sha256_of(draft)
        _make_room(candidate, store, name, sha256)
        draft.replace(store.path(name))
        asset = Asset.objects.create(
            project_id=candidate.run.project_id,
            kind="candidate_output",
            rel_path=name,
            mime_type="image/png",
            width=size[0],
            height=size[1],
            n_bytes=len(data),
            sha256=sha256,
            run=candidate.run,
            job=candidate.job,
            candidate=candidate,
            metadata={"original_sha256": candidate.original_sha256},
        )
        Candidate.objects.filter(pk=candidate.pk).update(output_asset=asset)
    candidate.output_asset = asset
    return asset


def archive_bad(asset: Asset, store: AssetStore) -> None:
    """Move a file that the guard rejected to the archive; its row follows it. A second call is a no-op."""
    if asset.metadata.get("archived"):
        return
    with transaction.atomic():
        _lock_names(asset)
        wanted = f"{names.ARCHIVE_BAD}/{names.bad_name(asset.rel_path, timezone.now())}"
        _move(asset, store, names.numbered(wanted, store.exists), "bad")


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
    if item is None or not item.content_uri:
        return
    store = store_for(item.project)
    try:
        image = read_image(store.path(item.content_uri), name=item.label, longest_side=2 * THUMBNAIL_SIDE)
    except (FileNotFoundError, ImageUnreadable) as error:
        logger.warning("Reference %s gets no thumbnail: %s", item.pk, error)
        return
    keep_thumbnail(store, item.metadata["sha256"], lambda: thumbnail_webp(image, longest_side=THUMBNAIL_SIDE))


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


def _lock_names(of: Candidate | Asset) -> None:
    """Hold the names of one project until the transaction ends (on SQLite the write lock does it)."""
    project = of.run.project_id if isinstance(of, Candidate) else of.project_id
    ProjectStorage.objects.select_for_update().get(project=project)


def _make_room(candidate: Candidate, store: AssetStore, name: str, sha256: str) -> None:
    """Archive the file and the row that hold this name.

    A try that died between the renames and its commit may have archived the file already, or have put ours in
    place: the hashes tell.
    """
    path = store.path(name)
    found = sha256_of(path) if path.is_file() else ""
    wanted = f"{names.ARCHIVE_REPLACED}/{names.replaced_name(name, timezone.now())}"
    target = names.numbered(wanted, store.exists)
    row = Asset.objects.filter(project_id=candidate.run.project_id, rel_path=name).first()
    if row is not None and row.sha256 != found:
        earlier = _archived_earlier(store, name, row.sha256)
        row.rel_path = earlier or target
        row.metadata = {**row.metadata, "archived": "replaced", "path_exists": bool(earlier)}
        row.save(update_fields=["rel_path", "metadata"])
    elif row is not None:
        _move(row, store, target, "replaced")
    elif found and found != sha256:
        _rename(path, store.path(target))


def _archived_earlier(store: AssetStore, name: str, sha256: str) -> str:
    stem = names.sanitised(Path(name).stem, empty="file")
    folder = store.path(names.ARCHIVE_REPLACED)
    for path in sorted(folder.glob(f"{stem}_replaced_*")):
        if sha256_of(path) == sha256:
            return f"{names.ARCHIVE_REPLACED}/{path.name}"
    return ""


def _move(asset: Asset, store: AssetStore, target: str, reason: str) -> None:
    _rename(store.path(asset.rel_path), store.path(target))
    asset.rel_path = target
    asset.metadata = {**asset.metadata, "archived": reason}
    asset.save(update_fields=["rel_path", "metadata"])


def _rename(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
