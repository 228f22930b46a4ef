"""Which tools a universe has: what each does, whether it can run, and where one tries it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings

from pipeline.models.lab import LabWork
from pipeline.providers.base import NO_ACCESS, Access
from pipeline.providers.local.style import FILES as STYLE_FILES
from pipeline.providers.registry import provider_for
from pipeline.services.accounts import access_to
from pipeline.services.configuration import Configuration
from pipeline.services.toolchain import Tool
from pipeline.tools import registry
from pipeline.tools.http_cutout import SERVICES
from pipeline.tools.lettering import FILES as READER_FILES
from pipeline.tools.lettering import Reader
from pipeline.tools.matting import Rembg
from pipeline.tools.waifu2x import CUNET, PHOTO, Waifu2x, net_named
from pipeline.tools.weights import WEIGHTS
from projects.errors import KromaError
from projects.models import Project


@dataclass(frozen=True)
class ToolStatus:
    """One tool: `lack` is what stands against using it, '' if it can run; `trial` names it in the Lab."""

    name: str
    does: str
    version: str
    lack: str
    licence: str = ""
    trial: str = ""


def tool_statuses(project: Project, configuration: Configuration) -> list[ToolStatus]:
    """All tools, local ones first; nobody is called."""
    config = configuration.postprocess_config
    models = Path(settings.MODELS_DIR)
    upscale = config.upscale
    rembg = registry.background_remover("rembg", config, NO_ACCESS)
    net = net_named(upscale.model_name)
    nets = {one.name: one for one in (net, PHOTO, CUNET)}
    cutout, enlarge = LabWork.Tool.CUTOUT.value, LabWork.Tool.UPSCALE.value
    style = provider_for("local", Access(config={"look": "neural"}))
    found = [
        ToolStatus(
            "local, neural",
            "the style network of the built-in renderer, here",
            str(style.describe()["look"]),
            lack := style.missing(),
            WEIGHTS[STYLE_FILES[0]].licence,
            "" if lack else LabWork.Tool.RESTYLE.value,
        ),
        _status("rembg", "removes the background, here", rembg, licence=_licence(rembg), trial=cutout),
        ToolStatus(
            "guard, lettering",
            "finds what is written in pictures, here; asked for by 'output_guard.signals'",
            "PP-OCRv4",
            Reader(models).missing(),
            WEIGHTS[READER_FILES[0]].licence,
        ),
        *(
            _status(
                f"ncnn, {name}",
                "enlarges, here",
                tool := Waifu2x(models, one, upscale.scale, upscale.tile),
                licence=_licence(tool),
                trial=enlarge,
            )
            for name, one in nets.items()
        ),
        _status("python", "enlarges with a Real-ESRGAN of yours", registry.upscaler("python", config)),
        _status("pillow", "enlarges plainly (Lanczos)", registry.upscaler("pillow", config), trial=enlarge),
    ]
    found += [
        _status(
            f"colour, {name}",
            "corrects colours, here",
            registry.colourer(name, profile),
            trial=LabWork.Tool.COLOUR.value,
        )
        for name, profile in configuration.profiles.items()
    ]
    for code in SERVICES:
        remove = partial(registry.background_remover, code, config)
        found.append(_paid(project, code, "removes the background, paid", remove))
    found.append(_paid(project, "openai", "refines a cut-out, paid", partial(registry.refiner, config)))
    return found


def _status(name: str, does: str, tool: Tool, *, licence: str = "", trial: str = "") -> ToolStatus:
    lack = tool.missing()
    return ToolStatus(name, does, tool.version, lack, licence, "" if lack else trial)


def _paid(project: Project, code: str, does: str, make: Callable[[Access], Tool]) -> ToolStatus:
    try:
        return _status(code, does, make(access_to(project, code)))
    except KromaError as error:  # its account is switched off, or set up wrongly
        return ToolStatus(code, does, "", str(error))


def _licence(tool: object) -> str:
    """Of the model files of a tool, where they are those that we fetch."""
    names = [f"{tool.model}.onnx"] if isinstance(tool, Rembg) else []
    names = list(tool.net.files) if isinstance(tool, Waifu2x) else names
    return next((WEIGHTS[name].licence for name in names if name in WEIGHTS), "")
