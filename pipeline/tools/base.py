"""What the chain after generation asks of a tool, and what it gets back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# (height, width, 3) or (height, width, 4), uint8, sRGB; the fourth channel is alpha, not premultiplied.
Pixels = NDArray[np.uint8] | NDArray[Any]


class ToolFailed(Exception):
    """A tool brought nothing for this picture. `message` is one sentence, fit to show."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class LocalTool(Protocol):
    """A step that runs on this machine: free, and the same result for the same picture."""

    @property
    def code(self) -> str:
        """The backend's name in settings and run logs, such as `rembg` or `pillow`."""

    @property
    def version(self) -> str:
        """Changes whenever the same picture would give another result; names the model."""

    def missing(self) -> str:
        """What this machine lacks for it and how to get it, one sentence; empty when it can run."""

    def parameters(self) -> Mapping[str, object]:
        """What it does, as plain JSON values with the sha256 of its weights: recorded and hashed."""

    def apply(self, pixels: Pixels) -> Pixels:
        """A new picture. Raises `ToolFailed`."""


@dataclass(frozen=True)
class ToolAnswer:
    """An encoded picture as a paid tool sent it, kept unchanged; `extension` has no dot."""

    data: bytes
    extension: str
    cost_usd: Decimal
    model: str = ""
    request_id: str = ""
    usage: Mapping[str, object] = field(default_factory=dict)


class PaidTool(Protocol):
    """A step that somebody else carries out for money: each call is an attempt."""

    @property
    def code(self) -> str:
        """The backend's name in settings and run logs: `photoroom`, `removebg`, `openai`."""

    @property
    def version(self) -> str:
        """The service and its model, for the record."""

    def missing(self) -> str:
        """What stands against calling it, such as no key, one sentence; empty when it can be called."""

    def parameters(self) -> Mapping[str, object]:
        """What it is asked for, as plain JSON values without any key: recorded and hashed."""

    def price(self) -> Decimal | None:
        """The price of one call in USD, at most; None when it is not known."""

    def call(self, png: bytes, *, name: str) -> ToolAnswer:
        """Send one picture. Raises `ProviderError` of `pipeline.providers.base`."""
