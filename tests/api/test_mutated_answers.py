"""The answers of the corpus, mutated: each is imported whole or leaves no trace; hostile ones cost little."""

import json
import random
import resource
import sys
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from django.db import transaction

from bootstrap.parse import LONGEST, UNPARSED, UNREADABLE, answer_of
from projects.errors import Invalid
from projects.models import Project
from tests.api.conftest import Answered, Api
from tests.api.test_answers import ANSWERS, GOOD, SECTIONS, text_of, universe
from tests.api.test_bootstrap import IMPORT, dump

__all__ = ["universe"]

TEXTS = {name: text_of(ANSWERS / f"{name}.txt") for name in GOOD}
# Where the answer begins and ends in its text; of two equal ones the first.
STARTS = {
    "javascript_object": "{\n  mode",
    "python_dict": "{\n    'mode'",
    "smart_quotes": "{\n  “mode”",
    "thinking": '{\n  "mode"',
    "two_fences": '{\n  "settings"',
    "escapes": '{\n  "mode"',
}
ENDS = {
    "bare_sections": '"mode": "merge"}',
    **dict.fromkeys(("german", "markdown_report", "same_twice", "two_fences"), "\n}\n"),
}
NOISE = "{}[]\",:'\\/*#“”`\n\t x0-…é鐘\u00a0"
WRONG: tuple[Any, ...] = (3, -1.5, True, "", "x", [], {}, [1], {"name": []}, ["a", {}], None, "\x00")
Mutated = tuple[str, int | None]  # the text, and the status that is expected of it (None: 200 or 400)


def span(name: str) -> tuple[int, int]:
    """Where the answer of a text of the corpus begins and ends."""
    text = TEXTS[name]
    start = text.index(STARTS.get(name, "{"))
    end = ENDS.get(name)
    return start, text.rindex("}") + 1 if end is None else text.index(end, start) + len(end.rstrip())


def value_of(name: str) -> dict[str, Any]:
    """An answer as one value in a wrapper."""
    answer = answer_of(TEXTS[name])
    settings = answer.settings.model_dump(exclude_unset=True)
    return {"mode": answer.document.mode, "settings": settings}


def entries_of(settings: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    return [(section, settings[section]) for section in SECTIONS if settings.get(section)]


def cut(name: str, chance: random.Random) -> Mutated:
    start, end = span(name)
    return TEXTS[name][: chance.randrange(start + 1, end)], 400


def wrapped(name: str, chance: random.Random) -> Mutated:
    exact = json.dumps(value_of(name), ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1, 4]))
    forms = (
        "Sure!\n```json\n{}\n```\nBye {{you}}.", "```\n{}", "\ufeff\r\n{}\r\n", "~~~\n{}\n~~~",
        "<answer>{}</answer>", '{{"result": {}, "confidence": 0.9}}', "x = {};",
        "1. First\n\n    {}\n\n2. Then",
        "{}\n\n---\n\n{}", '```json\n{{"note": 1}}\n```\n```json\n{}\n```', "/* {{ */ {}",
    )  # fmt: skip
    return chance.choice(forms).format(exact, exact), 200


def reordered(name: str, chance: random.Random) -> Mutated:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in chance.sample(list(value), len(value))}
        return [shuffled(one) for one in value] if isinstance(value, list) else value

    return json.dumps(shuffled(value_of(name)), ensure_ascii=False), 200


def of_wrong_type(name: str, chance: random.Random) -> Mutated:
    value = value_of(name)
    for _ in range(chance.randint(1, 4)):
        holder: Any = value
        while True:
            key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            if not isinstance(holder[key], dict | list) or not holder[key] or chance.random() < 0.2:
                break
            holder = holder[key]
        holder[key] = deepcopy(chance.choice(WRONG))
    return json.dumps(value), None


