"""The post-process configuration: how each step works, and the steps that a run has in the end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Self

from pipeline.engine.documents import Findings, Section
from pipeline.engine.errors import PlanningError
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.settings import BG_BACKENDS, UPSCALE_BACKENDS, Effective, SettingsLayer

FORMATS = MappingProxyType({"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp"})
MODELS = MappingProxyType(
    {
        name.lower(): name
        for name in (
            "RealESRGAN_x4plus",
            "RealESRGAN_x4plus_anime_6B",
            "RealESRNet_x4plus",
            "RealESRGAN_x2plus",
            "realesr-animevideov3",
            "realesr-general-x4v3",
        )
    }
)


@dataclass(frozen=True, slots=True)
class UpscalePython:
    """`upscale.python`: tiles and pads are pixels, a tile of 0 is none."""

    python_bin: str = "tools/realesrgan-python/.venv/bin/python"
    inference_script: str = "tools/realesrgan-python/inference_realesrgan.py"
    model_name: str = "RealESRGAN_x4plus"
    tile: int = 0
    tile_pad: int = 10
    pre_pad: int = 0
    fp32: bool = False
    gpu_id: int | None = None


@dataclass(frozen=True, slots=True)
class Upscale:
    """`upscale`: relative paths count from the app root."""

    backend: str = "python"
    scale: int = 2
    format: str = "png"
    tile: int = 0
    binary: str = "tools/realesrgan/realesrgan-ncnn-vulkan"
    model_dir: str = "tools/realesrgan/models"
    model_name: str = "realesrgan-x4plus"
    python: UpscalePython = field(default_factory=UpscalePython)


@dataclass(frozen=True, slots=True)
class Colour:
    """`color`: without a settings file the built-in profiles are used."""

    default_profile: str = "neutral"
    settings_file: str = ""


@dataclass(frozen=True, slots=True)
class Rembg:
    """`bg_remove.rembg`."""

    python_bin: str = "tools/rembg/.venv/bin/python"
    model: str = "birefnet-general"


@dataclass(frozen=True, slots=True)
class HttpBackend:
    """`bg_remove.photoroom` and `.removebg`; `api_key_env` is the name of a variable, never a key."""

    endpoint: str
    api_key_env: str


@dataclass(frozen=True, slots=True)
class Refine:
    """`bg_remove.openai`; a model or quality of None is the environment's, else the tool's default."""

    enabled: bool = True
    required: bool = True
    api_key_env: str = "OPENAI_API_KEY"
    model: str | None = None
    quality: str | None = None
    input_fidelity: str = "high"
    output_format: str = "png"
    background: str = "transparent"
    prompt: str = (
        "Clean the edges of this cut-out: remove halos, fringes and leftovers of the old background, and "
        "close gaps in the contour. Keep the identity, the pose, the framing, the drawing and all colours "
        "exactly as they are. Add nothing."
    )


@dataclass(frozen=True, slots=True)
class BgRemove:
    """`bg_remove`: the backends are tried in this order."""

    backends: tuple[str, ...] = ("rembg",)
    format: str = "png"
    size: str = "auto"
    crop: bool = False
    rembg: Rembg = field(default_factory=Rembg)
    photoroom: HttpBackend = field(
        default_factory=lambda: HttpBackend("https://sdk.photoroom.com/v1/segment", "PHOTOROOM_API_KEY")
    )
    removebg: HttpBackend = field(
        default_factory=lambda: HttpBackend("https://api.remove.bg/v1.0/removebg", "REMOVE_BG_API_KEY")
    )
    openai: Refine = field(default_factory=Refine)


@dataclass(frozen=True, slots=True)
class PostprocessConfig:
    """A post-process file laid over the defaults; `written` is what it says about keys of the layers."""

    upscale: Upscale = field(default_factory=Upscale)
    color: Colour = field(default_factory=Colour)
    bg_remove: BgRemove = field(default_factory=BgRemove)
    written: SettingsLayer = field(default_factory=SettingsLayer)

    def as_dict(self) -> dict[str, object]:
        """How each step works, as plain values, for the record of a run; `written` is not in it."""
        return {section: asdict(getattr(self, section)) for section in ("upscale", "color", "bg_remove")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `as_dict()` wrote; a section that is missing has its defaults."""
        upscale, bg_remove = dict(values.get("upscale", {})), dict(values.get("bg_remove", {}))
        if "python" in upscale:
            upscale["python"] = UpscalePython(**upscale["python"])
        sections = {"rembg": Rembg, "photoroom": HttpBackend, "removebg": HttpBackend, "openai": Refine}
        for name, section in sections.items():
            if name in bg_remove:
                bg_remove[name] = section(**bg_remove[name])
        if "backends" in bg_remove:
            bg_remove["backends"] = tuple(bg_remove["backends"])
        return cls(Upscale(**upscale), Colour(**values.get("color", {})), BgRemove(**bg_remove))

    def upscale_model(self, backend: str) -> str:
        """The model of an upscale backend as run logs name it."""
        return {"ncnn": self.upscale.model_name, "python": self.upscale.python.model_name}.get(
            backend, "lanczos"
        )


