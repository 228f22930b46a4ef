"""Publishing files under the contract's names, with their rows; archiving what gave way; thumbnails."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from pipeline.engine import names
from pipeline.models import Asset, Candidate, RunJob
from pipeline.providers.images import ImageUnreadable, read_image, thumbnail_webp
from pipeline.services import leases
from pipeline.store import THUMBNAILS, AssetStore, sha256_of, store_for
from projects.models import ProjectStorage, ReferenceItem

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8] | NDArray[Any]
THUMBNAIL_SIDE = 512  # pixels


def publish_output(
    candidate: Candidate, store: AssetStore, data: bytes, *, token: UUID, size: tuple[int, int]
) -> Asset:
    """Put a candidate's PNG at its planned name, archive what was there, write its row; once a candidate.

    `size` is width and height in pixels. Raises `StorageFailed`, `LeaseLost`.
    """
    if candidate.output_asset_id:
        return Asset.objects.get(pk=candidate.output_asset_id)
    name, sha256 = candidate.output_name, hashlib.sha256(data).hexdigest()
    with store.draft(name, data) as draft, transaction.atomic():
        _lock_names(candidate)
        leases.renew_or_stop(candidate.pk, token)  # whoever took over publishes, not we
        _make_room(candidate, store, name, sha256)
        store.put(draft, name)
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
    """Move a file that the guard rejected to the archive; its row follows it. A second call is a no-op.

    Raises `StorageFailed`.
    """
    with transaction.atomic():
        _lock_names(asset)
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
    """Archive the row and the file that hold this name, also a file that no row knows."""
    stamped = names.replaced_name(name, timezone.now())
    row = Asset.objects.filter(project_id=candidate.run.project_id, rel_path=name).first()
    if row is not None:
        _archive(row, store, names.ARCHIVE_REPLACED, stamped, reason="replaced")
    path = store.path(name)
    if path.is_file() and sha256_of(path) != sha256:
        project_id = candidate.run.project_id
        store.move(name, _free_name(project_id, store, f"{names.ARCHIVE_REPLACED}/{stamped}"))


def _free_name(project_id: UUID, store: AssetStore, wanted: str) -> str:
    """The name, numbered until neither a file nor a row has it: a row may outlive its file."""

    def taken(name: str) -> bool:
        return store.exists(name) or Asset.objects.filter(project_id=project_id, rel_path=name).exists()

    return names.numbered(wanted, taken)


def _archive(asset: Asset, store: AssetStore, folder: str, stamped: str, *, reason: str) -> None:
    """Move a row with its file to a free name in an archive folder.

    A try that died between the rename and its commit has moved the file already, and perhaps put another one
    in its place: the hashes tell. A file that is nowhere leaves its row, which says so.
    """
    path = store.path(asset.rel_path)
    target = _free_name(asset.project_id, store, f"{folder}/{stamped}")
    found = True
    # A row that was read from a log may know no hash: then its file is the one that has its name.
    if path.is_file() and asset.sha256 in ("", sha256_of(path)):
        store.move(asset.rel_path, target)
    elif earlier := _archived_earlier(store, folder, asset, reason):
        target = earlier
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
