"""Which providers there are, by the code that requests, settings and run logs use."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from django.conf import settings

from pipeline.providers.base import NO_ACCESS, Access, ImageProvider
from pipeline.providers.comfyui import ComfyUIProvider
from pipeline.providers.local.provider import AUTO, LocalProvider
from pipeline.providers.openai_images import OpenAIProvider


def _local(access: Access) -> ImageProvider:
    return LocalProvider(Path(settings.MODELS_DIR), str(access.config.get("look", AUTO)))


_FACTORIES: Mapping[str, Callable[[Access], ImageProvider]] = MappingProxyType(
    {"comfyui": ComfyUIProvider, "local": _local, "openai": OpenAIProvider}
)


class UnknownProvider(ValueError):
    """No provider has this code."""


def provider_codes() -> tuple[str, ...]:
    return tuple(sorted(_FACTORIES))


def provider_for(code: str, access: Access = NO_ACCESS) -> ImageProvider:
    """A provider ready to be called. Raises `UnknownProvider`."""
    factory = _FACTORIES.get(code)
    if factory is None:
        raise UnknownProvider(f"Unknown provider '{code}': known are {', '.join(provider_codes())}")
    return factory(access)
