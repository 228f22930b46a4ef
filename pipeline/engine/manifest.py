"""The manifest: references, limits, guard and prompt texts of a universe."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.engine.errors import PlanningError


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What the output guard asks of a file; `max_chroma_delta` is a mean over pixels in levels (0–255)."""

    enabled: bool
    enforce_grayscale: bool
    max_chroma_delta: float
    fail_on_chroma_exceed: bool

    def as_dict(self) -> dict[str, object]:
        """The four keys as they stand in a run log."""
        return {
            "enabled": self.enabled,
            "enforce_grayscale": self.enforce_grayscale,
            "max_chroma_delta": self.max_chroma_delta,
            "fail_on_chroma_exceed": self.fail_on_chroma_exceed,
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
    root = _Section(_mapping(document, "", source), "", source)
    generation = root.section("generation")
    guard = root.section("output_guard")
    policy = root.section("policy")
    default = DEFAULT_MANIFEST
    return Manifest(
        scene_refs=root.texts("scene_refs", default.scene_refs),
        style_refs=root.texts("style_refs", default.style_refs),
        safe_batch_limit=root.count("safe_batch_limit", default.safe_batch_limit),
        candidates=generation.count("candidates", default.candidates),
        max_candidates=generation.count("max_candidates", default.max_candidates),
        guard=GuardSettings(
            enabled=guard.flag("enabled", default.guard.enabled),
            enforce_grayscale=guard.flag("enforce_grayscale", default.guard.enforce_grayscale),
            max_chroma_delta=guard.limit("max_chroma_delta", default.guard.max_chroma_delta),
            fail_on_chroma_exceed=guard.flag("fail_on_chroma_exceed", default.guard.fail_on_chroma_exceed),
        ),
        default_no_invention=policy.flag("default_no_invention", default.default_no_invention),
        prompts=MappingProxyType({**default.prompts, **root.section("prompts").all_texts()}),
    )


@dataclass(frozen=True, slots=True)
class _Section:
    """One object of the document with typed readers; each falls back when the key is absent."""

    values: Mapping[object, object]
    prefix: str
    source: str

    def section(self, key: str) -> "_Section":
        values = _mapping(self.values.get(key, {}), self.prefix + key, self.source)
        return _Section(values, f"{self.prefix}{key}.", self.source)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def count(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, "a whole number of at least 1", value)
        return value

    def limit(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number) and number >= 0:
                return number
        raise self._wrong(key, "a finite number of at least 0", value)

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.values.get(key, default)
        if not isinstance(value, list | tuple):
            raise self._wrong(key, "a list of texts", value)
        trimmed = []
        for index, entry in enumerate(value):
            if not isinstance(entry, str) or not entry.strip():
                raise self._wrong(f"{key}[{index}]", "a text that is not blank", entry)
            trimmed.append(entry.strip())
        return tuple(trimmed)

    def all_texts(self) -> dict[str, str]:
        texts = {}
        for key, value in self.values.items():
            if not isinstance(value, str):
                raise self._wrong(str(key), "a text", value)
            texts[str(key)] = value.strip()
        return texts

    def _wrong(self, key: str, wanted: str, value: object) -> PlanningError:
        return PlanningError(f"'{self.prefix}{key}' in {self.source} must be {wanted}, not {_shown(value)}")


def _mapping(value: object, key: str, source: str) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        thing = f"'{key}' in {source}" if key else f"The manifest {source}"
        raise PlanningError(f"{thing} must be an object, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """A value of JSON as a person reads it, cut short."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case str():
            text = f"'{value[:40]}'"
        case int() | float():
            text = f"{value:.6g}" if abs(value) < 1e300 else "so large a number"
        case list() | tuple():
            text = "a list"
        case _:
            text = "an object"
    return text
