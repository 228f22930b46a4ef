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
        ('\ufeff{"characters": [{"name": "Mira",}]}', "a trailing comma was left out (line 1, column 32)"),
        ('{// people\n"characters": [{"name": "Mira"}]}', "a comment was left out (line 1, column 2)"),
        ("{“characters”: [{“name”: “Mira”}]}", "curly quotes were read as straight ones (line 1, column 2)"),
        ("{„characters“: [{„name“: „Mira“}]}", "curly quotes were read as straight ones (line 1, column 2)"),
        ("{‘characters’: [{‘name’: ‘Mira’}]}", "curly quotes were read as straight ones (line 1, column 2)"),
        ("{'characters': [{'name': 'Mira'}]}", "single quotes were read as double ones (line 1, column 2)"),
        (
            '{characters: [{"name": "Mira"}]}',
            "a name without quotes was read as one with quotes (line 1, column 2)",
        ),
        (
            '{"characters": [{"name": "Mira", "description": None}]}',
            "None was read as null (line 1, column 49)",
        ),
        (
            '{"provider_accounts": [{"provider_code": "x", "enabled": True}],'
            '\n"characters": [{"name": "Mira"}]}',
            "True was read as true (line 1, column 58)",
        ),
        (
            '{"characters": [\n{"name": "Mira", "description": "a\nb"}]}',
            "a line break inside a text was kept (line 2, column 35)",
        ),
        (
            '{"characters": [{"name": "Mira", "description": "a\tb"}]}',
            "a tab inside a text was kept (line 1, column 51)",
        ),
        (
            '{"characters": [{"name": "Mira", "description": "it\\\'s"}]}',
            "an escaped apostrophe was read as a plain one (line 1, column 52)",
        ),
        ('{# people\n"characters": [{"name": "Mira"}]}', "a comment was left out (line 1, column 2)"),
        ('{/* people\n*/"characters": [{"name": "Mira"}]}', "a comment was left out (line 1, column 2)"),
        ('{\u00a0"characters": [{"name": "Mira"}]}', "an odd blank was read as a space (line 1, column 2)"),
        (
            '{"characters": [{"name": "Tom", "name": "Mira"}]}',
            "of several values of one name in an object the last one was taken: 'name' (line 1, column 33)",
        ),
        (
            'So:\n{"answer": {"characters": [{"name": "Mira"}]}}',
            "the settings were taken out of 'answer' (line 2, column 1)",
        ),
    ],
)
def test_what_is_mended_is_listed_with_its_place(text: str, repair: str) -> None:
    assert names(text) == ["Mira"]
    assert answer_of(text).repairs[0] == repair


