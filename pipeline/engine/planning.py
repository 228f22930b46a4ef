"""From a request to the list of everything that would be made, before anything is paid."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.engine.errors import PlanningError
from pipeline.engine.jobs import ReadyJob
from pipeline.engine.manifest import GuardSettings, Manifest
from pipeline.engine.names import STAGES, TIMES, WEATHERS, CandidateNames, candidate_names, job_id
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.prompts import compose_prompt

MODES = ("dry", "run")
CANDIDATE_CEILING = 255  # of any run, whatever the manifest allows
# Most file systems take 255 bytes; `_replaced_2026-05-04T21-07-52-118Z-999` must still fit behind a name.
LONGEST_FILE_NAME = 255 - 38


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asks for. Scenes and style references are paths ready to be written to a log.

    `candidates` and `batch_limit` override the manifest; None takes its value. `scene_names`, one for each
    scene, are the file names that people gave them where the paths are not (uploads lie under their hash).
    `jobs` are planned already: with them scenes, style references and the manifest's prompts do not count.
    """

    mode: str
    scenes: tuple[str, ...]
    style_refs: tuple[str, ...]
    stage: str = "style"
    time: str = "day"
    weather: str = "clear"
    candidates: int | None = None
    seed: int = 0
    style_guide: str = ""
    batch_limit: int | None = None
    scene_names: tuple[str, ...] = ()
    jobs: tuple[ReadyJob, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedCandidate:
    """One image to make; `index` counts from 1, `seed` is an unsigned 64-bit number."""

    index: int
    seed: int
    names: CandidateNames


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One scene; `position` counts from 1 and `input_images` has the scene first, then the styles."""

    id: str
    position: int
    mode: str
    time: str
    weather: str
    prompt: str
    input_images: tuple[str, ...]
    candidates: tuple[PlannedCandidate, ...]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All that a run would do; the dry run and the paid run share it."""

    request: RunRequest
    jobs: tuple[PlannedJob, ...]
    n_candidates: int
    max_candidates: int
    postprocess: PostprocessPlan
    guard: GuardSettings


def plan_run(request: RunRequest, manifest: Manifest, postprocess: PostprocessPlan) -> RunPlan:
    """Plan one job per scene, in the order of the scenes. Raises `PlanningError`."""
    for name, value, allowed in (
        ("mode", request.mode, MODES),
        ("stage", request.stage, STAGES),
        ("time", request.time, TIMES),
        ("weather", request.weather, WEATHERS),
    ):
        if value not in allowed:
            raise PlanningError(f"'{name}' is '{value}'; use {' or '.join(allowed)}")
    _check_scenes(request, manifest)
    n_candidates = _n_candidates(request, manifest)
    jobs = []
    for position, ready in enumerate(request.jobs or _jobs_of_scenes(request, manifest), start=1):
        candidates = tuple(
            PlannedCandidate(
                index,
                candidate_seed(request.seed, ready.id, index),
                candidate_names(ready.id, index=index, total=n_candidates, postprocess=postprocess),
            )
            for index in range(1, n_candidates + 1)
        )
        longest = candidates[-1].names.final  # every step adds to the name, and so does a digit
        if len(longest) - longest.rfind("/") - 1 > LONGEST_FILE_NAME:
            raise PlanningError(
                f"The file name of scene '{ready.input_images[0]}' is too long; rename it to be shorter"
            )
        jobs.append(
            PlannedJob(
                id=ready.id,
                position=position,
                mode=ready.mode,
                time=ready.time,
                weather=ready.weather,
                prompt=ready.prompt,
                input_images=ready.input_images,
                candidates=candidates,
            )
        )
    return RunPlan(request, tuple(jobs), n_candidates, manifest.max_candidates, postprocess, manifest.guard)


def candidate_seed(seed: int, job_id: str, index: int) -> int:
    """The seed of one candidate, an unsigned 64-bit number that no path, id of a row or time enters."""
    digest = hashlib.sha256(f"{seed}|{job_id}|{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def plan_hash(
    plan: RunPlan,
    *,
    inputs: Mapping[str, str],
    provider: Mapping[str, object],
    tools: Sequence[Mapping[str, object]] = (),
) -> str:
    """sha256 (hex) over everything that determines the images and their price.

    `inputs` maps the path of an input image to the sha256 of its bytes; an image enters by its
    content, or by its path where `inputs` does not know it (a dry run may miss files). `provider`
    is what the provider needs to make the same image again: code, model, size, weights; `tools` is
    the same of each tool of the steps after it, in their order. The mode
    does not enter: a paid run must match the dry run that was looked at.
    """
    post = plan.postprocess
    document = {
        "jobs": [
            {
                "id": job.id,
                "mode": job.mode,
                "time": job.time,
                "weather": job.weather,
                "prompt": job.prompt,
                "inputs": [inputs.get(path) or f"path:{path}" for path in job.input_images],
                "seeds": [candidate.seed for candidate in job.candidates],
            }
            for job in plan.jobs
        ],
        "postprocess": post.as_dict(),
        "files": [post.upscale_scale, post.upscale_format, post.bg_remove_format],
        "guard": plan.guard.as_dict(),
        "provider": dict(provider),
        # Left out where there are none, as plans without steps have always been hashed.
        **({"tools": [dict(tool) for tool in tools]} if tools else {}),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _jobs_of_scenes(request: RunRequest, manifest: Manifest) -> list[ReadyJob]:
    prompt = compose_prompt(
        manifest,
        stage=request.stage,
        time=request.time,
        weather=request.weather,
        style_guide=request.style_guide,
    )
    return [
        ReadyJob(
            id=job_id(request.stage, position, name),
            prompt=prompt,
            input_images=(scene, *request.style_refs),
            mode=request.stage,
            time=request.time,
            weather=request.weather,
        )
        for position, (scene, name) in enumerate(
            zip(request.scenes, request.scene_names or request.scenes, strict=True), start=1
        )
    ]


def _check_scenes(request: RunRequest, manifest: Manifest) -> None:
    n_scenes = len(request.jobs or request.scenes)
    limit = manifest.safe_batch_limit if request.batch_limit is None else request.batch_limit
    if n_scenes == 0:
        raise PlanningError("There are no scene references; name at least one scene image")
    if n_scenes > limit:
        raise PlanningError(
            f"{n_scenes} jobs are more than the batch limit of {limit}; make them in several runs, or"
            " raise the limit ('safe_batch_limit' of the manifest, --batch-limit of the command)"
        )
    for name, paths in (("scene", request.scenes), ("style", request.style_refs)):
        if not all(path.strip() for path in paths):
            raise PlanningError(f"A {name} reference is blank; name an image or leave it out")


def _n_candidates(request: RunRequest, manifest: Manifest) -> int:
    wanted = manifest.candidates if request.candidates is None else request.candidates
    if not 1 <= wanted <= CANDIDATE_CEILING:
        raise PlanningError(f"'candidates' is {wanted}; use a number from 1 to {CANDIDATE_CEILING}")
    if request.mode == "run" and wanted > manifest.max_candidates:
        raise PlanningError(
            f"'candidates' is {wanted}, more than 'generation.max_candidates' ({manifest.max_candidates});"
            " ask for fewer or raise the limit in the manifest"
        )
    return wanted


def _plain(value: object) -> str:
    """Money stays exact in the hashed text."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"A plan hash can't hold {value!r}")
