"""The colour step: a profile of factors, by the engine's arithmetic."""

from collections.abc import Mapping

from pipeline.engine.colour import ColourProfile, apply_profile, apply_profile_rgba
from pipeline.tools.base import Pixels


class ColourTool:
    """One colour profile; alpha comes through unchanged."""

    version = "1"  # of the arithmetic; the factors are parameters

    def __init__(self, name: str, profile: ColourProfile) -> None:
        self.code = name
        self.profile = profile

    def missing(self) -> str:
        """Nothing: it needs no program and no weights."""
        return ""

    def parameters(self) -> Mapping[str, object]:
        """The factors of the profile."""
        return {"profile": self.code, **self.profile.as_dict()}

    def apply(self, pixels: Pixels) -> Pixels:
        """The corrected picture."""
        if pixels.shape[2] == 4:
            return apply_profile_rgba(pixels, self.profile)
        return apply_profile(pixels, self.profile)