def test_what_is_mended_over_and_over_is_counted_and_hides_nothing() -> None:
    people = ", ".join("{'name': 'Mira'}" for _ in range(30))
    repairs = answer_of(f"{{'characters': [{people}, {{'name': 'a', 'name': 'Mira'}}]}}").repairs
    assert len(repairs) == 22
    assert repairs[-2].startswith("of several values of one name")
    assert repairs[-1] == "single quotes were read as double ones (45 times more)"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"a\r\n\tb\rc"', "a\n\tb\nc"),
        ("""'say \\"hi\\" and "ho", it\\'s'""", 'say "hi" and "ho", it\'s'),
        ('“line\\n\\u00e9 \\\\ "x"”', 'line\né \\ "x"'),
        ('"# no comment // nor /* this */"', "# no comment // nor /* this */"),
        ("'https://x.example/#a'", "https://x.example/#a"),
        ("\"{'characters': []} ``` “x”\"", "{'characters': []} ``` “x”"),
        ("「鉛」".join(['"', '"']), "「鉛」"),
    ],
)
def test_a_text_is_read_as_it_is_meant(written: str, meant: str) -> None:
    settings = answer_of(f'{{"characters": [{{"name": "Mira", "description": {written}}}]}}').settings
    assert settings.characters[0].description == meant


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("NaN", "NaN is no number of JSON: it stands at line 2, column 9"),
        ("-Infinity", "-Infinity is no number of JSON: it stands at line 2, column 9"),
        ("1e999", "1e999 is too large a number: it stands at line 2, column 9"),
        ("1_000", "a number is not written as in JSON: it stands at line 2, column 9"),
        (".5", "a number is not written as in JSON: it stands at line 2, column 9"),
        ("+5", "a value is expected at line 2, column 9"),
        ("Mira", "a value is expected at line 2, column 9"),
        ("undefined", "a value is expected at line 2, column 9"),
        ("[1, ...]", "something was left out, as its '...' says, at line 2, column 13"),
        ("{...}", "something was left out, as its '...' says, at line 2, column 10"),
        ('"a\\_b"', "a text has a wrong escape, \\_, at line 2, column 11"),
        ('"a\x01b"', "a text holds a control character at line 2, column 11"),
        ("'don't'", "a comma or } is expected at line 2, column 14"),
        ("[1, 2}", "], for what begins at line 2, column 9, is expected at line 2, column 14"),
        ('"a" "b"', "a comma or } is expected at line 2, column 13"),
        (
            '"Mira,\n"b": "c"',
            "a comma or } is expected at line 3, column 2;"
            " perhaps the text that begins at line 2, column 9 lacks its end",
        ),
    ],
)
def test_what_would_be_guessed_is_refused_with_its_place(value: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        answer_of(f'{{"characters": [{{\n"name": {value}}}]}}')
    assert str(caught.value) == UNPARSED
    told: dict[str, object] = caught.value.extra["details"][0]
    assert (told["path"], told["problem"]) == (parse.FIELD, problem)
    assert f"line {told['line']}, " in problem


@pytest.mark.parametrize(
    "before",
    [
        'I answer with {"settings": {...}} or {"settings": {"characters": [...]}}.',
        'Each one is {"name": string, "prompt_text": string}.',
        'The names {"settings", "mode"} and {characters} are fixed; {style: ink} is not.',
        "<think>{maybe {two}?} or `{'a', 'b'}`</think>",
        "```ts\ninterface Person { name: string; }\n```",
    ],
)
def test_sketches_and_braces_in_prose_are_passed_over(before: str) -> None:
    assert names(f"{before}\n\n```json\n{PRETTY}\n```\n") == ["Mira"]


def test_of_two_answers_that_differ_none_is_taken() -> None:
    other = PLAIN.replace("Mira", "Tom")
    with pytest.raises(Invalid) as caught:
        answer_of(f"One:\n```json\n{PRETTY}\n```\nOr:\n```json\n{other}\n```")
    assert caught.value.extra["details"] == [
        {
            "path": parse.FIELD,
            "problem": "it holds two answers that differ, one begins at line 3, column 1,"
            " the next at line 14, column 1: send one of them",
            "line": 14,
        }
    ]
    assert names(f"{PRETTY}\n\nIn one line:\n{PLAIN}") == ["Mira"]


def test_all_problems_of_an_answer_are_told_at_once_with_their_lines() -> None:
    text = """Here:
{"mode": "append",
 "settings": {
  "style_guides": [{"name": "Ink"}],
  "characters": [
    {"name": 3, "description": "x"},
    {},
    "Tom",
    {"name": "a\\u0000"}],
  "reference_sets": [
    {"name": "Quays", "items": [{"label": "a",
      "content_uri": 7},
     {"label": "b", "sort_order": 0.5}]},
    {"name": "Boats"}]}}"""
    with pytest.raises(Invalid) as caught:
        answer_of(text)
    assert str(caught.value) == UNREADABLE
    assert [(one["path"], one["line"]) for one in caught.value.extra["details"]] == [
        ("characters[3].name", 9),
        ("characters[0].name", 6),
        ("characters[2]", 8),
        ("reference_sets[0].items[0].content_uri", 12),
        ("reference_sets[0].items[1].sort_order", 13),
        ("mode", 2),
        ("style_guides[0].instructions", 4),
        ("characters[1].name", 7),
        ("reference_sets[0].items[1]", 13),
        ("reference_sets[1].items", 14),
    ]


def test_the_caller_s_mode_goes_before_the_answer_s() -> None:
    text = json.dumps({"mode": "append", "settings": WANTED})
    assert answer_of(text, "replace").document.mode == "replace"
    outside = json.dumps({"mode": "replace", "answer": WANTED})
    assert answer_of(outside).document.mode == "replace"
    with pytest.raises(Invalid, match="'mode' must be one of") as caught:
        answer_of(text)
    assert caught.value.extra["details"][0]["line"] == 1


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
    with pytest.raises(Invalid, match="Could not parse") as caught:
        answer_of('{"characters": [], "pages": [' + "1," * 300_000 + "1]}")
    assert "too many values" in str(caught.value.extra["details"])


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


plain_texts = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \n\t\"'"))
python_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_texts, inner, max_size=4),
    max_leaves=20,
)


@given(value=python_values)
def test_what_python_prints_is_read_as_the_same_value(value: object) -> None:
    text = repr(value)
    assert Reader(text, 0, Budget()).value(1) == value


@given(value=json_values, indent=st.sampled_from([None, 1]))
def test_every_value_of_a_text_has_its_line(value: object, indent: int | None) -> None:
    text = f"\n{json.dumps({'a': value, 'last': 1}, indent=indent)}"
    lines: dict[str, int] = {}
    Reader(text, text.index("{"), Budget(), lines=lines).value(1)
    assert lines[""] == 2
    assert lines["last"] == text.rstrip("}\n").count("\n") + 1
    assert list(lines.values()) == sorted(lines.values())


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
        '"mode": "replace", "settings": {"characters": []}',
        f'{{"hero":\n"Mira" "age": 34}}\n{PLAIN}',
        '> {\n> "mode": "replace",\n> "settings": {\n>  "characters": []}}',
        'Here it is: {"settings": {"characters": []} "mode": "replace"}',
        '```json\n{"characters": [{"name": "Mara"} {"name": "Tom"}], "style_guides": []}\n```',
    ],
)
def test_a_part_of_a_broken_answer_is_no_answer(text: str) -> None:
    with pytest.raises(Invalid, match="Could not parse JSON"):
        answer_of(text)
