"""Making a run again from its log, beside the project: no row and no file of it is touched."""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from pipeline.engine.ingest import CandidateEntry, JobEntry, LogRecords, records_of
from pipeline.engine.logdocument import LogRefused, parse_log, section, text
from pipeline.engine.planning import PlannedJob
from pipeline.engine.ranking import CandidateResult, job_outcome
from pipeline.engine.replay import Difference, ReplayPlan, plan_again
from pipeline.providers.base import NO_ACCESS, Access, GenerateRequest, ImageProvider, ProviderError
from pipeline.providers.images import ImageUnreadable
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services.logfiles import log_file, read_log
from pipeline.services.planning import display_path
from pipeline.services.replaysteps import StepsAgain, finish_again, steps_again
from pipeline.store import ORIGINALS, sha256_of
from projects.errors import Invalid

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass
class Replay:
    """One replay, from the log to what came of it."""

    file: Path
    log: Mapping[str, Any]
    records: LogRecords
    again: ReplayPlan
    provider: ImageProvider | None
    steps: StepsAgain
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_made: int = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether the images themselves can be made again, for free and the same."""
        plan, provider = self.again.plan, self.provider
        return plan is not None and provider is not None and provider.repeatable

    @property
    def images(self) -> list[tuple[JobEntry, PlannedJob, CandidateEntry]]:
        """What is made again: each candidate of which the log knows the provider's bytes."""
        if self.again.plan is None or not self.is_repeatable:
            return []
        return [
            (job, planned, candidate)
            for job, planned in zip(self.records.jobs, self.again.plan.jobs, strict=True)
            for candidate in job.candidates
            if candidate.original_sha256
        ]

    def as_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "ok": not self.differences,
            "run_log_path": display_path(self.file),
            "run_id": self.records.run_id,
            "provider_code": self.records.provider_code,
            "repeatable": self.is_repeatable,
            "jobs": len(self.records.jobs),
            "candidates": sum(len(job.candidates) for job in self.records.jobs),
            "images": self.n_made,
            "differences": [difference.as_dict() for difference in self.differences],
            "notes": list(self.notes),
        }


def prepare_replay(path: str | Path) -> Replay:
    """Read a log and plan its jobs again; makes nothing yet. Raises `Invalid` for what is no run log."""
    file = log_file(path)
    try:
        log = parse_log(read_log(file), source=f"The run log {file}")
    except LogRefused as error:
        raise Invalid(str(error)) from error
    records = records_of(log)
    again = plan_again(log, records)
    steps = steps_again(log, again.plan) if again.plan else StepsAgain(None)
    replay = Replay(file, log, records, again, None, steps, list(again.differences))
    replay.notes += [*records.notes, *again.notes]
    try:
        replay.provider = _provider(log, records)
    except UnknownProvider as error:
        replay.notes.append(str(error))
    _say_what_cannot_be_repeated(replay)
    return replay


def _provider(log: Mapping[str, Any], records: LogRecords) -> ImageProvider:
    """The provider of a log, in the look that it was made with where that is installed."""
    look = text(section(log.get("provider")).get("look"))
    provider = provider_for(records.provider_code, Access(config={"look": look}) if look else NO_ACCESS)
    return provider_for(records.provider_code) if look and provider.missing() else provider


def repeat(replay: Replay, *, on_image: Callable[[], object] = lambda: None) -> None:
    """Check the inputs and make every image again, with no file of it kept; fills `differences`.

    `on_image` is called after each image.
    """
    inputs = _checked_inputs(replay)
    if replay.again.plan is None or replay.provider is None:
        return
    results: dict[str, list[CandidateResult]] = {}
    for job, planned, candidate in replay.images:
        images = [inputs.get(image.path) for image in job.inputs]
        if images and all(images):
            request = _request(planned, candidate, tuple(path for path in images if path))
            result = _made_again(replay, job, planned, candidate, request)
            if result is not None:
                results.setdefault(job.key, []).append(result)
        on_image()
    for job in replay.records.jobs:
        if len(results.get(job.key, ())) == len(job.candidates):
            chosen = job_outcome(results[job.key]).selected_candidate
            _compare(replay, "Chosen candidate", job.selected_candidate or "", chosen or "", job=job.key)


