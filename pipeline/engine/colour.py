"""Colour profiles. Pillow's enhancers define the result, OpenCV computes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.engine.documents import Findings, Section
from pipeline.engine.errors import PlanningError
from pipeline.engine.guard import chroma_delta

# Pillow cuts the fractions of a blend off, OpenCV rounds. A whole number must survive the shift,
# so it is a little less than a half.
_CUT_OFF = -0.499
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13  # Pillow's ImageFilter.SMOOTH


@dataclass(frozen=True, slots=True)
class ColourProfile:
    """Factors of the steps, 1 for none; `autocontrast_cutoff` is a percentage, 0 for none."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    sharpness: float = 1.0
    gamma: float = 1.0
    autocontrast_cutoff: float = 0.0
    red_multiplier: float = 1.0
    green_multiplier: float = 1.0
    blue_multiplier: float = 1.0

    def as_dict(self) -> dict[str, float]:
        """The factors by name, for the record of a run; `ColourProfile(**…)` reads it again."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """The profiles of a settings file and what is odd about it, a sentence each."""

    profiles: Mapping[str, ColourProfile]
    warnings: tuple[str, ...]


BUILTIN_PROFILES: Mapping[str, ColourProfile] = MappingProxyType(
    {
        "neutral": ColourProfile(contrast=1.02),
        "cinematic_warm": ColourProfile(
            brightness=0.98,
            contrast=1.12,
            saturation=1.08,
            sharpness=1.04,
            gamma=1.03,
            red_multiplier=1.04,
            blue_multiplier=0.96,
        ),
        "cold_rain": ColourProfile(
            brightness=0.97,
            contrast=1.10,
            saturation=0.95,
            sharpness=1.03,
            gamma=1.01,
            red_multiplier=0.97,
            blue_multiplier=1.05,
        ),
    }
)


def profiles_from_document(document: object, *, source: str) -> ProfileFile:
    """Read a parsed colour settings file; its profiles replace the built-in ones.

    Unknown keys are warned of. Raises `PlanningError` naming the dotted key and `source`, the file.
    """
    findings = Findings(source)
    profiles = read_profiles(document, findings)
    findings.refuse()
    return ProfileFile(profiles, tuple(warning.message for warning in findings.warnings))


def read_profiles(document: object, findings: Findings) -> Mapping[str, ColourProfile]:
    """The profiles of a colour settings file; notes all that is wrong or unknown."""
    root = Section.of(document, findings)
    if "profiles" not in root.values:
        findings.error("profiles", f"'profiles' in {findings.source} is missing; write an object of profiles")
    section = root.section("profiles")
    names = [field.name for field in fields(ColourProfile)]
    read = {}
    for name in map(str, section.values):
        parameters = section.section(name)
        parameters.warn_of_others(names)
        read[name] = ColourProfile(
            **{key: parameters.number(key, 1.0, span=1000) for key in names if key in parameters.values}
        )
    return MappingProxyType(read)


def profile_named(name: str, profiles: Mapping[str, ColourProfile] = BUILTIN_PROFILES) -> ColourProfile:
    """The profile called `name`. Raises `PlanningError` listing the names there are."""
    if name not in profiles:
        raise PlanningError(
            f"Colour profile '{name}' is unknown; use {', '.join(profiles) or 'another file'}"
        )
    return profiles[name]


def delta_on_grey(profile: ColourProfile) -> float:
    """The chroma delta that the profile gives to an image of plain middle grey, in levels."""
    return chroma_delta(apply_profile(np.full((4, 4, 3), 128, np.uint8), profile))


def apply_profile(rgb: NDArray[np.uint8], profile: ColourProfile) -> NDArray[np.uint8]:
    """A new corrected image; `rgb` is (height, width, 3), uint8, sRGB.

    A step whose factor is 1 is skipped. With the built-in profiles noise, the worst case, differs from
    Pillow's stepwise result in a few of a thousand values, by one level and never by more than three.
    """
    image = given = np.ascontiguousarray(rgb, np.uint8)
    if profile.autocontrast_cutoff > 0:
        stretched = ImageOps.autocontrast(Image.fromarray(image), cutoff=profile.autocontrast_cutoff)
        image = np.array(stretched, np.uint8)
    image = _brightness_and_contrast(image, profile)
    if profile.saturation != 1:
        grey = cv2.cvtColor(_luma(image), cv2.COLOR_GRAY2RGB)
        image = _blended(image, np.asarray(grey, np.uint8), profile.saturation)
    if profile.sharpness != 1:
        image = _blended(image, _smoothed(image), profile.sharpness)
    toned = _toned(image, profile)
    return toned.copy() if toned is given else toned


def apply_profile_rgba(rgba: NDArray[np.uint8], profile: ColourProfile) -> NDArray[np.uint8]:
    """`apply_profile()` for (height, width, 4); alpha comes through unchanged."""
    corrected = apply_profile(rgba[..., :3], profile)
    return np.dstack((corrected, rgba[..., 3]))


def _brightness_and_contrast(image: NDArray[np.uint8], profile: ColourProfile) -> NDArray[np.uint8]:
    """Both are look-up tables; they are looked up at once, the mean being taken between them."""
    levels = np.arange(256)
    table = levels
    if profile.brightness != 1:
        table = _blend_table(table, 0, profile.brightness)
    if profile.contrast != 1:
        between = image if table is levels else _looked_up(image, table)
        pivot = int(cv2.mean(_luma(between))[0] + 0.5)
        table = _blend_table(table, pivot, profile.contrast)
    return image if table is levels else _looked_up(image, table)


def _blend_table(values: NDArray[np.int_], base: int, factor: float) -> NDArray[np.int_]:
    # In float32 and cut off, as in Pillow's Blend.c.
    blended = np.float32(base) + np.float32(factor) * (values - base).astype(np.float32)
    cut: NDArray[np.int_] = np.clip(np.trunc(blended), 0, 255).astype(np.int_)
    return cut


def _looked_up(image: NDArray[np.uint8], table: NDArray[np.int_]) -> NDArray[np.uint8]:
    return np.asarray(cv2.LUT(image, table.astype(np.uint8)), np.uint8)


def _luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _blended(image: NDArray[np.uint8], base: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    return np.asarray(cv2.addWeighted(image, factor, base, 1 - factor, _CUT_OFF), np.uint8)


def _smoothed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    smooth = np.asarray(cv2.filter2D(image, -1, _SMOOTH), np.uint8)
    # Pillow leaves the outermost pixels alone.
    smooth[[0, -1]] = image[[0, -1]]
    smooth[:, [0, -1]] = image[:, [0, -1]]
    return smooth


def _toned(image: NDArray[np.uint8], profile: ColourProfile) -> NDArray[np.uint8]:
    """Gamma and the multipliers of the channels, one table per channel."""
    curve = list(range(256))
    has_gamma = profile.gamma > 0 and profile.gamma != 1
    if has_gamma:
        curve = [_clamped(255 * (level / 255) ** (1 / profile.gamma)) for level in curve]
    multipliers = (profile.red_multiplier, profile.green_multiplier, profile.blue_multiplier)
    if not has_gamma and all(factor == 1 for factor in multipliers):
        return image
    tables = np.array([[_clamped(value * factor) for factor in multipliers] for value in curve], np.uint8)
    return np.asarray(cv2.LUT(image, tables.reshape(1, 256, 3)), np.uint8)


def _clamped(value: float) -> int:
    return round(max(0.0, min(255.0, value)))
