"""JSON as language models write it: comments, trailing commas, curly quotes. Nothing is guessed.

Not a library: those that are exact do not know curly quotes nor say what they mended, those that mend more
guess, and close what broke off.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from projects import strictjson

DEEPEST = 64  # levels, as in a request's body
MOST_REPAIRS = 50  # that are listed

SPACE = re.compile(r"[ \t\r\n\ufeff\u00a0\u200b]+")
COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
STRING = re.compile(rf'"((?:[^"\\\x00-\x1f]|{ESCAPE})*)"')
CURLY = "“”„‟"
CURLY_STRING = re.compile(rf"[{CURLY}]((?:[^{CURLY}\\\x00-\x1f]|{ESCAPE})*)[{CURLY}]")
OPEN_STRING = re.compile(rf'["{CURLY}](?:[^\\\x00-\x1f]|\\.)*\\?')
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
WORD = re.compile(r"[A-Za-z]+")
WORDS = {"true": True, "false": False, "null": None}


class Broken(ValueError):
    """A text that is no JSON, even with what may be mended; `truncated` if it only stops too early."""

    def __init__(self, problem: str, *, truncated: bool = False) -> None:
        super().__init__(problem)
        self.truncated = truncated


@dataclass
class Budget:
    """How many values may still be read, over all tries in one text."""

    values: int = 400_000


def strict(text: str) -> Any:
    """The value of an exact JSON text. Raises `Broken`."""
    try:
        return strictjson.parsed(text)
    except RecursionError:
        raise Broken(f"it is nested too deeply: use at most {DEEPEST} levels") from None
    except json.JSONDecodeError as error:
        raise Broken(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise Broken(str(error)) from None


def read(text: str, start: int, budget: Budget) -> tuple[Any, int, list[str]]:
    """The value that begins at `start`, where it ends, and what was mended. Raises `Broken`."""
    reader = _Reader(text, start, budget)
    value = reader.value(1)
    return value, reader.at, reader.repairs


def place(text: str, at: int) -> str:
    """A position in words, counted from 1."""
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


@dataclass
class _Reader:
    text: str
    at: int
    budget: Budget
    repairs: list[str] = field(default_factory=list)

    def value(self, depth: int) -> Any:
        """The next value; what stands before it is skipped."""
        self.budget.values -= 1
        if self.budget.values < 0:
            raise self.broken("there are too many values")
        if depth > DEEPEST:
            raise self.broken(f"it is nested too deeply (at most {DEEPEST} levels)")
        mark = self.peek()
        if mark == "{":
            return self.object(depth)
        if mark == "[":
            return self.array(depth)
        if mark == '"' or mark in CURLY:
            return self.string()
        if mark in "-0123456789":
            return self.number()
        return self.word()

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while self.more("}", after_value=bool(found)):
            if self.peek() != '"' and self.peek() not in CURLY:
                raise self.broken("a name in quotes is expected")
            name = self.string()
            if self.peek() != ":":
                raise self.broken("a colon is expected")
            self.at += 1
            found[name] = self.value(depth + 1)
        return found

    def array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while self.more("]", after_value=bool(found)):
            found.append(self.value(depth + 1))
        return found

    def more(self, end: str, *, after_value: bool) -> bool:
        """Whether another member follows; the mark between or behind them is read."""
        mark = self.peek()
        if mark == end:
            self.at += 1
            return False
        if not after_value:
            return True
        if mark != ",":
            raise self.broken(f"a comma or {end} is expected")
        comma = self.at
        self.at += 1
        if self.peek() == end:
            self.mended("a trailing comma was left out", comma)
            self.at += 1
            return False
        return True

    def string(self) -> str:
        curly = self.text[self.at] in CURLY
        match = (CURLY_STRING if curly else STRING).match(self.text, self.at)
        if match is None:
            open_end = OPEN_STRING.match(self.text, self.at)
            if open_end and open_end.end() == len(self.text):
                raise Broken(f"it breaks off inside the text of {self.where()}", truncated=True)
            raise self.broken("a text is not closed on its line, or has a wrong escape")
        body = match[1]
        if curly:
            self.mended("curly quotes were read as straight ones", self.at)
            body = re.sub(r'\\.|"', lambda one: one[0] if one[0] != '"' else '\\"', body)
        self.at = match.end()
        return str(json.loads(f'"{body}"'))

    def number(self) -> int | float:
        match = NUMBER.match(self.text, self.at)
        if match is None:
            if self.at + 1 == len(self.text):
                raise Broken(f"it breaks off at {self.where()}", truncated=True)
            raise self.broken("a number is expected")
        number = strict(match[0])
        self.at = match.end()
        if isinstance(number, int | float) and not isinstance(number, bool):
            return number
        raise self.broken("a number is expected")

    def word(self) -> bool | None:
        match = WORD.match(self.text, self.at)
        word = match[0] if match else ""
        if word in WORDS:
            self.at += len(word)
            return WORDS[word]
        if match and match.end() == len(self.text) and any(known.startswith(word) for known in WORDS):
            raise Broken(f"it breaks off at {self.where()}", truncated=True)
        raise self.broken("a value is expected")

    def peek(self) -> str:
        """The next mark behind blanks and comments. Raises `Broken` at the end of the text."""
        while True:
            if match := SPACE.match(self.text, self.at):
                self.at = match.end()
            elif match := COMMENT.match(self.text, self.at):
                self.mended("a comment was left out", self.at)
                self.at = match.end()
            else:
                break
        if self.at >= len(self.text) or self.text.startswith("/*", self.at):
            raise Broken(f"it breaks off at {self.where()}", truncated=True)
        return self.text[self.at]

    def mended(self, what: str, at: int) -> None:
        if len(self.repairs) < MOST_REPAIRS:
            self.repairs.append(f"{what} ({place(self.text, at)})")

    def where(self) -> str:
        return place(self.text, self.at)

    def broken(self, problem: str) -> Broken:
        return Broken(f"{problem} at {self.where()}")