DEFAULT_CONFIG = PostprocessConfig()


def config_from_document(document: object, *, source: str) -> PostprocessConfig:
    """A parsed post-process file. Raises `PlanningError` naming the dotted key and `source`, the file."""
    findings = Findings(source)
    config = read_config(document, findings)
    findings.refuse()
    return config


def read_config(document: object, findings: Findings) -> PostprocessConfig:
    """`config_from_document()` that notes all that is wrong or unknown; a wrong key has its default."""
    root = Section.of(document, findings)
    root.warn_of_others(("upscale", "color", "bg_remove"))
    upscale, color, bg_remove = root.section("upscale"), root.section("color"), root.section("bg_remove")
    config = PostprocessConfig(
        upscale=_upscale(upscale),
        color=_color(color),
        bg_remove=_bg_remove(bg_remove),
        written=_written(upscale, color, bg_remove),
    )
    if config.bg_remove.openai.enabled:
        for key, message in _refine_faults(config):
            findings.error(key, f"{message} (in {findings.source})")
    return config


def effective_plan(effective: Effective, config: PostprocessConfig) -> PostprocessPlan:
    """The steps of a run. Raises `PlanningError` when the refine pass contradicts the cut-out's format."""
    values = effective.values
    plan = PostprocessPlan(
        upscale=bool(values.upscale),
        upscale_backend=values.upscale_backend,
        color=bool(values.color),
        color_profile=values.color_profile,
        bg_remove=bool(values.bg_remove),
        bg_remove_backends=values.bg_remove_backends or (),
        bg_refine_openai=bool(values.bg_refine_openai),
        bg_refine_openai_required=bool(values.bg_refine_openai_required),
        upscale_scale=config.upscale.scale,
        upscale_format=config.upscale.format,
        bg_remove_format=config.bg_remove.format,
    )
    if plan.bg_refine_openai:
        for _, message in _refine_faults(config):
            raise PlanningError(message)
    return plan


def _upscale(section: Section) -> Upscale:
    default = Upscale()
    python = section.section("python")
    tile = section.whole("tile", default.tile, least=0)
    section.warn_of_others(Upscale.__slots__)
    python.warn_of_others(UpscalePython.__slots__)
    return Upscale(
        backend=section.choice("backend", UPSCALE_BACKENDS, default.backend),
        scale=section.whole("scale", default.scale, least=1, most=255),
        format=section.choice("format", FORMATS, default.format),
        tile=tile,
        binary=section.text("binary", default.binary),
        model_dir=section.text("model_dir", default.model_dir),
        model_name=section.text("model_name", default.model_name),
        python=UpscalePython(
            python_bin=python.text("python_bin", default.python.python_bin),
            inference_script=python.text("inference_script", default.python.inference_script),
            model_name=python.choice("model_name", MODELS, default.python.model_name),
            tile=python.whole("tile", tile, least=0),
            tile_pad=python.whole("tile_pad", default.python.tile_pad, least=0),
            pre_pad=python.whole("pre_pad", default.python.pre_pad, least=0),
            fp32=python.flag("fp32", default.python.fp32),
            gpu_id=_gpu(python),
        ),
    )


