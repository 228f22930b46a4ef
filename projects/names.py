"""How names become slugs, and which spelling of an id counts (API contract, sections 1 and 3.1)."""

import string
from uuid import UUID

KEPT = frozenset(string.ascii_letters + string.digits + "-_")


def slugified(text: str) -> str:
    """The text as a slug, or '' if nothing of it can stand in one.

    Letters, digits, `-` and `_` of ASCII stay, lower-cased; a run of other characters becomes one `_`.
    """
    slug: list[str] = []
    foreign = False
    for character in text.strip().lower():
        if character in KEPT:
            slug.append(character)
            foreign = False
        elif not foreign:
            slug.append("_")
            foreign = True
    return "".join(slug).strip("_")


def exact_id(text: str) -> UUID | None:
    """The id that a text is, spelled as it was given out; None for anything else, which names nothing."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None
