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
    # What both begin and end with needs no matching, which is most of a text that was touched in one place.
    shortest = min(len(before), len(after))
    start = next((n for n in range(shortest) if before[n] != after[n]), shortest)
    end = next((n for n in range(shortest - start) if before[-1 - n] != after[-1 - n]), shortest - start)
    olds, news = before[start : len(before) - end], after[start : len(after) - end]
    found = [("same", "".join(before[:start]))]
    if olds and news:
        for kind, a, b, c, d in SequenceMatcher(None, olds, news, autojunk=False).get_opcodes():
            if kind == "equal":
                found.append(("same", "".join(olds[a:b])))
            else:
                found += [("old", "".join(olds[a:b])), ("new", "".join(news[c:d]))]
    else:
        found += [("old", "".join(olds)), ("new", "".join(news))]
    found.append(("same", "".join(before[len(before) - end :])))
    return _pieces(found)


def _pieces(found: Sequence[tuple[str, str]]) -> tuple[Piece, ...]:
    return tuple(Piece(kind, text) for kind, text in found if text)
