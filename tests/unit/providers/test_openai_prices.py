"""The price table: exact where it is published, an upper bound before the call, unknown where it is."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.openai_prices import OUTPUT_TOKENS, TOKEN_PRICES, amount, billed_price, edit_price


def price(
    model: str = "gpt-image-1", size: str = "1024x1536", quality: str = "high", **others: object
) -> Decimal | None:
    known: dict[str, object] = {"images": [], "prompt": "", "prices": {}}
    return edit_price(model, size, quality, **known | others)


@pytest.mark.parametrize(
    ("model", "size", "quality", "published"),
    [
        ("gpt-image-1", "1024x1536", "high", "0.2496"),
        ("gpt-image-1", "1024x1024", "low", "0.01088"),
        ("gpt-image-1.5", "1536x1024", "medium", "0.050176"),
        ("gpt-image-1-mini", "1024x1536", "high", "0.04992"),
    ],
)
def test_the_output_costs_what_is_published(model: str, size: str, quality: str, published: str) -> None:
    assert price(model, size, quality) == Decimal(published)


@pytest.mark.parametrize(
    ("model", "size", "quality"),
    [
        ("gpt-image-9", "1024x1536", "high"),
        ("gpt-image-1", "768x1152", "high"),
        ("gpt-image-1", "1024x1024", "xhigh"),
    ],
)
def test_what_is_not_in_the_table_has_no_price(model: str, size: str, quality: str) -> None:
    assert price(model, size, quality) is None


def test_an_automatic_choice_counts_as_the_dearest() -> None:
    assert price(size="auto", quality="") == max(
        price(size=size, quality=quality) for size, quality in OUTPUT_TOKENS
    )  # type: ignore[type-var]


def test_every_input_image_and_the_prompt_add_to_it() -> None:
    assert price(images=[(1024, 1024)]) == Decimal("0.2496") + Decimal(65 + 129 + 4160) / 100_000
    assert price(prompt="a" * 200) == Decimal("0.2496") + Decimal("0.0005")


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({"per_image": "0.05"}, "0.05"),
        ({"per_image": 0.1}, "0.1"),
        ({"house": {"per_image": "1"}}, "1"),
        ({"house": {"text": "0", "image": "0", "output": "100"}}, "0.624"),
        ({"per_image": "cheap"}, None),
        ({"per_image": -1}, None),
        ({"per_image": True}, None),
        ({"house": {"text": "1"}}, None),
        ({"house": "1"}, None),
        ({"other": {"per_image": "1"}}, None),
    ],
)
def test_an_account_overrides_the_table(prices: dict[str, object], expected: str | None) -> None:
    assert price("house", prices=prices) == (Decimal(expected) if expected else None)


@given(
    text=st.integers(0, 2000),
    images=st.lists(st.tuples(st.integers(1, 8000), st.integers(1, 8000)), max_size=8),
    shape=st.sampled_from(sorted(OUTPUT_TOKENS)),
    model=st.sampled_from(sorted(TOKEN_PRICES)),
)
def test_the_estimate_bounds_what_is_billed(
    text: int, images: list[tuple[int, int]], shape: tuple[str, str], model: str
) -> None:
    prompt = "x" * (2 * text)
    estimate = edit_price(model, *shape, images=images, prompt=prompt, prices={})
    usage = {
        "input_tokens_details": {"text_tokens": text, "image_tokens": 65 * len(images)},
        "output_tokens": OUTPUT_TOKENS[shape],
    }
    billed = billed_price(model, usage, {})
    assert estimate is not None
    assert billed is not None
    assert billed <= estimate


@pytest.mark.parametrize(
    "usage", [{}, {"output_tokens": 3}, {"input_tokens_details": {}, "output_tokens": 3}]
)
def test_without_counts_nothing_is_known_of_the_bill(usage: dict[str, object]) -> None:
    assert billed_price("gpt-image-1", usage, {}) is None


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.lists(st.integers())))
def test_any_amount_is_a_price_or_none(value: object) -> None:
    found = amount(value)
    assert found is None or 0 <= found < 1_000_000
