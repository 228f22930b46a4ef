"""Section 10: the bootstrap prompt, and the import of what a model made of it."""

import json
from copy import deepcopy
from typing import Any

import pytest
from django.core import serializers

from projects.models import (
    AuditEvent,
    Character,
    Project,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    Secret,
    StyleGuide,
)
from tests.api.contract import routes, shapes
from tests.api.contract.conftest import World
from tests.api.contract.routes import Body, absent, invalid
from tests.api.contract.shapes import faults

P = routes.P
PROMPT, IMPORT = f"{P}/bootstrap-prompt", f"{P}/bootstrap-import"
SECTIONS = (
    "provider_accounts", "style_guides", "characters", "reference_sets", "secrets", "prompt_templates"
)  # fmt: skip
PROJECT_SHAPE = shapes.BOOTSTRAP_PROJECT
SET_SHAPE: shapes.Shape = {
    "name": "str", "description": "str",
    "items": [{
        "label": "str", "content_uri": "str", "content_text": "str", "sort_order": "int",
        "metadata_json": "json",
    }],
}  # fmt: skip
SETTINGS_SHAPE: shapes.Shape = {
    "provider_accounts": [shapes.PROVIDER_ACCOUNT],
    "style_guides": [shapes.STYLE_GUIDE],
    "characters": [shapes.CHARACTER],
    "reference_sets": [SET_SHAPE],
    "secrets": [{"provider_code": "str", "secret_name": "str", "has_value": "bool"}],
    "prompt_templates": [shapes.PROMPT_TEMPLATE],
}
CHANGE_SHAPE: shapes.Shape = {
    "provided": "bool", "replaced": "bool", "before_count": "int", "after_count": "int", "created": "int",
    "updated": "int", "deleted": "int", "unchanged": "int",
}  # fmt: skip
RESULT_SHAPE: shapes.Shape = {
    "schema_version": "str", "mode": "str", "dry_run": "bool", "project_updated": "bool",
    "applied": dict.fromkeys(SECTIONS, "int"),
    "changes": {
        "project": dict.fromkeys(("provided", "updated", "name_changed", "description_changed"), "bool"),
        **dict.fromkeys(SECTIONS, CHANGE_SHAPE),
    },
    "project": PROJECT_SHAPE,
}  # fmt: skip
ITEM: Body = {"label": "Front", "content_text": "t"}
MINIMAL: dict[str, list[Body]] = {
    "provider_accounts": [{"provider_code": "openai"}],
    "style_guides": [{"name": "Look", "instructions": "Ink"}],
    "characters": [{"name": "Mira"}],
    "reference_sets": [{"name": "Faces", "items": [ITEM]}],
    "secrets": [{"provider_code": "openai", "secret_name": "api_key"}],
    "prompt_templates": [{"name": "Opening", "template_text": "Once"}],
}
EXAMPLE: dict[str, Any] = {
    "project": {"name": "New Name", "description": "New description"},
    "provider_accounts": [{"provider_code": "openai", "display_name": "OpenAI Studio"}],
    "style_guides": [{"name": "Studio Look", "instructions": "Ink"}],
    "characters": [{"name": "Protagonist", "description": "Tall", "prompt_text": "a tall woman"}],
    "reference_sets": [{"name": "Hero Faces", "items": [ITEM]}],
    "secrets": [{"provider_code": "anthropic", "secret_name": "api_key"}],
    "prompt_templates": [{"name": "Hero Prompt", "template_text": "A hero"}],
}


def imported(world: World, settings: Body | None = None, **more: object) -> dict[str, Any]:
    body = {**({} if settings is None else {"settings": settings}), **more}
    result: dict[str, Any] = world.post(IMPORT, body)["bootstrap_import"]
    assert faults(result, RESULT_SHAPE) == []
    for section in SECTIONS:
        change = result["changes"][section]
        assert change["after_count"] == change["created"] + change["updated"] + change["unchanged"]
        assert change["before_count"] == change["deleted"] + change["updated"] + change["unchanged"]
        assert change["after_count"] == len(result["settings"][section])
    return result


