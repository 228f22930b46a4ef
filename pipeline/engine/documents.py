"""Reading what people wrote into TOML and JSON files: strictly, and all that is wrong at once."""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.engine.errors import PlanningError

_NEVER_STORED = re.compile("[\x00\ud800-\udfff]")

Default = TypeVar("Default")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one key of one file; `key` is dotted, '' for the file as a whole.

    `message` is a sentence without its full stop that names both.
    """

    file: str
    key: str
    message: str


@dataclass(slots=True)
class Findings:
    """What a reading of the file `source` has found so far."""

    source: str
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def wrong(self, key: str, wanted: str, value: object) -> None:
        """Note that `key` must be `wanted` and is `value`."""
        thing = f"'{key}' in {self.source}" if key else self.source
        self.error(key, f"{thing} must be {wanted}, not {shown(value)}")

    def error(self, key: str, message: str) -> None:
        """Note what makes the file unusable."""
        self.errors.append(Problem(self.source, key, message))

    def warn(self, key: str, message: str) -> None:
        """Note what is odd and can be lived with."""
        self.warnings.append(Problem(self.source, key, message))

    def refuse(self) -> None:
        """Raise `PlanningError` with the first error, if there is one."""
        if self.errors:
            raise PlanningError(self.errors[0].message)


@dataclass(frozen=True, slots=True)
class Section:
    """One object of a document with typed readers.

    A reader gives `default` when the key is absent, and also when it is wrong, which is noted in `findings`.
    """

    values: Mapping[object, object]
    prefix: str
    findings: Findings

    @classmethod
    def of(cls, document: object, findings: Findings) -> "Section":
        """The document itself."""
        if isinstance(document, Mapping):
            return cls(document, "", findings)
        findings.wrong("", "an object", document)
        return cls({}, "", findings)

    def section(self, key: str) -> "Section":
        """The object under `key`, an empty one if it is absent."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping):
            self.findings.wrong(self.prefix + key, "an object", value)
            value = {}
        return Section(value, f"{self.prefix}{key}.", self.findings)

    def flag(self, key: str, default: Default) -> bool | Default:
        """A real boolean."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else self._instead(key, "true or false", default)

    def whole(
        self, key: str, default: Default, *, least: int | None = None, most: int | None = None
    ) -> int | Default:
        """A whole number from `least` to `most`."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            low = least is not None and value < least
            if not low and (most is None or value <= most):
                return value
        wanted = "a whole number"
        if least is not None:
            wanted += f" of at least {least}" if most is None else f" from {least} to {most}"
        return self._instead(key, wanted, default)

    def limit(self, key: str, default: Default) -> float | Default:
        """A finite number that is not negative."""
        value = self.values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number) and number >= 0:
                return number
        return self._instead(key, "a finite number of at least 0", default)

    def number(self, key: str, default: Default, *, span: float) -> float | Default:
        """A number from `-span` to `span`."""
        value = self.values.get(key)
        # The comparison is false for NaN.
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= span:
            return float(value)
        return self._instead(key, f"a number from -{span:g} to {span:g}", default)

    def text(self, key: str, default: Default, *, blank: bool = False) -> str | Default:
        """A text, trimmed; it may be empty only if `blank`."""
        value = self.values.get(key)
        if isinstance(value, str) and (blank or value.strip()):
            return value.strip()
        return self._instead(key, "a text" if blank else "a text that is not blank", default)

    def choice(self, key: str, allowed: Mapping[str, str], default: Default) -> str | Default:
        """One of the words of `allowed`, in any case; what it maps to."""
        value = self.values.get(key)
        word = value.strip().lower() if isinstance(value, str) else ""
        return allowed[word] if word in allowed else self._instead(key, _one_of(allowed), default)

    def choices(self, key: str, allowed: Mapping[str, str], default: Default) -> tuple[str, ...] | Default:
        """A list of at least one such word."""
        value = self.values.get(key)
        if not isinstance(value, list | tuple) or not value:
            return self._instead(key, f"a list that is not empty, each entry {_one_of(allowed)}", default)
        words = [entry.strip().lower() if isinstance(entry, str) else "" for entry in value]
        for index, word in enumerate(words):
            if word not in allowed:
                self.findings.wrong(f"{self.prefix}{key}[{index}]", _one_of(allowed), value[index])
        return tuple(allowed[word] for word in words) if set(words) <= set(allowed) else default

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of texts that are not blank, trimmed; it may be empty."""
        value = self.values.get(key)
        if not isinstance(value, list | tuple):
            return self._instead(key, "a list of texts", default)
        for index, entry in enumerate(value):
            if not isinstance(entry, str) or not entry.strip():
                self.findings.wrong(f"{self.prefix}{key}[{index}]", "a text that is not blank", entry)
        return tuple(entry.strip() for entry in value if isinstance(entry, str) and entry.strip())

    def all_texts(self) -> dict[str, str]:
        """Every key of the section, each a text, trimmed; blank ones are allowed."""
        for key, value in self.values.items():
            if not isinstance(value, str):
                self.findings.wrong(f"{self.prefix}{key}", "a text", value)
        return {str(key): value.strip() for key, value in self.values.items() if isinstance(value, str)}

    def warn_of_others(self, known: Iterable[str]) -> None:
        """Warn of keys that nobody reads, with the known one that was probably meant."""
        names = sorted(known)
        for key in map(str, self.values):
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f"; did you mean '{self.prefix}{near[0]}'?" if near else ""
                dotted = self.prefix + key
                self.findings.warn(
                    dotted, f"'{dotted}' in {self.findings.source} is unknown and ignored{hint}"
                )

    def _instead(self, key: str, wanted: str, default: Default) -> Default:
        if key in self.values:
            self.findings.wrong(self.prefix + key, wanted, self.values[key])
        return default


def parse_document(data: bytes, *, source: str) -> object:
    """The content of a settings file: TOML if its name ends so, else JSON. Raises `PlanningError`."""
    form = "TOML" if source.lower().endswith(".toml") else "JSON"
    try:
        text = data.decode("utf-8-sig")
        document: object = tomllib.loads(text) if form == "TOML" else json.loads(text)
        unwritable = _unwritable(document)
    except UnicodeDecodeError as error:
        raise PlanningError(f"{source} is not {form}: it is no text in UTF-8") from error
    except ValueError as error:
        raise PlanningError(f"{source} is not {form}: {error}") from error
    except RecursionError as error:
        raise PlanningError(f"{source} is not usable {form}: it is nested too deeply") from error
    if unwritable:
        raise PlanningError(f"{source} holds a character that can't be stored ({unwritable!a}): leave it out")
    return document


def _unwritable(value: object) -> str:
    """The first text in a document that can't be stored: with a NUL or half a surrogate pair; else ''."""
    parts: Iterable[object]
    match value:
        case str():
            return value[:40] if _NEVER_STORED.search(value) else ""
        case Mapping():
            parts = (part for pair in value.items() for part in pair)
        case list():
            parts = value
        case _:
            return ""
    return next((found for part in parts if (found := _unwritable(part))), "")


def shown(value: object) -> str:
    """A value of a document as a person reads it, cut short."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case str():
            text = f"'{value[:40]}'"
        case int() | float():
            text = f"{value:.6g}" if abs(value) < 1e300 else "so large a number"
        case list() | tuple():
            text = "a list" if value else "an empty list"
        case Mapping():
            text = "an object"
        case _:
            text = str(value)[:40]
    return text


def _one_of(allowed: Collection[str]) -> str:
    return " or ".join(f"'{word}'" for word in allowed)
