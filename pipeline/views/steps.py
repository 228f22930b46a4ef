"""The steps after generation in words for people."""

from dataclasses import dataclass

from pipeline.engine.postprocess import PostprocessPlan
from pipeline.models import Asset, Candidate
from pipeline.services.chain import files_of
from pipeline.services.toolchain import COLOUR, CUT, REFINE, UPSCALE

WORDS = {CUT: "Cut-out", REFINE: "Refined cut-out", UPSCALE: "Enlarged", COLOUR: "Colour"}


@dataclass(frozen=True)
class ChainFile:
    """One file of a candidate as it is shown; `seconds` is None for the generated one."""

    asset: Asset
    what: str
    tool: str
    seconds: float | None
    notes: list[str]


def planned_steps(plan: PostprocessPlan) -> list[tuple[str, str]]:
    """`(step, how)` for each step after generation, in their order."""
    how = {
        CUT: ", else ".join(plan.bg_remove_backends),
        REFINE: "openai" if plan.bg_refine_openai_required else "openai, if it can",
        UPSCALE: f"{plan.upscale_scale} times, {plan.upscale_backend}",
        COLOUR: str(plan.color_profile),
    }
    return [(WORDS[step], how[step]) for step in plan.pipeline_order if step in WORDS]


def chain_of(candidate: Candidate) -> list[ChainFile]:
    """The files of a candidate in the order of the chain; `candidate.assets` is best prefetched."""
    return [_file(asset) for asset in files_of(candidate.output_asset, candidate.assets.all())]


def _file(asset: Asset) -> ChainFile:
    made = asset.metadata
    failures = made.get("backend_failures", [])
    notes = [f"{failure['backend']} did not: {failure['error']}" for failure in failures]
    if "refine_error" in made:
        notes.append(f"not refined: {made['refine_error']}")
    return ChainFile(
        asset, WORDS.get(made.get("step", ""), "Generated"), made.get("tool", ""), made.get("seconds"), notes
    )
