"""Texts that people and programs hand in: trimmed, required, bounded. One place for the rule."""

from projects.errors import Invalid

LONGEST_NAME = 200  # characters, as the columns of names
LONGEST_TEXT = 100_000  # of descriptions, instructions, prompts


def required_text(field: str, value: str | None, *, longest: int = LONGEST_TEXT) -> str:
    """The trimmed text. Raises `Invalid` for a blank one, and for more than `longest` characters."""
    text = (value or "").strip()
    if not text:
        raise Invalid(f"Field '{field}' is required")
    return _bounded(field, text, longest)


def optional_text(field: str, value: str | None, *, longest: int = LONGEST_TEXT) -> str:
    """The trimmed text, '' for none. Raises `Invalid` for more than `longest` characters."""
    return _bounded(field, (value or "").strip(), longest)


def _bounded(field: str, text: str, longest: int) -> str:
    if len(text) > longest:
        raise Invalid(f"Field '{field}' has {len(text)} characters: use at most {longest}")
    return text
