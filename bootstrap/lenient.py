"""JSON as language models write it, read exactly: what is mended is listed, and nothing is guessed.

Not a library: those that are exact do not know curly quotes nor say what they mended, those that mend more
guess, and close what broke off.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from projects.strictjson import is_storable

DEEPEST = 64  # levels, as in a request's body
MOST_OF_A_KIND = 20  # repairs of one kind that are listed, each with its place
MOST_UNSTORABLE = 50  # texts that are told
MOST_NAMES = 20  # of an object that are kept to tell what it was meant to be
LONGEST_PATH = 300  # characters; a name of a megabyte must not be repeated for all that is below it
LONGEST_NUMBER = 1_000  # digits

# `++` and `*+` never give back what they took: no text costs more than its length.
SPACE = re.compile(r"[ \t\r\n]*+")
ODD_SPACE = re.compile(r"[\x0b\x0c\x85\xa0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]++")
LINE_COMMENT = re.compile(r"(?:#|//)[^\r\n]*+")
NAME = re.compile(r"[^\W\d][\w$-]*+|\$[\w$-]*+")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
OPEN_NUMBER = re.compile(r"-?[0-9.]*+(?:[eE][+-]?)?\Z")
WORD = re.compile(r"-?[A-Za-z_]\w*+")
LEFT_OUT = re.compile(r"\.\.\.|…")
NO_END_OF_NUMBER = tuple(".0123456789_eExX")
WORDS = {"true": True, "false": False, "null": None}
PYTHON_WORDS = {"True": True, "False": False, "None": None}
NO_NUMBERS = {"nan", "infinity", "inf", "-infinity", "-inf"}

# What opens a text, and all that closes it.
QUOTES = {
    '"': '"',
    "'": "'",
    **dict.fromkeys("“”„‟", "“”„‟"),
    **dict.fromkeys("‘’‚‛", "‘’‚‛"),
}
ESCAPE = r"""\\(?:["'\\/bfnrt]|u[0-9a-fA-F]{4})"""
BODIES = {
    closing: re.compile(rf"(?:[^{closing}\\\x00-\x08\x0b\x0c\x0e-\x1f]++|{ESCAPE})*+")
    for closing in set(QUOTES.values())
}
OPEN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
UNUSUAL = re.compile(r'\\.|"|\r\n?', re.DOTALL)
CURLY = "curly quotes were read as straight ones"
SHORTENED = "something was left out, as its '...' says,"
TWICE = "of several values of one name in an object the last one was taken"
SINGLE = "single quotes were read as double ones"


class Broken(ValueError):
    """A text that is no JSON, even with what may be mended; `truncated` if it only stops too early.

    `at` is the position of the problem, `line` its line from 1 (None: it is nowhere).
    """

    def __init__(
        self, problem: str, text: str = "", at: int | None = None, *, truncated: bool = False
    ) -> None:
        super().__init__(problem)
        self.at = at
        self.line = None if at is None else line_at(text, at)
        self.truncated = truncated


@dataclass
class Budget:
    """How much may still be read, over all tries in one text."""

    values: int = 250_000  # some ten for each of the entries that an import may have
    characters: int = 8 * 1024 * 1024  # of tries that came to nothing

    @property
    def is_spent(self) -> bool:
        return self.values < 0 or self.characters < 0


def line_at(text: str, at: int) -> int:
    """The line of a position, from 1."""
    return text.count("\n", 0, at) + 1


def place(text: str, at: int) -> str:
    """A position in words, counted from 1."""
    return f"line {line_at(text, at)}, column {at - text.rfind(chr(10), 0, at)}"


@dataclass
class Reader:
    """Reads one value of a text, and notes what was mended, and what no database can hold.

    With `lines` given it notes the line of each value there, by its path.
    """

    text: str
    at: int
    budget: Budget
    lines: dict[str, int] | None = None
    repairs: list[tuple[int, str]] = field(default_factory=list)  # the first ones of each kind, by position
    n_repairs: Counter[str] = field(default_factory=Counter)  # by their kind
    unstorable: list[str] = field(default_factory=list)  # paths
    names: list[str] = field(default_factory=list)  # the first ones of the outermost object
    has_quoted_name: bool = False
    path: str = ""
    # Where the last text began if it has line breaks: it may lack its end.
    broken_text: int | None = None
    line: int = 1
    line_at: int = 0

    def value(self, depth: int, path: str = "") -> Any:
        """The next value; what stands before it is skipped. Raises `Broken`."""
        self.budget.values -= 1
        if self.budget.values < 0:
            raise self.broken("there are too many values: no more are read")
        if depth > DEEPEST:
            raise self.broken(f"it is nested too deeply (at most {DEEPEST} levels)")
        mark = self.peek()
        if self.lines is not None:
            self.note_line(path)
        if mark == "{":
            return self.object(depth, path)
        if mark == "[":
            return self.array(depth, path)
        if mark in QUOTES:
            return self.string(path)
        return self.number() if mark in "-.0123456789" else self.word()

    def object(self, depth: int, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        start = self.at
        self.at += 1
        self.path = path
        while self.more("}", start, after_value=bool(found)):
            name_at = self.at
            name = self.name(depth)
            found_twice = name in found
            found[name] = self.value(depth + 1, (f"{path}.{name}" if path else name)[:LONGEST_PATH])
            if found_twice:
                self.mended(TWICE, name_at, f": '{name[:40]}'")
            self.path = path
        return found

    def name(self, depth: int) -> str:
        """The name of a member, with its colon."""
        quoted = self.peek() in QUOTES
        if quoted:
            name = self.string(None)
        else:
            match = NAME.match(self.text, self.at)
            if match is None:
                is_cut_short = LEFT_OUT.match(self.text, self.at)
                raise self.broken(SHORTENED if is_cut_short else "a name in quotes is expected")
            name = match[0]
            if match.end() == len(self.text):
                raise self.cut("inside a name")
            self.mended("a name without quotes was read as one with quotes", self.at)
            self.at = match.end()
        if depth == 1 and len(self.names) < MOST_NAMES:
            self.names.append(name)
        if self.peek() != ":":
            raise self.broken("a colon is expected")
        self.has_quoted_name |= quoted
        self.at += 1
        self.broken_text = None
        return name

    def array(self, depth: int, path: str) -> list[Any]:
        found: list[Any] = []
        start = self.at
        self.at += 1
        self.path = path
        while self.more("]", start, after_value=bool(found)):
            found.append(self.value(depth + 1, f"{path}[{len(found)}]"[:LONGEST_PATH]))
            self.path = path
        return found

    def more(self, end: str, start: int, *, after_value: bool) -> bool:
        """Whether another member follows; the mark between or behind them is read."""
        mark = self.peek()
        if mark == end:
            self.at += 1
            return False
        if not after_value:
            return True
        if mark != ",":
            problem = f"a comma or {end} is expected"
            if mark in "]}":
                problem = f"{end}, for what begins at {place(self.text, start)}, is expected"
            raise self.broken(problem)
        comma = self.at
        self.at += 1
        self.broken_text = None
        if self.peek() == end:
            self.mended("a trailing comma was left out", comma)
            self.at += 1
            return False
        return True

    def string(self, path: str | None) -> str:
        """The text that begins here, of the value at `path`; None: it is a name."""
        text, start = self.text, self.at
        mark = text[start]
        closing = QUOTES[mark]
        match = BODIES[closing].match(text, start + 1)
        end = match.end() if match else start + 1
        if text[end : end + 1] not in tuple(closing):
            raise self.unclosed(start, end, path)
        body = text[start + 1 : end]
        if mark != '"':
            self.mended(SINGLE if mark == "'" else CURLY, start)
        self.at = end + 1
        self.broken_text = start if "\n" in body or "\r" in body else None
        if "\\" in body or '"' in body or not body.isprintable():
            body = self.decoded(body, start + 1)
            if not is_storable(body) and len(self.unstorable) < MOST_UNSTORABLE:
                self.unstorable.append(self.path if path is None else path)
        return body

    def decoded(self, body: str, start: int) -> str:
        """A text without its escapes, and with the line breaks and tabs that stand in it as they are."""
        if self.broken_text is not None:
            first = min(at for mark in "\r\n" if (at := body.find(mark)) >= 0)
            self.mended("a line break inside a text was kept", start + first)
        if "\t" in body:
            self.mended("a tab inside a text was kept", start + body.index("\t"))
        if (apostrophe := body.find("\\'")) >= 0 and self.text[start - 1] != "'":
            self.mended("an escaped apostrophe was read as a plain one", start + apostrophe)
        return str(json.loads(f'"{UNUSUAL.sub(_usual, body)}"', strict=False))

    def unclosed(self, start: int, end: int, path: str | None) -> Broken:
        """The error of a text that begins at `start` and can't be read from `end` on."""
        if end == len(self.text) or OPEN_ESCAPE.match(self.text, end):
            self.at = len(self.text)
            inside = "a name" if path is None else f"the text of {path[:100]}" if path else "a text"
            return self.cut(f"inside {inside} that begins at {place(self.text, start)}")
        self.at = end
        if self.text[end] == "\\":
            return self.broken(f"a text has a wrong escape, {self.text[end : end + 2].strip()},")
        return self.broken("a text holds a control character")

    def number(self) -> int | float:
        match = NUMBER.match(self.text, self.at)
        if match is None or self.text[match.end() : match.end() + 1] in NO_END_OF_NUMBER:
            raise self.no_number()
        written = match[0]
        if len(written) > LONGEST_NUMBER:
            raise self.broken(f"a number has more than {LONGEST_NUMBER} digits: it stands")
        number = int(written) if written.lstrip("-").isdigit() else float(written)
        if not math.isfinite(number):
            raise self.broken(f"{written[:20]} is too large a number: it stands")
        self.at = match.end()
        return number

    def no_number(self) -> Broken:
        """The error of what begins like a number."""
        word = WORD.match(self.text, self.at)
        if word and word[0].lower() in NO_NUMBERS:
            return self.broken(f"{word[0]} is no number of JSON: it stands")
        if OPEN_NUMBER.match(self.text, self.at):
            return self.cut("inside a number")
        if LEFT_OUT.match(self.text, self.at):
            return self.broken(SHORTENED)
        return self.broken("a number is not written as in JSON: it stands")

    def word(self) -> bool | None:
        match = WORD.match(self.text, self.at)
        word = match[0] if match else ""
        if word in WORDS or word in PYTHON_WORDS:
            if word in PYTHON_WORDS:
                plain = "null" if word == "None" else word.lower()
                self.mended(f"{word} was read as {plain}", self.at)
            self.at += len(word)
            return {**WORDS, **PYTHON_WORDS}[word]
        if word.lower() in NO_NUMBERS:
            raise self.broken(f"{word} is no number of JSON: it stands")
        known = any(one.startswith(word) for one in (*WORDS, *PYTHON_WORDS))
        if word and match and match.end() == len(self.text) and known:
            raise self.cut("inside a word")
        if LEFT_OUT.match(self.text, self.at):
            raise self.broken(SHORTENED)
        raise self.broken("a value is expected")

    def peek(self) -> str:
        """The next mark behind blanks and comments. Raises `Broken` at the end of the text."""
        text = self.text
        while True:
            if match := SPACE.match(text, self.at):
                self.at = match.end()
            mark = text[self.at : self.at + 1]
            if not mark:
                raise self.cut(f"inside {self.path[:100]}" if self.path else "inside the outermost value")
            if mark in "#/":
                self.comment()
            elif match := ODD_SPACE.match(text, self.at):
                self.mended("an odd blank was read as a space", self.at)
                self.at = match.end()
            else:
                return mark

    def comment(self) -> None:
        """Skip the comment that begins here."""
        start = self.at
        if match := LINE_COMMENT.match(self.text, start):
            end = match.end()
        elif self.text.startswith("/*", start):
            end = self.text.find("*/", start + 2) + 2
            if end < 2:
                raise self.cut(f"inside the comment that begins at {place(self.text, start)}")
        elif start + 1 == len(self.text):
            raise self.cut("at the start of a comment")
        else:
            raise self.broken("a value or a mark is expected")
        self.mended("a comment was left out", start)
        self.at = end

    def note_line(self, path: str) -> None:
        """Note on which line the value of a path begins: values come in the order of the text."""
        if self.lines is not None and len(path) < LONGEST_PATH:
            self.line += self.text.count("\n", self.line_at, self.at)
            self.line_at = self.at
            self.lines[path] = self.line

    def mended(self, kind: str, at: int, detail: str = "") -> None:
        self.n_repairs[kind] += 1
        if self.n_repairs[kind] <= MOST_OF_A_KIND:
            self.repairs.append((at, kind + detail))

    def told(self) -> list[str]:
        """What was mended, in the order of the text; last what is not listed for its number."""
        listed = [f"{what} ({place(self.text, at)})" for at, what in sorted(self.repairs)]
        rest = {kind: number - MOST_OF_A_KIND for kind, number in self.n_repairs.items()}
        return listed + [f"{kind} ({number} times more)" for kind, number in rest.items() if number > 0]

    def cut(self, where: str) -> Broken:
        """The error of a text that breaks off."""
        at = len(self.text.rstrip())
        return Broken(f"it breaks off at {place(self.text, at)}, {where}", self.text, at, truncated=True)

    def broken(self, problem: str) -> Broken:
        told = f"{problem} at {place(self.text, self.at)}"
        if self.broken_text is not None:
            told += f"; perhaps the text that begins at {place(self.text, self.broken_text)} lacks its end"
        return Broken(told, self.text, self.at)


def _usual(match: re.Match[str]) -> str:
    """A piece of a text as strict JSON has it."""
    piece = match[0]
    if piece == '"':
        return '\\"'
    if piece == "\\'":
        return "'"
    return "\n" if piece[0] == "\r" else piece
