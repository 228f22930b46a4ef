import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.documents import Findings, parse_document
from pipeline.engine.errors import PlanningError
from pipeline.engine.settings import (
    APP,
    CONFIG,
    DEFAULT,
    DEFAULT_LAYER,
    KEYS,
    PROJECT,
    REQUEST,
    SettingsLayer,
    merge,
    read_layer,
)

FLAGS = ("upscale", "color", "bg_remove", "bg_refine_openai", "bg_refine_openai_required")
TEXTS = ("provider_code", "manifest_path", "postprocess_config_path", "color_profile")
NOT_A_FLAG: list[object] = [1, 0, 1.0, "true", "", None, [], {}]
NOT_A_TEXT: list[object] = ["", "  ", None, True, 1, [], {}]
NOT_BACKENDS: list[object] = [None, "rembg", {}, [], True, [""], ["magic"], [1]]
WRONG: list[tuple[str, object]] = [
    *((name, value) for name in FLAGS for value in NOT_A_FLAG),
    *((name, value) for name in (*TEXTS, "upscale_backend") for value in NOT_A_TEXT),
    ("upscale_backend", "magic"),
    *(("bg_remove_backends", value) for value in NOT_BACKENDS),
]


def document(name: str, value: object) -> dict[str, Any]:
    section, dot, key = KEYS[name].partition(".")
    return {section: {key: value}} if dot else {section: value}


def read(doc: object, source: str = "s.toml") -> tuple[SettingsLayer, Findings]:
    findings = Findings(source)
    return read_layer(doc, findings), findings


@pytest.mark.acceptance("S-06")
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_names_file_key_and_value(name: str, value: object, wrapped: bool) -> None:
    doc = document(name, value)
    layer, findings = read({"pipeline": doc} if wrapped else doc)
    assert layer.is_empty
    (error,) = findings.errors
    key = f"pipeline.{KEYS[name]}" if wrapped else KEYS[name]
    assert error.key.partition("[")[0] == key
    assert f"'{key}" in error.message
    assert " in s.toml must be " in error.message
    assert error.message.partition(", not ")[2]


@pytest.mark.parametrize("doc", [None, [], 1, {"pipeline": None}, {"pipeline": []}, {"postprocess": 1}])
def test_what_is_no_object_is_refused(doc: object) -> None:
    assert read(doc)[1].errors


def test_everything_wrong_is_found_at_once() -> None:
    _, findings = read({"manifest_path": " ", "postprocess": {"color": 1, "bg_remove_backends": ["x", "y"]}})
    assert [error.key for error in findings.errors] == [
        "manifest_path",
        "postprocess.color",
        "postprocess.bg_remove_backends[0]",
        "postprocess.bg_remove_backends[1]",
    ]


def test_values_are_trimmed_and_words_take_any_case() -> None:
    post = {
        "upscale_backend": " NCNN ",
        "color_profile": " dusk ",
        "bg_remove_backends": ["RemBG", "photoroom "],
    }
    layer, findings = read({"manifest_path": " m.json ", "postprocess": post})
    assert not findings.errors
    assert (layer.manifest_path, layer.upscale_backend, layer.color_profile) == ("m.json", "ncnn", "dusk")
    assert layer.bg_remove_backends == ("rembg", "photoroom")


@pytest.mark.acceptance("W-19")
def test_unknown_keys_are_warned_of_with_the_nearest_known_one() -> None:
    _, findings = read({"manifest_pth": "x", "postprocess": {"colour": True, "zzz": 1}})
    assert [warning.message for warning in findings.warnings] == [
        "'manifest_pth' in s.toml is unknown and ignored; did you mean 'manifest_path'?",
        "'postprocess.colour' in s.toml is unknown and ignored; did you mean 'postprocess.color'?",
        "'postprocess.zzz' in s.toml is unknown and ignored",
    ]
    assert not findings.errors


def test_toml_and_json_say_the_same() -> None:
    toml = b'\xef\xbb\xbf[pipeline]\nmanifest_path = "m.json"\n[pipeline.postprocess]\ncolor = false\n'
    as_json = json.dumps({"pipeline": {"manifest_path": "m.json", "postprocess": {"color": False}}}).encode()
    layers = [
        read(parse_document(data, source=name))[0] for data, name in ((toml, "a.TOML"), (as_json, "a.conf"))
    ]
    assert layers[0] == layers[1] == SettingsLayer(manifest_path="m.json", color=False)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("a.toml", b"{}"),
        ("a.json", b"[pipeline]"),
        ("a.json", b""),
        ("a.json", b"\xff\xfe"),
        ("a.toml", b"\xff\xfe"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"9" * 5000),
    ],
)
def test_what_can_not_be_parsed_names_the_file(source: str, data: bytes) -> None:
    with pytest.raises(PlanningError, match=rf"^{source} is not "):
        parse_document(data, source=source)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.none() | st.booleans() for name in FLAGS},
    **{name: st.none() | st.sampled_from(["a", "b", "c"]) for name in TEXTS},
    "upscale_backend": st.none() | st.sampled_from(["ncnn", "python"]),
    "bg_remove_backends": st.none() | st.sampled_from([("rembg",), ("photoroom", "rembg")]),
}
layers = st.builds(SettingsLayer, **VALUES)


@pytest.mark.acceptance("S-01")
@given(stack=st.tuples(layers, layers, layers, layers))
def test_for_every_key_the_first_layer_that_sets_it_wins(stack: tuple[SettingsLayer, ...]) -> None:
    names = (REQUEST, PROJECT, APP, CONFIG)
    effective = merge(zip(names, stack, strict=True))
    for field in fields(SettingsLayer):
        told = [
            (name, value)
            for name, layer in zip((*names, DEFAULT), (*stack, DEFAULT_LAYER), strict=True)
            if (value := getattr(layer, field.name)) is not None
        ]
        expected = told[0] if told else (DEFAULT, None)
        assert (effective.origin[field.name], getattr(effective.values, field.name)) == expected


@given(
    name=st.sampled_from(sorted(KEYS)), value=st.none() | st.floats() | st.dictionaries(st.text(), st.none())
)
def test_every_wrong_type_is_refused(name: str, value: object) -> None:
    layer, findings = read(document(name, value), "config/s.json")
    assert layer.is_empty
    assert f"'{KEYS[name]}' in config/s.json" in findings.errors[0].message


def test_every_field_has_a_key_and_the_summary_names_them_all() -> None:
    assert set(KEYS) == {field.name for field in fields(SettingsLayer)}
    told = merge([(APP, replace(SettingsLayer(), bg_remove_backends=("rembg",)))]).as_dict()
    assert set(told) == set(KEYS.values())
    assert told["postprocess.bg_remove_backends"] == {"value": ["rembg"], "layer": "app"}
    assert told["manifest_path"] == {"value": None, "layer": "default"}
    assert told["postprocess.upscale_backend"] == {"value": "python", "layer": "default"}
