"""What a failed call means for money: each row against a real client where the transport matters."""

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.base import (
    AccountRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.providers.http_errors import (
    error_of_answer,
    error_of_sdk,
    error_of_transport,
    retry_after_seconds,
    unexpected_answer,
)
from tests.standin import Answer, StandIn, as_json

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
KEY = "sk-canary-0123456789"


def answered(status: int, body: object = b"", headers: dict[str, str] | None = None) -> ProviderError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_of_answer("Acme", status=status, headers=headers or {}, body=data, key=KEY, now=NOW)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, ProviderRefused, "provider_bad_request"),
        (404, ProviderRefused, "provider_bad_request"),
        (413, ProviderRefused, "provider_bad_request"),
        (415, ProviderRefused, "provider_bad_request"),
        (422, ProviderRefused, "provider_bad_request"),
        (302, ProviderRefused, "provider_bad_request"),
        (401, AccountRefused, "provider_auth"),
        (403, AccountRefused, "provider_auth"),
        (402, AccountRefused, "provider_quota"),
        (408, ProviderUnavailable, "provider_timeout"),
        (429, ProviderUnavailable, "provider_rate_limited"),
        (500, ProviderUnavailable, "provider_failed"),
        (502, ProviderUnavailable, "provider_failed"),
        (503, ProviderUnavailable, "provider_failed"),
        (504, OutcomeUnknown, "provider_timeout"),
        (520, OutcomeUnknown, "provider_failed"),
        (524, OutcomeUnknown, "provider_timeout"),
    ],
)
def test_a_status_decides_whether_anything_was_made(
    status: int, kind: type[ProviderError], code: str
) -> None:
    error = answered(status)
    assert type(error) is kind
    assert (error.code, error.http_status) == (code, status)
    assert error.message.startswith("Acme ")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, {"error": {"code": "insufficient_quota"}}, AccountRefused, "provider_quota"),
        (429, {"error": {"type": "insufficient_quota", "code": None}}, AccountRefused, "provider_quota"),
        (429, {"error": {"code": "rate_limit_exceeded"}}, ProviderUnavailable, "provider_rate_limited"),
        (400, {"error": {"code": "billing_hard_limit_reached"}}, AccountRefused, "provider_quota"),
        (
            402,
            {"errors": [{"title": "No", "code": "insufficient_credits"}]},
            AccountRefused,
            "provider_quota",
        ),
        (400, {"error": {"code": "moderation_blocked"}}, ProviderRefused, "provider_refused"),
        (403, {"error": {"code": "content_policy_violation"}}, ProviderRefused, "provider_refused"),
        (
            400,
            {"error": {"message": "Your request was rejected by our safety system."}},
            ProviderRefused,
            "provider_refused",
        ),
        (500, {"error": {"code": "insufficient_quota"}}, ProviderUnavailable, "provider_failed"),
    ],
)
def test_the_body_tells_quota_and_content_policy_from_the_rest(
    status: int, body: object, kind: type[ProviderError], code: str
) -> None:
    error = answered(status, body)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Size 9x9 is unknown"}},
        {"error": "Size 9x9 is unknown"},
        {"errors": [{"title": "Size 9x9 is unknown"}]},
        {"detail": "Size 9x9 is unknown"},
        {"detail": {"message": "Size 9x9\nis unknown"}},
    ],
)
def test_the_service_is_quoted_whatever_shape_its_error_has(body: object) -> None:
    assert "“Size 9x9 is unknown”" in answered(400, body).message


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 503, 504])
def test_neither_the_key_nor_a_whole_body_gets_into_a_message(status: int) -> None:
    error = answered(status, {"error": {"message": f"Wrong key {KEY} in " + "x" * 5000}})
    assert KEY not in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_error_object_is_not_quoted(body: bytes) -> None:
    assert "“" not in answered(400, body).message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Wed, 25 Nov 2026 12:00:30", 30.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": text}, now=NOW) == seconds
    assert answered(429, headers={"Retry-After": text}).retry_after == seconds


