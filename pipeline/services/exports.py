"""Packages of a run to carry away, kept in the project's folder and known to the database."""

import os
import uuid
from pathlib import PurePosixPath

from django.db import transaction
from django.utils import timezone

from pipeline.engine.names import EXPORTS, timestamp
from pipeline.models import Export, Run, RunJob
from pipeline.services.winners import write_package
from pipeline.store import AssetStore, sha256_of, store_for, writing
from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import AuditEvent

FORMATS = ("zip",)
COMPLETED = "completed"


def checked_format(text: str | None) -> str:
    """The format of a package, the first that there is for a blank. Raises `Invalid`."""
    found = (text or "").strip().lower() or FORMATS[0]
    if found not in FORMATS:
        raise Invalid(f"Field 'export_format' must be one of: {', '.join(FORMATS)}")
    return found


def create_export(run: Run, *, export_format: str = "zip", by: Principal) -> tuple[Export, AuditEvent]:
    """Pack the approved panels of a run, or its winners while none is approved; the package and its event.

    It holds the files, the run log, and a manifest with their hashes. Raises `Invalid`, `StorageFailed`.
    """
    export_format = checked_format(export_format)
    approved_only = run.jobs.filter(status=RunJob.Status.DONE, verdict=RunJob.Verdict.APPROVED).exists()
    export = Export(project=run.project, run=run, status=COMPLETED, export_format=export_format)
    word = "approved" if approved_only else "winners"
    export.rel_path = f"{EXPORTS}/{PurePosixPath(run.run_log_path).stem}_{word}_{export.pk.hex[:12]}.zip"
    store = store_for(run.project)
    _write(export, store, run, approved_only=approved_only)
    try:
        with transaction.atomic():
            export.completed_at = timezone.now()
            export.save(force_insert=True)
            event = audit.record(
                run.project,
                "export.created",
                export,
                by=by,
                run_id=str(run.pk),
                export_format=export_format,
                files=len(export.manifest["files"]),
                sha256=export.checksum_sha256,
            )
    except BaseException:
        store.path(export.rel_path).unlink(missing_ok=True)  # nobody knows of it
        raise
    return export, event


def _write(export: Export, store: AssetStore, run: Run, *, approved_only: bool) -> None:
    """Put the package in place and describe it in the row. Raises `Invalid`, `StorageFailed`."""
    about = {
        "export_id": str(export.pk),
        "project": run.project.slug,
        "run_id": str(run.pk),
        "created_at": timestamp(export.created_at),
        "selection": "approved" if approved_only else "winners",
    }
    path = store.path(export.rel_path)
    draft = path.with_name(f".draft-{uuid.uuid4().hex}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as file:
                manifest = write_package(run, file, approved_only=approved_only, about=about)
                file.flush()
                os.fsync(file.fileno())
        if not manifest["files"]:
            raise Invalid("This run has no winner yet")
        export.manifest = manifest
        export.n_bytes, export.checksum_sha256 = draft.stat().st_size, sha256_of(draft)
        store.put(draft, export.rel_path)
    except FileNotFoundError as error:
        raise Invalid(
            f"A winner of this run is not on disk any more ({error.filename}): nothing was packed"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
