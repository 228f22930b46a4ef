"""The text that goes to the provider."""

from pipeline.engine.errors import PlanningError
from pipeline.engine.manifest import Manifest

# One constant, so that logs of different runs can be compared.
NO_INVENTION = (
    "Do not invent anything: add no kind of object, figure, building, vehicle, plant or animal "
    "that the scene image does not already contain."
)


def compose_prompt(manifest: Manifest, *, stage: str, time: str, weather: str, style_guide: str = "") -> str:
    """The prompt that all jobs of a run share: trimmed chunks joined by one space.

    `style_guide` follows right after `style_base`; blank means none. Raises `PlanningError` naming
    `prompts.<key>` when a chunk that `stage` needs is missing or blank.
    """
    keys_of_stage = {
        "style": ("style_base",),
        "time": ("style_base", f"time_{time}"),
        "weather": ("style_base", f"time_{time}", f"weather_{weather}"),
    }
    if stage not in keys_of_stage:
        raise PlanningError(f"Stage '{stage}' is unknown; use {', '.join(keys_of_stage)}")
    base, *variations = (_chunk(manifest, key) for key in keys_of_stage[stage])
    closing = NO_INVENTION if manifest.default_no_invention else ""
    return " ".join(chunk for chunk in (base, style_guide.strip(), *variations, closing) if chunk)


def _chunk(manifest: Manifest, key: str) -> str:
    text = manifest.prompts.get(key, "").strip()
    if not text:
        raise PlanningError(f"'prompts.{key}' is missing or blank in the manifest; write a text for it")
    return text
