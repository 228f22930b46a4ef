"""Sections 2.4 and 2.5: which error comes first, and what is said about things that do not exist."""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.contract import routes
from tests.api.contract.conftest import World
from tests.api.contract.routes import BY_NUMBER, OF_A_PROJECT, OF_AN_ENTITY, Body, Route, absent, invalid

UNKNOWN = "2f8c1a44-6a3e-4a0e-9d55-0c7f4f6f1b7a"
ALL_UNKNOWN = dict.fromkeys(
    (
        "run",
        "asset",
        "link",
        "export",
        "template",
        "guide",
        "character",
        "set",
        "item",
        "session",
        "instruction",
    ),
    UNKNOWN,
)
BLANKS = ("", "  ", "\t\n", "\u2003")


def required(name: str) -> str:
    return f"Field '{name}' is required"


def one_of(*names: str) -> str:
    return f"Provide at least one of: {', '.join(names)}"


LINK_TYPES = "Field 'link_type' must be one of: derived_from, variant_of, mask_for, reference_of"
ROLES = "Field 'role' must be one of: user, assistant, system, tool"
NO_LINK = one_of("parent_asset_id", "child_asset_id", "link_type")
NO_ITEM = one_of("label", "content_uri", "content_text", "sort_order", "metadata_json")
PAIR = {"parent_asset_id": "a", "child_asset_id": "b"}

