"""The steps after generation once more, by the chain's own work, with no row and no file of a project."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from django.db import DatabaseError

from pipeline.engine.ingest import CandidateEntry
from pipeline.engine.logdocument import section, text
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.names import CandidateNames
from pipeline.engine.planning import RunPlan
from pipeline.engine.postprocess_config import DEFAULT_CONFIG
from pipeline.engine.ranking import Rank
from pipeline.engine.replay import RecordedSteps, changed_tools, recorded_steps
from pipeline.engine.verdict import Verdict, judged
from pipeline.models import Run
from pipeline.services import toolchain
from pipeline.services.judging import expected_of
from pipeline.services.steps import Picture, Stage, StepFailed, as_generated, stages
from pipeline.services.toolchain import COLOUR, CUT, REFINE, UPSCALE, Toolchain, is_paid
from pipeline.tools.base import ToolFailed
from pipeline.tools.pixels import MIME_TYPES

FINAL = "final_output"
FIRST = "generate"
BLOCKS = {CUT: "bg_remove", UPSCALE: "upscale", COLOUR: "color"}
_FIGURES = ("chroma_delta", "grayscale_like", "hard_fail_reasons", "soft_warnings")

# The bytes that are kept under a sha256; None when they are not there.
Kept = Callable[[str], bytes | None]


@dataclass(frozen=True)
class StepsAgain:
    """The tools that repeat the steps of a log; `notes` are sentences about what can't be repeated."""

    chain: Toolchain | None
    notes: tuple[str, ...] = ()