def numbers(result: dict[str, Any], section: str) -> tuple[int, int, int, int, int, bool]:
    """Applied, created, updated, deleted, unchanged, replaced."""
    change = result["changes"][section]
    kinds = ("created", "updated", "deleted", "unchanged")
    created, updated, deleted, unchanged = (change[kind] for kind in kinds)
    return result["applied"][section], created, updated, deleted, unchanged, change["replaced"]


def refused(world: World, body: Body) -> tuple[int, str, str, str]:
    """The error for an import, the same for an unknown project."""
    error = world.api.post(world.at(IMPORT), body).error
    assert world.api.post("/api/projects/nowhere/bootstrap-import", body).error == error
    return error


def dump() -> str:
    """All that an import could change."""
    models = (
        Project, ProviderAccount, StyleGuide, Character, ReferenceSet, ReferenceItem, Secret, PromptTemplate,
        AuditEvent,
    )  # fmt: skip
    return "".join(serializers.serialize("json", model._default_manager.order_by("pk")) for model in models)


@pytest.fixture
def old(plain: World) -> World:
    """The project of the worked example, before."""
    plain.post(routes.ACCOUNTS, {"provider_code": "openai", "display_name": "Old", "account_ref": "r"})
    plain.post(routes.GUIDES, {"name": "Old Style", "instructions": "Old"})
    plain.post(routes.TEMPLATES, {"name": "Old Template", "template_text": "Old"})
    plain.post(routes.PEOPLE, {"name": "Protagonist", "description": "Old"})
    pk = plain.post(routes.SETS, {"name": "Legacy References"})["reference_set"]["id"]
    plain.post(f"{routes.SETS}/{pk}/items", {"label": "Legacy", "content_text": "t"})
    secret = {"provider_code": "openai", "secret_name": "api_key", "secret_value": "sk-hidden-4711"}
    plain.post(routes.SECRETS, secret)
    return plain


# Export


@pytest.mark.acceptance("B-02")
def test_the_prompt_holds_the_state_the_answer_s_form_and_the_rules(old: World) -> None:
    exported = old.get(PROMPT)["bootstrap"]
    assert exported["schema_version"] == "kroma.bootstrap.v1"
    assert shapes.MOMENT.fullmatch(exported["generated_at"])
    assert faults(exported["project"], PROJECT_SHAPE) == []
    assert faults(exported["settings"], SETTINGS_SHAPE) == []
    assert all(len(exported["settings"][section]) == 1 for section in SECTIONS)
    assert not {"id", "created_at", "updated_at"} & set(exported["settings"]["reference_sets"][0])
    assert set(exported["settings"]["secrets"][0]) == {"provider_code", "secret_name", "has_value"}
    for path, key in (
        (routes.GUIDES, "style_guides"), (routes.PEOPLE, "characters"),
        (routes.TEMPLATES, "prompt_templates"), (routes.ACCOUNTS, "provider_accounts"),
    ):  # fmt: skip
        for row, listed in zip(exported["settings"][key], old.get(path)[key], strict=True):
            assert row.items() <= listed.items()  # our own additions to an account are no part of it
    prompt = exported["prompt"]
    marks = ["Kroma", "Return ONLY valid JSON", '"merge"', "[]", "Legacy References"]
    places = [prompt.index(mark) for mark in marks]
    assert places == sorted(places)
    for value in ("Old Style", "Old Template", "Protagonist", "api_key", "Saltmarsh"):
        assert value in prompt
    assert "hidden" not in json.dumps(exported)
    assert '"secret_value"' not in prompt


def test_the_expected_answer_is_the_same_for_every_project(old: World, other: World) -> None:
    expected = old.get(PROMPT)["bootstrap"]["expected_response"]
    assert expected == other.get(PROMPT)["bootstrap"]["expected_response"]
    assert expected["mode"] == "merge"
    settings = expected["settings"]
    keys = {section: set(settings[section][0]) for section in SECTIONS}
    assert set(settings["project"]) == {"name", "description"}
    assert keys["provider_accounts"] == {
        "provider_code", "display_name", "account_ref", "base_url", "enabled", "config_json"
    }  # fmt: skip
    assert keys["style_guides"] == {"name", "instructions", "notes"}
    assert keys["characters"] == {"name", "description", "prompt_text"}
    assert keys["reference_sets"] == {"name", "description", "items"}
    assert set(settings["reference_sets"][0]["items"][0]) == {
        "label", "content_uri", "content_text", "sort_order", "metadata_json"
    }  # fmt: skip
    assert keys["secrets"] == {"provider_code", "secret_name"}
    assert keys["prompt_templates"] == {"name", "template_text"}


