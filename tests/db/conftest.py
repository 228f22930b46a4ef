"""What tests of execution share."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from pipeline.models import Candidate, Run
from pipeline.services import execution
from tests.fakes import FakeProvider


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeProvider], FakeProvider]:
    """Put a fake in the place of every provider."""

    def install(provider: FakeProvider) -> FakeProvider:
        for module in ("execution", "planning"):
            monkeypatch.setattr(f"pipeline.services.{module}.provider_for", lambda code: provider)
        return provider

    return install


def work_through(run: Run) -> None:
    """Do what workers do, one candidate after the other."""
    for pk in run.candidates.order_by("job__position", "candidate_index").values_list("pk", flat=True):
        execution.execute_candidate(pk)
    run.refresh_from_db()


def expire_leases() -> None:
    """As if the workers that hold them had died a while ago."""
    past = timezone.now() - timedelta(seconds=1)
    Candidate.objects.filter(lease_until__isnull=False).update(lease_until=past)
