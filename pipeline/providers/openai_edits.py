"""One image edit through OpenAI's official client, for the provider and for the refine pass."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pipeline.providers.asking import PATIENCE_SECONDS, broken
from pipeline.providers.base import Access, Health
from pipeline.providers.http_errors import error_of_sdk, unexpected_answer

NAME = "OpenAI"
DEFAULTS: Mapping[str, str] = {"model": "gpt-image-1", "size": "1024x1536", "quality": "high"}
CONNECT_SECONDS, TOTAL_SECONDS = 30.0, 120.0  # reference, 4.5 and 8.2

# File name, bytes and MIME type, as the client takes it.
Upload = tuple[str, bytes, str]


@dataclass(frozen=True)
class Edit:
    """The encoded picture as it came, what was counted for it, and the name of the call."""

    data: bytes
    usage: Mapping[str, object]
    request_id: str


def edit_image(access: Access, *, images: Sequence[Upload], form: Mapping[str, str]) -> Edit:
    """Ask once for an edit of these images. Raises `ProviderError`.

    `form` holds the other fields of the request. The client's own retries are off, since only the engine
    knows what was paid.
    """
    import openai  # noqa: PLC0415 - slow to import, and most processes never call it

    client = _client(access, openai.Timeout(_patience(access), connect=CONNECT_SECONDS))
    edit: Any = client.images.with_raw_response.edit  # its types know today's qualities only
    try:
        # A connection that is used again may have been closed meanwhile: then nobody knows what became of
        # the call.
        raw = edit(image=list(images), extra_headers={"Connection": "close"}, **form)
        answer: Any = raw.parse()
    except (openai.APIError, ValueError) as error:
        # Without its cause: the client's own text may hold the key.
        raise error_of_sdk(NAME, error, key=access.api_key, now=datetime.now(UTC)) from None
    return Edit(_picture(answer), _usage(answer), str(raw.headers.get("x-request-id", "")))


def model_health(access: Access, model: str) -> Health:
    """Whether the key is accepted and the model is there; costs nothing."""
    import openai  # noqa: PLC0415

    where = access.base_url or NAME
    try:
        close = {"Connection": "close"}
        found: Any = _client(access, PATIENCE_SECONDS).models.retrieve(model, extra_headers=close)
    except openai.NotFoundError:
        if access.base_url:  # compatible servers need not have a list of models
            return Health(ok=True, message=f"{where} answers, but can't say whether it has the model {model}")
        return Health(
            ok=False, message=f"{NAME} has no model {model} for this key: choose another one in the account"
        )
    except (openai.APIError, ValueError) as error:
        return broken(NAME, error_of_sdk(NAME, error, key=access.api_key, now=datetime.now(UTC)))
    if not isinstance(getattr(found, "id", None), str):  # a page, as of a proxy that wants a sign-in
        return broken(NAME, unexpected_answer(NAME, "no model came"))
    return Health(ok=True, message=f"{where} accepts the key and has the model {model}")


def _client(access: Access, timeout: Any) -> Any:
    import openai  # noqa: PLC0415

    return openai.OpenAI(
        api_key=access.api_key,
        base_url=access.base_url or None,
        max_retries=0,
        timeout=timeout,
        http_client=_http_client(),
    )


def preload() -> None:
    """Import what a call needs, once in a worker's main process, before it forks the others."""
    _http_client()


@lru_cache(maxsize=1)
def _http_client() -> Any:
    """One for all calls of a process: its certificates take longer to read than a request to be made."""
    import openai  # noqa: PLC0415

    return openai.DefaultHttpxClient()


def _patience(access: Access) -> float:
    """Seconds to wait for an answer: a studio's own server may need more than OpenAI does.

    Whoever makes an `Access` has looked at what its configuration says.
    """
    said = access.config.get("timeout")
    return float(said) if isinstance(said, int | float) else TOTAL_SECONDS


def _picture(answer: object) -> bytes:
    """The image of an answer. Raises `OutcomeUnknown` when there is none."""
    rows = getattr(answer, "data", None)
    text = getattr(rows[0], "b64_json", None) if isinstance(rows, list) and rows else None
    if not isinstance(text, str) or not text:
        raise unexpected_answer(NAME, "sent no image", status=200)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise unexpected_answer(NAME, "sent an image that is cut short", status=200) from error


def _usage(answer: object) -> dict[str, object]:
    usage = getattr(answer, "usage", None)
    dump = getattr(usage, "model_dump", None)
    found = dump(mode="json") if callable(dump) else None
    return found if isinstance(found, dict) else {}