def test_secret_looking_values_of_a_config_leave_as_a_marker_and_stay_where_they_are(plain: World) -> None:
    ProviderAccount.objects.create(
        project=plain.project, provider_code="openai", config={"api_key": "sk-hidden-4711", "timeout": 2}
    )
    exported = plain.get(PROMPT)["bootstrap"]
    assert "hidden" not in json.dumps(exported)
    account = exported["settings"]["provider_accounts"][0]
    assert account["config_json"] == {"api_key": "[kept]", "timeout": 2}
    imported(
        plain, {"provider_accounts": [{"provider_code": "openai", "config_json": account["config_json"]}]}
    )
    assert ProviderAccount.objects.get().config == {"api_key": "sk-hidden-4711", "timeout": 2}


def test_what_was_exported_can_be_imported_and_changes_nothing(old: World) -> None:
    settings = old.get(PROMPT)["bootstrap"]["settings"]
    for mode in ("merge", "replace"):
        result = imported(old, settings, mode=mode)
        assert result["project_updated"] is False
        for section in SECTIONS:
            replaced = mode == "replace" and section != "secrets"
            assert numbers(result, section) == (1, 0, 0, 0, 1, replaced)


# Source, text and mode


MODES = "Field 'mode' must be one of: merge, replace"
NOTHING = "Import payload does not include any settings"
UNPARSED = "Could not parse JSON from 'ai_response_text'"
UNREADABLE = "Could not parse bootstrap JSON from 'ai_response_text'"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"settings": None}, "Provide either 'settings' or 'ai_response_text'"),
        ({"settings": None, "ai_response_text": "\n"}, "Field 'ai_response_text' must not be empty"),
        ({"ai_response_text": "no json here"}, UNPARSED),
        ({"ai_response_text": "{broken"}, UNPARSED),
        ({"ai_response_text": "1"}, UNREADABLE),
        ({"ai_response_text": '"text"'}, UNREADABLE),
        ({"ai_response_text": '{"characters": "Mira"}'}, UNREADABLE),
        ({"ai_response_text": "{}"}, NOTHING),
        ({"ai_response_text": '{"unknown": 1}'}, NOTHING),
        ({"ai_response_text": '{"settings": {}, "mode": "other"}'}, MODES),
        ({"settings": {}, "mode": "other"}, MODES),
        ({"settings": {"project": {}}, "mode": ""}, MODES),
        ({"settings": {"characters": [{}]}, "mode": "other"}, MODES),
        ({"settings": {"characters": None, "unknown": [1]}}, NOTHING),
    ],
)
def test_what_can_t_be_imported_is_told_before_the_project_is_looked_up(
    plain: World, body: Body, text: str
) -> None:
    assert refused(plain, body) == invalid(text)


WANTED = {"characters": [{"name": "Mira"}]}
BARE = json.dumps(WANTED)


@pytest.mark.parametrize(
    "text",
    [
        BARE, f"  \n{BARE}\n ", json.dumps(WANTED, indent=2), json.dumps({"settings": WANTED}),
        json.dumps({"mode": "merge", "settings": WANTED, "note": "n"}), f"```\n{BARE}\n```",
        f"```json\n{json.dumps(WANTED, indent=2)}\n```", f"```json\n{BARE}", f"Here you are:\n{BARE}\nEnjoy!",
        f"Here you are:\n```json\n{BARE}\n```\nEnjoy!", f"{BARE} Done.",
        f"Names stand in {{braces}}.\n```json\n{BARE}\n```\nUse {{them}} well.",
    ],
)  # fmt: skip
def test_json_is_found_in_what_a_model_answers(plain: World, text: str) -> None:
    result = imported(plain, ai_response_text=text)
    assert (result["mode"], result["applied"]["characters"]) == ("merge", 1)
    assert [row["name"] for row in result["settings"]["characters"]] == ["Mira"]


