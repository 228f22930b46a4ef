"""The provider `openai`: image edits through the official client, of OpenAI or of any compatible server."""

import base64
import binascii
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.engine.names import STAGES, TIMES, WEATHERS
from pipeline.providers.base import (
    Access,
    GenerateRequest,
    Health,
    ProviderRefused,
    ProviderResult,
)
from pipeline.providers.http_errors import error_of_sdk, unexpected_answer
from pipeline.providers.images import MAX_IMAGE_BYTES, ImageUnreadable, probe_image
from pipeline.providers.openai_prices import PRICES_OF, billed_price, edit_price

DEFAULTS: Mapping[str, str] = {"model": "gpt-image-1", "size": "1024x1536", "quality": "high"}
FIDELITY = "high"
CONNECT_SECONDS, TOTAL_SECONDS = 30.0, 120.0  # reference, 8.2
LONGEST_SECONDS = 3600
NAME = "OpenAI"
# Of an input that is not there yet: the dearest shape.
UNKNOWN_SIZE = (1024, 1536)


class OpenAIProvider:
    """One image edit a call; the client's own retries are off, since only the engine knows what was paid."""

    code = "openai"
    repeatable = False
    billed = True

    def __init__(self, access: Access) -> None:
        self._access = access
        self._chosen = {name: str(access.config.get(name) or default) for name, default in DEFAULTS.items()}

    def missing(self) -> str:
        if self._access.api_key:
            return ""
        return (
            f"{NAME} has no key here: store one with `manage.py secret set` (openai, api_key), or set "
            "OPENAI_API_KEY"
        )

    def health(self) -> Health:
        lack = self.missing()
        where = self._access.base_url or "the address of OpenAI"
        return Health(ok=not lack, message=lack or f"calls {where} with the model {self._chosen['model']}")

    def describe(self) -> Mapping[str, object]:
        return {
            "provider": self.code,
            **self._chosen,
            "input_fidelity": FIDELITY,
            "base_url": self._access.base_url,
            "prices_of": PRICES_OF,
            "uses_prompt": True,
            "uses_network": True,
            "stages": list(STAGES),
            "times": list(TIMES),
            "weathers": list(WEATHERS),
        }

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        asked = self._asked(request)
        return edit_price(
            asked["model"],
            asked["size"],
            asked["quality"],
            images=[_size(path) for path in request.images],
            prompt=request.prompt,
            prices=self._access.prices,
        )

    def generate(self, request: GenerateRequest) -> ProviderResult:
        import openai  # noqa: PLC0415 - slow to import, and most processes never call it

        asked = self._asked(request)
        images = [_upload(path) for path in request.images]
        client = openai.OpenAI(
            api_key=self._access.api_key,
            base_url=self._access.base_url or None,
            max_retries=0,
            timeout=openai.Timeout(self._patience(), connect=CONNECT_SECONDS),
            http_client=_http_client(),
        )
        edit: Any = client.images.with_raw_response.edit  # its types know today's qualities only
        try:
            raw = edit(
                image=images,
                prompt=request.prompt,
                model=asked["model"],
                size=asked["size"],
                quality=asked["quality"],
                input_fidelity=FIDELITY,
                output_format="png",
                # A connection that is used again may have been closed meanwhile: then nobody knows what
                # became of the call.
                extra_headers={"Connection": "close"},
            )
            answer: Any = raw.parse()
        except (openai.APIError, ValueError) as error:
            raise error_of_sdk(NAME, error, key=self._access.api_key, now=datetime.now(UTC)) from error
        data = _picture(answer)
        usage = _usage(answer)
        cost = billed_price(asked["model"], usage, self._access.prices)
        return ProviderResult(
            data=data,
            mime_type="image/png",
            extension="png",
            model=asked["model"],
            size=asked["size"],
            quality=asked["quality"],
            cost_usd=self.estimate(request) or Decimal(0) if cost is None else cost,
            request_id=str(raw.headers.get("x-request-id", "")),
            usage=usage,
        )

    def _patience(self) -> float:
        """Seconds for a whole call: a studio's own server may need more than OpenAI does."""
        said = self._access.config.get("timeout")
        given = isinstance(said, int | float) and not isinstance(said, bool) and 1 <= said <= LONGEST_SECONDS
        return float(said) if given else TOTAL_SECONDS  # type: ignore[arg-type]

    def _asked(self, request: GenerateRequest) -> dict[str, str]:
        return {
            "model": request.model or self._chosen["model"],
            "size": request.size or self._chosen["size"],
            "quality": request.quality or self._chosen["quality"],
        }


def preload() -> None:
    """Import what a call needs, once in a worker's main process, before it forks the others."""
    _http_client()


@lru_cache(maxsize=1)
def _http_client() -> Any:
    """One for all calls of a process: its certificates take longer to read than a request to be made."""
    import openai  # noqa: PLC0415

    return openai.DefaultHttpxClient()


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


def _upload(path: Path) -> tuple[str, bytes, str]:
    """A part of the request: file name, bytes and MIME type. Raises `ProviderRefused`."""
    try:
        info = probe_image(path, max_bytes=MAX_IMAGE_BYTES)
        return path.name, path.read_bytes(), info.mime_type
    except (ImageUnreadable, OSError) as error:
        raise ProviderRefused(str(error), code="input_unreadable") from error


def _size(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return UNKNOWN_SIZE
    return _size_of(os.fspath(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _size_of(path: str, changed_ns: int, n_bytes: int) -> tuple[int, int]:
    # A plan asks for the same style references with every job; the cache knows the file by its change.
    try:
        info = probe_image(Path(path))
    except (ImageUnreadable, OSError):
        return UNKNOWN_SIZE
    return info.width, info.height
