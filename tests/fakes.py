"""Stand-ins at the edge, and the steps of a worker without its process."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import numpy as np
from django.utils import timezone
from PIL import Image

from pipeline.models import Candidate, Run
from pipeline.providers.base import GenerateRequest, Health, ProviderRefused, ProviderResult
from pipeline.services import execution
from pipeline.tools.base import Pixels, ToolAnswer, ToolFailed
from tests.factories import png


class FakeProvider:
    """Draws another picture for each seed, or does what `answer` does. Counts its calls."""

    code = "local"

    def __init__(
        self, *, repeatable: bool = True, answer: Callable[[GenerateRequest], bytes] | None = None
    ) -> None:
        self.repeatable = repeatable
        self.billed = not repeatable
        self.answer = answer or (lambda request: png(number=request.seed % 1000))
        self.requests: list[GenerateRequest] = []

    def missing(self) -> str:
        return ""

    def about(self) -> str:
        return "draws"

    def health(self) -> Health:
        return Health(ok=True, message="draws")

    def describe(self) -> dict[str, object]:
        return {"look": "fake"}

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        return Decimal("0.04") if self.billed else Decimal(0)

    def generate(self, request: GenerateRequest) -> ProviderResult:
        self.requests.append(request)
        cost = Decimal("0.04") if self.billed else Decimal(0)
        return ProviderResult(self.answer(request), "image/png", "png", "fake", "96x128", "", cost)


@dataclass
class FakeTool:
    """Runs here. Clears the left half of a picture, or fails with `fault`; counts its pictures."""

    code: str
    fault: str = ""
    lack: str = ""
    version: str = "fake-1"
    seen: list[Pixels] = field(default_factory=list)

    def missing(self) -> str:
        return self.lack

    def parameters(self) -> Mapping[str, object]:
        return {"model": "fake", "weights_sha256": "0" * 64}

    def apply(self, pixels: Pixels) -> Pixels:
        self.seen.append(pixels)
        if self.fault:
            raise ToolFailed(self.fault, code="fake_failed")
        return cleared(pixels)


@dataclass
class FakePaidTool:
    """Clears the left half of a picture for 2 cents, or refuses with `fault`; counts its calls."""

    code: str
    fault: str = ""
    lack: str = ""
    version: str = "paid-1"
    cost: Decimal | None = Decimal("0.02")
    answer: Callable[[bytes], bytes] | None = None
    calls: list[bytes] = field(default_factory=list)

    def missing(self) -> str:
        return self.lack

    def parameters(self) -> Mapping[str, object]:
        return {"model": "paid"}

    def price(self) -> Decimal | None:
        return self.cost

    def call(self, png: bytes, *, name: str) -> ToolAnswer:
        self.calls.append(png)
        if self.fault:
            raise ProviderRefused(self.fault, code="provider_refused", http_status=402)
        return ToolAnswer(
            (self.answer or cleared_png)(png), "png", cost_usd=self.cost or Decimal(0), model="paid"
        )


def cleared(pixels: Pixels) -> Pixels:
    """With alpha that is 0 in the left half."""
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, : pixels.shape[1] // 2] = 0
    return np.dstack((pixels[..., :3], alpha))


def cleared_png(png: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        Image.fromarray(cleared(np.asarray(image.convert("RGB")))).save(buffer, "PNG")
    return buffer.getvalue()


Use = Callable[[FakeProvider], FakeProvider]
Tool = FakeTool | FakePaidTool
UseTools = Callable[..., None]


def work_through(run: Run) -> None:
    for pk in run.candidates.order_by("job__position", "candidate_index").values_list("pk", flat=True):
        execution.execute_candidate(pk)
    run.refresh_from_db()


def expire_leases() -> None:
    past = timezone.now() - timedelta(seconds=1)
    Candidate.objects.filter(lease_until__isnull=False).update(lease_until=past)