def test_the_text_is_ignored_where_there_are_settings(plain: World) -> None:
    result = imported(plain, {"characters": []}, ai_response_text="not json at all")
    assert result["applied"]["characters"] == 0


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ({"settings": WANTED}, "merge"), ({"settings": WANTED, "mode": None}, "merge"),
        ({"settings": WANTED, "mode": " REPLACE "}, "replace"), ({"ai_response_text": BARE}, "merge"),
        ({"ai_response_text": json.dumps({"settings": WANTED, "mode": "Replace"})}, "replace"),
        ({"ai_response_text": json.dumps({"settings": WANTED, "mode": "replace"}), "mode": "merge"}, "merge"),
        ({"ai_response_text": json.dumps({**WANTED, "mode": "replace"})}, "replace"),
    ],
)  # fmt: skip
def test_the_mode_is_the_request_s_or_else_the_answer_s(plain: World, body: Body, mode: str) -> None:
    assert imported(plain, **body)["mode"] == mode


# Sections


def required(name: str) -> tuple[int, str, str, str]:
    return invalid(f"Field '{name}' is required")


ENTRY_ERRORS: list[tuple[Body, tuple[int, str, str, str]]] = [
    ({"project": {"name": " "}}, required("project.name")),
    ({"provider_accounts": [{}]}, required("provider_code")),
    ({"provider_accounts": [{"provider_code": "!!"}]}, required("provider_code")),
    ({"style_guides": [{"instructions": "i"}]}, required("style_guides[].name")),
    ({"style_guides": [{"name": "a", "instructions": " "}]}, required("style_guides[].instructions")),
    ({"characters": [{"name": " "}]}, required("characters[].name")),
    ({"reference_sets": [{"items": []}]}, required("reference_sets[].name")),
    ({"reference_sets": [{"name": "a"}]},
     invalid("Field 'reference_sets[].items' is required (use [] to provide an empty set)")),
    ({"reference_sets": [{"name": "a", "items": None}]},
     invalid("Field 'reference_sets[].items' is required (use [] to provide an empty set)")),
    ({"reference_sets": [{"name": "a", "items": [{"content_text": "t"}]}]},
     required("reference_sets[].items[].label")),
    ({"reference_sets": [{"name": "a", "items": [{"label": "l", "content_uri": " "}]}]},
     invalid("Field 'reference_sets[].items[]' requires at least one of: content_uri, content_text")),
    ({"secrets": [{"secret_name": "n"}]}, required("provider_code")),
    ({"secrets": [{"provider_code": "p", "secret_name": " "}]}, required("secrets[].secret_name")),
    ({"prompt_templates": [{"template_text": "t"}]}, required("prompt_templates[].name")),
    ({"prompt_templates": [{"name": "a"}]}, required("prompt_templates[].template_text")),
]  # fmt: skip


@pytest.mark.acceptance("B-13")
@pytest.mark.parametrize(("sections", "error"), ENTRY_ERRORS)
def test_a_bad_entry_stops_the_whole_import(
    old: World, sections: Body, error: tuple[int, str, str, str]
) -> None:
    before = dump()
    good: Body = {"characters": [{"name": "New"}], "project": {"name": "New"}}
    text = json.dumps(sections)
    for body in ({"settings": sections}, {"settings": {**good, **sections}}, {"ai_response_text": text}):
        for mode in ("merge", "replace"):
            assert refused(old, {**body, "mode": mode}) == error
    assert dump() == before


def test_sections_are_judged_in_their_order(plain: World) -> None:
    order = [ENTRY_ERRORS[n] for n in (0, 1, 3, 5, 6, 12, 13)]
    for n in range(len(order)):
        body: Body = {}
        for settings, _ in reversed(order[n:]):
            body.update(settings)
        assert refused(plain, {"settings": body}) == order[n][1]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_sections_that_are_not_given_stay_as_they_are(old: World, section: str, mode: str) -> None:
    before = old.get(PROMPT)["bootstrap"]["settings"]
    result = imported(old, {section: MINIMAL[section]}, mode=mode)
    after = old.get(PROMPT)["bootstrap"]["settings"]
    for name in SECTIONS:
        if name != section:
            assert after[name] == before[name]
            assert numbers(result, name) == (0, 0, 0, 0, 1, False)
        assert result["changes"][name]["provided"] is (name == section)
    assert result["applied"][section] == 1


