"""Typed readers of the environment. Each fault is one line that names the variable."""

import os
from pathlib import Path
from typing import overload

from django.core.exceptions import ImproperlyConfigured

from projects.addresses import is_web_address

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


@overload
def text(name: str, default: str) -> str: ...
@overload
def text(name: str, default: None = None) -> str | None: ...
def text(name: str, default: str | None = None) -> str | None:
    """The variable's trimmed value; a blank one counts as unset.

    `<name>_FILE` may name a file that holds the value instead. Raises `ImproperlyConfigured` when that
    file can't be read.
    """
    value = variable(name)
    if value:
        return value
    file = variable(f"{name}_FILE")
    if not file:
        return default
    try:
        return Path(file).read_text(encoding="utf-8").strip() or default
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: can't read {file}: {error.strerror}") from error


def variable(name: str) -> str:
    """The variable's trimmed value, or ""; no file is looked at."""
    return os.environ.get(name, "").strip()


def flag(name: str, default: bool) -> bool:
    """A switch: 1/true/yes/on or 0/false/no/off, in any case. Raises `ImproperlyConfigured`."""
    value = text(name, "").lower()
    if not value:
        return default
    if value in TRUE | FALSE:
        return value in TRUE
    raise ImproperlyConfigured(f"{name} must be one of 1, true, yes, on, 0, false, no, off; not {value!r}")


def integer(name: str, default: int, *, minimum: int, maximum: int | None = None) -> int:
    """A whole number within inclusive bounds. Raises `ImproperlyConfigured`."""
    value = text(name, str(default))
    bounds = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, {bounds}; not {value!r}") from None
    if number < minimum or (maximum is not None and number > maximum):
        raise ImproperlyConfigured(f"{name} must be {bounds}; not {number}")
    return number


def folder(name: str, default: Path) -> Path:
    """An absolute folder path; a relative value counts from the working directory."""
    return Path(text(name, str(default))).expanduser().absolute()


def web_address(name: str, default: str = "") -> str:
    """An http(s) address without credentials. Raises `ImproperlyConfigured`."""
    value = text(name, "")
    if not value:
        return default
    if not is_web_address(value):
        # The value may hold a password, so the message does not repeat it.
        raise ImproperlyConfigured(
            f"{name} must be an address such as https://agent.example, without credentials"
        )
    return value


def words(name: str) -> list[str]:
    """A comma-separated list, trimmed, without blanks."""
    return [word.strip() for word in text(name, "").split(",") if word.strip()]
