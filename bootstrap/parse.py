"""From what a language model answered to the settings in it. Nothing that broke off is completed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from bootstrap.document import SECTIONS, ImportedSettings, refused
from bootstrap.lenient import DEEPEST, Broken, Budget, read, strict
from projects.errors import Invalid
from projects.strictjson import is_storable

LONGEST = 2 * 1024 * 1024  # bytes
MOST_TRIES = 500  # braces in prose that are looked at
FIELD = "ai_response_text"
UNPARSED = f"Could not parse JSON from '{FIELD}'"
UNREADABLE = f"Could not parse bootstrap JSON from '{FIELD}'"
KNOWN = {"settings", "project", *SECTIONS}

FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
BEGUN = re.compile(r"\{\s*[\"“”„‟][^\"“”„‟]*[\"“”„‟]\s*:")  # what is meant as an object
OPENING = re.compile(r"\{(?=\s*[\"“”„‟}/])")  # what could begin an object


@dataclass
class Answer:
    """The settings in an answer, the mode it asks for (None: it does not say), and what was mended."""

    settings: ImportedSettings
    mode: str | None
    repairs: list[str] = field(default_factory=list)


def answer_of(text: str, *, longest: int = LONGEST) -> Answer:
    """The settings in a model's answer of at most `longest` bytes.

    Raises `Invalid`, with the place beside the error.
    """
    n_bytes = len(text.encode(errors="surrogatepass"))
    if n_bytes > longest:
        raise Invalid(f"Field '{FIELD}' has {n_bytes} bytes: use at most {longest}")
    text = text.strip().strip("\ufeff").strip()
    if not text:
        raise Invalid(f"Field '{FIELD}' must not be empty")
    try:
        value, repairs = _json_in(text)
    except Broken as error:
        raise refused([(FIELD, str(error))], error=UNPARSED) from None
    problem = _unusable(value)
    if problem:
        raise refused([problem], error=UNREADABLE)
    settings, mode = _read(value)
    return Answer(settings, mode, repairs)


def _read(value: Any) -> tuple[ImportedSettings, str | None]:
    """The settings, in a wrapper or bare, and the mode beside them."""
    if not isinstance(value, dict):
        raise refused([("", "a JSON object is expected")], error=UNREADABLE)
    wrapped, mode = value.get("settings"), value.get("mode")
    problems: list[tuple[str, str]] = []
    if mode is not None and not isinstance(mode, str):
        problems.append(("mode", "must be a text"))
    # A wrapper that can't be read is looked at as bare settings, too.
    bare = any(value.get(section) is not None for section in ("project", *SECTIONS))
    for candidate, prefix, wanted in ((wrapped, "settings", wrapped is not None), (value, "", True)):
        if not wanted:
            continue
        if not prefix and wrapped is not None and not bare:
            break
        try:
            settings = ImportedSettings.model_validate(candidate)
        except ValidationError as error:
            problems += _problems(error, prefix)
            continue
        if mode is None or isinstance(mode, str):
            return settings, mode
    raise refused(problems, error=UNREADABLE)


def _problems(error: ValidationError, prefix: str) -> list[tuple[str, str]]:
    found = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        path = prefix
        for part in one["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
        found.append((path.removeprefix("."), one["msg"]))
    return found


def _json_in(text: str) -> tuple[Any, list[str]]:
    """The first JSON that is found: the contract's places first, then fences, then braces in prose."""
    budget = Budget()
    for candidate, is_part in _plain_places(text):
        try:
            value = strict(candidate)
        except Broken:
            continue
        if is_part:
            _check_rest(text[text.rfind("}") + 1 :], budget)
        return value, []
    for fence in FENCE.finditer(text):
        block = fence[1]
        if not block.lstrip().startswith("{"):
            continue
        try:
            value, end, repairs = read(block, 0, budget)
        except Broken as error:
            if error.truncated:
                raise
            continue
        if not block[end:].strip() and _is_ours(value):
            return value, repairs
    return _in_prose(text, budget)


def _plain_places(text: str) -> Iterator[tuple[str, bool]]:
    yield text, False
    if text.startswith("```"):
        lines = text.split("\n")[1:]
        if lines and lines[-1].strip() == "```":
            lines.pop()
        yield "\n".join(lines), False
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        yield text[start : end + 1], True


def _in_prose(text: str, budget: Budget) -> tuple[Any, list[str]]:
    """The first balanced object that has a section, or else the first one at all."""
    at, tries = 0, 0
    first: tuple[Any, list[str]] | None = None
    problem: Broken | None = None
    while tries < MOST_TRIES and (opening := OPENING.search(text, at)):
        tries += 1
        try:
            value, end, repairs = read(text, opening.start(), budget)
        except Broken as error:
            if error.truncated:
                raise
            if BEGUN.match(text, opening.start()):
                raise  # the objects inside a broken one are parts of an answer, not answers
            problem = problem or error
            at = opening.end()
            continue
        if _is_ours(value):
            _check_rest(text[end:], budget)
            return value, repairs
        first = first or ((value, repairs) if value else None)
        at = end
    if problem is not None or first is None:
        raise problem or Broken("there is no JSON object in it")
    return first


def _is_ours(value: object) -> bool:
    return isinstance(value, dict) and not KNOWN.isdisjoint(value)


def _check_rest(rest: str, budget: Budget) -> None:
    """Raise `Broken` if another object begins behind the one that was found, and breaks off."""
    opening = OPENING.search(rest)
    if opening is None:
        return
    try:
        read(rest, opening.start(), budget)
    except Broken as error:
        if error.truncated:
            raise Broken("behind its first JSON object it has another one that breaks off") from None


def _unusable(value: Any) -> tuple[str, str] | None:
    """What no database can hold, or is nested too deeply: its path and the problem."""
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(DEEPEST):
        inner: list[tuple[str, Any]] = []
        for path, one in level:
            if isinstance(one, dict):
                inner += ((f"{path}.{key}"[:200], of_key) for key, of_key in one.items())
                if not all(map(is_storable, one)):
                    return path.removeprefix("."), "a name holds a character that can't be stored"
            elif isinstance(one, list):
                inner += ((f"{path}[{n}]"[:200], of_list) for n, of_list in enumerate(one))
            elif isinstance(one, str) and not is_storable(one):
                return path.removeprefix("."), "the text holds a character that can't be stored"
        level = inner
        if not level:
            return None
    return level[0][0].removeprefix("."), f"it is nested too deeply: use at most {DEEPEST} levels"
