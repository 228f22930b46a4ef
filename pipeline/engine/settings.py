"""Layered settings: for every key the first layer that sets it wins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from pipeline.engine.documents import Findings, Section

UPSCALE_BACKENDS = MappingProxyType({name: name for name in ("ncnn", "python", "pillow")})
BG_BACKENDS = MappingProxyType({name: name for name in ("rembg", "photoroom", "removebg")})

REQUEST, PROJECT, APP, CONFIG, DEFAULT = "request", "project", "app", "postprocess_config", "default"
# Where a value came from, in a sentence.
ORIGINS = MappingProxyType(
    {
        REQUEST: "the request",
        PROJECT: "the project settings",
        APP: "the app settings",
        CONFIG: "the post-process config",
        DEFAULT: "the defaults",
    }
)

# Field of a layer -> its dotted key inside the settings object.
KEYS: Mapping[str, str] = MappingProxyType(
    {
        "provider_code": "provider_code",
        "manifest_path": "manifest_path",
        "postprocess_config_path": "postprocess_config_path",
        "upscale": "postprocess.upscale",
        "upscale_backend": "postprocess.upscale_backend",
        "color": "postprocess.color",
        "color_profile": "postprocess.color_profile",
        "bg_remove": "postprocess.bg_remove",
        "bg_remove_backends": "postprocess.bg_remove_backends",
        "bg_refine_openai": "postprocess.bg_refine_openai",
        "bg_refine_openai_required": "postprocess.bg_refine_openai_required",
    }
)


@dataclass(frozen=True, slots=True)
class SettingsLayer:
    """What one layer says; None where it says nothing. False and an empty text are said."""

    provider_code: str | None = None
    manifest_path: str | None = None
    postprocess_config_path: str | None = None
    upscale: bool | None = None
    upscale_backend: str | None = None
    color: bool | None = None
    color_profile: str | None = None
    bg_remove: bool | None = None
    bg_remove_backends: tuple[str, ...] | None = None
    bg_refine_openai: bool | None = None
    bg_refine_openai_required: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it sets nothing at all."""
        return self == SettingsLayer()


DEFAULT_LAYER = SettingsLayer(
    provider_code="local",
    upscale=False,
    upscale_backend="python",
    color=False,
    color_profile="neutral",
    bg_remove=False,
    bg_remove_backends=("rembg",),
    bg_refine_openai=True,
    bg_refine_openai_required=True,
)


@dataclass(frozen=True, slots=True)
class Effective:
    """The winning values, and the layer that each came from by the field's name.

    The layers from `DEFAULT_LAYER` on are below all others, so that only the two paths may be None.
    """

    values: SettingsLayer
    origin: Mapping[str, str]

    def as_dict(self) -> dict[str, object]:
        """Dotted key -> `{value, layer}`, for every key there is."""
        found: dict[str, object] = {}
        for name, key in KEYS.items():
            value = getattr(self.values, name)
            shown = list(value) if isinstance(value, tuple) else value
            found[key] = {"value": shown, "layer": self.origin[name]}
        return found


def read_layer(document: object, findings: Findings) -> SettingsLayer:
    """The settings of a file, which stand under `pipeline` or are the document; notes all that is wrong."""
    root = Section.of(document, findings)
    if "pipeline" in root.values:
        root.warn_of_others(("pipeline",))
        root = root.section("pipeline")
    postprocess = root.section("postprocess")
    root.warn_of_others({key.partition(".")[0] for key in KEYS.values()})
    postprocess.warn_of_others(key.partition(".")[2] for key in KEYS.values() if "." in key)
    return SettingsLayer(
        provider_code=root.text("provider_code", None),
        manifest_path=root.text("manifest_path", None),
        postprocess_config_path=root.text("postprocess_config_path", None),
        upscale=postprocess.flag("upscale", None),
        upscale_backend=postprocess.choice("upscale_backend", UPSCALE_BACKENDS, None),
        color=postprocess.flag("color", None),
        color_profile=postprocess.text("color_profile", None),
        bg_remove=postprocess.flag("bg_remove", None),
        bg_remove_backends=postprocess.choices("bg_remove_backends", BG_BACKENDS, None),
        bg_refine_openai=postprocess.flag("bg_refine_openai", None),
        bg_refine_openai_required=postprocess.flag("bg_refine_openai_required", None),
    )


def merge(layers: Iterable[tuple[str, SettingsLayer]]) -> Effective:
    """Merge named layers, the highest first; the built-in defaults lie under them."""
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    stack = [*layers, (DEFAULT, DEFAULT_LAYER)]
    for field in fields(SettingsLayer):
        for layer, settings in stack:
            value = getattr(settings, field.name)
            if value is not None:
                values[field.name], origin[field.name] = value, layer
                break
        else:
            origin[field.name] = DEFAULT
    return Effective(SettingsLayer(**values), MappingProxyType(origin))  # type: ignore[arg-type]
