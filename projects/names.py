"""How names of projects, people and providers become slugs (API contract, section 3.1)."""

import string

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