def doubled(name: str, chance: random.Random) -> Mutated:
    value = value_of(name)
    settings = value["settings"]
    for _, rows in entries_of(settings):
        rows.insert(chance.randrange(len(rows) + 1), deepcopy(chance.choice(rows)))
    exact = json.dumps(value, ensure_ascii=False)
    member = json.dumps(settings)[1:-1]
    return chance.choice([exact, f"{exact}\n{exact}", f'{{"settings": {{{member}, {member}}}}}']), 200


def differing(name: str, chance: random.Random) -> Mutated:
    value = value_of(name)
    other = {**value, "settings": {**value["settings"], "project": {"description": str(chance.random())}}}
    return f"```json\n{json.dumps(value)}\n```\nor\n```json\n{json.dumps(other)}\n```", 400


def huge(name: str, chance: random.Random) -> Mutated:
    value = value_of(name)
    settings = value["settings"]
    kind = chance.randrange(4)
    if kind == 0:
        settings["characters"] = [{"name": "x"}] * 20_001
    elif kind == 1:
        settings["prompt_templates"] = [{"name": "x", "template_text": "y" * 100_001}]
    elif kind == 2:
        settings["reference_sets"] = [{"name": "x" * 201, "items": []}]
    else:
        return TEXTS[name] + " " * LONGEST, 400
    return json.dumps(value), 400


def noisy(name: str, chance: random.Random) -> Mutated:
    letters = list(TEXTS[name])
    start, end = span(name)
    for _ in range(chance.randint(1, 5)):
        letters[chance.randrange(start, end)] = chance.choice(NOISE)
    return "".join(letters), None


def lines_moved(name: str, chance: random.Random) -> Mutated:
    lines = TEXTS[name].split("\n")
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    if chance.random() < 0.5:
        del lines[chance.randrange(len(lines))]
    return "\n".join(lines), None


