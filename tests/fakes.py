"""Stand-ins at the edge, and the steps of a worker without its process."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from pipeline.models import Candidate, Run
from pipeline.providers.base import GenerateRequest, Health, ProviderResult
from pipeline.services import execution
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


def work_through(run: Run) -> None:
    for pk in run.candidates.order_by("job__position", "candidate_index").values_list("pk", flat=True):
        execution.execute_candidate(pk)
    run.refresh_from_db()


def expire_leases() -> None:
    past = timezone.now() - timedelta(seconds=1)
    Candidate.objects.filter(lease_until__isnull=False).update(lease_until=past)