# Payloads that are bad whatever is stored, by route: the error that comes first.
JUDGED_FIRST: list[tuple[int, Body, str]] = [
    (6, {}, required("name")),
    (6, {"name": " ", "slug": "fine"}, required("name")),
    (9, {}, "Provide either 'settings' or 'ai_response_text'"),
    (9, {"mode": "other"}, "Provide either 'settings' or 'ai_response_text'"),
    (9, {"ai_response_text": " "}, "Field 'ai_response_text' must not be empty"),
    (9, {"ai_response_text": "", "mode": "other"}, "Field 'ai_response_text' must not be empty"),
    (9, {"settings": {}, "mode": ""}, "Field 'mode' must be one of: merge, replace"),
    (9, {"settings": {}}, "Import payload does not include any settings"),
    (11, {}, one_of("base_dir", "project_root")),
    (11, {"base_dir": None, "project_root": None}, one_of("base_dir", "project_root")),
    (21, {}, required("parent_asset_id")),
    (21, {"child_asset_id": "b", "link_type": "bad"}, required("parent_asset_id")),
    (21, {"parent_asset_id": "a", "link_type": "bad"}, required("child_asset_id")),
    (21, {"parent_asset_id": " ", "child_asset_id": " "}, required("parent_asset_id")),
    (21, {"parent_asset_id": "a", "child_asset_id": " a ", "link_type": "bad"},
     "parent_asset_id and child_asset_id must differ"),
    (21, {**PAIR, "link_type": " "}, required("link_type")),
    (21, {**PAIR, "link_type": "sibling_of"}, LINK_TYPES),
    (23, {}, NO_LINK),
    (23, {"parent_asset_id": None, "link_type": None}, NO_LINK),
    (30, {}, required("name")),
    (30, {"template_text": "t"}, required("name")),
    (30, {"name": "a"}, required("template_text")),
    (30, {"name": "a", "template_text": " \n "}, required("template_text")),
    (32, {}, one_of("name", "template_text")),
    (32, {"name": None, "template_text": None}, one_of("name", "template_text")),
    (35, {}, required("provider_code")),
    (35, {"provider_code": "!!!", "display_name": ""}, required("provider_code")),
    (37, {}, one_of("display_name", "account_ref", "base_url", "enabled", "config_json")),
    (37, {"config_json": None}, one_of("display_name", "account_ref", "base_url", "enabled", "config_json")),
    (40, {}, required("name")),
    (40, {"name": "a"}, required("instructions")),
    (40, {"name": "\t", "instructions": ""}, required("name")),
    (42, {}, one_of("name", "instructions", "notes")),
    (45, {}, required("name")),
    (45, {"description": "d"}, required("name")),
    (47, {}, one_of("name", "description", "prompt_text")),
    (50, {}, required("name")),
    (52, {}, one_of("name", "description")),
    (55, {}, required("label")),
    (55, {"label": " ", "content_text": "t"}, required("label")),
    (55, {"label": "a"}, one_of("content_uri", "content_text")),
    (55, {"label": "a", "content_uri": " ", "content_text": ""}, one_of("content_uri", "content_text")),
    (57, {}, NO_ITEM),
    (57, {"metadata_json": None}, NO_ITEM),
    (63, {}, required("role")),
    (63, {"role": " ", "content": ""}, required("role")),
    (63, {"role": "nobody"}, ROLES),
    (63, {"role": "nobody", "content": "c"}, ROLES),
    (63, {"role": "user"}, required("content")),
    (63, {"role": "user", "content": " "}, required("content")),
    (65, {}, required("instruction_text")),
    (65, {"instruction_text": "\n"}, required("instruction_text")),
    (72, {}, required("provider_code")),
    (72, {"provider_code": "___", "secret_name": "", "secret_value": ""}, required("provider_code")),
    (72, {"provider_code": "a"}, required("secret_name")),
    (72, {"provider_code": "a", "secret_name": " ", "secret_value": ""}, required("secret_name")),
    (72, {"provider_code": "a", "secret_name": "n"}, required("secret_value")),
    (72, {"provider_code": "a", "secret_name": "n", "secret_value": " "}, required("secret_value")),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body", "text"), JUDGED_FIRST)
def test_a_bad_payload_is_400_before_anything_is_looked_up(
    bypass: Api, number: int, body: Body, text: str
) -> None:
    assert BY_NUMBER[number].send(bypass, body=body).error == invalid(text)


@pytest.mark.parametrize(("number", "body", "text"), JUDGED_FIRST)
def test_a_bad_payload_is_the_same_400_where_everything_exists(
    world: World, number: int, body: Body, text: str
) -> None:
    route = BY_NUMBER[number]
    for ids in (world.ids, {**ALL_UNKNOWN, "code": "nobody"}):
        assert route.send(world.api, world.slug, body, **ids).error == invalid(text)


@pytest.mark.parametrize("route", OF_A_PROJECT, ids=str)
def test_a_missing_project_is_told_with_the_text_of_its_family(bypass: Api, route: Route) -> None:
    for ids in ({}, ALL_UNKNOWN):
        assert route.send(bypass, "nowhere", **ids).error == absent(route.missing)


@pytest.mark.parametrize("route", OF_AN_ENTITY, ids=str)
def test_a_missing_entity_is_told_with_the_text_of_its_family(plain: World, route: Route) -> None:
    for ids in ({}, ALL_UNKNOWN):
        assert route.send(plain.api, plain.slug, **ids).error == absent(route.missing)


@pytest.mark.parametrize("route", OF_AN_ENTITY, ids=str)
def test_what_belongs_to_another_project_does_not_exist(world: World, other: World, route: Route) -> None:
    assert route.send(world.api, other.slug, **world.ids).error == absent(route.missing)
    # and it is still there, untouched, where it belongs
    number = {38: 36, 37: 36, 74: 70, 68: 66, 69: 66, 63: 62, 55: 54}.get(route.number)
    if number is None:
        number = next(r.number for r in routes.ROUTES if r.path == route.path and r.method == "GET")
    assert BY_NUMBER[number].send(world.api, world.slug, **world.ids).status == 200


BLANK_FIELDS = [
    (32, "name", required("name")),
    (32, "template_text", required("template_text")),
    (37, "display_name", required("display_name")),
    (42, "name", required("name")),
    (42, "instructions", required("instructions")),
    (47, "name", required("name")),
    (52, "name", required("name")),
    (57, "label", required("label")),
    (11, "base_dir", "Field 'base_dir' must not be empty"),
    (23, "parent_asset_id", required("parent_asset_id")),
    (23, "child_asset_id", required("child_asset_id")),
    (23, "link_type", required("link_type")),
]


@pytest.mark.parametrize(("number", "name", "text"), BLANK_FIELDS)
def test_a_field_that_is_present_but_blank_is_looked_at_after_the_lookup(
    world: World, number: int, name: str, text: str
) -> None:
    route = BY_NUMBER[number]
    for blank in BLANKS:
        assert route.send(world.api, "nowhere", {name: blank}).error == absent(route.missing)
        if route.is_of_entity:
            assert route.send(world.api, world.slug, {name: blank}).error == absent(route.missing)
        assert route.send(world.api, world.slug, {name: blank}, **world.ids).error == invalid(text)


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (15, {"project_root": "/tmp/x"}),
        (12, {"enabled": True, "bucket": ""}),
        (60, {"title": ""}),
        (73, {"from_key_ref": "unknown", "force": True}),
        (68, {"message": ""}),
        (69, {"message": ""}),
        (23, {"link_type": "bad"}),
    ],
)
def test_where_nothing_can_be_judged_before_the_lookup_comes_first(
    bypass: Api, number: int, body: Body
) -> None:
    route = BY_NUMBER[number]
    assert route.send(bypass, "nowhere", body).error == absent(route.missing)


