"""The winners of a run as one can carry them away: a folder, a contact sheet, a zip file."""

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from PIL import Image, ImageDraw, ImageFont

from pipeline.engine.discovery import is_image_name
from pipeline.engine.names import EXPORTS, numbered, sanitised
from pipeline.models import Asset, Run
from pipeline.providers.images import encode_png, read_image
from pipeline.store import AssetStore, store_for

SHEET_COLUMNS = 5
SHEET_CELL = 320  # pixels
CAPTION = 28  # pixels
MANIFEST = "manifest.json"
PIECE = 1024 * 1024  # bytes that are copied at once


@dataclass(frozen=True)
class Winner:
    """One winning picture; `filename` is unique in its run."""

    job_key: str
    scene: str
    filename: str
    asset: Asset


@dataclass(frozen=True)
class PublishedWinners:
    """Where the winners of a run were put."""

    folder: Path
    contact_sheet: Path
    files: tuple[tuple[Winner, Path], ...]


def winners_of(run: Run, *, approved_only: bool = False) -> list[Winner]:
    """The winners of a run in the order of its jobs, without those that somebody has rejected."""
    jobs = run.jobs.filter(status="done").exclude(verdict="rejected").order_by("position")
    if approved_only:
        jobs = jobs.filter(verdict="approved")
    found: list[Winner] = []
    taken: set[str] = set()
    candidates = {
        (candidate.job_id, candidate.candidate_index): candidate.final_asset
        for candidate in run.candidates.filter(status="done").select_related("final_asset")
    }
    for job in jobs:
        # A log from elsewhere may call a job done whose winner it does not name.
        asset = candidates.get((job.pk, job.selected_candidate_index or 0))
        if asset is None:
            continue
        scene = PurePosixPath(job.label)
        named = scene.stem if is_image_name(scene.name) else scene.name
        stem = f"{job.position:03d}_{sanitised(named)}"
        filename = numbered(f"{stem}{PurePosixPath(asset.rel_path).suffix}", taken.__contains__)
        taken.add(filename)
        found.append(Winner(job.job_key, job.label, filename, asset))
    return found


def publish_winners(run: Run) -> PublishedWinners:
    """Copy the winners into `exports/<run log's name>/` with a contact sheet; the same place each time.

    Raises `StorageFull`.
    """
    store = store_for(run.project)
    folder = f"{EXPORTS}/{PurePosixPath(run.run_log_path).stem}"
    winners = winners_of(run)
    files = []
    for winner in winners:
        name = f"{folder}/{winner.filename}"
        store.write(name, store.read(winner.asset.rel_path))
        files.append((winner, store.path(name)))
    sheet = f"{folder}/contact_sheet.png"
    store.write(sheet, encode_png(contact_sheet(winners, store)))
    return PublishedWinners(store.path(folder), store.path(sheet), tuple(files))


def contact_sheet(winners: list[Winner], store: AssetStore) -> Image.Image:
    """All winners small on one page with their names; a page that says so if there are none."""
    columns = min(SHEET_COLUMNS, max(1, len(winners)))
    rows = max(1, math.ceil(len(winners) / columns))
    pitch = SHEET_CELL + CAPTION
    sheet = Image.new("RGB", (columns * SHEET_CELL + 16, rows * pitch + 16), (32, 32, 34))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    if not winners:
        draw.text((24, 24), "No winner", fill=(230, 230, 230), font=font)
    for place, winner in enumerate(winners):
        image = read_image(store.path(winner.asset.rel_path), longest_side=SHEET_CELL - 16)
        left, top = 8 + place % columns * SHEET_CELL, 8 + place // columns * pitch
        sheet.paste(image, (left + (SHEET_CELL - image.width) // 2, top + (SHEET_CELL - image.height) // 2))
        draw.text((left + 8, top + SHEET_CELL), winner.filename[:40], fill=(200, 200, 205), font=font)
    return sheet


def write_zip(run: Run, target: IO[bytes], *, approved_only: bool = False) -> int:
    """Pack the winners with the run log; how many pictures. Raises `FileNotFoundError`."""
    return len(_packed(run, target, approved_only=approved_only, about=None)["files"])


def write_package(
    run: Run, target: IO[bytes], *, approved_only: bool, about: Mapping[str, object]
) -> dict[str, Any]:
    """Pack as `write_zip()`, with a `manifest.json` that begins with `about` and has the hash of each file.

    Returns that manifest. Raises `FileNotFoundError`.
    """
    return _packed(run, target, approved_only=approved_only, about=about)


def _packed(
    run: Run, target: IO[bytes], *, approved_only: bool, about: Mapping[str, object] | None
) -> dict[str, Any]:
    store = store_for(run.project)
    files: list[dict[str, object]] = []
    manifest: dict[str, Any] = {**(about or {}), "files": files, "run_log": None}
    # Uncompressed, as PNG gains nothing.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as package:
        for winner in winners_of(run, approved_only=approved_only):
            told = {"job": winner.job_key, "scene": winner.scene, "asset_id": str(winner.asset.pk)}
            files.append(told | _copied(store.path(winner.asset.rel_path), package, winner.filename))
        if store.exists(run.run_log_path):
            name = PurePosixPath(run.run_log_path).name
            manifest["run_log"] = _copied(store.path(run.run_log_path), package, name)
        if about is not None:
            package.writestr(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=True) + "\n")
    return manifest


def _copied(path: Path, package: zipfile.ZipFile, name: str) -> dict[str, object]:
    """Put a file into a package; its name there, and the hash and size of the very bytes that went in."""
    entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
    sha256, n_bytes = hashlib.sha256(), 0
    with path.open("rb") as source, package.open(entry, "w") as copy:
        while piece := source.read(PIECE):
            sha256.update(piece)
            n_bytes += len(piece)
            copy.write(piece)
    return {"name": name, "sha256": sha256.hexdigest(), "bytes": n_bytes}
