"""Images that people bring: into reference sets from the browser, into a run from a command."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Max

from pipeline.engine.discovery import discover_images
from pipeline.engine.errors import PlanningError
from pipeline.engine.names import numbered
from pipeline.enqueue import enqueue_on_commit
from pipeline.providers.images import MAX_IMAGE_BYTES, ImageUnreadable, probe_image, read_image
from pipeline.services.planning import InputImage
from pipeline.store import INPUTS, REFERENCES, AssetStore, sha256_of, store_for
from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import Project, ReferenceItem, ReferenceSet
from projects.services.library import PLACES


def add_images(
    reference_set: ReferenceSet, files: Sequence["UploadedFile[bytes]"], *, by: Principal
) -> list[ReferenceItem]:
    """Put uploaded images into a set, in the order given: all of them or, if one is no good, none.

    Raises `Invalid` with a sentence for each file that can't be used, `StorageFull`.
    """
    if not files:
        raise Invalid("No image arrived: choose at least one file")
    faults = [fault for file in files if (fault := _fault(file))]
    if faults:
        raise Invalid(". ".join(faults) + ". Nothing was added")
    store = store_for(reference_set.project)
    kept = [_kept(file, store) for file in files]
    with transaction.atomic():
        last = reference_set.items.aggregate(last=Max("sort_order"))["last"] or 0
        items = [
            ReferenceItem(
                project=reference_set.project,
                reference_set=reference_set,
                label=PurePosixPath(file.name or "image").name[:300],
                content_uri=name,
                # At the end of all places they still keep the order in which they came.
                sort_order=min(last + place, PLACES[1]),
                metadata=metadata,
            )
            for place, (file, (name, metadata)) in enumerate(zip(files, kept, strict=True), start=1)
        ]
        ReferenceItem.objects.bulk_create(items)
        audit.record(
            reference_set.project, "reference_items.added", reference_set, by=by, n_images=len(items)
        )
        for item in items:
            enqueue_on_commit("pipeline.tasks.make_reference_thumbnail", item.pk, group="thumbnails")
    return items


@dataclass(frozen=True)
class FoundInput:
    """One sound image file of the operator; `name` is relative to what was named, with `/`."""

    path: Path
    name: str
    sha256: str


def find_inputs(sources: Iterable[Path]) -> list[FoundInput]:
    """The images that files and folders of the operator stand for, each looked at; nothing is changed.

    Raises `Invalid` naming each file that is no usable image, or a path without any.
    """
    found: list[FoundInput] = []
    faults: list[str] = []
    taken: set[str] = set()
    for source in sources:
        try:
            images = discover_images(source)
        except PlanningError as error:
            raise Invalid(str(error)) from error
        if not images:
            raise Invalid(f"{source} holds no image: use JPEG, PNG, WebP, BMP or TIFF files")
        base = source if source.is_dir() else source.parent
        for image in images:
            try:
                read_image(image, name=str(image))
                # Two folders may hold the same name; neither file may take the other's place.
                name = numbered(_readable_name(image.relative_to(base)), taken.__contains__)
                taken.add(name)
                found.append(FoundInput(image, name, sha256_of(image)))
            except (ImageUnreadable, OSError) as error:
                faults.append(str(error))
    if faults:
        raise Invalid(". ".join(faults) + ". Nothing was copied")
    return found


def copy_found(project: Project, found: Sequence[FoundInput], *, place: str) -> list[InputImage]:
    """Copy found images into the project, under a folder named after their content.

    Relative names inside a folder are kept, so that job ids and sorting are those of the originals; the same
    files again are not copied again. `place` names the purpose (`scenes`, `styles`). Raises `StorageFull`.
    """
    store = store_for(project)
    images = as_inputs(found, place=place)
    for source, image in zip(found, images, strict=True):
        if not (store.exists(image.path) and store.sha256(image.path) == image.sha256):
            store.write(image.path, source.path.read_bytes())
    return images


def as_inputs(found: Sequence[FoundInput], *, place: str) -> list[InputImage]:
    """What found images will be in a project once `copy_found` has copied them."""
    listing = "".join(f"{image.name}\0{image.sha256}\n" for image in found)
    folder = f"{INPUTS}/{place}-{hashlib.sha256(listing.encode()).hexdigest()[:16]}"
    return [
        InputImage(
            path=f"{folder}/{image.name}",
            name=PurePosixPath(image.name).name,
            label=str(PurePosixPath(image.name).with_suffix("")),
            sha256=image.sha256,
        )
        for image in found
    ]


def _readable_name(path: Path) -> str:
    """The relative name as text that a database takes, whatever bytes the file system has."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _fault(file: "UploadedFile[bytes]") -> str:
    """Why an upload can't be used, in words that name it; '' if it can."""
    label = file.name or "The file"
    if file.size is not None and file.size > MAX_IMAGE_BYTES:
        return f"{label} is larger than {MAX_IMAGE_BYTES // 1024**2} MiB"
    try:
        file.seek(0)
        read_image(file.read(), name=label)
    except ImageUnreadable as error:
        return str(error)
    return ""


def _kept(file: "UploadedFile[bytes]", store: AssetStore) -> tuple[str, dict[str, object]]:
    file.seek(0)
    data = file.read()
    info = probe_image(data, name=file.name or "")
    sha256, name = store.keep(REFERENCES, data, info.extension)
    return name, {
        "sha256": sha256,
        "mime_type": info.mime_type,
        "width": info.width,
        "height": info.height,
        "bytes": len(data),
    }