@pytest.mark.acceptance("B-05")
@pytest.mark.parametrize("section", SECTIONS)
def test_an_empty_section_deletes_all_of_it_in_replace_only_and_never_secrets(
    old: World, section: str
) -> None:
    result = imported(old, {section: []})
    assert numbers(result, section) == (0, 0, 0, 0, 1, False)
    result = imported(old, {section: []}, mode="replace")
    if section == "secrets":
        assert numbers(result, section) == (0, 0, 0, 0, 1, False)
    else:
        assert numbers(result, section) == (0, 0, 0, 1, 0, True)
    assert len(old.get(PROMPT)["bootstrap"]["settings"][section]) == (1 if section == "secrets" else 0)


EXAMPLE_NUMBERS = {
    "provider_accounts": (1, 0, 1, 0, 0, True),
    "style_guides": (1, 1, 0, 1, 0, True),
    "characters": (1, 0, 1, 0, 0, True),
    "reference_sets": (1, 1, 0, 1, 0, True),
    "secrets": (1, 1, 0, 0, 1, False),
    "prompt_templates": (1, 1, 0, 1, 0, True),
}


@pytest.mark.parametrize("as_text", [False, True])
def test_the_worked_example_has_its_numbers_dry_and_for_good(old: World, as_text: bool) -> None:
    source: Body = {"settings": EXAMPLE}
    if as_text:
        source = {"ai_response_text": json.dumps({"mode": "replace", "settings": EXAMPLE})}
    before = dump()
    dry = imported(old, mode="replace", dry_run=True, **source)
    assert dump() == before
    result = imported(old, mode="replace", **source)
    for one in (dry, result):
        assert {section: numbers(one, section) for section in SECTIONS} == EXAMPLE_NUMBERS
        assert one["schema_version"] == "kroma.bootstrap.v1"
        assert (one["mode"], one["project_updated"]) == ("replace", True)
        assert one["changes"]["project"] == {
            "provided": True, "updated": True, "name_changed": True, "description_changed": True
        }  # fmt: skip
        assert one["project"]["name"] == "New Name"
        assert [row["name"] for row in one["settings"]["style_guides"]] == ["Studio Look"]
    assert (dry["dry_run"], result["dry_run"]) == (True, False)
    secrets = old.get(routes.SECRETS)["secrets"]
    assert [(row["provider_code"], row["has_value"]) for row in secrets] == [
        ("anthropic", False),
        ("openai", True),
    ]
    assert old.get(P)["project"]["name"] == "New Name"
    assert result["settings"] == old.get(PROMPT)["bootstrap"]["settings"]
    assert "audit_id" not in result


def test_an_import_that_is_repeated_changes_nothing_more(old: World) -> None:
    imported(old, EXAMPLE, mode="replace")
    result = imported(old, EXAMPLE, mode="replace")
    assert result["project_updated"] is False
    for section in SECTIONS:
        change = result["changes"][section]
        assert (change["created"], change["updated"], change["deleted"]) == (0, 0, 0)


@pytest.mark.acceptance("B-04")
def test_a_merge_keeps_ids_and_overwrites_all_other_fields(world: World) -> None:
    before = {
        path: world.get(path) for path in (routes.GUIDE, routes.PERSON, routes.TEMPLATE, routes.ACCOUNT)
    }
    settings = {
        "style_guides": [{"name": "Ink", "instructions": "New"}], "characters": [{"name": "Mira"}],
        "prompt_templates": [{"name": "Opening", "template_text": "New"}],
        "provider_accounts": [{"provider_code": "OpenAI", "enabled": False}],
    }  # fmt: skip
    result = imported(world, settings)
    for section in settings:
        assert numbers(result, section) == (1, 0, 1, 0, 0, False)
    guide, person = world.get(routes.GUIDE)["style_guide"], world.get(routes.PERSON)["character"]
    assert (guide["instructions"], guide["notes"]) == ("New", "")
    assert (person["description"], person["prompt_text"]) == ("", "")
    assert world.get(routes.TEMPLATE)["prompt_template"]["template_text"] == "New"
    account = world.get(routes.ACCOUNT)["provider_account"]
    assert (account["display_name"], account["enabled"], account["config_json"]) == ("openai", False, {})
    assert guide["created_at"] == before[routes.GUIDE]["style_guide"]["created_at"]
    assert account["created_at"] == before[routes.ACCOUNT]["provider_account"]["created_at"]


