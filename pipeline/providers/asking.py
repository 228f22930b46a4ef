"""Asking a service how an account does: one small answer, for nothing, and never a reason to fail."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from pipeline.providers.base import Health, OutcomeUnknown, ProviderError
from pipeline.providers.http_errors import error_of_answer, error_of_transport

PATIENCE_SECONDS = 15.0  # a person waits for it
MOST_BYTES = 256 * 1024


def asked(service: str, url: str, *, headers: Mapping[str, str], key: str) -> Any:
    """The JSON that a service answers to a GET. Raises `ProviderError`.

    `service` is its name for people; `key` is only there to be kept out of what an error says.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        with (
            httpx.Client(timeout=PATIENCE_SECONDS) as client,
            client.stream("GET", url, headers=dict(headers)) as response,
        ):
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES or time.monotonic() > deadline:
                    raise httpx.ReadTimeout("The answer is too long, or takes too long")
            if response.is_success:
                return httpx.Response(200, content=bytes(body)).json()
            raise error_of_answer(
                service,
                status=response.status_code,
                headers=response.headers,
                body=bytes(body),
                key=key,
                now=datetime.now(UTC),
            )
    except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL, ValueError) as error:
        # Without its cause: the client's own text may hold the key.
        raise error_of_transport(service, error) from None


def broken(service: str, error: ProviderError) -> Health:
    """What a check says that failed so."""
    if isinstance(error, OutcomeUnknown):  # its words are about a picture, and none was asked for
        return Health(ok=False, message=f"{service} did not answer the check as it should: try again later")
    return Health(ok=False, message=error.message)
