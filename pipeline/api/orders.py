"""What the routes of runs take and give."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from ninja import Schema
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from pipeline.api.shapes import ID, JobOut, RunOut
from pipeline.engine.trigger import CANDIDATES_ASKED, LARGEST_SEED, LARGEST_SUM
from pipeline.services.trigger import RequestInvalid
from projects.api.base import Answer
from projects.api.lists import ListAnswer

LONGEST_WAIT = 300  # seconds

Reference = Annotated[str, StringConstraints(min_length=1)]


def _seconds(text: object) -> int:
    digits = str(text)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and 1 <= int(digits) <= LONGEST_WAIT):
        raise ValueError(f"must be a whole number of seconds from 1 to {LONGEST_WAIT}")
    return int(digits)


class TriggerQuery(Schema):
    """How long the caller is ready to wait."""

    wait: Annotated[int | None, BeforeValidator(_seconds)] = Field(
        None,
        description=f"Seconds to wait for the end of a run, 1 to {LONGEST_WAIT}. A run that is still open "
        "then is answered as queued, and so is one that is waited for while too many others wait.",
        examples=[60],
    )


class PostprocessIn(BaseModel):
    """The steps after generation. What is left out or null is as the settings say; false switches it off."""

    upscale: StrictBool | None = None
    upscale_backend: Literal["ncnn", "python", "pillow"] | None = None
    color: StrictBool | None = None
    color_profile: Reference | None = Field(None, examples=["cold_rain"])
    bg_remove: StrictBool | None = None
    bg_remove_backends: list[Literal["rembg", "photoroom", "removebg"]] | None = Field(
        None, min_length=1, description="Tried in this order."
    )
    bg_refine_openai: StrictBool | None = None
    bg_refine_openai_required: StrictBool | None = None
    config_path: Reference | None = Field(None, description="A post-process file, below the app root.")


class ProviderOptionsIn(BaseModel):
    """What this run chooses instead of the provider's account, where the provider offers the choice."""

    model: StrictStr | None = Field(
        None, max_length=100, description="The provider's name of it.", examples=["gpt-image-1"]
    )
    size: StrictStr | None = Field(
        None, max_length=20, description="Width and height in pixels.", examples=["1024x1536"]
    )
    quality: StrictStr | None = Field(
        None, max_length=20, description="The provider's word for it.", examples=["medium"]
    )
    input_fidelity: Literal["high", "low"] | None = Field(
        None, description="How closely the input images are looked at; low costs less."
    )


