from decimal import Decimal

import pytest

from pipeline.providers.base import (
    GenerateRequest,
    ImageProvider,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.providers.registry import UnknownProvider, provider_codes, provider_for


def test_local_is_always_there() -> None:
    provider: ImageProvider = provider_for("local")
    assert "local" in provider_codes()
    assert (provider.code, provider.repeatable, provider.billed) == ("local", True, False)


def test_unknown_code_lists_the_known_ones() -> None:
    with pytest.raises(UnknownProvider, match=r"^Unknown provider 'nope': known are .*local"):
        provider_for("nope")


def test_local_is_healthy_and_free() -> None:
    provider = provider_for("local")
    request = GenerateRequest("", (), seed=0, stage="style", time="day", weather="clear")
    assert provider.health().ok
    assert "free" in provider.health().message
    assert provider.estimate(request) == Decimal(0)
    assert provider.describe()["look"]


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(ProviderRefused, False), (ProviderUnavailable, True), (OutcomeUnknown, False)],
)
def test_errors_say_whether_to_try_again(error: type[ProviderError], retryable: bool) -> None:
    raised = error("The server is busy", code="rate_limited", http_status=429, retry_after=2.5)
    assert str(raised) == raised.message == "The server is busy"
    assert (raised.kind, raised.code, raised.http_status, raised.retry_after) == (
        "provider",
        "rate_limited",
        429,
        2.5,
    )
    assert raised.retryable is retryable
