"""The provider `local`: always there, free, and the same picture for the same seed."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

from pipeline.providers.base import GenerateRequest, Health, ProviderRefused, ProviderResult
from pipeline.providers.images import ImageUnreadable, encode_png
from pipeline.providers.local.render import WORKING_SIDE, render
from pipeline.providers.local.style import StyleNet

# A version changes whenever the same inputs and seed would give another picture.
CLASSICAL, NEURAL = "classical-1", "neural-1"
AUTO = "auto"  # the best that is there
LOOKS = MappingProxyType({AUTO: "", "classical": CLASSICAL, "neural": NEURAL})


class LocalProvider:
    """Redraws a scene on this machine in the hand of its style references.

    `wanted` is one of `LOOKS`, or the version of a look, which asks for exactly that one.
    """

    code = "local"
    repeatable = True
    billed = False

    def __init__(self, models: Path, wanted: str = AUTO) -> None:
        self._net = StyleNet(models)
        self._wanted = wanted

    @property
    def look(self) -> str:
        """The version of the look that a call draws in."""
        if self._wanted == AUTO:
            return CLASSICAL if self._net.missing() else NEURAL
        return LOOKS.get(self._wanted, self._wanted)

    def missing(self) -> str:
        look = self.look
        if look not in LOOKS.values():
            return f"The look {look} is not installed: here are {CLASSICAL} and {NEURAL}"
        return self._net.missing() if look == NEURAL else ""

    def about(self) -> str:
        return (
            f"runs on this machine, free, in the look {self.look}; restyles and relights what the scene "
            "shows, invents nothing, ignores text"
        )

    def health(self) -> Health:
        lack = self.missing()
        return Health(ok=not lack, message=lack or self.about())

    def describe(self) -> Mapping[str, object]:
        return {
            "provider": self.code,
            "look": self.look,
            "longest_side": WORKING_SIDE,
            "uses_prompt": False,
            "uses_network": False,  # that of the building: nothing leaves this machine
            "stages": ["style", "time", "weather"],
            "times": ["day", "night"],
            "weathers": ["clear", "rain"],
            "weights": self._net.hashes() if self.look == NEURAL else {},
        }

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        return Decimal(0)

    def generate(self, request: GenerateRequest) -> ProviderResult:
        if not request.images:
            raise ProviderRefused("The local renderer needs a scene image", code="input_missing")
        if lack := self.missing():
            raise ProviderRefused(lack, code="provider_unusable")
        look = self.look
        try:
            picture, recipe = render(
                request.images,
                seed=request.seed,
                stage=request.stage,
                time=request.time,
                weather=request.weather,
                net=self._net if look == NEURAL else None,
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
            model=look,
            size=f"{picture.width}x{picture.height}",
            quality="",
            cost_usd=Decimal(0),
            usage={"recipe": recipe},
        )