@given(text=st.text(max_size=40))
def test_retry_after_of_any_text_is_a_wait_or_none(text: str) -> None:
    seconds = retry_after_seconds({"Retry-After": text}, now=NOW)
    assert seconds is None or seconds >= 0


def test_without_retry_after_there_is_none() -> None:
    assert answered(503).retry_after is None


def failure_of(url: str, *, seconds: float = 5) -> ProviderError:
    with pytest.raises(httpx.TransportError) as caught, httpx.Client(timeout=seconds) as client:
        client.post(url, content=b"picture")
    return error_of_transport("Acme", caught.value)


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_refused_connection_made_nothing() -> None:
    error = failure_of(closed_port())
    assert (type(error), error.code) == (ProviderUnavailable, "connection_lost")


def test_a_name_that_does_not_resolve_made_nothing() -> None:
    error = failure_of("http://no-such-host.invalid/")
    assert (type(error), error.code) == (ProviderUnavailable, "connection_lost")


def test_an_address_that_is_none_is_a_bad_request() -> None:
    error = failure_of("acme.example/v1")
    assert (type(error), error.code) == (ProviderRefused, "provider_bad_request")


@pytest.mark.parametrize("kind", [httpx.ConnectTimeout, httpx.PoolTimeout, httpx.WriteTimeout])
def test_a_timeout_before_the_request_is_out_made_nothing(kind: type[httpx.TimeoutException]) -> None:
    error = error_of_transport("Acme", kind("slow"))
    assert (type(error), error.code) == (ProviderUnavailable, "provider_timeout")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(hang="before"), "provider_timeout"),
        (Answer(hang="half", body=b"half of it"), "provider_timeout"),
        (Answer(cut="before"), "connection_lost"),
        (Answer(cut="half", body=b"half of it"), "connection_lost"),
    ],
)
def test_what_fails_after_sending_may_have_been_billed(standin: StandIn, answer: Answer, code: str) -> None:
    standin.script(answer)
    error = failure_of(standin.url, seconds=0.3)
    assert (type(error), error.code) == (OutcomeUnknown, code)
    assert len(standin.requests) == 1


def sdk_failure(url: str, *, seconds: float = 5) -> ProviderError:
    with openai.OpenAI(api_key=KEY, base_url=url, max_retries=0, timeout=seconds) as client:
        try:
            client.images.edit(image=("a.png", b"png", "image/png"), prompt="clean")
        except openai.APIError as error:
            return error_of_sdk("OpenAI", error, key=KEY, now=NOW)
    raise AssertionError("the call went well")


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Answer(hang="before"), OutcomeUnknown, "provider_timeout"),
        (Answer(cut="before"), OutcomeUnknown, "connection_lost"),
        (
            as_json({"error": {"message": f"Incorrect key {KEY}"}}, status=401),
            AccountRefused,
            "provider_auth",
        ),
        (
            as_json({"error": {"code": "insufficient_quota"}}, status=429),
            AccountRefused,
            "provider_quota",
        ),
        (as_json({}, status=503, headers={"Retry-After": "7"}), ProviderUnavailable, "provider_failed"),
    ],
)
def test_the_sdk_s_errors_mean_the_same(
    standin: StandIn, answer: Answer, kind: type[ProviderError], code: str
) -> None:
    standin.script(answer)
    error = sdk_failure(standin.url, seconds=0.5)
    assert (type(error), error.code) == (kind, code)
    assert error.retry_after == (7.0 if "Retry-After" in answer.headers else None)
    assert KEY not in str(error)
    assert len(standin.requests) == 1


def test_the_sdk_s_refused_connection_made_nothing() -> None:
    error = sdk_failure(closed_port())
    assert (type(error), error.code) == (ProviderUnavailable, "connection_lost")


def test_success_without_a_picture_may_have_been_billed() -> None:
    error = unexpected_answer("Acme", "sent a text", status=200)
    assert (error.code, error.http_status) == ("unexpected_answer", 200)
    assert error.message.startswith("Acme reported success but sent a text")
