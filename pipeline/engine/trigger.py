"""What a caller may ask of a run, and the rules that need no stored data, in their fixed order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from pipeline.engine.names import FIDELITIES, STAGES, TIMES, WEATHERS
from pipeline.engine.planning import CANDIDATE_CEILING, MODES
from pipeline.engine.settings import BG_BACKENDS, UPSCALE_BACKENDS, SettingsLayer

CANDIDATES_ASKED = 6  # most that a request may ask for, whatever the manifest says
LARGEST_SEED = 2**63 - 1  # what the database holds
LARGEST_LIMIT = 2**31 - 1
# What a run may choose instead of the account, and the longest text of each.
PROVIDER_OPTIONS: Mapping[str, int] = MappingProxyType(
    {"model": 100, "size": 20, "quality": 20, "input_fidelity": 20}
)
LARGEST_SUM = Decimal(10) ** 12  # USD

WRONG_TYPE, INVALID_MODE, INVALID, NOT_CONFIRMED = (
    "validation_error",
    "invalid_mode",
    "invalid_request",
    "spend_confirmation_required",
)
_NEVER_STORED = re.compile("[\x00\ud800-\udfff]")


class TriggerError(ValueError):
    """A request breaks a rule: one sentence. `code` and `kind` are those of the contract.

    `field` names the field of a wrong type, which is the rule before all others; it is '' for other rules.
    """

    def __init__(
        self, message: str, *, code: str = INVALID, kind: str = "validation", field: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind
        self.field = field


@dataclass(frozen=True, slots=True)
class TriggerRequest:
    """A request after normalisation; None and '' leave the choice to the settings.

    `postprocess` has the tri-state toggles, their companions and the path of the post-process config; the
    other keys of a layer stand in fields of their own. `batch_limit` is for commands: over HTTP the
    manifest's holds.
    """

    mode: str = "dry"
    confirm_spend: bool = False
    project_root: str = ""
    input: str = ""
    scene_refs: tuple[str, ...] | None = None
    style_refs: tuple[str, ...] | None = None
    stage: str = ""
    time: str = ""
    weather: str = ""
    candidates: int | None = None
    storage_sync_s3: bool = False
    postprocess: SettingsLayer = field(default_factory=SettingsLayer)
    manifest_path: str = ""
    app_settings_path: str = ""
    project_settings_path: str = ""
    provider_code: str = ""
    provider_options: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    style_guide_id: str = ""
    plan_hash: str = ""
    max_cost_usd: Decimal | None = None
    batch_limit: int | None = None

    def layer(self) -> SettingsLayer:
        """What the request says as the highest layer of the settings."""
        return replace(
            self.postprocess,
            provider_code=self.provider_code or None,
            manifest_path=self.manifest_path or None,
        )


def validated(payload: object) -> TriggerRequest:
    """The request that a JSON object states. Raises `TriggerError` for the first rule that it breaks.

    Types come first and are strict; unknown keys are ignored, and `batch_limit` is one of them.
    """
    if not isinstance(payload, Mapping):
        raise TriggerError("The body must be an object", code=WRONG_TYPE, field="body")
    request = _typed(payload)
    check(request)
    check_spend(request)
    return request


def check(request: TriggerRequest, *, by_command: bool = False) -> None:
    """Hold a request to all rules but the last. Raises `TriggerError` for the first that is broken.

    A command may leave the scenes to the manifest or to a jobs file, and the most candidates to the manifest.
    """
    if request.mode not in MODES:
        raise TriggerError(_one_of("mode", MODES), code=INVALID_MODE)
    if request.project_root:
        raise TriggerError("Field 'project_root' is managed by project storage and cannot be overridden")
    _check_refs("scene_refs", request.scene_refs)
    if request.input and request.scene_refs:
        raise TriggerError("Provide only one of: input, scene_refs")
    if not by_command and not request.input and not request.scene_refs:
        raise TriggerError("Provide one of: input, scene_refs")
    _check_refs("style_refs", request.style_refs)
    for name, allowed in (("stage", STAGES), ("time", TIMES), ("weather", WEATHERS)):
        value = getattr(request, name)
        if value and value not in allowed:
            raise TriggerError(_one_of(name, allowed))
    most = CANDIDATE_CEILING if by_command else CANDIDATES_ASKED
    if request.candidates is not None and not 1 <= request.candidates <= most:
        raise TriggerError(f"Field 'candidates' must be between 1 and {most}")
    if request.time and request.stage not in ("time", "weather"):
        raise TriggerError("Field 'time' requires stage 'time' or 'weather'")
    if request.weather and request.stage != "weather":
        raise TriggerError("Field 'weather' requires stage 'weather'")
    _check_additions(request)


def check_spend(request: TriggerRequest) -> None:
    """The last rule: no images are made without the confirmation. Raises `TriggerError`."""
    if request.mode == "run" and request.confirm_spend is not True:
        raise TriggerError("Run mode requires explicit spend confirmation", code=NOT_CONFIRMED, kind="policy")


def trigger_answer(summary: Sequence[str], *, mode: str, warnings: Sequence[str]) -> dict[str, object]:
    """`pipeline_trigger` of the contract: the five lines of the summary, and a line for each warning."""
    return {
        "mode": mode,
        "status_code": 0,
        "stdout": "\n".join(summary) + "\n",
        "stderr": "\n".join(" ".join(warning.split()) for warning in warnings),
        "adapter": "kroma",
    }


def _check_additions(request: TriggerRequest) -> None:
    """Our own fields; they come after those of the contract, so that its order stays."""
    post = request.postprocess
    backends = post.bg_remove_backends
    if post.upscale_backend is not None and post.upscale_backend not in UPSCALE_BACKENDS:
        raise TriggerError(_one_of("postprocess.upscale_backend", UPSCALE_BACKENDS))
    if backends is not None and (not backends or not set(backends) <= set(BG_BACKENDS)):
        raise TriggerError(
            "Field 'postprocess.bg_remove_backends' must be a list that is not empty, each entry one of: "
            + ", ".join(BG_BACKENDS)
        )
    for name in ("color_profile", "postprocess_config_path"):
        text = getattr(post, name)
        if text is not None and not text.strip():
            shown = "config_path" if name == "postprocess_config_path" else name
            raise TriggerError(f"Field 'postprocess.{shown}' must not be blank")
    for name, text in request.provider_options.items():
        if len(text) > PROVIDER_OPTIONS[name]:
            raise TriggerError(
                f"Field 'provider_options.{name}' must have at most {PROVIDER_OPTIONS[name]} characters"
            )
    if request.provider_options.get("input_fidelity", FIDELITIES[0]) not in FIDELITIES:
        raise TriggerError(_one_of("provider_options.input_fidelity", FIDELITIES))
    if not 0 <= request.seed <= LARGEST_SEED:
        raise TriggerError("Field 'seed' must be between 0 and 2^63 - 1")
    if request.max_cost_usd is not None and not 0 <= request.max_cost_usd <= LARGEST_SUM:
        raise TriggerError("Field 'max_cost_usd' must be a sum in USD of at least 0")
    if request.batch_limit is not None and not 1 <= request.batch_limit <= LARGEST_LIMIT:
        raise TriggerError("Field 'batch_limit' must be at least 1")


def _check_refs(name: str, refs: Sequence[str] | None) -> None:
    if refs is None:
        return
    if not refs:
        raise TriggerError(f"Field '{name}' must not be empty")
    if not all(ref.strip() for ref in refs):
        raise TriggerError(f"Field '{name}' must not contain empty values")


def _typed(payload: Mapping[str, object]) -> TriggerRequest:
    read = _Fields(payload)
    post = _Fields(read.mapping("postprocess"), prefix="postprocess.")
    options = _Fields(read.mapping("provider_options"), prefix="provider_options.")
    return TriggerRequest(
        mode=read.text("mode").lower() or "dry",
        confirm_spend=read.flag("confirm_spend") or False,
        project_root=read.text("project_root"),
        input=read.text("input"),
        scene_refs=read.texts("scene_refs"),
        style_refs=read.texts("style_refs"),
        stage=read.text("stage").lower(),
        time=read.text("time").lower(),
        weather=read.text("weather").lower(),
        candidates=read.whole("candidates"),
        storage_sync_s3=read.flag("storage_sync_s3") or False,
        postprocess=SettingsLayer(
            upscale=post.flag("upscale"),
            upscale_backend=_lower(post.optional_text("upscale_backend")),
            color=post.flag("color"),
            color_profile=post.optional_text("color_profile"),
            bg_remove=post.flag("bg_remove"),
            bg_remove_backends=_all_lower(post.texts("bg_remove_backends")),
            bg_refine_openai=post.flag("bg_refine_openai"),
            bg_refine_openai_required=post.flag("bg_refine_openai_required"),
            postprocess_config_path=post.optional_text("config_path"),
        ),
        manifest_path=read.text("manifest_path"),
        app_settings_path=read.text("app_settings_path"),
        project_settings_path=read.text("project_settings_path"),
        provider_code=read.text("provider_code"),
        provider_options={name: text for name in PROVIDER_OPTIONS if (text := options.text(name))},
        seed=read.whole("seed") or 0,
        style_guide_id=read.text("style_guide_id"),
        plan_hash=read.text("plan_hash"),
        max_cost_usd=read.money("max_cost_usd"),
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of an object; absent and null are the same. Raises `TriggerError` for a wrong type."""

    values: Mapping[str, object]
    prefix: str = ""

    def text(self, name: str) -> str:
        return self.optional_text(name) or ""

    def optional_text(self, name: str) -> str | None:
        value = self.values.get(name)
        return None if value is None else self._text(name, value)

    def texts(self, name: str) -> tuple[str, ...] | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise self._wrong(name, "a list of texts")
        return tuple(self._text(name, entry, wanted="a list of texts") for entry in value)

    def flag(self, name: str) -> bool | None:
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self._wrong(name, "true or false")

    def whole(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._wrong(name, "a whole number")

    def money(self, name: str) -> Decimal | None:
        """A number or, to be exact, its text."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
            try:
                amount = Decimal(str(value).strip())
            except (InvalidOperation, ValueError):
                amount = Decimal("NaN")
            if amount.is_finite():
                return amount
        raise self._wrong(name, "a sum in USD")

    def mapping(self, name: str) -> Mapping[str, object]:
        value = self.values.get(name)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        raise self._wrong(name, "an object")

    def _text(self, name: str, value: object, *, wanted: str = "a text") -> str:
        if not isinstance(value, str):
            raise self._wrong(name, wanted)
        if _NEVER_STORED.search(value):
            raise self._wrong(name, f"{wanted} without characters that can't be stored")
        return value.strip()

    def _wrong(self, name: str, wanted: str) -> TriggerError:
        key = self.prefix + name
        return TriggerError(f"Field '{key}' must be {wanted}", code=WRONG_TYPE, field=key)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _all_lower(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(text.lower() for text in texts)


def _one_of(name: str, allowed: Sequence[str] | Mapping[str, str]) -> str:
    return f"Field '{name}' must be one of: {', '.join(allowed)}"
