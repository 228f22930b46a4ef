"""Reading the text of a run log, whoever wrote it, and the loose values in it."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

DEEPEST = 100  # levels; a log of ours has 9
LARGEST_INTEGER = 2**31 - 1  # of the columns that take whole numbers
UNUSABLE = "\ufffd"  # stands for a character that no database takes

# Escapes of NUL and of halves of surrogate pairs, which may be whole pairs: then the texts are looked at.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_NEVER_STORED = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
# An older Kroma wrote seconds or milliseconds since 1970, with a `Z` behind them.
_EPOCH = re.compile(r"(\d{9,14}(?:\.\d{1,9})?)\s*Z?", re.ASCII | re.IGNORECASE)
_MILLISECONDS_FROM = 1e11  # as seconds that would be the year 5138


class LogRefused(ValueError):
    """A log that can't be read: one sentence that names it."""


def parse_log(data: bytes, *, source: str) -> dict[str, Any]:
    """The document of a log file; characters that can't be stored are replaced. Raises `LogRefused`."""
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise LogRefused(f"{source} is not JSON: it is no text in UTF-8") from error
    except RecursionError as error:
        raise LogRefused(f"{source} is not a run log: it is nested too deeply") from error
    except ValueError as error:
        raise LogRefused(f"{source} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LogRefused(f"{source} is not a run log: it holds no object")
    if _is_too_deep(document):
        raise LogRefused(f"{source} is not a run log: it is nested deeper than {DEEPEST} levels")
    return _storable(document) if _SUSPICIOUS.search(data) else document


def text(value: object) -> str:
    """A text, trimmed; '' for everything else."""
    return value.strip() if isinstance(value, str) else ""


def path(value: object) -> str | None:
    """A path with `/` between its parts, trimmed; None for a blank one and for everything else."""
    return (value.replace("\\", "/").strip() or None) if isinstance(value, str) else None


def integer(value: object, *, least: int = 0, most: int = LARGEST_INTEGER) -> int | None:
    """A JSON integer between the two; None for everything else."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    return None


def decimal(value: object) -> Decimal | None:
    """A JSON number or a text that is one; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    written = value.strip() if isinstance(value, str) else repr(value)
    if len(written) > 400 or not _NUMBER.fullmatch(written):
        return None
    try:
        return Decimal(written)
    except InvalidOperation:
        return None


def number(value: object) -> float:
    """A JSON number or a text that is one, as it fits a column; 0.0 for everything else."""
    if type(value) is float:
        return value
    found = decimal(value)
    as_float = float(found) if found is not None else 0.0
    return as_float if math.isfinite(as_float) else 0.0


def section(value: object) -> Mapping[str, Any]:
    """An object; an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def moment(value: object) -> datetime | None:
    """A moment in UTC from ISO 8601 (UTC without a zone) or a number since 1970; None for all else."""
    try:
        if isinstance(value, str):
            epoch = _EPOCH.fullmatch(value.strip())
            found = _since_1970(float(epoch[1])) if epoch else datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = _since_1970(float(value))
        else:
            return None
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if 1970 <= found.year < 9999 else None


def _since_1970(value: float) -> datetime:
    return datetime.fromtimestamp(value / 1000 if value >= _MILLISECONDS_FROM else value, UTC)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"{written[:40]} is too large a number")
    return value


def _is_too_deep(document: object) -> bool:
    """Level by level, so that no depth of a document is one of our calls."""
    level = [document]
    for _ in range(DEEPEST):
        level = [
            child
            for value in level
            for child in (value.values() if type(value) is dict else value)  # type: ignore[attr-defined]
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _storable(value: Any) -> Any:
    match value:
        case str():
            return _NEVER_STORED.sub(UNUSABLE, value)
        case dict():
            return {_storable(key): _storable(part) for key, part in value.items()}
        case list():
            return [_storable(part) for part in value]
        case _:
            return value