def _say_what_cannot_be_repeated(replay: Replay) -> None:
    provider, records = replay.provider, replay.records
    if provider is None:
        return
    if not provider.repeatable:
        replay.notes.append(
            f"The images of {provider.code} can't be made again: each call costs and gives another picture. "
            "Plan and inputs were compared"
        )
        return
    installed = text(provider.describe().get("look"))
    logged = text(section(replay.log.get("provider")).get("look")) or records.model
    if logged and installed and logged != installed:
        replay.notes.append(
            f"The log was made with the look {logged}, and {installed} is installed: other pictures are "
            "to be expected"
        )
    if records.mode == "dry":
        replay.notes.append("A dry run made no images: its plan was compared")
        return
    replay.notes += replay.steps.notes
    n_without = sum(not c.original_sha256 for job in records.jobs for c in job.candidates)
    if n_without:
        replay.notes.append(f"{n_without} candidates have no image in the log to be compared with")


def _checked_inputs(replay: Replay) -> dict[str, Path]:
    """The inputs that are what they were; a difference for each that is not."""
    sound: dict[str, Path] = {}
    for image in sorted(replay.records.inputs(), key=lambda image: image.path):
        path = _found(replay, image.path)
        try:
            found = sha256_of(path) if path else ""
        except OSError:
            found = ""
        if path and found and found == (image.sha256 or found):
            sound[image.path] = path
        else:
            logged = image.sha256 or "a file"
            replay.differences.append(Difference(f"Input {image.path}", logged, found or "no file"))
        if found and not image.sha256:
            replay.notes.append(f"The log has no sha256 of {image.path}: it is taken as it is")
    return sound


def _found(replay: Replay, written: str) -> Path | None:
    """The file of a path in the log: from the app root, or from the project that the log itself lies in."""
    places = [Path(settings.APP_ROOT) / written]
    root = text(section(replay.log.get("storage")).get("project_root"))
    if root and written.startswith(f"{root}/"):
        places.append(replay.file.parent.parent / written.removeprefix(f"{root}/"))
    try:
        return next((place for place in places if place.is_file()), None)
    except (OSError, ValueError):
        return None


def _request(planned: PlannedJob, candidate: CandidateEntry, images: tuple[Path, ...]) -> GenerateRequest:
    seeds = {again.index: again.seed for again in planned.candidates}
    return GenerateRequest(
        prompt=planned.prompt,
        images=images,
        seed=seeds.get(candidate.index, 0),
        stage=planned.mode,
        time=planned.time,
        weather=planned.weather,
    )


def _made_again(
    replay: Replay, job: JobEntry, planned: PlannedJob, candidate: CandidateEntry, request: GenerateRequest
) -> CandidateResult | None:
    """One image from its call to its rank; what differs is noted. None for what has no rank to compare."""
    plan, chain = replay.again.plan, replay.steps.chain
    if replay.provider is None or plan is None:
        return None
    compare = partial(_compare, replay, job=job.key, candidate=candidate.index)
    names = {again.index: again.names for again in planned.candidates}.get(candidate.index)
    try:
        made = replay.provider.generate(request)
        compare("Original", candidate.original_sha256, hashlib.sha256(made.data).hexdigest())
        if chain is None or names is None:
            replay.n_made += 1
            return None
        finished = finish_again(
            made.data,
            made.extension,
            chain=chain,
            names=names,
            guard=plan.guard,
            logged=candidate,
            kept=partial(_kept, replay),
            scene=request.images[0],
        )
    except ProviderError as error:
        compare("Image", "made", error.message)
        return None
    except ImageUnreadable as error:
        compare("Image", "readable", str(error))
        return None
    replay.n_made += 1
    replay.notes += [note for note in finished.notes if note not in replay.notes]
    for what, logged, found in finished.compared:
        compare(what, logged, found)
    if finished.verdict is None:
        return None
    verdict = finished.verdict
    return CandidateResult(candidate.index, verdict.status, verdict.rank, names.final)


def _kept(replay: Replay, sha256: str) -> bytes | None:
    """The bytes of a paid call, which are kept under their hash in the project that the log lies in."""
    if not _SHA256.fullmatch(sha256):
        return None
    root = text(section(replay.log.get("storage")).get("project_root"))
    with suppress(OSError, ValueError):
        for place in (replay.file.parent.parent, Path(settings.APP_ROOT) / root):
            for path in sorted((place / ORIGINALS).glob(f"{sha256}.*")):
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == sha256:
                    return data
    return None


def _compare(
    replay: Replay, what: str, logged: object, found: object, *, job: str, candidate: int | None = None
) -> None:
    if logged != found:
        replay.differences.append(Difference(what, str(logged), str(found), job, candidate))
