"""What the engine asks of a provider of images, and what it gets back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class GenerateRequest:
    """One call: the scene and the style references become one new image.

    `images` holds the scene first, then the style references in their order. `stage` is style,
    time or weather; `time` is day or night; `weather` is clear or rain. An empty `model`, `size`
    or `quality` leaves the choice to the provider.
    """

    prompt: str
    images: tuple[Path, ...]
    seed: int
    stage: str
    time: str
    weather: str
    model: str = ""
    size: str = ""
    quality: str = ""


@dataclass(frozen=True)
class ProviderResult:
    """One image as it arrived: `data` is the encoded file and is kept unchanged.

    `extension` has no dot, `size` reads `WIDTHxHEIGHT` in pixels.
    """

    data: bytes
    mime_type: str
    extension: str
    model: str
    size: str
    quality: str
    cost_usd: Decimal
    request_id: str = ""
    usage: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """How one project reaches a provider or a paid tool; empty for what runs here.

    `prices` overrides the built-in price table, `config` is the account's open configuration. The key is
    left out of `repr`, so that it can't get into a log.
    """

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    prices: Mapping[str, object] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)


NO_ACCESS = Access()


@dataclass(frozen=True)
class Health:
    """Whether a provider can be called now, and one sentence fit to show."""

    ok: bool
    message: str


class ImageProvider(Protocol):
    """One way to make images. Instances hold no state that a call changes."""

    @property
    def code(self) -> str:
        """The name in requests, settings and run logs."""

    @property
    def repeatable(self) -> bool:
        """Free and deterministic: a call that was cut short may simply be made again."""

    @property
    def billed(self) -> bool:
        """A call may cost money, so it needs a reservation and an attempt that is settled."""

    def missing(self) -> str:
        """What stands against calling it, such as no key, one sentence; empty when it can be called."""

    def about(self) -> str:
        """What it does and what it can't, one sentence; nobody is asked."""

    def health(self) -> Health:
        """Ask whether a call would work now, without spending anything. May take seconds."""

    def describe(self) -> Mapping[str, object]:
        """Version and capabilities, as plain JSON values: recorded in the plan and hashed."""

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        """The price of one call in USD, at most; None when it is not known."""

    def generate(self, request: GenerateRequest) -> ProviderResult:
        """Make one image. Raises `ProviderError`."""


class ProviderError(Exception):
    """A call that brought no image. `message` is one sentence, fit to show.

    `http_status` is what the provider's server answered, `retry_after` the seconds that it asked
    us to wait; both are None where there was no such answer.
    """

    kind = "provider"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str,
        http_status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.http_status = http_status
        self.retry_after = retry_after


class ProviderRefused(ProviderError):
    """The input, the key or the policy was refused; the same call would be refused again."""


class AccountRefused(ProviderRefused):
    """The account as a whole was refused (key, rights, quota): no other call of it would work either."""


class ProviderUnavailable(ProviderError):
    """Nothing was made and nothing was billed; a later call may work."""

    retryable = True


class OutcomeUnknown(ProviderError):
    """The call may have been made and billed; a person decides, nothing is bought again."""