def test_a_replace_gives_new_ids(world: World) -> None:
    imported(
        world, {"style_guides": MINIMAL["style_guides"], "characters": [{"name": "Mira"}]}, mode="replace"
    )
    assert world.api.get(world.at(routes.GUIDE)).status == 404
    assert world.api.get(world.at(routes.PERSON)).status == 404
    assert [row["name"] for row in world.get(routes.GUIDES)["style_guides"]] == ["Look"]


@pytest.mark.acceptance("B-14")
def test_a_merged_set_has_exactly_the_items_of_the_payload_in_their_order(world: World) -> None:
    items: list[Body] = [
        {"label": f" {label} ", "content_uri": "a.png", "sort_order": order, "metadata_json": {"n": order}}
        for label, order in (("c", 1), ("a", 1), ("b", 0), ("c", 1))
    ]
    second = world.post(routes.SETS, {"name": "Other"})["reference_set"]["id"]
    result = imported(world, {"reference_sets": [{"name": "Quays", "items": items}]})
    assert numbers(result, "reference_sets") == (1, 0, 1, 0, 1, False)
    body = world.get(routes.ITEMS)
    assert [(row["label"], row["sort_order"]) for row in body["items"]] == [
        ("b", 0),
        ("c", 1),
        ("a", 1),
        ("c", 1),
    ]
    assert world.get(routes.SET)["reference_set"]["description"] == ""
    assert world.get(f"{routes.SETS}/{second}")["reference_set"]["name"] == "Other"
    again = imported(world, {"reference_sets": [{"name": "Quays", "items": items}]})
    assert numbers(again, "reference_sets") == (1, 0, 0, 0, 2, False)
    imported(world, {"reference_sets": [{"name": "Quays", "items": []}]})
    assert world.get(routes.ITEMS)["items"] == []


def test_of_duplicates_in_a_payload_the_last_one_wins_entirely(plain: World) -> None:
    settings = {
        "style_guides": [
            {"name": "Look", "instructions": "1", "notes": "n"}, {"name": "B", "instructions": "b"},
            {"name": " LOOK ", "instructions": "2"},
        ],
        "characters": [{"name": "mira", "description": "d"}, {"name": "Mira"}],
        "prompt_templates": [{"name": "A", "template_text": "1"}, {"name": "a", "template_text": "2"}],
        "reference_sets": [{"name": "S", "items": [ITEM, ITEM]}, {"name": "s", "items": [ITEM]}],
        "provider_accounts": [{"provider_code": "Open AI", "account_ref": "r"}, {"provider_code": "open_ai"}],
        "secrets": [{"provider_code": "P", "secret_name": name} for name in ("Key", "key", "Key")],
    }  # fmt: skip
    result = imported(plain, settings)
    assert result["applied"] == {
        "style_guides": 2, "characters": 1, "prompt_templates": 1, "reference_sets": 1,
        "provider_accounts": 1, "secrets": 2,
    }  # fmt: skip
    guides = {row["name"]: row for row in plain.get(routes.GUIDES)["style_guides"]}
    assert set(guides) == {"LOOK", "B"}
    assert (guides["LOOK"]["instructions"], guides["LOOK"]["notes"]) == ("2", "")
    assert [row["description"] for row in plain.get(routes.PEOPLE)["characters"]] == [""]
    assert [row["name"] for row in plain.get(routes.TEMPLATES)["prompt_templates"]] == ["a"]
    assert [row["name"] for row in plain.get(routes.SETS)["reference_sets"]] == ["s"]
    assert [row["account_ref"] for row in plain.get(routes.ACCOUNTS)["provider_accounts"]] == [""]


def test_a_name_in_other_letters_is_the_same_one_dry_and_for_good(world: World) -> None:
    settings = {"style_guides": [{"name": "INK", "instructions": "Draw in ink", "notes": "n"}]}
    for dry_run in (True, False):
        result = imported(world, settings, dry_run=dry_run)
        assert numbers(result, "style_guides") == (1, 0, 1, 0, 0, False)
    assert world.get(routes.GUIDE)["style_guide"]["name"] == "INK"
    assert world.get(routes.GUIDES)["count"] == 1


