"""The rules of a trigger request: their texts, their order, their strictness."""

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.settings import SettingsLayer
from pipeline.engine.trigger import (
    INVALID,
    INVALID_MODE,
    NOT_CONFIRMED,
    WRONG_TYPE,
    TriggerError,
    TriggerRequest,
    check,
    check_spend,
    trigger_answer,
    validated,
)

SOUND: dict[str, Any] = {"scene_refs": ["a.png"]}

Broken = Callable[[dict[str, Any]], bool]


def given_text(payload: dict[str, Any], name: str) -> str:
    return (payload.get(name) or "").strip().lower()


def blank_among(payload: dict[str, Any], name: str) -> bool:
    return any(not entry.strip() for entry in payload.get(name) or ())


# For each rule, in order: whether a payload breaks it, what breaks it alone (laid over SOUND), code and text.
RULES: list[tuple[Broken, dict[str, Any], str, str]] = [
    (
        lambda p: given_text(p, "mode") not in ("", "dry", "run"),
        {"mode": "paid"},
        INVALID_MODE,
        "Field 'mode' must be one of: dry, run",
    ),
    (
        lambda p: given_text(p, "project_root") != "",
        {"project_root": "/tmp/x"},
        INVALID,
        "Field 'project_root' is managed by project storage and cannot be overridden",
    ),
    (
        lambda p: p.get("scene_refs") == [],
        {"scene_refs": []},
        INVALID,
        "Field 'scene_refs' must not be empty",
    ),
    (
        lambda p: blank_among(p, "scene_refs"),
        {"scene_refs": ["a.png", " "]},
        INVALID,
        "Field 'scene_refs' must not contain empty values",
    ),
    (
        lambda p: given_text(p, "input") != "" and bool(p.get("scene_refs")),
        {"input": "b.png"},
        INVALID,
        "Provide only one of: input, scene_refs",
    ),
    (
        lambda p: given_text(p, "input") == "" and p.get("scene_refs") is None,
        {"scene_refs": None, "input": " "},
        INVALID,
        "Provide one of: input, scene_refs",
    ),
    (
        lambda p: p.get("style_refs") == [],
        {"style_refs": []},
        INVALID,
        "Field 'style_refs' must not be empty",
    ),
    (
        lambda p: blank_among(p, "style_refs"),
        {"style_refs": ["", "a.png"]},
        INVALID,
        "Field 'style_refs' must not contain empty values",
    ),
    (
        lambda p: given_text(p, "stage") not in ("", "style", "time", "weather"),
        {"stage": "spring"},
        INVALID,
        "Field 'stage' must be one of: style, time, weather",
    ),
    (
        lambda p: given_text(p, "time") not in ("", "day", "night"),
        {"time": "noon"},
        INVALID,
        "Field 'time' must be one of: day, night",
    ),
    (
        lambda p: given_text(p, "weather") not in ("", "clear", "rain"),
        {"weather": "snow"},
        INVALID,
        "Field 'weather' must be one of: clear, rain",
    ),
    (
        lambda p: p.get("candidates") is not None and not 1 <= p["candidates"] <= 6,
        {"candidates": 7},
        INVALID,
        "Field 'candidates' must be between 1 and 6",
    ),
    (
        lambda p: given_text(p, "time") != "" and given_text(p, "stage") not in ("time", "weather"),
        {"time": "night"},
        INVALID,
        "Field 'time' requires stage 'time' or 'weather'",
    ),
    (
        lambda p: given_text(p, "weather") != "" and given_text(p, "stage") != "weather",
        {"weather": "rain", "stage": "time"},
        INVALID,
        "Field 'weather' requires stage 'weather'",
    ),
    (
        lambda p: given_text(p, "mode") == "run" and p.get("confirm_spend") is not True,
        {"mode": "run"},
        NOT_CONFIRMED,
        "Run mode requires explicit spend confirmation",
    ),
]


def first_broken(payload: dict[str, Any]) -> str:
    return next(text for breaks, _, _, text in RULES if breaks(payload))


TEXT_FIELDS = (
    "mode", "project_root", "input", "stage", "time", "weather", "manifest_path", "app_settings_path",
    "project_settings_path", "provider_code", "style_guide_id", "plan_hash", "postprocess.upscale_backend",
    "postprocess.color_profile", "postprocess.config_path",
)  # fmt: skip
FLAGS = (
    "confirm_spend", "storage_sync_s3", "postprocess.upscale", "postprocess.color", "postprocess.bg_remove",
    "postprocess.bg_refine_openai", "postprocess.bg_refine_openai_required",
)  # fmt: skip
LISTS = ("scene_refs", "style_refs", "postprocess.bg_remove_backends")
WHOLE = ("candidates", "seed")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def refusal(payload: object) -> TriggerError:
    with pytest.raises(TriggerError) as caught:
        validated(payload)
    return caught.value