class TriggerIn(BaseModel):
    """What a run is to be made of: either `input` or `scene_refs`, and how.

    This only describes the request: the rules, their order and their texts are those of the engine, which is
    given what was sent.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["input"]}, {"required": ["scene_refs"]}],
            "examples": [
                {"mode": "dry", "scene_refs": ["references/quay.png"], "stage": "time", "time": "night"},
                {
                    "mode": "run",
                    "confirm_spend": True,
                    "input": "inputs/chapter-1",
                    "candidates": 2,
                    "max_cost_usd": 1.5,
                    "postprocess": {"upscale": True},
                },
            ],
        }
    )

    mode: Literal["dry", "run"] | None = Field("dry", description="`dry` only plans, `run` makes images.")
    confirm_spend: StrictBool | None = Field(False, description="Must be true for `run`.")
    input: Reference | None = Field(
        None, description="An image or a folder of images, in the project or the folders for input."
    )
    scene_refs: list[Reference] | None = Field(None, min_length=1, description="Images, a job for each.")
    style_refs: list[Reference] | None = Field(
        None, min_length=1, description="Images that show the style; the manifest's if left out."
    )
    stage: Literal["style", "time", "weather"] | None = Field(None, description="`style` if left out.")
    time: Literal["day", "night"] | None = Field(None, description="With stage `time` or `weather` only.")
    weather: Literal["clear", "rain"] | None = Field(None, description="With stage `weather` only.")
    candidates: StrictInt | None = Field(None, ge=1, le=CANDIDATES_ASKED, description="Variants of each job.")
    storage_sync_s3: StrictBool | None = Field(
        False, description="Send the project's files to S3 after a `run`."
    )
    project_root: StrictStr | None = Field(
        None, max_length=0, deprecated=True, description="Managed by the storage settings: leave it out."
    )
    postprocess: PostprocessIn | None = None
    manifest_path: StrictStr | None = Field(None, description="Another manifest, below the app root.")
    app_settings_path: StrictStr | None = Field(None, description="Other settings of the application.")
    project_settings_path: StrictStr | None = Field(None, description="Other settings of the project.")
    provider_code: StrictStr | None = Field(
        None, description="Who makes the images; as the settings say if left out.", examples=["local"]
    )
    provider_options: ProviderOptionsIn | None = Field(
        None, description="What this run chooses instead of the provider's account."
    )
    seed: StrictInt | None = Field(0, ge=0, le=LARGEST_SEED, description="Another number, other images.")
    style_guide_id: StrictStr | None = Field(
        None, description="A style guide whose instructions follow the manifest's.", examples=[ID]
    )
    plan_hash: StrictStr | None = Field(None, description="Refuse if the plan is not the one that was shown.")
    max_cost_usd: float | str | None = Field(
        None, description="Refuse if the run may cost more. A text is exact.", examples=[1.5, "0.25"]
    )
    _sent: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def sent(self) -> dict[str, Any]:
        """The body as it came."""
        return self._sent

    @model_validator(mode="wrap")
    @classmethod
    def _as_it_came(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = cls.model_construct()
        made._sent = value
        return made


class PipelineTrigger(Schema):
    """What the contract says of a run that was triggered."""

    mode: Literal["dry", "run"]
    status_code: int = Field(description="0.")
    stdout: str = Field(description="Five lines for people and programs: log, project, root, jobs, summary.")
    stderr: str = Field(description="Warnings, a line each.")
    adapter: str = Field(description="Opaque.")


class TriggerAnswer(Answer):
    """A run that was planned, queued or, with `wait`, finished."""

    pipeline_trigger: PipelineTrigger
    run_id: str = Field(examples=[ID])
    run: RunOut


class ConfigIn(Schema):
    """Files to check instead of the usual ones."""

    app_settings_path: StrictStr | None = None
    project_settings_path: StrictStr | None = None
    manifest_path: StrictStr | None = Field(None, examples=["config/manifest.json"])
    postprocess_config_path: StrictStr | None = None
    project_root: StrictStr | None = Field(
        None, deprecated=True, description="Managed by the storage settings: leave it out."
    )


class NoteOut(Schema):
    """Something odd in a file."""

    part: str
    file: str
    key: str
    message: str


class ConfigSummary(Schema):
    """Which files count, and what they come to."""

    app_settings_loaded: bool = Field(description="That file sets at least one value.")
    project_settings_loaded: bool = Field(description="That file sets at least one value.")
    resolved_manifest_path: str | None = Field(description="As it is written; null for none.")
    resolved_postprocess_config_path: str | None = Field(description="As it is written; null for none.")
    warnings: list[NoteOut]
    errors: list[NoteOut] = Field(description="Empty, as what is wrong is an error answer.")
    effective: dict[str, JsonValue] = Field(description="Each setting with its value and its layer.")


class ConfigAnswer(Answer):
    """The settings can be used."""

    summary: ConfigSummary


class RunListAnswer(ListAnswer):
    """Some runs of a project."""

    runs: list[RunOut]


class RunAnswer(Answer):
    """One run."""

    run: RunOut


class RunDetailAnswer(RunAnswer):
    """One run and all that it is made of."""

    jobs: list[JobOut]


class JobListAnswer(ListAnswer):
    """The jobs of a run."""

    run_id: str
    jobs: list[JobOut]


class RetryIn(Schema):
    """The confirmation of a retry."""

    confirm_spend: StrictBool | None = Field(False, description="Must be true.")
    max_cost_usd: Decimal | None = Field(None, description="Refuse if it may cost more.", examples=["0.25"])

    def checked(self) -> dict[str, Any]:
        """What the service takes. Raises `RequestInvalid`."""
        if self.max_cost_usd is not None and not 0 <= self.max_cost_usd <= LARGEST_SUM:
            raise RequestInvalid("Field 'max_cost_usd' must be a sum in USD of at least 0")
        return {"confirm_spend": self.confirm_spend is True, "max_cost_usd": self.max_cost_usd}


class RetryOut(Schema):
    """What is made again."""

    images: int
    jobs: int
    price_usd: float = Field(description="At most.")


class RetriedAnswer(RunAnswer):
    """A run that goes on."""

    retry: RetryOut
