"""Until when a token lets in, as programs and people write it."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from projects.errors import Invalid

LONGEST_TOLD = 100  # characters of a wrong value that its error repeats
FRACTION = 9  # digits that are kept
RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Expiry:
    """A moment, and how it is shown: in UTC with a numeric offset, its fraction as it was given."""

    at: datetime
    text: str


def expiry_of(text: str | None) -> Expiry | None:
    """The moment that a text names, the end of a day in UTC for a date alone; None for a blank text.

    Raises `Invalid` for another form, and for a moment that is none.
    """
    value = (text or "").strip()
    if not value:
        return None
    try:
        found = _end_of_day(value) if DATE.fullmatch(value) else _instant(value)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        told = value if len(value) <= LONGEST_TOLD else f"{value[:LONGEST_TOLD]}…"
        raise Invalid(
            f"Invalid expires_at format: '{told}'. "
            "Expected ISO8601 (YYYY-MM-DDTHH:MM:SSZ) or date (YYYY-MM-DD)"
        )
    return found


def _end_of_day(value: str) -> Expiry:
    at = datetime.combine(date.fromisoformat(value), time(23, 59, 59), UTC)
    return Expiry(at, at.isoformat())


def _instant(value: str) -> Expiry | None:
    match = RFC_3339.fullmatch(value)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    whole = datetime.fromisoformat(f"{day}T{clock}{offset.upper().replace('Z', '+00:00')}").astimezone(UTC)
    if not fraction:
        return Expiry(whole, whole.isoformat())
    kept = fraction[:FRACTION]
    at = whole.replace(microsecond=int(kept.ljust(6, "0")[:6]))
    return Expiry(at, whole.isoformat().replace("+00:00", f".{kept}+00:00"))
