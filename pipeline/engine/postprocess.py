"""What happens to a generated image before the guard looks at it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pipeline.engine.errors import PlanningError


@dataclass(frozen=True, slots=True)
class PostprocessPlan:
    """The effective steps after generation; a step that is off hides its companions.

    Raises `PlanningError` when a step that is on lacks what its file name or its work needs.
    """

    upscale: bool = False
    upscale_backend: str | None = None
    color: bool = False
    color_profile: str | None = None
    bg_remove: bool = False
    bg_remove_backends: tuple[str, ...] = ()
    bg_refine_openai: bool = False
    bg_refine_openai_required: bool = False
    # These come from the post-process file only and are not among the nine keys of a run log.
    upscale_scale: int = 2
    upscale_format: str = "png"
    bg_remove_format: str = "png"

    def __post_init__(self) -> None:
        if self.upscale:
            _need(self.upscale_backend, "postprocess.upscale_backend")
            _need(self.upscale_format, "upscale.format")
            if not 1 <= self.upscale_scale <= 255:
                raise PlanningError(
                    f"'upscale.scale' is {self.upscale_scale}; use a whole number from 1 to 255"
                )
        if self.color:
            _need(self.color_profile, "postprocess.color_profile")
        if self.bg_remove:
            _need(self.bg_remove_format, "bg_remove.format")
            if not self.bg_remove_backends:
                raise PlanningError("'postprocess.bg_remove_backends' is empty; name at least one backend")
        hidden: dict[str, object] = {}
        if not self.upscale:
            hidden |= {"upscale_backend": None}
        if not self.color:
            hidden |= {"color_profile": None}
        if not self.bg_remove:
            hidden |= {
                "bg_remove_backends": (),
                "bg_refine_openai": False,
                "bg_refine_openai_required": False,
            }
        for name, value in hidden.items():
            object.__setattr__(self, name, value)

    @classmethod
    def off(cls) -> Self:
        """Generation and nothing after it."""
        return cls()

    @property
    def pipeline_order(self) -> tuple[str, ...]:
        """The steps in the one order there is."""
        steps = {
            "generate": True,
            "bg_remove": self.bg_remove,
            "bg_refine_openai": self.bg_remove and self.bg_refine_openai,
            "upscale": self.upscale,
            "color": self.color,
        }
        return tuple(step for step, on in steps.items() if on)

    @property
    def has_steps(self) -> bool:
        """Whether anything follows generation."""
        return self.bg_remove or self.upscale or self.color

    def as_dict(self) -> dict[str, object]:
        """The nine keys as they stand in a run log."""
        return {
            "upscale": self.upscale,
            "upscale_backend": self.upscale_backend,
            "color": self.color,
            "color_profile": self.color_profile,
            "bg_remove": self.bg_remove,
            "bg_remove_backends": list(self.bg_remove_backends),
            "bg_refine_openai": self.bg_refine_openai,
            "bg_refine_openai_required": self.bg_refine_openai_required,
            "pipeline_order": list(self.pipeline_order),
        }

    def files_as_dict(self) -> dict[str, object]:
        """What names the files of the steps beside those nine keys."""
        return {
            "upscale_scale": self.upscale_scale,
            "upscale_format": self.upscale_format,
            "bg_remove_format": self.bg_remove_format,
        }

    @classmethod
    def from_dicts(cls, plan: Mapping[str, Any], files: Mapping[str, Any]) -> Self:
        """The plan that `as_dict()` and `files_as_dict()` wrote; what is missing has its default."""
        fields = {key: value for key, value in plan.items() if key != "pipeline_order"}
        fields["bg_remove_backends"] = tuple(plan.get("bg_remove_backends", ()))
        return cls(**fields, **files)


def _need(value: str | None, key: str) -> None:
    if value is None or not value.strip():
        raise PlanningError(f"'{key}' is blank; give it a value or switch the step off")
