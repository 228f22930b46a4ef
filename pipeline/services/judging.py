"""What the guard needs to know of a picture besides its pixels, as far as its settings ask for it."""

from pathlib import Path

from django.conf import settings

from pipeline.engine.manifest import GuardSettings
from pipeline.engine.signals import SHAPE, TEXT, Expected
from pipeline.providers.images import ImageUnreadable, probe_image
from pipeline.tools.base import ToolFailed
from pipeline.tools.lettering import Reader


def reader_lack(guard: GuardSettings) -> str:
    """What stands against reading lettering, where the guard is to do that; '' else. One sentence."""
    if not (guard.enabled and TEXT in guard.signals):
        return ""
    lack = Reader(Path(settings.MODELS_DIR)).missing()
    return f"The guard is to look for lettering ('output_guard.signals'), and can't: {lack}" if lack else ""


def expected_of(guard: GuardSettings, scene: Path | None) -> Expected:
    """What a picture made from `scene` is expected to be; nothing about its shape without a readable one.

    Raises `ToolFailed` where lettering is to be read and can't.
    """
    if lack := reader_lack(guard):
        raise ToolFailed(lack, code="tool_missing")
    reader = Reader(Path(settings.MODELS_DIR)) if TEXT in guard.signals else None
    size = _size_of(scene) if scene is not None and SHAPE in guard.signals else None
    return Expected(size=size, read=reader.read if reader else None)


def _size_of(scene: Path) -> tuple[int, int] | None:
    try:
        info = probe_image(scene)
    except (ImageUnreadable, OSError):
        return None  # it may have gone since; the picture was made from it all the same
    return info.width, info.height