@dataclass
class FinishedAgain:
    """What came of one image after its call.

    `compared` are `(what, in the log, now)`, also where both are equal; without a `verdict` the chain could
    not be followed to its end, and `notes` say why.
    """

    verdict: Verdict | None = None
    compared: list[tuple[str, object, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def steps_again(log: dict[str, Any], plan: RunPlan) -> StepsAgain:
    """The tools of this machine for the steps of a log, and how they differ from those that it names."""
    post = plan.postprocess
    if not post.has_steps:
        return StepsAgain(Toolchain(post, DEFAULT_CONFIG))
    recorded = recorded_steps(log)
    if recorded is None:
        steps = ", ".join(post.pipeline_order[1:])
        return StepsAgain(
            None,
            (
                "The log, which an older Kroma wrote, does not hold how its steps worked: of each image the "
                f"original is compared; not repeated are: {steps}",
            ),
        )
    chain = toolchain.assemble(post, recorded.config, recorded.profile, None)
    if post.upscale_backend == "python" and not _is_program_of_ours(log, recorded):
        reason = (
            f"the log names the program {recorded.config.upscale.python.python_bin}, and only the log of a "
            "run that was made here may start one"
        )
        chain = replace(chain, upscaler=toolchain.Absent("python", reason))
    notes = [
        f"The step {step} is not repeated, as each call of {tool.code} costs and gives another picture: what "
        "it sent then is taken from the files"
        for step, tool in chain.paid
    ]
    notes += [
        f"The step {step} can't be repeated by {tool.code} here: {lack.strip().rstrip('.')}"
        for step, tool in chain.tools
        if not is_paid(tool) and (lack := tool.missing())
    ]
    usable = [
        {"step": step, **toolchain.description(tool)}
        for step, tool in chain.tools
        if not is_paid(tool) and not tool.missing()
    ]
    notes += changed_tools(recorded.tools, usable)
    return StepsAgain(chain, tuple(notes))


def finish_again(
    data: bytes,
    extension: str,
    *,
    chain: Toolchain,
    names: CandidateNames,
    guard: GuardSettings,
    logged: CandidateEntry,
    kept: Kept,
    scene: Path,
) -> FinishedAgain:
    """Everything after a provider's bytes, held against what the log says.

    `scene` is the file that it was made from. Raises `ImageUnreadable`.
    """
    original = Picture(names.generated, MIME_TYPES.get(extension, ""), load=lambda: data)
    picture = as_generated(original)
    done = FinishedAgain()
    if source := _hash_of_first(logged):
        done.compared.append((f"Output of {FIRST}", source, _sha256(picture)))
    for stage in stages(chain, names):
        record = _Record.of(stage.step, logged)
        if record is None and stage.step == REFINE:
            continue  # it came to nothing, and the cut-out went on
        if record is None and any(is_paid(tool) for tool in stage.tools):
            return done  # here it ended, or an older Kroma did not say what came of it
        following = _next(stage, picture, record, logged=logged, done=done, kept=kept)
        if following is None:
            return done
        picture = following
    try:
        judge = partial(judged, settings=guard, expected=expected_of(guard, scene))
        _compare_final(picture, names, logged, done, judge)
    except ToolFailed as error:
        done.notes.append(f"{error.message}. What the guard said is not repeated")
    return done


@dataclass(frozen=True)
class _Record:
    """What a log says of one step of a candidate: whose work its file is, and its sha256, '' for none."""

    tool: str
    sha256: str

    @classmethod
    def of(cls, step: str, logged: CandidateEntry) -> "_Record | None":
        """None for a step that did not run."""
        block = section(logged.metadata.get(BLOCKS.get(step, "bg_remove")))
        refined = section(block.get("refine"))
        if not block or (step == REFINE and not refined):
            return None
        if step == REFINE:
            return cls(text(refined.get("tool")), text(block.get("sha256")))
        if step == CUT:
            # The refined file has taken the name of the cut-out.
            sha256 = text(refined.get("source_sha256")) if refined else text(block.get("sha256"))
            return cls(text(block.get("backend")), sha256)
        return cls("", text(block.get("sha256")))


def _next(
    stage: Stage,
    picture: Picture,
    record: _Record | None,
    *,
    logged: CandidateEntry,
    done: FinishedAgain,
    kept: Kept,
) -> Picture | None:
    """The picture after a step; None where it can't be had, which `done` then says."""
    if record and record.tool and len(stage.tools) > 1:
        # Which backend succeeds is a matter of that day; what it makes is not.
        stage = replace(stage, tools=tuple(tool for tool in stage.tools if tool.code == record.tool))
        if not stage.tools:
            done.notes.append(f"The log's {stage.step} was made by {record.tool}, which it does not plan")
            return None
    if any(is_paid(tool) for tool in stage.tools):
        return _kept_picture(stage, record, done, kept)
    if all(tool.missing() for tool in stage.tools):
        return None  # said once for the whole log
    try:
        made = stage.made_from(picture, call=_never)
    except StepFailed as error:
        done.verdict = Verdict("failed", Rank.ZERO)
        done.compared.append(("Status", logged.status, "failed"))
        if logged.status != "failed":
            done.compared.append((f"Output of {stage.step}", "made", str(error)))
        return None
    if record and record.sha256:
        sha256 = hashlib.sha256(made.data).hexdigest()
        done.compared.append((f"Output of {stage.step}", record.sha256, sha256))
    return Picture(stage.name, made.mime_type, load=lambda: made.data, pixels=made.pixels)


def _kept_picture(stage: Stage, record: _Record | None, done: FinishedAgain, kept: Kept) -> Picture | None:
    """What a paid tool sent that day."""
    sha256 = record.sha256 if record else ""
    data = kept(sha256) if sha256 else None
    if data is None:
        done.notes.append(
            f"The file that {stage.step} made is not there any more: what follows it is not repeated"
        )
        return None
    return Picture(stage.name, "", load=lambda: data)


def _compare_final(
    picture: Picture,
    names: CandidateNames,
    logged: CandidateEntry,
    done: FinishedAgain,
    judge: Callable[..., Verdict],
) -> None:
    block = section(logged.metadata.get("output_guard"))
    checked = text(block.get("checked_input")) or names.final
    done.verdict = verdict = judge(picture.pixels, file=checked)
    done.compared += [
        ("Status", logged.status, verdict.status),
        ("Rank", str(logged.rank.as_dict()), str(verdict.rank.as_dict())),
    ]
    if logged.sha256:  # that of a rejected final file is not in the log
        done.compared.append((f"Output of {FINAL}", logged.sha256, _sha256(picture)))
    done.compared += _figures(block, verdict)


def _figures(block: Any, verdict: Verdict) -> Iterator[tuple[str, object, object]]:
    """What the guard measured; an older Kroma wrote less of it."""
    if not block or verdict.report is None:
        return
    for key, found in verdict.report.summary().items():
        if key in (logged := section(block.get("summary"))):
            yield f"Guard's {key}", logged[key], found
    files = block.get("files")
    first = section(files[0]) if isinstance(files, list) and files else {}
    for file in verdict.report.files[:1]:
        measured = file.as_dict()
        for key in _FIGURES:
            if key in first:
                yield f"Guard's {key}", first[key], measured.get(key)


def _hash_of_first(logged: CandidateEntry) -> str:
    """The sha256 of the generated file, which a step that worked on it has noted."""
    blocks = (section(logged.metadata.get(name)) for name in BLOCKS.values())
    first = next((block for block in blocks if block), {})
    return text(first.get("source_sha256"))


def _is_program_of_ours(log: dict[str, Any], recorded: RecordedSteps) -> bool:
    """Whether a run that was made here has the same program: a log from elsewhere must not start one."""
    try:
        run = Run.objects.filter(pk=UUID(text(log.get("run_id"))), is_imported=False).first()
    except (ValueError, DatabaseError):
        return False
    if run is None:
        return False
    ours, named = toolchain.config_of(run).upscale.python, recorded.config.upscale.python
    return (ours.python_bin, ours.inference_script) == (named.python_bin, named.inference_script)


def _sha256(picture: Picture) -> str:
    return hashlib.sha256(picture.data).hexdigest()


def _never(*arguments: object) -> NoReturn:
    raise AssertionError("No paid tool is called by a replay")
