import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.documents import Findings
from pipeline.engine.errors import PlanningError
from pipeline.engine.manifest import DEFAULT_MANIFEST, GuardSettings, manifest_from_document, read_manifest

NOT_A_BOOL: list[object] = [1, 0, "true", None, [], {}, 1.0]
NOT_A_COUNT: list[object] = [0, -1, 2.0, "2", None, True, [], {}]
NOT_A_LIMIT: list[object] = [-0.1, math.nan, math.inf, "2", None, True, [], {}, 10**400]
NOT_A_TEXT: list[object] = [None, 1, [], {}, True]
NOT_TEXTS: list[object] = [None, "a.png", {}, 3, True]
NOT_AN_OBJECT: list[object] = [None, [], "x", 1, True]

WRONG: list[tuple[str, str, object]] = [
    *(("output_guard", key, value) for key in ("enforce_grayscale", "fail_on_chroma_exceed", "enabled")
      for value in NOT_A_BOOL),
    *(("output_guard", "max_chroma_delta", value) for value in NOT_A_LIMIT),
    *(("policy", "default_no_invention", value) for value in NOT_A_BOOL),
    *(("generation", key, value) for key in ("candidates", "max_candidates") for value in NOT_A_COUNT),
    *(("prompts", "style_base", value) for value in NOT_A_TEXT),
    *(("", "safe_batch_limit", value) for value in NOT_A_COUNT),
    *(("", key, value) for key in ("scene_refs", "style_refs") for value in NOT_TEXTS),
    *(("", key, value) for key in ("generation", "output_guard", "policy", "prompts")
      for value in NOT_AN_OBJECT),
]  # fmt: skip


@pytest.mark.acceptance("S-12")
def test_an_empty_document_is_the_default() -> None:
    assert manifest_from_document({}, source="m.json") == DEFAULT_MANIFEST
    assert DEFAULT_MANIFEST.safe_batch_limit == 20
    assert (DEFAULT_MANIFEST.candidates, DEFAULT_MANIFEST.max_candidates) == (1, 6)
    assert DEFAULT_MANIFEST.guard == GuardSettings(True, False, 2.0, False)
    assert set(DEFAULT_MANIFEST.prompts) == {
        "style_base", "time_day", "time_night", "weather_clear", "weather_rain",
    }  # fmt: skip
    assert all(DEFAULT_MANIFEST.prompts.values())


@pytest.mark.acceptance("S-10")
@pytest.mark.parametrize(("section", "key", "value"), WRONG)
def test_a_wrong_value_names_key_and_file(section: str, key: str, value: object) -> None:
    document: dict[str, Any] = {section: {key: value}} if section else {key: value}
    dotted = f"{section}.{key}" if section else key
    with pytest.raises(PlanningError) as caught:
        manifest_from_document(document, source="config/m.json")
    assert f"'{dotted}'" in str(caught.value)
    assert "config/m.json" in str(caught.value)


@pytest.mark.acceptance("S-11")
@pytest.mark.parametrize("entry", ["", "  ", None, 1, []])
def test_a_bad_list_entry_is_counted(entry: object) -> None:
    with pytest.raises(PlanningError, match=r"'style_refs\[1\]' in m\.json"):
        manifest_from_document({"style_refs": ["a.png", entry]}, source="m.json")


@pytest.mark.parametrize("document", NOT_AN_OBJECT)
def test_the_document_must_be_an_object(document: object) -> None:
    with pytest.raises(PlanningError, match=r"m\.json must be an object"):
        manifest_from_document(document, source="m.json")


def test_lists_replace_prompts_merge_and_texts_are_trimmed() -> None:
    document = {
        "scene_refs": [" a.png "],
        "style_refs": [],
        "output_guard": {"max_chroma_delta": 8, "enforce_grayscale": True},
        "policy": {"default_no_invention": False},
        "prompts": {"time_day": " noon ", "weather_rain": " ", "extra": "kept"},
        "unknown": None,
    }
    manifest = manifest_from_document(document, source="m.json")
    assert manifest.scene_refs == ("a.png",)
    assert manifest.style_refs == ()
    assert manifest.guard == GuardSettings(True, True, 8.0, False)
    assert isinstance(manifest.guard.max_chroma_delta, float)
    assert not manifest.default_no_invention
    assert manifest.prompts["time_day"] == "noon"
    assert manifest.prompts["weather_rain"] == ""
    assert manifest.prompts["extra"] == "kept"
    assert manifest.prompts["style_base"] == DEFAULT_MANIFEST.prompts["style_base"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = ["scene_refs", "safe_batch_limit", "generation", "output_guard", "policy", "prompts", "candidates"]


@given(document=st.dictionaries(st.sampled_from(KEYS), json_values) | json_values)
def test_any_document_is_read_or_refused(document: object) -> None:
    error = ""
    manifest = DEFAULT_MANIFEST
    try:
        manifest = manifest_from_document(document, source="m.json")
    except PlanningError as refused:
        error = str(refused)
    assert not error or "m.json" in error
    assert manifest.safe_batch_limit >= 1
    assert json.dumps(manifest.guard.as_dict(), allow_nan=False)


def test_everything_wrong_and_unknown_is_found_at_once() -> None:
    findings = Findings("m.json")
    document = {
        "safe_batch_limt": 3,
        "scene_refs": ["", "a.png", 1],
        "generation": {"candidates": 0},
        "policy": [],
    }
    manifest = read_manifest(document, findings)
    assert {error.key for error in findings.errors} == {
        "scene_refs[0]", "scene_refs[2]", "generation.candidates", "policy",
    }  # fmt: skip
    assert "did you mean 'safe_batch_limit'?" in findings.warnings[0].message
    assert manifest.candidates == DEFAULT_MANIFEST.candidates
