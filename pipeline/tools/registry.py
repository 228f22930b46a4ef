"""Which tools there are, by the names that settings and run logs use."""

from pipeline.engine.colour import ColourProfile
from pipeline.engine.postprocess_config import PostprocessConfig
from pipeline.providers.base import Access
from pipeline.tools.base import LocalTool, PaidTool
from pipeline.tools.colour import ColourTool
from pipeline.tools.pillow_upscale import PillowUpscaler


class ToolUnknown(ValueError):
    """No tool has this name."""


def background_remover(backend: str, config: PostprocessConfig, access: Access) -> LocalTool | PaidTool:
    """A backend that cuts out. Raises `ToolUnknown`."""
    raise ToolUnknown(f"The background remover '{backend}' is unknown")


def refiner(config: PostprocessConfig, access: Access) -> PaidTool:
    """The pass that cleans a cut-out. Raises `ToolUnknown`."""
    raise ToolUnknown("There is no refine pass in this version")


def upscaler(backend: str, config: PostprocessConfig) -> LocalTool:
    """A backend that enlarges. Raises `ToolUnknown`."""
    if backend == "pillow":
        return PillowUpscaler(config.upscale.scale)
    raise ToolUnknown(f"The upscale backend '{backend}' is unknown; use pillow")


def colourer(name: str, profile: ColourProfile) -> LocalTool:
    """The colour step with this profile."""
    return ColourTool(name, profile)