def _gpu(section: Section) -> int | None:
    # The one key of the file that may be null.
    return None if section.values.get("gpu_id") is None else section.whole("gpu_id", None)


def _color(section: Section) -> Colour:
    default = Colour()
    section.warn_of_others(Colour.__slots__)
    return Colour(
        default_profile=section.text("default_profile", default.default_profile),
        settings_file=section.text("settings_file", default.settings_file, blank=True),
    )


def _bg_remove(section: Section) -> BgRemove:
    default = BgRemove()
    rembg, refine = section.section("rembg"), section.section("openai")
    section.warn_of_others(BgRemove.__slots__)
    rembg.warn_of_others(Rembg.__slots__)
    refine.warn_of_others(Refine.__slots__)
    return BgRemove(
        backends=section.choices("backends", BG_BACKENDS, default.backends),
        format=section.choice("format", FORMATS, default.format),
        size=section.text("size", default.size),
        crop=section.flag("crop", default.crop),
        rembg=Rembg(
            python_bin=rembg.text("python_bin", default.rembg.python_bin),
            model=rembg.text("model", default.rembg.model),
        ),
        photoroom=_http(section.section("photoroom"), default.photoroom),
        removebg=_http(section.section("removebg"), default.removebg),
        openai=Refine(
            enabled=refine.flag("enabled", default.openai.enabled),
            required=refine.flag("required", default.openai.required),
            api_key_env=refine.text("api_key_env", default.openai.api_key_env),
            model=refine.text("model", default.openai.model),
            quality=refine.text("quality", default.openai.quality),
            input_fidelity=refine.text("input_fidelity", default.openai.input_fidelity),
            output_format=refine.choice("output_format", FORMATS, default.openai.output_format),
            background=refine.text("background", default.openai.background),
            prompt=refine.text("prompt", default.openai.prompt),
        ),
    )


def _http(section: Section, default: HttpBackend) -> HttpBackend:
    section.warn_of_others(HttpBackend.__slots__)
    return HttpBackend(
        endpoint=section.text("endpoint", default.endpoint),
        api_key_env=section.text("api_key_env", default.api_key_env),
    )


def _written(upscale: Section, color: Section, bg_remove: Section) -> SettingsLayer:
    """The file as the layer below the settings files; what is wrong has been noted by its own section."""
    quiet = Findings(upscale.findings.source)
    upscale, color = Section(upscale.values, "", quiet), Section(color.values, "", quiet)
    refine = Section(bg_remove.values, "", quiet).section("openai")
    return SettingsLayer(
        upscale_backend=upscale.choice("backend", UPSCALE_BACKENDS, None),
        color_profile=color.text("default_profile", None),
        bg_remove_backends=Section(bg_remove.values, "", quiet).choices("backends", BG_BACKENDS, None),
        bg_refine_openai=refine.flag("enabled", None),
        bg_refine_openai_required=refine.flag("required", None),
    )


def _refine_faults(config: PostprocessConfig) -> list[tuple[str, str]]:
    """`(dotted key, sentence)` for what the refine pass can't do with the cut-out's format."""
    bg_remove, refine, key = config.bg_remove, config.bg_remove.openai, "bg_remove.openai"
    faults = []
    if refine.output_format != bg_remove.format:
        faults.append(
            (
                f"{key}.output_format",
                f"'{key}.output_format' is '{refine.output_format}' and 'bg_remove.format' is "
                f"'{bg_remove.format}'; set both alike or '{key}.enabled' to false",
            )
        )
    if refine.background.lower() == "transparent" and bg_remove.format == "jpg":
        faults.append(
            (
                f"{key}.background",
                f"'{key}.background' is 'transparent', which 'bg_remove.format' 'jpg' can't hold; use png or "
                "webp, or another background",
            )
        )
    return faults
