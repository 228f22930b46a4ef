"""Everything after a provider's bytes are safe: free to repeat, and cut short at any point without loss."""

from uuid import UUID

import numpy as np
from django.db import transaction

from pipeline.engine.guard import inspect_pixels
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.ranking import rank_of
from pipeline.engine.runlog import guard_block
from pipeline.models import Asset, Candidate, QualityReport
from pipeline.providers.images import ImageUnreadable, encode_png, read_image, thumbnail_webp
from pipeline.services import assets, outcomes
from pipeline.services.outcomes import CandidateFailed
from pipeline.services.planning import display_name
from pipeline.store import AssetStore, StorageFailed


def finish(candidate: Candidate, store: AssetStore, token: UUID) -> None:
    """Everything after the bytes are safe: publish, thumbnail, guard, rank. Free to repeat.

    Raises `CandidateFailed`.
    """
    try:
        data = store.read(candidate.original_path)
        image = read_image(data, name=candidate.output_name)
        published = data if candidate.original_path.endswith(".png") else encode_png(image)
        asset = assets.publish_output(candidate, store, published, token=token, size=image.size)
        assets.keep_thumbnail(store, asset.sha256, lambda: thumbnail_webp(image))
        assets.keep_scene_thumbnail(store, candidate.job)
    except FileNotFoundError as error:
        raise CandidateFailed(
            "publish", "infra", "original_missing", "The kept original has vanished"
        ) from error
    except ImageUnreadable as error:
        raise CandidateFailed("publish", "provider", "image_unreadable", str(error)) from error
    except StorageFailed as error:
        raise CandidateFailed("publish", error.kind, error.code, str(error)) from error
    except OSError as error:
        reason = f"{candidate.original_path} can't be read: {error.strerror}"
        raise CandidateFailed("publish", "infra", "original_unreadable", reason) from error
    _judge(candidate, store, asset, np.asarray(image.convert("RGB")), token)


def _judge(candidate: Candidate, store: AssetStore, asset: Asset, rgb: assets.Pixels, token: UUID) -> None:
    guard = GuardSettings(**candidate.run.settings_snapshot["output_guard"])
    checked = display_name(store, candidate.output_name)
    report = inspect_pixels(rgb, file=checked, settings=guard)
    rank = rank_of(report, guard.max_chroma_delta)
    rejected = rank.hard_failures > 0
    if rejected:
        try:
            assets.archive_bad(asset, store)
        except StorageFailed as error:
            raise CandidateFailed("output_guard", error.kind, error.code, str(error)) from error
    bad_archive = display_name(store, asset.rel_path) if rejected else None
    block = guard_block(report, checked_input=checked, bad_archive=bad_archive)
    status = Candidate.Status.FAILED_OUTPUT_GUARD if rejected else Candidate.Status.DONE
    reasons = [reason for file in report.files for reason in file.hard_fail_reasons]
    with transaction.atomic():
        closed = outcomes.close(
            candidate,
            token,
            status,
            final_asset=None if rejected else asset,
            rank_hard_failures=rank.hard_failures,
            rank_soft_warnings=rank.soft_warnings,
            rank_avg_chroma_exceed=rank.avg_chroma_exceed,
            error={"reasons": reasons} if rejected else {},
        )
        if closed:
            QualityReport.objects.update_or_create(
                candidate=candidate,
                report_type="output_guard",
                defaults={
                    "project": candidate.run.project,
                    "run": candidate.run,
                    "asset": asset,
                    "grade": "fail" if rejected else "warn" if rank.soft_warnings else "pass",
                    "hard_failures": rank.hard_failures,
                    "soft_warnings": rank.soft_warnings,
                    "avg_chroma_exceed": rank.avg_chroma_exceed,
                    "summary": {"status": status, "rank": rank.as_dict(), "output_guard": block},
                },
            )
