"""Everything after a provider's bytes are safe: free to repeat, and cut short at any point without loss."""

import time
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from pipeline.engine.guard import GUARD_CODE, GUARD_VERSION
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.ranking import Rank
from pipeline.engine.runlog import guard_block
from pipeline.engine.verdict import judged
from pipeline.models import Asset, Candidate, QualityReport
from pipeline.providers.images import ImageUnreadable
from pipeline.services import assets, chain, judging, outcomes
from pipeline.services.chain import Link
from pipeline.services.outcomes import CandidateFailed
from pipeline.services.planning import display_name
from pipeline.services.steps import Picture, as_generated
from pipeline.services.toolchain import GUARD, plan_of
from pipeline.store import AssetStore, StorageFailed
from pipeline.tools.base import ToolFailed
from pipeline.tools.pixels import MIME_TYPES, small_webp

GENERATED, FINAL = "candidate_output", "candidate_final_output"


def finish(candidate: Candidate, store: AssetStore, token: UUID) -> None:
    """Everything after the bytes are safe: publish, steps, thumbnail, guard, rank. Free to repeat.

    Raises `CandidateFailed`.
    """
    try:
        last = chain.carry_out(candidate, store, token, _generated(candidate, store, token))
        asset = last.asset
        assets.keep_thumbnail(store, asset.sha256, lambda: small_webp(last.picture.pixels))
        assets.keep_scene_thumbnail(store, candidate.job)
    except StorageFailed as error:
        raise CandidateFailed("publish", error.kind, error.code, str(error)) from error
    _judge(candidate, store, asset, last.picture, token)


def _generated(candidate: Candidate, store: AssetStore, token: UUID) -> Link:
    """The first file of the chain: the original as PNG under its planned name; published once."""
    original = _original(candidate, store)
    there = candidate.output_asset
    if there is not None and assets.is_whole(there, store):
        return Link(there, original if _is_png(original) else chain.picture_of(there, store))
    try:
        generated = as_generated(original)
        data, pixels = generated.data, generated.pixels
    except ImageUnreadable as error:
        raise CandidateFailed("publish", "provider", "image_unreadable", str(error)) from error
    new = assets.NewFile(
        candidate.output_name,
        GENERATED,
        data,
        MIME_TYPES["png"],
        (pixels.shape[1], pixels.shape[0]),
        {"original_sha256": candidate.original_sha256},
        sha256=candidate.original_sha256 if _is_png(original) else "",
    )
    return Link(assets.publish(candidate, store, new, token=token), generated)


def _original(candidate: Candidate, store: AssetStore) -> Picture:
    """The bytes as the provider sent them, read when they are needed."""

    def load() -> bytes:
        try:
            return store.read(candidate.original_path)
        except FileNotFoundError as error:
            raise CandidateFailed(
                "publish", "infra", "original_missing", "The kept original has vanished"
            ) from error
        except OSError as error:
            reason = f"{candidate.original_path} can't be read: {error.strerror}"
            raise CandidateFailed("publish", "infra", "original_unreadable", reason) from error

    kind = MIME_TYPES.get(candidate.original_path.rpartition(".")[2], "")
    return Picture(candidate.output_name, kind, load=load)


def _is_png(picture: Picture) -> bool:
    return picture.mime_type == MIME_TYPES["png"]


def _judge(candidate: Candidate, store: AssetStore, asset: Asset, picture: Picture, token: UUID) -> None:
    guard = GuardSettings(**candidate.run.settings_snapshot["output_guard"])
    began = time.perf_counter()
    checked = display_name(store, _planned_name(candidate, asset))
    scene = candidate.job.inputs[0]["path"] if candidate.job.inputs else ""
    try:
        expected = judging.expected_of(guard, store.path(scene) if scene else None)
        verdict = judged(picture.pixels, file=checked, settings=guard, expected=expected)
    except ToolFailed as error:  # the picture is kept, and a retry judges it without another call
        raise CandidateFailed(GUARD, "infra", error.code, error.message) from error
    seconds = round(time.perf_counter() - began, 3)
    if verdict.report is None:
        _close(candidate, token, asset, Candidate.Status.DONE, rank=Rank.ZERO)
        return
    rank, rejected = verdict.rank, verdict.is_rejected
    if rejected:
        try:
            assets.archive_bad(asset, store)
        except StorageFailed as error:
            raise CandidateFailed(GUARD, error.kind, error.code, str(error)) from error
    block = {
        **guard_block(
            verdict.report,
            checked_input=checked,
            bad_archive=display_name(store, asset.rel_path) if rejected else None,
        ),
        "tool": GUARD_CODE,
        "version": GUARD_VERSION,
        "parameters": guard.as_dict(),
        "seconds": seconds,
    }
    status = Candidate.Status(verdict.status)
    with transaction.atomic():
        if _close(candidate, token, asset, status, rank=rank, reasons=verdict.reasons):
            QualityReport.objects.update_or_create(
                candidate=candidate,
                report_type=GUARD,
                defaults={
                    "project": candidate.run.project,
                    "run": candidate.run,
                    "asset": asset,
                    "grade": "fail" if rejected else "warn" if rank.soft_warnings else "pass",
                    "hard_failures": rank.hard_failures,
                    "soft_warnings": rank.soft_warnings,
                    "avg_chroma_exceed": rank.avg_chroma_exceed,
                    "summary": {"status": status, "rank": rank.as_dict(), GUARD: block},
                },
            )


def _close(
    candidate: Candidate,
    token: UUID,
    asset: Asset,
    status: str,
    *,
    rank: Rank,
    reasons: Sequence[str] = (),
) -> bool:
    """Bring the candidate to its end with its last file; whether it was still ours."""
    with transaction.atomic():
        closed = outcomes.close(
            candidate,
            token,
            status,
            final_asset=asset if status == Candidate.Status.DONE else None,
            rank_hard_failures=rank.hard_failures,
            rank_soft_warnings=rank.soft_warnings,
            rank_avg_chroma_exceed=rank.avg_chroma_exceed,
            error={"reasons": list(reasons)} if reasons else {},
        )
        if closed and asset.pk != candidate.output_asset_id:
            Asset.objects.filter(pk=asset.pk).update(kind=FINAL)
    return closed


def _planned_name(candidate: Candidate, asset: Asset) -> str:
    """What the last file is called, wherever it lies by now."""
    if asset.pk == candidate.output_asset_id:
        return candidate.output_name
    return chain.names_of(candidate, plan_of(candidate.run)).final
