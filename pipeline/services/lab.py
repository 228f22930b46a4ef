"""The Lab: begin a work, carry it out, keep its result in a universe, and forget it after a day."""

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.db import transaction
from django.utils import timezone

from pipeline.enqueue import enqueue_on_commit
from pipeline.models.lab import LabWork
from pipeline.providers.images import ImageUnreadable, probe_image, read_image
from pipeline.services.labtools import check_tool, laboured
from pipeline.services.references import add_images
from pipeline.store import AssetStore
from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import ReferenceItem, ReferenceSet, User

KEPT = timedelta(days=1)
RING_AGAIN = timedelta(minutes=1)  # after which the message of a work is taken for lost
MOST_WORKS = 50  # of one person within that day
RESULT = "result.png"


def begin(
    user: User,
    image: "UploadedFile[bytes]",
    *,
    tool: str,
    options: Mapping[str, object],
    style: "UploadedFile[bytes] | None" = None,
    by: Principal,
) -> LabWork:
    """Take an image in and queue the work. Raises `Invalid` for one that can't be used, or a tool that can't.

    Nothing of it is in any universe.
    """
    check_tool(tool, options, has_style=style is not None)
    if LabWork.objects.filter(user=user).count() >= MOST_WORKS:
        raise Invalid(f"The Lab keeps {MOST_WORKS} works of a person for a day: delete some first")
    work = LabWork(user=user, tool=tool, options=dict(options))
    work.label = PurePosixPath(image.name or "image").name[:300]
    files = {"source": image, **({"style": style} if style is not None else {})}
    store = _store()
    try:
        for role, file in files.items():
            name, data = _sound(file, role)
            store.write(f"{work.pk}/{name}", data)
            setattr(work, role, name)
        with transaction.atomic():
            work.save(force_insert=True)
            audit.record(None, "lab.begun", work, by=by, tool=tool)
            enqueue_on_commit("pipeline.tasks.work_in_lab", work.pk, group="lab")
    except BaseException:
        _forget_files(work)
        raise
    return work


def work_on(pk: str) -> None:
    """Do the work if it is still to be done; a second delivery is a no-op."""
    mine = LabWork.objects.filter(pk=pk, state=LabWork.State.QUEUED)
    if not mine.update(state=LabWork.State.RUNNING, started_at=timezone.now()):
        return
    work = LabWork.objects.get(pk=pk)
    try:
        done = laboured(work.tool, work.options, path_of(work, work.source), _style_of(work))
        _store().write(f"{work.pk}/{RESULT}", done.data)
    except Invalid as error:
        _close(work, LabWork.State.FAILED, error=str(error))
    else:
        _close(work, LabWork.State.DONE, result=RESULT, facts=dict(done.facts))


def delete(work: LabWork, *, by: Principal) -> None:
    """Forget a work and its files."""
    with transaction.atomic():
        audit.record(None, "lab.deleted", work, by=by, tool=work.tool)
        LabWork.objects.filter(pk=work.pk).delete()
    _forget_files(work)


def keep(work: LabWork, reference_set: ReferenceSet, *, by: Principal) -> ReferenceItem:
    """Put the result into a reference set, where it stays. Raises `Invalid` while there is none."""
    if not work.result:
        raise Invalid("There is no result to keep yet")
    stem = PurePosixPath(work.label).stem
    file = SimpleUploadedFile(f"{stem}-{work.tool}.png", path_of(work, work.result).read_bytes())
    return add_images(reference_set, [file], by=by)[0]


def path_of(work: LabWork, name: str) -> Path:
    """Where a file of a work lies. Raises `Invalid` for a name that leaves its folder."""
    return _store().path(f"{work.pk}/{name}")


def tidy(now: datetime | None = None) -> int:
    """Forget what is older than a day, ring for what was not taken up, close what was cut short.

    Part of the worker's bell; how many works it touched.
    """
    now = now or timezone.now()
    old = list(LabWork.objects.filter(created_at__lt=now - KEPT))
    for work in old:
        LabWork.objects.filter(pk=work.pk).delete()
        _forget_files(work)
    cut = LabWork.objects.filter(
        state=LabWork.State.RUNNING, started_at__lt=now - timedelta(seconds=settings.TASK_TIMEOUT)
    )
    n_cut = cut.update(state=LabWork.State.FAILED, finished_at=now, error="It was cut short: begin it again")
    lost = LabWork.objects.filter(state=LabWork.State.QUEUED, rung_at__lt=now - RING_AGAIN)
    ringing = list(lost)
    for work in ringing:
        with transaction.atomic():
            LabWork.objects.filter(pk=work.pk).update(rung_at=now)
            enqueue_on_commit("pipeline.tasks.work_in_lab", work.pk, group="lab")
    return len(old) + n_cut + len(ringing)


def _sound(file: "UploadedFile[bytes]", role: str) -> tuple[str, bytes]:
    """The name for an upload and its bytes. Raises `Invalid` for one that is no usable image."""
    file.seek(0)
    data = file.read()
    try:
        read_image(data, name=file.name or "The image")
        return f"{role}.{probe_image(data, name=file.name or '').extension}", data
    except ImageUnreadable as error:
        raise Invalid(str(error)) from error


def _close(work: LabWork, state: str, **fields: object) -> None:
    running = LabWork.objects.filter(pk=work.pk, state=LabWork.State.RUNNING)
    running.update(state=state, finished_at=timezone.now(), **fields)


def _style_of(work: LabWork) -> Path | None:
    return path_of(work, work.style) if work.style else None


def _store() -> AssetStore:
    return AssetStore(Path(settings.DATA_DIR) / "lab")


def _forget_files(work: LabWork) -> None:
    shutil.rmtree(_store().path(str(work.pk)), ignore_errors=True)
