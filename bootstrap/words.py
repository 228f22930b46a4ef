"""What of a text is new, word by word: pure, bounded, for people to read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_WORDS = 3_000  # of both texts together: comparing takes time that grows with their product
TOKENS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is the `same`, was there (`old`) or is there now (`new`)."""

    kind: str
    text: str


def word_changes(old: str, new: str) -> tuple[Piece, ...]:
    """The pieces of both texts in reading order: without the new ones they are `old`, without the old `new`.

    Texts too long to compare by words are one old and one new piece.
    """
    before, after = TOKENS.findall(old), TOKENS.findall(new)
    if len(before) + len(after) > MOST_WORDS:
        return _pieces([("old", old), ("new", new)])
    return changes(before, after)


def changes(before: Sequence[str], after: Sequence[str]) -> tuple[Piece, ...]:
    """The pieces of two sequences of texts (words, lines) in reading order."""
    found: list[tuple[str, str]] = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("same", "".join(before[a:b])))
        else:
            found += [("old", "".join(before[a:b])), ("new", "".join(after[c:d]))]
    return _pieces(found)


def _pieces(found: Sequence[tuple[str, str]]) -> tuple[Piece, ...]:
    return tuple(Piece(kind, text) for kind, text in found if text)
