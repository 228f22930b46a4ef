"""Every feature of the acceptance map has a test, and every mark names a feature."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import FEATURES, LATER

TESTS = Path(__file__).resolve().parents[1]


def marks_of(source: str) -> Iterator[tuple[str, object]]:
    """`(test, argument)` for each argument of each `@pytest.mark.acceptance(...)` in a test file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                if (
                    isinstance(decorator, ast.Call)
                    and ast.unparse(decorator.func) == "pytest.mark.acceptance"
                ):
                    for argument in decorator.args:
                        yield node.name, argument.value if isinstance(argument, ast.Constant) else None


@pytest.fixture(scope="module")
def proofs() -> dict[object, list[str]]:
    """What the marks of all tests name -> the tests."""
    found: defaultdict[object, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for test, feature in marks_of(file.read_text()):
            found[feature].append(f"{file.relative_to(TESTS)}::{test}")
    return found


def test_every_feature_has_a_test(proofs: dict[object, list[str]]) -> None:
    assert [f"{feature}: {title}" for feature, title in FEATURES.items() if feature not in proofs] == []


def test_no_mark_names_what_is_no_feature(proofs: dict[object, list[str]]) -> None:
    assert {feature: tests for feature, tests in proofs.items() if feature not in FEATURES | LATER} == {}


def test_marks_are_read_from_the_text() -> None:
    source = '@pytest.mark.acceptance("T-01", name)\ndef test_a(): ...\n@other("T-02")\ndef test_b(): ...\n'
    assert list(marks_of(source)) == [("test_a", "T-01"), ("test_a", None)]
