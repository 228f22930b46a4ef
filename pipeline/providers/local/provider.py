"""The provider `local`: always there, free, and the same picture for the same seed."""

from collections.abc import Mapping
from decimal import Decimal

from pipeline.providers.base import GenerateRequest, Health, ProviderRefused, ProviderResult
from pipeline.providers.images import ImageUnreadable, encode_png
from pipeline.providers.local.render import WORKING_SIDE, render

# Changes whenever the same inputs and seed would give another picture.
LOOK_VERSION = "classical-1"


class LocalProvider:
    """Redraws a scene on this machine in the hand of its style references."""

    code = "local"
    repeatable = True
    billed = False

    def missing(self) -> str:
        return ""

    def about(self) -> str:
        return (
            "runs on this machine, free; restyles and relights what the scene shows, invents nothing, "
            "ignores text"
        )

    def health(self) -> Health:
        return Health(ok=True, message=self.about())

    def describe(self) -> Mapping[str, object]:
        return {
            "provider": self.code,
            "look": LOOK_VERSION,
            "longest_side": WORKING_SIDE,
            "uses_prompt": False,
            "uses_network": False,
            "stages": ["style", "time", "weather"],
            "times": ["day", "night"],
            "weathers": ["clear", "rain"],
            "weights": {},
        }

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        return Decimal(0)

    def generate(self, request: GenerateRequest) -> ProviderResult:
        if not request.images:
            raise ProviderRefused("The local renderer needs a scene image", code="input_missing")
        try:
            picture, recipe = render(
                request.images,
                seed=request.seed,
                stage=request.stage,
                time=request.time,
                weather=request.weather,
            )
        except FileNotFoundError as error:
            name = next((path.name for path in request.images if not path.exists()), "An input")
            raise ProviderRefused(
                f"{name} is missing: it was there when the run was planned", code="input_missing"
            ) from error
        except ImageUnreadable as error:
            raise ProviderRefused(str(error), code="input_unreadable") from error
        return ProviderResult(
            data=encode_png(picture),
            mime_type="image/png",
            extension="png",
            model=LOOK_VERSION,
            size=f"{picture.width}x{picture.height}",
            quality="",
            cost_usd=Decimal(0),
            usage={"recipe": recipe},
        )
