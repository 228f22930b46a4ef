"""Which tools there are, by the names that settings and run logs use."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from django.conf import settings

from pipeline.engine.colour import ColourProfile
from pipeline.engine.postprocess_config import PostprocessConfig
from pipeline.providers.base import Access
from pipeline.tools.base import LocalTool, PaidTool
from pipeline.tools.colour import ColourTool
from pipeline.tools.http_cutout import PHOTOROOM, REMOVEBG, HttpCutout
from pipeline.tools.matting import Rembg
from pipeline.tools.pillow_upscale import PillowUpscaler
from pipeline.tools.realesrgan import RealEsrgan
from pipeline.tools.refine import OpenAIRefiner
from pipeline.tools.waifu2x import Waifu2x, net_named


class ToolUnknown(ValueError):
    """No tool has this name."""


def background_remover(backend: str, config: PostprocessConfig, access: Access) -> LocalTool | PaidTool:
    """A backend that cuts out. Raises `ToolUnknown`."""
    make = _REMOVERS.get(backend)
    if make is None:
        raise ToolUnknown(f"The background remover '{backend}' is unknown: known are {', '.join(_REMOVERS)}")
    return make(config, access)


def refiner(config: PostprocessConfig, access: Access) -> PaidTool:
    """The pass that cleans a cut-out."""
    return OpenAIRefiner(config.bg_remove.openai, access)


def upscaler(backend: str, config: PostprocessConfig) -> LocalTool:
    """A backend that enlarges. Raises `ToolUnknown`."""
    make = _UPSCALERS.get(backend)
    if make is None:
        raise ToolUnknown(f"The upscale backend '{backend}' is unknown: known are {', '.join(_UPSCALERS)}")
    return make(config)


def colourer(name: str, profile: ColourProfile) -> LocalTool:
    """The colour step with this profile."""
    return ColourTool(name, profile)


def _rembg(config: PostprocessConfig, access: Access) -> LocalTool:
    return Rembg(Path(settings.MODELS_DIR), config.bg_remove.rembg.model)


def _photoroom(config: PostprocessConfig, access: Access) -> PaidTool:
    return HttpCutout(PHOTOROOM, config.bg_remove, config.bg_remove.photoroom, access)


def _removebg(config: PostprocessConfig, access: Access) -> PaidTool:
    return HttpCutout(REMOVEBG, config.bg_remove, config.bg_remove.removebg, access)


def _ncnn(config: PostprocessConfig) -> LocalTool:
    upscale = config.upscale
    net = net_named(upscale.model_name)
    return Waifu2x(Path(settings.MODELS_DIR), net, upscale.scale, upscale.tile)


def _python(config: PostprocessConfig) -> LocalTool:
    upscale = config.upscale
    return RealEsrgan(upscale.python, upscale.scale, Path(settings.APP_ROOT), settings.COMMAND_TIMEOUT)


def _pillow(config: PostprocessConfig) -> LocalTool:
    return PillowUpscaler(config.upscale.scale)


_REMOVERS: Mapping[str, Callable[[PostprocessConfig, Access], LocalTool | PaidTool]] = MappingProxyType(
    {"rembg": _rembg, "photoroom": _photoroom, "removebg": _removebg}
)
_UPSCALERS: Mapping[str, Callable[[PostprocessConfig], LocalTool]] = MappingProxyType(
    {"ncnn": _ncnn, "python": _python, "pillow": _pillow}
)