@pytest.mark.parametrize("link_type", ["", "bad"])
def test_a_bad_link_type_of_a_list_is_looked_at_after_the_project(plain: World, link_type: str) -> None:
    assert plain.api.get("/api/projects/nowhere/asset-links", link_type=link_type).error == absent(
        "Project not found"
    )
    expected = required("link_type") if not link_type else LINK_TYPES
    assert plain.api.get(plain.at(routes.LINKS), link_type=link_type).error == invalid(expected)


@pytest.mark.parametrize("slug", ["nowhere", "saltmarsh"])
@pytest.mark.parametrize("code", ["%21%21", "___", "%20"])
def test_a_provider_code_of_which_nothing_is_left_is_400_before_404(
    plain: World, slug: str, code: str
) -> None:
    path = f"/api/projects/{slug}/provider-accounts/{code}"
    expected = invalid(required("provider_code"))
    assert plain.api.get(path).error == expected
    assert plain.api.delete(path).error == expected
    assert plain.api.put(path, {"enabled": True}).error == expected
    assert plain.api.put(path, {}).error == invalid(
        one_of("display_name", "account_ref", "base_url", "enabled", "config_json")
    )


def test_an_address_of_a_secret_with_a_blank_part_is_400(plain: World) -> None:
    secrets = plain.at(routes.SECRETS)
    assert plain.api.delete(f"{secrets}/%21%21/api_key").error == invalid(required("provider_code"))
    assert plain.api.delete(f"{secrets}/openai/%20").error == invalid(required("secret_name"))
    assert plain.api.delete(f"{secrets}/%21/%20").error == invalid(required("provider_code"))
    assert plain.api.delete(f"{secrets}/openai/api_key").error == absent("Secret not found")


def test_an_item_under_another_set_does_not_exist(world: World) -> None:
    second = world.post(routes.SETS, {"name": "Second"})["reference_set"]["id"]
    for number in (56, 57, 58):
        route = BY_NUMBER[number]
        answered = route.send(world.api, world.slug, **{**world.ids, "set": second})
        assert answered.error == absent("Reference set item not found")
    assert world.get(routes.ITEM)["item"]["label"] == "North"


def test_a_duplicate_is_looked_for_last(world: World) -> None:
    duplicates: list[tuple[int, dict[str, Any], str]] = [
        (30, {"name": "Opening", "template_text": ""}, required("template_text")),
        (30, {"name": " Opening ", "template_text": "t"}, "Prompt template name already exists"),
        (40, {"name": "Ink", "instructions": ""}, required("instructions")),
        (40, {"name": "Ink", "instructions": "i"}, "Style guide name already exists"),
        (45, {"name": "Mira"}, "Character name already exists"),
        (50, {"name": "Quays"}, "Reference set name already exists"),
    ]
    for number, body, text in duplicates:
        assert BY_NUMBER[number].send(world.api, world.slug, body).error == invalid(text)
