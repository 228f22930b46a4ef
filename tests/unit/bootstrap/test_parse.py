"""From what a model answered to settings: what is mended, what is found, what is refused."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap import parse
from bootstrap.lenient import Budget, Reader
from bootstrap.parse import UNPARSED, UNREADABLE, answer_of
from projects.errors import Invalid

NOTHING = "Import payload does not include any settings"
WANTED = {"characters": [{"name": "Mira", "description": "says “hi” // and {waves}, ]"}]}
PLAIN = json.dumps(WANTED, ensure_ascii=False)
PRETTY = json.dumps(WANTED, ensure_ascii=False, indent=2)


def names(text: str) -> list[str | None]:
    return [one.name for one in answer_of(text).settings.characters or []]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"\ufeff{PLAIN}",
        f"```json\n{PRETTY}\n```",
        f"Here:\n```json\n{PRETTY}\n```\nBye",
        f"Use {{braces}} so:\n```json\n{PLAIN}\n```\nand {{again}}.",
        f"I made {PLAIN} for {{you}}.",
        f"An empty {{}} first, then {PLAIN} it is.",
        json.dumps({"settings": WANTED}),
        f'First {{"note": 1}} then {PLAIN}.',
    ],
)
def test_exact_json_is_found_and_nothing_is_called_mended(text: str) -> None:
    assert names(text) == ["Mira"]
    assert answer_of(text).repairs == []


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        ('{"characters": [{"name": "Mira",},]}', "a trailing comma was left out (line 1, column 32)"),
        (f"```\n{PLAIN}", "a missing end of the fence was added (line 2, column 81)"),
        ('{// people\n"characters": [{"name": "Mira"}]}', "a comment was left out (line 1, column 2)"),
        ("{“characters”: [{“name”: “Mira”}]}", "curly quotes were read as straight ones (line 1, column 2)"),
    ],
)
def test_what_is_mended_is_listed_with_its_place(text: str, repair: str) -> None:
    assert names(text) == ["Mira"]
    assert answer_of(text).repairs[0] == repair


def test_straight_quotes_inside_curly_ones_are_text() -> None:
    assert names('{“characters”: [{“name”: “the "old" one”}]}') == ['the "old" one']


def test_every_cut_of_an_answer_is_refused() -> None:
    for text in (
        PLAIN,
        PRETTY,
        f"Here:\n```json\n{PRETTY}",
        json.dumps({"mode": "replace", "settings": WANTED}),
    ):
        whole = len(text.rstrip())
        for end in range(text.index("{") + 1, whole):
            with pytest.raises(Invalid, match="Could not parse"):
                answer_of(text[:end])


def test_a_cut_answer_is_told_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        answer_of('{"characters": [{"name": "Mi')
    assert str(caught.value) == UNPARSED
    assert caught.value.extra["details"][0]["problem"].startswith(
        "it breaks off at line 1, column 29, inside the text of characters[0].name"
    )


def test_a_cut_answer_behind_a_whole_example_is_refused() -> None:
    with pytest.raises(Invalid, match="Could not parse JSON"):
        answer_of('For example {"characters": []}; now: {"characters": [{"name": "Mi')


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"settings": {"characters": "Mira"}}', "characters"),
        ('{"characters": [{"name": 3}]}', "characters[0].name"),
        ('{"mode": 3, "characters": []}', "mode"),
        ("[1]", ""),
        ('{"characters": [{"name": "\\u0000"}]}', "characters[0].name"),
        ('{"characters": [{"name": "\\ud800"}]}', "characters[0].name"),
    ],
)
def test_another_shape_is_told_with_its_path(text: str, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        answer_of(text)
    assert str(caught.value) == UNREADABLE
    assert caught.value.extra["details"][0]["path"] == path


def test_too_much_is_refused_at_once() -> None:
    with pytest.raises(Invalid, match="use at most 2097152"):
        answer_of("x" * (parse.LONGEST + 1))
    with pytest.raises(Invalid, match="Could not parse"):
        answer_of("[" * 100_000)
    with pytest.raises(Invalid, match="Could not parse"):
        answer_of('{"a":' * 100_000)
    with pytest.raises(Invalid, match="Could not parse"):
        answer_of('{"characters": ' + "[" * 70 + "]" * 70 + "}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=json_values, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_the_tolerant_reader_reads_exact_json_as_it_is(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    reader = Reader(text, 0, Budget())
    assert (reader.value(1), reader.at, reader.told()) == (value, len(text), [])


def test_mutated_answers_are_read_or_refused() -> None:
    chance = random.Random(7)
    told = set()
    for _ in range(300):
        letters = list(f"Here:\n```json\n{PRETTY}\n```")
        for _ in range(chance.randint(1, 6)):
            letters[chance.randrange(len(letters))] = chance.choice('{}[]",:\\/*“”`\n x0-')
        try:
            answer_of("".join(letters))
        except Invalid as error:
            told.add(str(error))
    assert UNPARSED in told
    assert told <= {UNPARSED, UNREADABLE, NOTHING, "Field 'characters[].name' is required"}


@pytest.mark.parametrize(
    "text",
    [
        '{"settings": {"characters": []} "mode": "replace"}',
        'Here it is: {"settings": {"characters": []} "mode": "replace"}',
        '```json\n{"characters": [{"name": "Mara"} {"name": "Tom"}], "style_guides": []}\n```',
    ],
)
def test_a_part_of_a_broken_answer_is_no_answer(text: str) -> None:
    with pytest.raises(Invalid, match="Could not parse JSON"):
        answer_of(text)
