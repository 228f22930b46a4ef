"""What a failed HTTP call means: whether anything was made or billed, and whether to try again.

One mapping for every service, so that money is judged alike everywhere. Pure: nothing is sent, read or
waited for here. Messages carry advice and a short quotation of the service's own words, never a key.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipeline.providers.base import (
    AccountRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)

QUOTED_CHARACTERS = 160  # of a service's own explanation

# Words in the fields `code` and `type` of a service's error body.
_QUOTA = frozenset(
    {"insufficient_quota", "insufficient_credits", "billing_hard_limit_reached", "billing_not_active"}
)
_POLICY = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})

# Nothing was made: the server, or a gateway in front of it, said so before the work began. The last five
# are a gateway's: it could not reach the server, or the server is overloaded.
_NOTHING_MADE = frozenset({500, 501, 502, 503, 505, 521, 522, 523, 525, 526, 529})

# By class name: the two generations of the HTTP client (`httpx`, and the one inside newer versions of the
# `openai` SDK) have the same exceptions under the same names, but no common base class.
_UNSENT_TIMEOUT = frozenset({"ConnectTimeout", "PoolTimeout", "WriteTimeout"})
_UNSENT = frozenset({"ConnectError", "ProxyError", "WriteError"})
_BAD_ADDRESS = frozenset({"UnsupportedProtocol", "LocalProtocolError", "InvalidURL"})
_TIMEOUT = frozenset({"TimeoutException", "APITimeoutError", "TimeoutError"})


@dataclass(frozen=True)
class _Body:
    """What a service's error body says: one line, and the words of its `code` and `type`."""

    words: frozenset[str] = frozenset()
    message: str = ""


def error_of_answer(
    service: str,
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    key: str,
    now: datetime,
) -> ProviderError:
    """The error for an answer whose status is not 2xx.

    `service` is the name that a person reads, such as `OpenAI`. `key` is only there to be kept out of the
    message. `now` is for a `Retry-After` that names a date.
    """
    said = _read(body, key)
    if status == 402 or (said.words & _QUOTA and status in {400, 403, 429}):
        return AccountRefused(
            f"{service} says that the credit or quota of the account is used up: add credit or raise the "
            "limit there",
            code="provider_quota",
            http_status=status,
        )
    if _is_policy(said) and status in {400, 403, 422}:
        return ProviderRefused(
            f"{service} refused the picture or the prompt by its content policy{_quoted(said)}: "
            "change the prompt or the picture",
            code="provider_refused",
            http_status=status,
        )
    if status in {401, 403}:
        return AccountRefused(
            f"{service} does not accept the key (HTTP {status}): put a valid key with the needed rights "
            "into the project's settings",
            code="provider_auth",
            http_status=status,
        )
    if status in {408, 425, 429} or status in _NOTHING_MADE:
        return _unavailable(service, status, retry_after_seconds(headers, now=now))
    if status >= 500:
        gateway = status in {504, 524}
        return OutcomeUnknown(
            f"{service} answered HTTP {status}, so the picture may have been made and billed: "
            "look into the account there",
            code="provider_timeout" if gateway else "provider_failed",
            http_status=status,
            retry_after=retry_after_seconds(headers, now=now),
        )
    return ProviderRefused(
        f"{service} refused the request (HTTP {status}){_quoted(said)}: "
        f"{_ADVICE.get(status, 'check the address and the settings of this step')}",
        code="provider_bad_request",
        http_status=status,
    )


_ADVICE: Mapping[int, str] = {
    400: "check the settings of this step",
    404: "check the address and the model's name",
    413: "the picture is too large for it, use a smaller one",
    415: "it does not take this kind of picture",
    422: "check the settings of this step and the picture",
}