@pytest.mark.acceptance("B-15")
@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_secrets_are_only_ever_added_and_never_get_a_value(old: World, mode: str) -> None:
    kept = Secret.objects.get()
    settings = {
        "secrets": [
            {"provider_code": "openai", "secret_name": "api_key", "secret_value": "sk-other"},
            {"provider_code": "new", "secret_name": "n", "secret_value": "sk-other"},
        ]
    }  # fmt: skip
    result = imported(old, settings, mode=mode)
    assert numbers(result, "secrets") == (2, 1, 0, 0, 1, False)
    row = Secret.objects.get(provider_code="openai")
    assert (row.pk, row.value_encrypted, row.key_ref) == (kept.pk, kept.value_encrypted, kept.key_ref)
    row = Secret.objects.get(provider_code="new")
    assert (row.value_encrypted, row.key_ref) == ("", "local-master")


@pytest.mark.parametrize(
    ("patch", "updated", "name_changed", "description_changed"),
    [
        ({}, False, False, False), ({"name": " Saltmarsh "}, False, False, False),
        ({"name": "Other"}, True, True, False), ({"description": " d "}, True, False, True),
        ({"name": None, "description": ""}, False, False, False),
        ({"name": "Other", "description": "d"}, True, True, True),
    ],
)  # fmt: skip
def test_a_project_is_updated_only_by_what_differs(
    plain: World, patch: Body, updated: bool, name_changed: bool, description_changed: bool
) -> None:
    Project.objects.update(updated_at="2020-01-01T00:00:00Z")
    for dry_run in (True, False):
        result = imported(plain, {"project": patch}, dry_run=dry_run)
        assert result["project_updated"] is updated
        assert result["changes"]["project"] == {
            "provided": True, "updated": updated, "name_changed": name_changed,
            "description_changed": description_changed,
        }  # fmt: skip
        moved = plain.get(P)["project"]["updated_at"] != "2020-01-01T00:00:00Z"
        assert moved is not dry_run  # a real import always moves it
    assert plain.get(P)["project"]["slug"] == "saltmarsh"


def test_a_description_can_be_cleared(plain: World) -> None:
    imported(plain, {"project": {"description": "d"}})
    result = imported(plain, {"project": {"description": "  "}})
    assert (result["project"]["description"], result["project_updated"]) == ("", True)


def test_a_dry_run_predicts_the_state_with_placeholder_ids(world: World) -> None:
    settings = deepcopy(EXAMPLE)
    settings["characters"] = [{"name": "Zoe"}, {"name": "mira", "description": "changed"}]
    before = dump()
    result = imported(world, settings, dry_run=True)
    assert dump() == before
    people = {row["name"].lower(): row for row in result["settings"]["characters"]}
    assert list(people) == ["mira", "zoe"]  # by key
    assert people["mira"]["id"] == world.ids["character"]
    assert people["mira"]["created_at"] == world.get(routes.PERSON)["character"]["created_at"]
    assert people["zoe"]["id"].startswith("preview_character_")
    new = {row["name"]: row["id"] for row in result["settings"]["style_guides"]}
    assert new["Studio Look"].startswith("preview_style_")
    assert new["Ink"] == world.ids["guide"]
    new = {row["name"]: row["id"] for row in result["settings"]["prompt_templates"]}
    assert new["Hero Prompt"].startswith("preview_prompt_")
    secrets = {(row["provider_code"], row["has_value"]) for row in result["settings"]["secrets"]}
    assert secrets == {("anthropic", False), ("openai", True)}
    assert result["project"]["name"] == "New Name"


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_an_import_leaves_other_projects_alone(old: World, other: World, mode: str) -> None:
    imported(other, EXAMPLE, mode=mode)
    assert [row["name"] for row in old.get(routes.GUIDES)["style_guides"]] == ["Old Style"]
    assert old.get(P)["project"]["name"] == "Saltmarsh"


def test_a_valid_import_into_an_unknown_project_is_not_found(plain: World) -> None:
    sources: list[Body] = [
        {"settings": EXAMPLE},
        {"ai_response_text": BARE},
        {"settings": {"characters": []}},
    ]
    for source in sources:
        answered = plain.api.post("/api/projects/nowhere/bootstrap-import", source)
        assert answered.error == absent("Project not found")
