"""From what a language model answered to the settings in it. Nothing that broke off is completed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bootstrap.document import ImportedSettings, Problem, check_given, mode_of, outer_paths, refused, weighed
from bootstrap.entries import SECTIONS, Document, exact
from bootstrap.lenient import Broken, Budget, Reader, line_at, place
from projects import strictjson
from projects.errors import Invalid

LONGEST = 2 * 1024 * 1024  # bytes
MOST_TRIES = 1_000  # braces in prose that are looked at
LONGEST_SKETCH = 500  # characters
FIELD = "ai_response_text"
UNPARSED = f"Could not parse JSON from '{FIELD}'"
UNREADABLE = f"Could not parse bootstrap JSON from '{FIELD}'"
KNOWN = {"settings", "project", *SECTIONS}
MEANT = {"mode", *KNOWN}  # names that tell a broken answer from braces in prose

FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
# What could begin an object, or one that is quoted line by line, or a list of objects; or breaks off before
# that shows.
OPENING = re.compile(r"\{(?=\s*+(?:[\"'“”„‟‘’‚‛}#/>]|[\w$-]++\s*+:|[\w$-]*+\s*\Z))|\[(?=\s*+\{)")
# Before it stands a name: it is a part of something, not an answer.
PART = re.compile(r"[\"'“”„‟‘’‚‛]\s*:[\s>]*\Z")
CONTENTS = ("content_uri", "content_text")  # of an item, which needs one of them
LONGEST_GAP = 100  # characters between a name and its value
WANTED_TYPES = {
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
}
CLOSING = re.compile(r"```|~~~")
NOTHING_SAID = re.compile(r"[{\[]\s*(?:\.\.\.|…)\s*[}\]]")


@dataclass(frozen=True)
class Answer:
    """The settings in an answer, the mode it asks for (None: it does not say), and what was mended.

    `document` is what the settings come to in the caller's mode, else in the answer's.
    """

    settings: ImportedSettings
    mode: str | None
    repairs: Sequence[str]
    document: Document


@dataclass(frozen=True)
class _Found:
    """A value in a text: how it was read, and whether it stands in a fence that is not closed."""

    value: Any
    start: int
    reader: Reader
    in_open_fence: bool = False

    def repairs(self) -> list[str]:
        """What was mended to read it."""
        told = self.reader.told()
        if self.in_open_fence:
            told.append(f"a missing end of the fence was added ({place(self.reader.text, self.reader.at)})")
        return told


@dataclass(frozen=True)
class _Shape:
    """What of a value is meant: the settings, as far as their types are right, and the mode as it stands.

    `outer` and `inner` are what the paths of the answer and of its settings begin with.
    """

    settings: ImportedSettings
    problems: list[Problem]
    mode: Any
    outer: str
    inner: str


def answer_of(text: str, mode: str | None = None, *, longest: int = LONGEST) -> Answer:
    """The settings in a model's answer of at most `longest` bytes.

    `mode` is the caller's, which goes before the answer's own. Raises `Invalid` with all that is wrong, each
    with its path and, where it is known, its line.
    """
    found = _found_in(text, longest)
    shape = _shape_of(found)
    unstorable = dict.fromkeys(_relative(path, shape) for path in found.reader.unstorable)
    problems = [(path, "it holds a character that can't be stored") for path in unstorable]
    problems += shape.problems
    own_mode = shape.mode if isinstance(shape.mode, str) else None
    if mode is None and shape.mode is not None and own_mode is None:
        problems.append(("mode", "must be a text"))
    error = UNREADABLE if problems else ""
    effective = "merge"
    try:
        effective = mode_of(mode, own_mode)
    except Invalid as wrong:
        problems.append(("mode", str(wrong)))
        error = error or str(wrong)
    repairs = found.repairs()
    if shape.outer:
        name = shape.outer.removesuffix(".")[:80]
        repairs.insert(
            0, f"the settings were taken out of '{name}' ({place(found.reader.text, found.start)})"
        )
    document, of_content = weighed(shape.settings, effective, repairs)
    problems += _apart_from(problems, of_content)
    if problems:
        raise refused(problems, error=error, lines=_lines(found, shape))
    check_given(document)
    return Answer(shape.settings, own_mode, repairs, document)


def _lines(found: _Found, shape: _Shape) -> dict[str, int]:
    """The lines of all values of an answer, found by reading it once more."""
    absolute: dict[str, int] = {}
    Reader(found.reader.text, found.start, Budget(), lines=absolute).value(1)
    lines = {_relative(path, shape): line for path, line in absolute.items()}
    # What is beside a wrapper may have the path of what is in it.
    lines |= {_relative(path, shape): absolute[path] for path in absolute if path.startswith(shape.inner)}
    return lines


def _relative(path: str, shape: _Shape) -> str:
    """A path in the whole value as problems name it: from the settings on."""
    if path.startswith(shape.inner):
        return path.removeprefix(shape.inner)
    return path.removeprefix(shape.outer)


def _apart_from(known: Sequence[Problem], problems: Sequence[Problem]) -> list[Problem]:
    """The problems of content that do not come of those that are known: a wrong name is no missing name."""
    paths = {path for path, _ in known} - {""}
    return [
        (path, problem)
        for path, problem in problems
        if paths.isdisjoint([path, *outer_paths(path), *(f"{path}.{name}" for name in CONTENTS)])
    ]


# What is meant


def _shape_of(found: _Found) -> _Shape:
    """The settings in a value, in a wrapper or bare. Raises `Invalid` for what is no object."""
    value, outer = _unwrapped(found.value)
    if not isinstance(value, dict):
        lines = {"": line_at(found.reader.text, found.start)}
        raise refused([("", "a JSON object is expected")], error=UNREADABLE, lines=lines)
    mode = value.get("mode")
    if mode is None and outer:
        mode = found.value.get("mode")
    wrapped = value.get("settings")
    if wrapped is None:
        return _Shape(*_typed(value), mode, outer, outer)
    settings, problems = _typed(wrapped)
    # A wrapper that can't be read is looked at as bare settings, too.
    if problems and any(value.get(section) is not None for section in ("project", *SECTIONS)):
        bare, of_bare = _typed(value)
        if not of_bare:
            return _Shape(bare, [], mode, outer, outer)
        if not isinstance(wrapped, dict):
            return _Shape(bare, [*problems, *of_bare], mode, outer, outer)
    return _Shape(settings, problems, mode, outer, f"{outer}settings.")


def _unwrapped(value: Any) -> tuple[Any, str]:
    """The answer in an object that names nothing of ours but holds just one that does; the path to it."""
    if isinstance(value, dict) and not _is_ours(value):
        inner = [name for name, one in value.items() if _is_ours(one)]
        if len(inner) == 1:
            return value[inner[0]], f"{inner[0]}."
    return value, ""


def _is_ours(value: object) -> bool:
    return isinstance(value, dict) and not KNOWN.isdisjoint(value)


def _typed(raw: Any) -> tuple[ImportedSettings, list[Problem]]:
    """The settings, as far as their types are right, and what has a wrong one, by its path."""
    try:
        return ImportedSettings.model_validate(raw), []
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
    problems = []
    for one in wrong:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"])
        problem = WANTED_TYPES.get(one["type"], one["msg"])
        problems.append((path.removeprefix(".") or "settings", problem))
    # Without what is wrong the rest can be looked at; the value is nobody's but ours.
    for one in wrong:
        if not one["loc"]:
            return ImportedSettings(), problems
        *way, last = one["loc"]
        holder = raw
        for part in way:
            holder = holder[part]
        holder[last] = {} if isinstance(last, int) else None
    return ImportedSettings.model_validate(raw), problems


# What is found


def _found_in(text: str, longest: int) -> _Found:
    """The one answer in a text. Raises `Invalid`, with the place beside the error."""
    n_bytes = len(text.encode(errors="surrogatepass"))
    if n_bytes > longest:
        raise Invalid(f"Field '{FIELD}' has {n_bytes} bytes: use at most {longest}")
    text = text.removeprefix("\ufeff")
    if not text.strip().strip("\ufeff").strip():
        raise Invalid(f"Field '{FIELD}' must not be empty")
    try:
        return _plain(text) or _answer_in(text)
    except Broken as error:
        lines = {} if error.line is None else {FIELD: error.line}
        raise refused([(FIELD, str(error))], error=UNPARSED, lines=lines) from None


def _plain(text: str) -> _Found | None:
    """What the text is as a whole if that is JSON, but no object: a list, a text, a number."""
    whole = text.strip()
    if whole.startswith("```"):
        whole = whole.partition("\n")[2].strip().removesuffix("```").strip()
    if whole.startswith("{"):
        return None
    try:
        value = strictjson.parsed(whole)
    except (ValueError, RecursionError):
        return None
    start = text.index(whole)
    return _Found(value, start, Reader(text, start, Budget()))


def _answer_in(text: str) -> _Found:
    """The one answer in a text, else the first object that is none.

    Raises `Broken`, also for two answers that differ, and for a second one that breaks off.
    """
    ours: _Found | None = None
    other: _Found | None = None
    problems: list[Broken] = []
    for found in _values_in(text, problems):
        if not _is_ours(_unwrapped(found.value)[0]):
            other = other if other and other.value else found
        elif PART.search(text, max(found.start - LONGEST_GAP, 0), found.start):
            told = f"what stands around the braces at {place(text, found.start)} can't be read"
            raise Broken(told, text, found.start)
        elif ours is None:
            ours = found
        elif exact(ours.value) != exact(found.value):
            raise Broken(
                f"it holds two answers that differ, one begins at {place(text, ours.start)},"
                f" the next at {place(text, found.start)}: send one of them",
                text,
                found.start,
            )
    if ours is not None:
        return ours
    if problems:
        raise problems[0]
    if other is None:
        raise Broken("there is no JSON object in it")
    return other


def _values_in(text: str, problems: list[Broken]) -> Iterator[_Found]:
    """What can be read in a text, one after the other; `problems` gets what was passed over.

    Raises `Broken` for what breaks off, and for what may be an answer and can't be read.
    """
    budget = Budget()
    at = counted = n_fences = 0
    for _ in range(MOST_TRIES):
        opening = OPENING.search(text, at)
        if opening is None:
            return
        start = opening.start()
        reader = Reader(text, start, budget)
        try:
            value = reader.value(1)
        except Broken as error:
            budget.characters -= reader.at - start
            # The objects inside a broken answer are parts of it, not answers.
            if error.truncated or budget.is_spent or _is_meant(reader, start, error):
                raise
            problems.append(error)
            at = _end_of_sketch(text, start) or opening.end()
            continue
        at = reader.at
        n_fences += len(FENCE.findall(text, counted, start))
        counted = at
        yield _Found(value, start, reader, in_open_fence=n_fences % 2 == 1 and not CLOSING.search(text, at))
    raise Broken(f"it has more than {MOST_TRIES} braces that could begin an answer: send the JSON alone")


def _is_meant(reader: Reader, start: int, error: Broken) -> bool:
    """Whether what can't be read may be an answer: it names what is ours, or is no mere sketch of a form."""
    if not reader.has_quoted_name and MEANT.isdisjoint(reader.names):
        return False
    sketch = reader.text[start : _end_of_sketch(reader.text, start) or start]
    if not sketch:
        return True
    if error.at is not None and any(
        one.start() <= error.at - start < one.end() for one in NOTHING_SAID.finditer(sketch)
    ):
        return False
    return ":" in sketch and not MEANT.isdisjoint(re.findall(r"\w+", sketch))


def _end_of_sketch(text: str, start: int) -> int | None:
    """Where braces end that are closed on the line on which they begin, if that is soon."""
    line_end = text.find("\n", start)
    end = min(len(text) if line_end < 0 else line_end, start + LONGEST_SKETCH)
    depth = 0
    for at in range(start, end):
        depth += (text[at] in "{[") - (text[at] in "}]")
        if depth == 0:
            return at + 1
    return None