def error_of_transport(service: str, error: BaseException) -> ProviderError:
    """The error for a call that got no whole answer: an exception of the HTTP client or of the SDK."""
    names = {name for one in _causes(error) for name in _class_names(one)}
    if names & _BAD_ADDRESS:
        return ProviderRefused(
            f"{service} can't be called at its address: put a whole one, with https://, into the settings",
            code="provider_bad_request",
        )
    if names & _UNSENT_TIMEOUT:
        return ProviderUnavailable(
            f"{service} did not take the request in time; nothing was made: try again later",
            code="provider_timeout",
        )
    if names & _UNSENT:
        return ProviderUnavailable(
            f"{service} can't be reached; nothing was made: check the address and this machine's network",
            code="connection_lost",
        )
    if names & _TIMEOUT:
        return OutcomeUnknown(
            f"{service} did not answer in time, so the picture may have been made and billed: "
            "look into the account there",
            code="provider_timeout",
        )
    return OutcomeUnknown(
        f"The connection to {service} broke before its answer was complete, so the picture may have been "
        "made and billed: look into the account there",
        code="connection_lost",
    )


def error_of_sdk(service: str, error: Exception, *, key: str, now: datetime) -> ProviderError:
    """The error for an exception of the `openai` SDK, with the arguments of `error_of_answer()`."""
    # `APIStatusError` and `APIResponseValidationError` have a response, connection errors have none.
    # Looked at by its attributes: importing the SDK takes a second, and it has two kinds of responses.
    response = getattr(error, "response", None)
    if response is None:
        return error_of_transport(service, error)
    if response.is_success:
        return unexpected_answer(service, "its answer can't be read", status=response.status_code)
    return error_of_answer(
        service,
        status=response.status_code,
        headers=response.headers,
        body=response.content,
        key=key,
        now=now,
    )


def unexpected_answer(service: str, problem: str, *, status: int | None = None) -> OutcomeUnknown:
    """The error for an answer of success without a usable picture; `problem` says what it was instead."""
    return OutcomeUnknown(
        f"{service} reported success but {problem}, so the picture may have been billed: "
        "look into the account there",
        code="unexpected_answer",
        http_status=status,
    )


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """How long `Retry-After` asks us to wait, from a number of seconds or a date; None without one."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        # A date without a zone is in UTC (RFC 9110, 5.6.7).
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _unavailable(service: str, status: int, retry_after: float | None) -> ProviderUnavailable:
    if status == 429:
        code, says = "provider_rate_limited", "asks for fewer calls (HTTP 429)"
    elif status == 408:
        code, says = "provider_timeout", "did not get the whole request in time (HTTP 408)"
    else:
        code, says = "provider_failed", f"has a fault of its own (HTTP {status})"
    return ProviderUnavailable(
        f"{service} {says}; nothing was made: try again later",
        code=code,
        http_status=status,
        retry_after=retry_after,
    )


def _is_policy(said: _Body) -> bool:
    return bool(said.words & _POLICY) or "safety system" in said.message.lower()


def _quoted(said: _Body) -> str:
    return f", saying “{said.message}”" if said.message else ""


def _read(body: bytes, key: str) -> _Body:
    """The parts of a JSON error body that are worth a person's time; nothing of any other body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _Body()
    levels = list(_levels(document))
    words = {str(level[name]).lower() for level in levels for name in ("code", "type") if name in level}
    texts = [
        text
        for level in levels
        for name in ("message", "detail", "title", "error")
        if isinstance(text := level.get(name), str) and text.strip()
    ]
    message = " ".join(texts[-1].split()) if texts else ""
    if key:
        message = message.replace(key, "[hidden]")
    if len(message) > QUOTED_CHARACTERS:
        message = message[:QUOTED_CHARACTERS].rstrip() + "…"
    return _Body(frozenset(words), message)


def _levels(document: object) -> Iterator[Mapping[str, object]]:
    """The body and the error object inside it: `error`, `errors[0]` or `detail`, as services have it."""
    if not isinstance(document, dict):
        return
    yield document
    for name in ("error", "errors", "detail"):
        inner = document.get(name)
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(inner, dict):
            yield inner


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it was raised from: the SDK wraps the HTTP client's."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _class_names(error: BaseException) -> Iterator[str]:
    return (kind.__name__ for kind in type(error).__mro__)
