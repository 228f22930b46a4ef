"""The manifest: references, limits, guard and prompt texts of a universe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.engine.documents import Findings, Section
from pipeline.engine.signals import SIGNS, SMALL


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What the output guard asks of a file; `max_chroma_delta` is a mean over pixels in levels (0–255)."""

    enabled: bool
    enforce_grayscale: bool
    max_chroma_delta: float
    fail_on_chroma_exceed: bool
    # Further signs that are looked for (`engine.signals`); none unless the manifest names them.
    signals: tuple[str, ...] = ()
    min_side: int = 512  # pixels; what the sign `small` holds the shorter side against
    ignore_transparent: bool = False  # the hidden colour of clear pixels does not count

    def __post_init__(self) -> None:
        object.__setattr__(self, "signals", tuple(self.signals))  # a run log has a list

    def as_dict(self) -> dict[str, object]:
        """The four keys as they stand in a run log, and what else is set."""
        return {
            "enabled": self.enabled,
            "enforce_grayscale": self.enforce_grayscale,
            "max_chroma_delta": self.max_chroma_delta,
            "fail_on_chroma_exceed": self.fail_on_chroma_exceed,
            **({"signals": list(self.signals)} if self.signals else {}),
            **({"min_side": self.min_side} if SMALL in self.signals else {}),
            **({"ignore_transparent": True} if self.ignore_transparent else {}),
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest after validation; references are paths as written, `prompts` maps key to trimmed text."""

    scene_refs: tuple[str, ...]
    style_refs: tuple[str, ...]
    safe_batch_limit: int
    candidates: int
    max_candidates: int
    guard: GuardSettings
    default_no_invention: bool
    prompts: Mapping[str, str] = field(hash=False)


DEFAULT_MANIFEST = Manifest(
    scene_refs=(),
    style_refs=(),
    safe_batch_limit=20,
    candidates=1,
    max_candidates=6,
    guard=GuardSettings(
        enabled=True, enforce_grayscale=False, max_chroma_delta=2.0, fail_on_chroma_exceed=False
    ),
    default_no_invention=True,
    prompts=MappingProxyType(
        {
            "style_base": (
                "Redraw the first image as one panel of an ink-noir comic in black, white and neutral greys. "
                "Take the drawing style from the other reference images: confident brush contours of varying "
                "weight, solid spotted blacks, sparse feathered hatching in the half-tones and clean white "
                "paper for the lights. Keep the geometry of the first image exactly: camera position, lens, "
                "perspective lines, horizon, proportions, silhouettes and the place of every object and "
                "figure; faces stay recognisable. Draw full bleed, without panel border. No lettering of any "
                "kind: no captions, speech balloons, sound effects, signatures or watermarks, and signs in "
                "the scene stay blank."
            ),
            "time_day": (
                "It is day: high, even daylight from one direction, open shadows with readable detail, short "
                "hard cast shadows, a bright sky that is mostly bare paper, and no lamp lit."
            ),
            "time_night": (
                "It is night: deep black masses and a dark sky, light only from the moon and from lamps "
                "and windows that the scene already has, hard rim light along the silhouettes, long cast "
                "shadows, with the main shapes still readable."
            ),
            "weather_clear": (
                "The weather is clear and dry: still air, crisp edges into the distance, matt dry ground "
                "without puddles or reflections."
            ),
            "weather_rain": (
                "It is raining: fine slanting strokes of one direction, wet ground with broken vertical "
                "reflections of what stands above it, glistening edges, distant shapes paler behind the "
                "rain, with contours of figures left clear."
            ),
        }
    ),
)


def manifest_from_document(document: object, *, source: str) -> Manifest:
    """Lay a parsed manifest file over the default, key by key; lists replace, prompts are merged.

    Unknown keys are ignored. Raises `PlanningError` naming the dotted key and `source`, the file.
    """
    findings = Findings(source)
    manifest = read_manifest(document, findings)
    findings.refuse()
    return manifest


def read_manifest(document: object, findings: Findings) -> Manifest:
    """`manifest_from_document()` that notes all that is wrong or unknown; a wrong key has its default."""
    root = Section.of(document, findings)
    generation = root.section("generation")
    guard = root.section("output_guard")
    policy = root.section("policy")
    default = DEFAULT_MANIFEST
    root.warn_of_others(
        ("scene_refs", "style_refs", "safe_batch_limit", "generation", "output_guard", "policy", "prompts")
    )
    generation.warn_of_others(("candidates", "max_candidates"))
    guard.warn_of_others((*default.guard.as_dict(), "signals", "min_side", "ignore_transparent"))
    policy.warn_of_others(("default_no_invention",))
    return Manifest(
        scene_refs=root.texts("scene_refs", default.scene_refs),
        style_refs=root.texts("style_refs", default.style_refs),
        safe_batch_limit=root.whole("safe_batch_limit", default.safe_batch_limit, least=1),
        candidates=generation.whole("candidates", default.candidates, least=1),
        max_candidates=generation.whole("max_candidates", default.max_candidates, least=1),
        guard=GuardSettings(
            enabled=guard.flag("enabled", default.guard.enabled),
            enforce_grayscale=guard.flag("enforce_grayscale", default.guard.enforce_grayscale),
            max_chroma_delta=guard.limit("max_chroma_delta", default.guard.max_chroma_delta),
            fail_on_chroma_exceed=guard.flag("fail_on_chroma_exceed", default.guard.fail_on_chroma_exceed),
            signals=guard.choices("signals", {sign: sign for sign in SIGNS}, default.guard.signals),
            min_side=guard.whole("min_side", default.guard.min_side, least=1),
            ignore_transparent=guard.flag("ignore_transparent", default.guard.ignore_transparent),
        ),
        default_no_invention=policy.flag("default_no_invention", default.default_no_invention),
        prompts=MappingProxyType({**default.prompts, **root.section("prompts").all_texts()}),
    )
