"""The refine pass: an image edit by OpenAI, or a compatible server, that cleans the edges of a cut-out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.engine.postprocess_config import Refine
from pipeline.providers.base import Access, ProviderRefused
from pipeline.providers.openai_edits import DEFAULTS, NAME, edit_image
from pipeline.providers.openai_prices import PRICES_OF, billed_price, edit_price
from pipeline.tools.answers import extension_of
from pipeline.tools.base import ToolAnswer

# The cut-out is not there yet when its price is asked for: the dearest shape.
UNKNOWN_SIZE = (1024, 1536)
_API_FORMATS = {"jpg": "jpeg"}


@dataclass(frozen=True)
class OpenAIRefiner:
    """One edit of one picture, with no size asked for."""

    settings: Refine
    access: Access = field(repr=False)
    code: str = "openai"

    @property
    def version(self) -> str:
        return self.model

    @property
    def model(self) -> str:
        return self._chosen("model", self.settings.model)

    @property
    def quality(self) -> str:
        return self._chosen("quality", self.settings.quality)

    def missing(self) -> str:
        if not self.access.api_key:
            return (
                f"The refine pass has no key for {NAME}: store one with `manage.py secret set` (openai, "
                f"api_key), or set {self.settings.api_key_env}"
            )
        if self.price() is None:
            return (
                f"The price of the refine pass with the model {self.model} is not known: write "
                '"prices": {"per_image": "0.05"} into the configuration of the project\'s account'
            )
        return ""

    def parameters(self) -> Mapping[str, object]:
        return {**self._form(), "base_url": self.access.base_url, "prices_of": PRICES_OF}

    def price(self) -> Decimal | None:
        return edit_price(
            self.model,
            "",
            self.quality,
            images=[UNKNOWN_SIZE],
            prompt=self.settings.prompt,
            prices=self.access.prices,
        )

    def call(self, png: bytes, *, name: str) -> ToolAnswer:
        """Send one cut-out and take what comes back, unchanged. Raises `ProviderError`; tries once."""
        price = self.price()
        problem = self.missing()
        if problem or price is None:
            raise ProviderRefused(problem, code="tool_missing")
        edit = edit_image(self.access, images=[(f"{name}.png", png, "image/png")], form=self._form())
        billed = billed_price(self.model, edit.usage, self.access.prices)
        return ToolAnswer(
            edit.data,
            extension_of(edit.data, service=NAME),
            cost_usd=price if billed is None else billed,
            model=self.model,
            request_id=edit.request_id,
            usage=edit.usage,
        )

    def _form(self) -> dict[str, str]:
        """The fields of the call but for the picture; a blank one is left to the service."""
        settings = self.settings
        form = {
            "model": self.model,
            "prompt": settings.prompt,
            "quality": self.quality,
            "input_fidelity": settings.input_fidelity,
            "output_format": _API_FORMATS.get(settings.output_format, settings.output_format),
            "background": settings.background,
        }
        return {name: value for name, value in form.items() if value}

    def _chosen(self, name: str, said: str | None) -> str:
        return said or str(self.access.config.get(name) or DEFAULTS[name])
