"""Stand-ins at the edge: a provider that does what a test tells it."""

from collections.abc import Callable
from decimal import Decimal

from pipeline.providers.base import GenerateRequest, Health, ProviderResult
from tests.factories import png


class FakeProvider:
    """Draws another picture for each seed, or does what `answer` does. Keeps the requests it got."""

    code = "local"

    def __init__(
        self, *, repeatable: bool = True, answer: Callable[[GenerateRequest], bytes] | None = None
    ) -> None:
        self.repeatable = repeatable
        self.billed = not repeatable
        self.answer = answer or (lambda request: png(number=request.seed % 1000))
        self.requests: list[GenerateRequest] = []

    def health(self) -> Health:
        return Health(ok=True, message="")

    def describe(self) -> dict[str, object]:
        return {"look": "fake"}

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        return Decimal("0.04") if self.billed else Decimal(0)

    def generate(self, request: GenerateRequest) -> ProviderResult:
        self.requests.append(request)
        cost = Decimal("0.04") if self.billed else Decimal(0)
        return ProviderResult(self.answer(request), "image/png", "png", "fake", "96x128", "", cost)


Use = Callable[[FakeProvider], FakeProvider]
