"""The provider `openai`: image edits through the official client, of OpenAI or of any compatible server."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from pipeline.engine.names import STAGES, TIMES, WEATHERS
from pipeline.providers.base import Access, GenerateRequest, Health, ProviderRefused, ProviderResult
from pipeline.providers.images import (
    MAX_IMAGE_BYTES,
    ImageUnreadable,
    encode_png,
    probe_image,
    read_image,
)
from pipeline.providers.openai_edits import DEFAULTS, NAME, Upload, edit_image, model_health
from pipeline.providers.openai_prices import PRICES_OF, billed_price, edit_price

FIDELITY = "high"  # unless the account says otherwise: a series lives by the faces of its references
# Of an input that is not there yet: the dearest shape.
UNKNOWN_SIZE = (1024, 1536)


class OpenAIProvider:
    """One image edit a call, of the scene with the style references behind it."""

    code = "openai"
    repeatable = False
    billed = True

    def __init__(self, access: Access) -> None:
        self._access = access
        self._chosen = {name: str(access.config.get(name) or default) for name, default in DEFAULTS.items()}
        self._fidelity = str(access.config.get("input_fidelity") or FIDELITY)
        self._longest_side = int(str(access.config.get("longest_side") or 0))  # 0: images go as they are

    def missing(self) -> str:
        if self._access.api_key:
            return ""
        return (
            f"{NAME} has no key here: store one with `manage.py secret set` (openai, api_key), or set "
            "OPENAI_API_KEY"
        )

    def about(self) -> str:
        where = self._access.base_url or "the address of OpenAI"
        return f"calls {where} with the model {self._chosen['model']}"

    def health(self) -> Health:
        lack = self.missing()
        return Health(ok=False, message=lack) if lack else model_health(self._access, self._chosen["model"])

    def describe(self) -> Mapping[str, object]:
        return {
            "provider": self.code,
            **self._chosen,
            "input_fidelity": self._fidelity,
            "longest_side": self._longest_side,
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
            high_fidelity=self._fidelity == FIDELITY,
        )

    def generate(self, request: GenerateRequest) -> ProviderResult:
        asked = self._asked(request)
        inputs = [_input(path, self._longest_side) for path in request.images]
        form = {"prompt": request.prompt, "input_fidelity": self._fidelity, "output_format": "png", **asked}
        edit = edit_image(self._access, images=[one.upload for one in inputs], form=form)
        reduced = [one.reduced for one in inputs if one.reduced]
        cost = billed_price(asked["model"], edit.usage, self._access.prices)
        return ProviderResult(
            data=edit.data,
            mime_type="image/png",
            extension="png",
            model=asked["model"],
            size=asked["size"],
            quality=asked["quality"],
            cost_usd=self.estimate(request) or Decimal(0) if cost is None else cost,
            request_id=edit.request_id,
            usage={**edit.usage, **({"reduced_inputs": reduced} if reduced else {})},
        )

    def _asked(self, request: GenerateRequest) -> dict[str, str]:
        return {
            "model": request.model or self._chosen["model"],
            "size": request.size or self._chosen["size"],
            "quality": request.quality or self._chosen["quality"],
        }


@dataclass(frozen=True)
class _Input:
    """A part of the request, and what was done to it if it did not go as it is."""

    upload: Upload
    reduced: Mapping[str, object] | None = None


def _input(path: Path, longest_side: int) -> _Input:
    """An image as it is sent: as it is, or with its longer side at most `longest_side` pixels (0: any).

    Raises `ProviderRefused`.
    """
    try:
        info = probe_image(path, max_bytes=MAX_IMAGE_BYTES)
        if not longest_side or max(info.width, info.height) <= longest_side:
            return _Input((path.name, path.read_bytes(), info.mime_type))
        small = read_image(path, longest_side=longest_side)
        data = encode_png(small)
        record = {
            "name": path.name,
            "from": [info.width, info.height],
            "to": [small.width, small.height],
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        return _Input((f"{path.stem}.png", data, "image/png"), record)
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
