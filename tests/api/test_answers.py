"""Answers as assistants write them, through the API: what each changes in a universe, or what it is told.

`universe.json` is that universe. Beside an answer stands what it comes to: the mode, the repairs, and the
counts of each section that it has; beside a bad one the error and its details.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from projects.models import Project, ProviderAccount, Secret
from tests.api.conftest import Api
from tests.api.test_bootstrap import IMPORT, dump

ANSWERS = Path(__file__).parent.parent / "data" / "answers"
UNIVERSE = json.loads((ANSWERS / "universe.json").read_text())
SECTIONS = [section for section in UNIVERSE if section != "project"]
COUNTS = ("created", "updated", "deleted", "unchanged")
GOOD = sorted(path.stem for path in ANSWERS.glob("*.txt"))
BAD = sorted(path.stem for path in (ANSWERS / "bad").glob("*.txt"))


@pytest.fixture
def universe(bypass: Api, project: Project) -> Api:
    """A caller in the universe of the answers, which has a stored credential and a secret with a value."""
    assert bypass.post(IMPORT, {"settings": UNIVERSE}).status == 200
    ProviderAccount.objects.update(config={"timeout": 60, "api_key": "sk-hidden-4711"})
    Secret.objects.update(value_encrypted="enc:v1:hidden")
    return bypass


def text_of(path: Path) -> str:
    """An answer as it is, with the line ends and marks that it has."""
    return path.read_bytes().decode()


def imported(api: Api, text: str, **more: object) -> dict[str, Any]:
    answered = api.post(IMPORT, {"ai_response_text": text, **more})
    assert answered.status == 200, answered.body
    return answered.body["bootstrap_import"]


def test_there_are_enough_answers() -> None:
    assert len(GOOD) >= 16
    assert len(BAD) >= 8
    assert {path.stem for path in ANSWERS.glob("*.json")} == {"universe", *GOOD}
    assert {path.stem for path in (ANSWERS / "bad").glob("*.json")} == set(BAD)


@pytest.mark.acceptance("B-17")
@pytest.mark.parametrize("name", GOOD)
def test_an_answer_changes_what_is_expected_of_it(universe: Api, name: str) -> None:
    text = text_of(ANSWERS / f"{name}.txt")
    expected = json.loads((ANSWERS / f"{name}.json").read_text())
    untouched = {
        section: {"created": 0, "updated": 0, "deleted": 0, "unchanged": len(UNIVERSE[section])}
        for section in SECTIONS
    }
    before = dump()
    dry = imported(universe, text, dry_run=True)
    assert dump() == before
    result = imported(universe, text)
    for one in (dry, result):
        assert one["mode"] == expected["mode"]
        assert one["repairs"] == expected["repairs"]
        counted = {
            section: {count: one["changes"][section][count] for count in COUNTS} for section in SECTIONS
        }
        assert counted == {**untouched, **expected["sections"]}
        provided = {section for section in SECTIONS if one["changes"][section]["provided"]}
        assert provided == set(expected["sections"])
        assert one["project_updated"] is expected.get("project", {}).get("updated", False)
    assert (dry["changes"], dry["applied"]) == (result["changes"], result["applied"])
    assert (dry["repairs"], dry["project"]) == (result["repairs"], result["project"])
    for section in SECTIONS:
        shown = [lasting(one[section]) for one in (dry["settings"], result["settings"])]
        assert shown[0] == shown[1]
    # Once more it changes nothing.
    again = imported(universe, text)["changes"]
    assert all(not again[section][count] for section in SECTIONS for count in COUNTS[:3])
    assert Secret.objects.get(secret_name="api_key", provider_code="openai").value_encrypted


def lasting(rows: list[dict[str, Any]]) -> list[str]:
    """The rows of a section without what a dry run can't know, in an order of their own."""
    kept = [row.keys() - {"id", "created_at", "updated_at"} for row in rows]
    return sorted(
        json.dumps({key: row[key] for key in keys}, sort_keys=True)
        for row, keys in zip(rows, kept, strict=True)
    )


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_told_with_all_its_places_and_changes_nothing(universe: Api, name: str) -> None:
    expected = json.loads((ANSWERS / "bad" / f"{name}.json").read_text())
    text = text_of(ANSWERS / "bad" / f"{name}.txt")
    before = dump()
    for dry_run in (True, False):
        answered = universe.post(IMPORT, {"ai_response_text": text, "dry_run": dry_run})
        assert answered.error == (400, "validation", "validation_error", expected["error"])
        assert answered.body.get("details", []) == expected["details"]
    assert dump() == before