MUTATIONS: dict[Callable[[str, random.Random], Mutated], int] = {
    cut: 60, wrapped: 60, reordered: 30, of_wrong_type: 60, doubled: 30, differing: 15, huge: 10, noisy: 60,
    lines_moved: 30,
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_mutated_answer_is_imported_whole_or_leaves_no_trace(
    universe: Api, mutation: Callable[[str, random.Random], Mutated]
) -> None:
    chance = random.Random(mutation.__name__)
    seen: Counter[int] = Counter()
    before = dump()
    for number in range(MUTATIONS[mutation]):
        name = GOOD[number % len(GOOD)]
        text, status = mutation(name, chance)
        with transaction.atomic():
            answered = universe.post(IMPORT, {"ai_response_text": text})
            assert answered.status in ((200, 400) if status is None else (status,)), (name, text[:2000])
            if answered.status == 400:
                assert answered.error[1:3] == ("validation", "validation_error")
                assert dump() == before, (name, text[:2000])
            else:
                changes = answered.body["bootstrap_import"]["changes"]
                again = universe.post(IMPORT, {"ai_response_text": text, "dry_run": True}).body
                for section, change in again["bootstrap_import"]["changes"].items():
                    assert section == "project" or change["before_count"] == changes[section]["after_count"]
            transaction.set_rollback(True)
        seen[answered.status] += 1
    assert dump() == before
    assert mutation not in (of_wrong_type, noisy, lines_moved) or seen[400] > 0
    assert mutation not in (noisy, lines_moved) or seen[200] > 0


@pytest.mark.parametrize("mutation", [wrapped, reordered, doubled], ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("name", GOOD)
def test_what_changes_nothing_of_the_meaning_changes_nothing_of_the_settings(
    name: str, mutation: Callable[[str, random.Random], Mutated]
) -> None:
    text, _ = mutation(name, random.Random(name))
    meant, read = answer_of(TEXTS[name]).document, answer_of(text).document
    for section, entries in meant.sections.items():
        assert {entry.key: entry.content for entry in read.sections[section]} == {
            entry.key: entry.content for entry in entries
        }


@pytest.mark.parametrize("name", GOOD)
def test_wherever_an_answer_breaks_off_it_is_refused(name: str) -> None:
    start, end = span(name)
    text = TEXTS[name]
    assert answer_of(text[:end])
    for at in range(start + 1, end):
        with pytest.raises(Invalid, match=UNPARSED) as caught:
            answer_of(text[:at])
        problem = caught.value.extra["details"][0]
        assert "it breaks off at line " in str(problem["problem"]), text[:at]
        assert problem["line"] == text[:at].rstrip().count("\n") + 1


HOSTILE = {
    "braces": "{" * LONGEST,
    "lists in objects": "[{" * (LONGEST // 2),
    "deep lists": "[" * 1_000_000 + "]" * 1_000_000,
    "deep objects": '{"characters":' * 100_000,
    "deep and whole": '{"characters": ' + "[" * 65 + "]" * 65 + "}",
    "a million quotes": '"' * 1_000_000,
    "a million quotes in braces": "{" + '"' * 1_000_000,
    "quotes in braces": "{'" * 1_000_000,
    "open comments": "{/*" * 600_000,
    "comments": "{/**/" * 400_000,
    "empty lines": "{" + "\n" * 2_000_000,
    "a million values": '{"characters": [' + "1," * 999_999 + "1]}",
    "entries": '{"characters": [' + "{}," * 240_000 + "{}]}",
    "items": '{"reference_sets": [{"name": "a", "items": [' + "{}," * 50_000 + "{}]}]}",
    "wrong entries": '{"characters": [' + '{"name":1,"description":2},' * 9_000 + "{}]}",
    "a long name": '{"characters": [{"' + "k" * 1_000_000 + '": [' + "1," * 100_000 + "1]}]}",
    "names twice": '{"characters": [{' + '"a":1,' * 100_000 + '"a":1}]}',
    "digits": '{"characters": [{"name": ' + "9" * 2_000_000 + "}]}",
    "escapes": '{"characters": [{"name": "' + "\\" * 2_000_000,
    "sketches": '{"x": y}' * 200_000,
    "many answers": '{"characters":[]}\n' * 100_000,
}


def peak_memory() -> int:
    """The most that this process has ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_in_bounded_memory(name: str) -> None:
    before = peak_memory()
    with pytest.raises(Invalid) as caught:
        answer_of(HOSTILE[name])
    assert peak_memory() - before < 80 * 1024 * 1024
    assert str(caught.value).startswith((UNPARSED, UNREADABLE, "Import payload has ", "Field 'characters[]."))
    assert len(json.dumps(caught.value.extra)) < 100_000


def test_too_much_is_refused_before_it_is_read(bypass: Api, project: Project) -> None:
    before = dump()
    # 50 MB are announced and none is sent: who read on would fail.
    length = str(50 * 1024 * 1024)
    kind = "application/json"
    answered = Answered(bypass.client.generic("POST", IMPORT, b"{}", kind, CONTENT_LENGTH=length))
    assert answered.error[:3] == (413, "validation", "payload_too_large")
    too_long = bypass.post(IMPORT, {"ai_response_text": "x" * (LONGEST + 1)})
    assert too_long.error[3] == f"Field 'ai_response_text' has {LONGEST + 1} bytes: use at most {LONGEST}"
    assert dump() == before


def test_a_million_entries_are_counted_before_anything_is_made_of_them(bypass: Api, project: Project) -> None:
    before = peak_memory()
    entries = b"{}," * 999_999 + b"{}"
    for section, number in (
        (b'"characters": [%s]', 1_000_000),
        (b'"reference_sets": [{"items": [%s]}]', 1_000_001),
    ):
        answered = bypass.raw("POST", IMPORT, b'{"settings": {' + section % entries + b"}}")
        assert answered.error[3] == f"Import payload has {number} entries: use at most 20000"
    # The body as text and as JSON, nothing of the entries.
    assert peak_memory() - before < 300 * 1024 * 1024