def put(name: str, value: object) -> dict[str, Any]:
    outer, _, inner = name.rpartition(".")
    return {**SOUND, outer: {inner: value}} if outer else {**SOUND, name: value}


@pytest.mark.acceptance("T-01", "T-03", "T-04", "T-05", "T-09")
@pytest.mark.parametrize(("broken", "code", "text"), [rule[1:] for rule in RULES])
def test_each_rule_has_its_code_and_its_text(broken: dict[str, Any], code: str, text: str) -> None:
    error = refusal({**SOUND, **broken})
    assert (str(error), error.code) == (text, code)
    assert error.kind == ("policy" if code == NOT_CONFIRMED else "validation")
    assert error.field == ""


# Both ways round, as where they share a field the second overwrites the first; 4 and 5 mend each other.
PAIRS = [pair for pair in itertools.permutations(range(len(RULES)), 2) if set(pair) != {4, 5}]


@pytest.mark.acceptance("T-07")
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_broken_rules_the_earlier_is_reported(first: int, second: int) -> None:
    payload = {**SOUND, **RULES[first][1], **RULES[second][1]}
    assert str(refusal(payload)) == first_broken(payload)


WORDS = {
    "mode": ["dry", "RUN", "paid"],
    "project_root": ["/x"],
    "input": ["b.png"],
    "scene_refs": [["a.png"], [], [" "]],
    "style_refs": [["a.png"], [], [""]],
    "stage": ["style", "time", "Weather", "spring"],
    "time": ["day", "noon"],
    "weather": ["rain", "snow"],
    "candidates": [0, 1, 6, 7],
    "confirm_spend": [True, False],
}
PAYLOADS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([None, *values]) for name, values in WORDS.items()}
)


@pytest.mark.acceptance("T-07")
@given(payload=PAYLOADS, wrong=st.sampled_from([*FLAGS, *WHOLE]))
def test_the_first_broken_rule_is_reported_and_a_wrong_type_before_all(
    payload: dict[str, Any], wrong: str
) -> None:
    if any(breaks(payload) for breaks, *_ in RULES):
        assert str(refusal(payload)) == first_broken(payload)
    else:
        check_spend(validated(payload))
    outer, _, inner = wrong.rpartition(".")
    error = refusal({**payload, **({outer: {inner: "yes"}} if outer else {wrong: "yes"})})
    assert (error.code, error.field) == (WRONG_TYPE, wrong)


@pytest.mark.acceptance("T-02")
@pytest.mark.parametrize("stage", [None, "", "style", "time", "weather"])
@pytest.mark.parametrize("time", [None, "night"])
@pytest.mark.parametrize("weather", [None, "rain"])
def test_which_light_a_stage_may_have(stage: str | None, time: str | None, weather: str | None) -> None:
    payload = {**SOUND, "stage": stage, "time": time, "weather": weather}
    words = ""
    if time and stage not in ("time", "weather"):
        words = "Field 'time'"
    elif weather and stage != "weather":
        words = "Field 'weather'"
    if words:
        assert str(refusal(payload)).startswith(words)
    else:
        assert validated(payload).stage == (stage or "")


@pytest.mark.acceptance("T-06")
@pytest.mark.parametrize("wrong", [0, -1, 7, 9, 10**30])
def test_candidates_out_of_range(wrong: int) -> None:
    assert "between 1 and 6" in str(refusal({**SOUND, "candidates": wrong}))
    assert [validated({**SOUND, "candidates": n}).candidates for n in (1, 6, None)] == [1, 6, None]


WRONG: dict[tuple[str, ...], list[object]] = {
    TEXT_FIELDS: [1, True, ["a"], {}, "a\0b", "\ud800"],
    FLAGS: ["true", 1, 0, [], {}],
    LISTS: ["rembg", 3, {}, ["a", 1], [None], [["a"]]],
    WHOLE: [2.0, "2", True, [], {}],
    ("max_cost_usd",): ["much", True, [], float("nan"), float("inf")],
    ("postprocess",): ["off", [], 1],
}


@pytest.mark.acceptance("T-01")
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for names, wrong in WRONG.items() for name in names for value in wrong]
)
def test_types_are_strict_and_the_field_is_named(name: str, value: object) -> None:
    error = refusal(put(name, value))
    assert (error.code, error.kind, error.field) == (WRONG_TYPE, "validation", name)
    assert f"'{name}'" in str(error)


def test_the_body_must_be_an_object() -> None:
    bodies: list[object] = [None, [], "x", 3]
    for body in bodies:
        assert (refusal(body).code, refusal(body).field) == (WRONG_TYPE, "body")


