"""JSON from outside, read as the standard has it, and what of it a database can hold."""

import json
import math
from typing import Any


def parsed(text: str) -> Any:
    """The value of a JSON text; neither NaN nor a number that overflows is one.

    Raises `json.JSONDecodeError` or another `ValueError`, and `RecursionError`.
    """
    return json.loads(text, parse_constant=_refused, parse_float=_finite)


def is_storable(text: str) -> bool:
    """Whether any database takes it: PostgreSQL takes no NUL, and UTF-8 no half of a surrogate pair."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
