"""Background removal by PhotoRoom and remove.bg: one form over HTTP, one picture back."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urljoin, urlsplit

import httpx

from pipeline.engine.postprocess_config import BgRemove, HttpBackend
from pipeline.providers.asking import asked, broken
from pipeline.providers.base import Access, Health, ProviderError, ProviderRefused
from pipeline.providers.http_errors import error_of_answer, error_of_transport, unexpected_answer
from pipeline.providers.images import MAX_IMAGE_BYTES
from pipeline.providers.openai_prices import amount
from pipeline.tools.answers import extension_of
from pipeline.tools.base import ToolAnswer

# Reference, 4.5. The client has no limit for a whole call, so the time is looked at with each piece.
CONNECT_SECONDS, TOTAL_SECONDS = 15.0, 60.0
ERROR_BYTES = 64 * 1024  # of an error's body: enough for any explanation


@dataclass(frozen=True)
class Service:
    """One of the two services; `list_price` is that of one picture in USD."""

    code: str
    name: str
    key_header: str
    list_price: Decimal
    account_url: str
    credits_header: str = ""


# List prices; an account's own price overrides them with {"per_image": "0.15"} under its prices.
# PhotoRoom, Remove Background API, Basic plan: 0.02 USD an image (photoroom.com/api/pricing, 2026).
PHOTOROOM = Service(
    "photoroom", "PhotoRoom", "x-api-key", Decimal("0.02"), "https://image-api.photoroom.com/v2/account"
)
# remove.bg: one credit an image in full size (remove.bg/help, 2026); a credit costs at most 0.90 USD in the
# pay-as-you-go pack of ten, from memory of its price list of 2024. Subscriptions are cheaper: override it.
REMOVEBG = Service(
    "removebg",
    "remove.bg",
    "X-Api-Key",
    Decimal("0.90"),
    "https://api.remove.bg/v1.0/account",
    "X-Credits-Charged",
)
SERVICES = {service.code: service for service in (PHOTOROOM, REMOVEBG)}
# Where the answers about an account say what is left, images or credits; the one or the other service.
LEFT = ("available", "total")


def account_health(service: Service, access: Access) -> Health:
    """Whether the key is accepted, and how much is left; costs nothing.

    An account with an address of its own is asked there, under the path that the service has for it.
    """
    if not access.api_key:
        return Health(
            ok=False,
            message=f"{service.name} has no key here: store one as a secret ({service.code}, api_key)",
        )
    url = service.account_url
    if access.base_url:
        url = urljoin(access.base_url, urlsplit(url).path)
    try:
        found = asked(service.name, url, headers={service.key_header: access.api_key}, key=access.api_key)
    except ProviderError as error:
        return broken(service.name, error)
    left = _left(found)
    if left is not None and left <= 0:
        return Health(
            ok=False, message=f"{service.name} accepts the key, but nothing is left: add credit there"
        )
    rest = "" if left is None else f"; {left:g} left there"
    return Health(ok=True, message=f"{service.name} accepts the key{rest}")


def _left(found: object) -> float | None:
    """The first number in an answer that says what is left; None if none does."""
    if not isinstance(found, dict):
        return None
    for name in LEFT:
        value = found.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return next((left for inner in found.values() if (left := _left(inner)) is not None), None)


@dataclass(frozen=True)
class HttpCutout:
    """A paid background remover; `settings` are those of the step, `backend` its own part of them."""

    service: Service
    settings: BgRemove
    backend: HttpBackend
    access: Access = field(repr=False)

    @property
    def code(self) -> str:
        return self.service.code

    @property
    def version(self) -> str:
        return self.endpoint

    @property
    def endpoint(self) -> str:
        """The project's account may name another address than the post-process file."""
        return self.access.base_url or self.backend.endpoint

    def missing(self) -> str:
        if not self.access.api_key:
            return (
                f"{self.service.name} has no key here: store one with `manage.py secret set` "
                f"({self.code}, api_key), or set {self.backend.api_key_env}"
            )
        if self.price() is None:
            return (
                f"The price of {self.service.name} in the project's account is no amount: write "
                '"prices": {"per_image": "0.05"} in its configuration'
            )
        return ""

    def parameters(self) -> Mapping[str, object]:
        return {"endpoint": self.endpoint, **self._form()}

    def price(self) -> Decimal | None:
        prices = self.access.prices
        return amount(prices["per_image"]) if "per_image" in prices else self.service.list_price

    def call(self, png: bytes, *, name: str) -> ToolAnswer:
        """Send one picture and take what comes back, unchanged. Raises `ProviderError`; tries once."""
        price = self.price()
        problem = self.missing()
        if problem or price is None:
            raise ProviderRefused(problem, code="tool_missing")
        try:
            data, headers = self._post(png, name)
        except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL, UnicodeEncodeError) as error:
            # Without its cause: the client's own text may hold the key.
            raise error_of_transport(self.service.name, error) from None
        charged = headers.get(self.service.credits_header) if self.service.credits_header else None
        return ToolAnswer(
            data,
            extension_of(data, service=self.service.name),
            cost_usd=price,
            request_id=headers.get("x-request-id", ""),
            usage={} if charged is None else {"credits": charged},
        )

    def _form(self) -> dict[str, str]:
        form = {"format": self.settings.format}
        if self.settings.size.lower() not in {"", "auto"}:
            form["size"] = self.settings.size
        if self.settings.crop:
            form["crop"] = "true"
        return form

    def _post(self, png: bytes, name: str) -> tuple[bytes, httpx.Headers]:
        """The body and headers of a success."""
        deadline = time.monotonic() + TOTAL_SECONDS
        timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
        headers = {self.service.key_header: self.access.api_key}
        files = {"image_file": (f"{name}.png", png, "image/png")}
        with (
            httpx.Client(timeout=timeout) as client,
            client.stream("POST", self.endpoint, headers=headers, data=self._form(), files=files) as response,
        ):
            if not response.is_success:
                raise error_of_answer(
                    self.service.name,
                    status=response.status_code,
                    headers=response.headers,
                    body=_explanation(response),
                    key=self.access.api_key,
                    now=datetime.now(UTC),
                )
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_IMAGE_BYTES:
                    raise unexpected_answer(self.service.name, "sent more than a picture has", status=200)
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("The whole call took too long")
            return bytes(body), response.headers


def _explanation(response: httpx.Response) -> bytes:
    """The beginning of an error's body, or nothing when the connection breaks over it: the status counts."""
    body = bytearray()
    try:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > ERROR_BYTES:
                break
    except (httpx.TransportError, httpx.DecodingError):
        return b""
    return bytes(body)