@pytest.mark.acceptance("T-01", "T-11")
def test_values_are_normalised_and_null_is_absent() -> None:
    everything = {
        "mode": " RUN ", "confirm_spend": True, "scene_refs": [" a.png "], "style_refs": ["b.png "],
        "stage": "Weather", "time": "NIGHT ", "weather": " rain", "candidates": 3, "storage_sync_s3": True,
        "project_root": "  ", "input": " ", "unknown": object(), "provider_code": " local ", "seed": 7,
        "max_cost_usd": 0.1, "plan_hash": " ab ", "batch_limit": 99,
        "postprocess": {
            "upscale": False, "color": True, "bg_remove": None, "upscale_backend": " NCNN",
            "color_profile": " cold_rain ",
            "bg_remove_backends": ["RemBG", " photoroom"],
            "config_path": "p.json",
        },
    }  # fmt: skip
    found = validated(everything)
    assert found == TriggerRequest(
        mode="run", confirm_spend=True, scene_refs=("a.png",), style_refs=("b.png",), stage="weather",
        time="night", weather="rain", candidates=3, storage_sync_s3=True, provider_code="local", seed=7,
        max_cost_usd=Decimal("0.1"), plan_hash="ab",
        postprocess=SettingsLayer(
            upscale=False, color=True, upscale_backend="ncnn", color_profile="cold_rain",
            bg_remove_backends=("rembg", "photoroom"), postprocess_config_path="p.json",
        ),
    )  # fmt: skip
    assert found.layer().provider_code == "local"
    assert validated({**dict.fromkeys(everything), **SOUND}) == TriggerRequest(scene_refs=("a.png",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("postprocess.upscale_backend", "magic"),
        ("postprocess.upscale_backend", " "),
        ("postprocess.color_profile", " "),
        ("postprocess.config_path", ""),
        ("postprocess.bg_remove_backends", []),
        ("postprocess.bg_remove_backends", ["rembg", "scissors"]),
        ("postprocess.bg_remove_backends", ["rembg", ""]),
        ("seed", -1),
        ("seed", 2**63),
        ("max_cost_usd", -1),
        ("max_cost_usd", "1e999"),
    ],
)
def test_our_own_fields_have_rules_too(name: str, value: object) -> None:
    error = refusal(put(name, value))
    assert error.code == INVALID
    assert f"'{name}'" in str(error)


def test_a_command_may_leave_the_scenes_to_the_manifest_and_ask_for_more() -> None:
    check(TriggerRequest(candidates=9, batch_limit=100), by_command=True)
    for request in (TriggerRequest(candidates=256), TriggerRequest(batch_limit=0)):
        with pytest.raises(TriggerError):
            check(request, by_command=True)


@pytest.mark.acceptance("T-09")
def test_a_dry_run_needs_no_confirmation_and_a_paid_one_the_literal_true() -> None:
    assert validated(SOUND).mode == "dry"
    assert validated({**SOUND, "confirm_spend": True}).mode == "dry"
    assert validated({**SOUND, "mode": "run", "confirm_spend": True}).mode == "run"
    for said in (None, False):
        assert refusal({**SOUND, "mode": "run", "confirm_spend": said}).code == NOT_CONFIRMED
    with pytest.raises(TriggerError):
        check_spend(TriggerRequest(mode="run"))


@given(
    payload=st.dictionaries(
        st.sampled_from([name for name in (*TEXT_FIELDS, *FLAGS, *LISTS, *WHOLE, "x") if "." not in name]),
        JSON,
    ),
    postprocess=st.none()
    | st.dictionaries(
        st.sampled_from([name.rpartition(".")[2] for name in (*TEXT_FIELDS, *FLAGS, *LISTS)]), JSON
    ),
)
def test_any_json_is_a_request_or_the_one_error(
    payload: dict[str, object], postprocess: dict[str, object] | None
) -> None:
    for body in (payload, {**payload, "postprocess": postprocess}, {**payload, **SOUND}):
        try:
            request = validated(body)
        except TriggerError as error:
            assert error.code in {WRONG_TYPE, INVALID_MODE, INVALID, NOT_CONFIRMED}  # noqa: PT017
            assert (error.field != "") == (error.code == WRONG_TYPE)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            check(request)
            check_spend(request)
            assert request.batch_limit is None


def test_the_answer_has_a_line_for_each_warning() -> None:
    lines = ["Run log: x.json", "Jobs: 1 (dry/planned)"]
    assert trigger_answer(lines, mode="dry", warnings=[]) == {
        "mode": "dry", "status_code": 0, "stdout": "Run log: x.json\nJobs: 1 (dry/planned)\n", "stderr": "",
        "adapter": "kroma",
    }  # fmt: skip
    told = trigger_answer(lines, mode="run", warnings=["One\ntwo", "three"])["stderr"]
    assert told == "One two\nthree"
