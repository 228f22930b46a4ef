"""What OpenAI's image models cost.

As published in December 2025: the prices for a million tokens, and how many tokens an image has by size and
quality. An account overrides them under `prices` in its configuration: `{"per_image": "0.05"}` for every
call, or for one model `{"some-model": {"per_image": "0.05"}}` or
`{"some-model": {"text": "5", "image": "10", "output": "40"}}`, in USD, the latter for a million tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal, InvalidOperation
from math import ceil
from types import MappingProxyType

PRICES_OF = "2025-12"  # enters the plan: another table is another plan
MICRO = Decimal("0.000001")
MILLION = 1_000_000
# The prompt's tokens are not counted before the call; in no script is one shorter than two bytes on average.
BYTES_PER_TOKEN = 2
TILE, TILE_TOKENS, IMAGE_TOKENS = 512, 129, 65  # of an input image, its shorter side reduced to one tile
# What `input_fidelity: high` adds to an input image, by its shape.
FIDELITY_SQUARE, FIDELITY_OTHER = 4160, 6240


@dataclass(frozen=True)
class TokenPrices:
    """USD for a million tokens of the prompt, of input images and of the image that is made."""

    text: Decimal
    image: Decimal
    output: Decimal


TOKEN_PRICES: Mapping[str, TokenPrices] = MappingProxyType(
    {
        "gpt-image-1": TokenPrices(Decimal(5), Decimal(10), Decimal(40)),
        "gpt-image-1-mini": TokenPrices(Decimal(2), Decimal("2.5"), Decimal(8)),
        "gpt-image-1.5": TokenPrices(Decimal(5), Decimal(8), Decimal(32)),
    }
)
OUTPUT_TOKENS: Mapping[tuple[str, str], int] = MappingProxyType(
    {
        ("1024x1024", "low"): 272,
        ("1024x1536", "low"): 408,
        ("1536x1024", "low"): 400,
        ("1024x1024", "medium"): 1056,
        ("1024x1536", "medium"): 1584,
        ("1536x1024", "medium"): 1568,
        ("1024x1024", "high"): 4160,
        ("1024x1536", "high"): 6240,
        ("1536x1024", "high"): 6208,
    }
)


def edit_price(
    model: str,
    size: str,
    quality: str,
    *,
    images: Sequence[tuple[int, int]],
    prompt: str,
    prices: Mapping[str, object],
    high_fidelity: bool = True,
) -> Decimal | None:
    """The most that one image edit may cost in USD; None when that is not known.

    `size` reads `WIDTHxHEIGHT`; an empty or automatic one, or an automatic quality, counts as the dearest.
    `images` are the width and height of the input images in pixels, sent with high fidelity unless said
    otherwise. `prices` are those of the account.
    """
    flat, tokens = _found(model, prices)
    if flat is not None or tokens is None:
        return flat
    output = _output_tokens(size, quality)
    if output is None:
        return None
    text = ceil(len(prompt.encode()) / BYTES_PER_TOKEN)
    return _cost(tokens, text, sum(_input_tokens(image, high_fidelity) for image in images), output)


def billed_price(model: str, usage: Mapping[str, object], prices: Mapping[str, object]) -> Decimal | None:
    """What a call cost by the tokens that the provider reports; None where they or their price lack."""
    flat, tokens = _found(model, prices)
    details = usage.get("input_tokens_details")
    if flat is not None or tokens is None or not isinstance(details, Mapping):
        return flat
    counts = [details.get("text_tokens"), details.get("image_tokens"), usage.get("output_tokens")]
    text, image, output = (count if isinstance(count, int) and count >= 0 else None for count in counts)
    if text is None or image is None or output is None:
        return None
    return _cost(tokens, text, image, output)


def amount(value: object) -> Decimal | None:
    """A price as an account has it, a text or a number; None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return price if price.is_finite() and 0 <= price < MILLION else None


def _found(model: str, prices: Mapping[str, object]) -> tuple[Decimal | None, TokenPrices | None]:
    """The price of a call, or else of its tokens. What an account says wrongly makes both unknown."""
    said = prices.get(model, prices)
    if not isinstance(said, Mapping):
        return None, None
    if "per_image" in said:
        return amount(said["per_image"]), None
    if said is prices:
        return None, TOKEN_PRICES.get(model)
    text, image, output = (amount(said.get(name)) for name in ("text", "image", "output"))
    if text is None or image is None or output is None:
        return None, None
    return None, TokenPrices(text, image, output)


def _output_tokens(size: str, quality: str) -> int | None:
    fitting = [
        count
        for (of_size, of_quality), count in OUTPUT_TOKENS.items()
        if size in {"", "auto", of_size} and quality in {"", "auto", of_quality}
    ]
    return max(fitting, default=None)


def _input_tokens(image: tuple[int, int], high_fidelity: bool) -> int:
    short, long = sorted(image)
    tiles = ceil(long * TILE / short / TILE) if short >= 1 else 1
    added = FIDELITY_SQUARE if short == long and short >= 1 else FIDELITY_OTHER
    return IMAGE_TOKENS + TILE_TOKENS * tiles + (added if high_fidelity else 0)


def _cost(prices: TokenPrices, text: int, image: int, output: int) -> Decimal:
    total = prices.text * text + prices.image * image + prices.output * output
    return (total / MILLION).quantize(MICRO, ROUND_UP)
