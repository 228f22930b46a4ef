"""Sections 7.5 to 7.7 and 7.9: templates, guides, characters, reference sets and their items, accounts."""

from typing import Any, NamedTuple

import pytest

from tests.api.contract import routes
from tests.api.contract.conftest import World
from tests.api.contract.routes import absent, invalid


class Named(NamedTuple):
    """A kind of library entry: where it is, its texts, and what is said about it."""

    path: str
    key: str
    plural: str
    required: dict[str, str]  # besides the name
    optional: tuple[str, ...]
    missing: str
    taken: str


KINDS = [
    Named(
        routes.TEMPLATES, "prompt_template", "prompt_templates", {"template_text": "Once upon"}, (),
        "Prompt template not found", "Prompt template name already exists",
    ),
    Named(
        routes.GUIDES, "style_guide", "style_guides", {"instructions": "Draw in ink"}, ("notes",),
        "Style guide not found", "Style guide name already exists",
    ),
    Named(
        routes.PEOPLE, "character", "characters", {}, ("description", "prompt_text"),
        "Character not found", "Character name already exists",
    ),
    Named(
        routes.SETS, "reference_set", "reference_sets", {}, ("description",),
        "Reference set not found", "Reference set name already exists",
    ),
]  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)


def made(world: World, kind: Named, name: str = "One", **more: object) -> dict[str, Any]:
    entry: dict[str, Any] = world.post(kind.path, {"name": name, **kind.required, **more})[kind.key]
    return entry


@each_kind
def test_an_entry_is_stored_trimmed_and_shown_alike_everywhere(plain: World, kind: Named) -> None:
    texts = {name: f"  {name} \n" for name in (*kind.required, *kind.optional)}
    entry = plain.post(kind.path, {"name": "  Név  A ", **texts})[kind.key]
    assert entry["name"] == "Név  A"
    assert {name: entry[name] for name in texts} == {name: name for name in texts}
    assert entry["project_id"] == str(plain.project.pk)
    assert plain.get(f"{kind.path}/{entry['id']}")[kind.key] == entry
    body = plain.get(kind.path)
    assert (body["count"], body[kind.plural]) == (1, [entry])


@each_kind
def test_optional_texts_are_empty_unless_given(plain: World, kind: Named) -> None:
    for n, value in enumerate((None, "", "  ")):
        entry = made(plain, kind, f"Name {n}", **dict.fromkeys(kind.optional, value))
        assert {entry[name] for name in kind.optional} <= {""}


@each_kind
def test_a_name_is_taken_once_in_a_project_and_letter_case_counts(
    plain: World, other: World, kind: Named
) -> None:
    first = made(plain, kind, "Ink")
    for name in ("Ink", " Ink "):
        body = {"name": name, **kind.required}
        assert plain.api.post(plain.at(kind.path), body).error == invalid(kind.taken)
    second = made(plain, kind, "ink")
    assert made(other, kind, "Ink")["id"] != first["id"]
    answered = plain.api.put(plain.at(f"{kind.path}/{second['id']}"), {"name": " Ink "})
    assert answered.error == invalid(kind.taken)
    assert plain.get(f"{kind.path}/{second['id']}")[kind.key] == second
    same = plain.put(f"{kind.path}/{first['id']}", {"name": "Ink"})[kind.key]
    assert same["id"] == first["id"]
    assert plain.put(f"{kind.path}/{first['id']}", {"name": "INK"})[kind.key]["name"] == "INK"


@each_kind
def test_a_put_keeps_what_is_not_given_and_clears_what_is_blank(plain: World, kind: Named) -> None:
    entry = made(plain, kind, **dict.fromkeys(kind.optional, "given"))
    path = f"{kind.path}/{entry['id']}"
    changed = plain.put(path, {"name": " Two ", **dict.fromkeys(kind.optional)})[kind.key]
    texts = (*kind.required, *kind.optional)
    assert changed["name"] == "Two"
    assert {name: changed[name] for name in texts} == {name: entry[name] for name in texts}
    assert changed["created_at"] == entry["created_at"]
    for name in kind.optional:
        for blank in ("", "  "):
            assert plain.put(path, {name: "again"})[kind.key][name] == "again"
            assert plain.put(path, {name: blank})[kind.key][name] == ""
    for name in kind.required:
        assert plain.put(path, {name: " new "})[kind.key][name] == "new"
    assert plain.get(path)[kind.key]["name"] == "Two"


@each_kind
def test_a_blank_name_given_with_other_fields_changes_nothing(plain: World, kind: Named) -> None:
    entry = made(plain, kind)
    path = f"{kind.path}/{entry['id']}"
    body = {"name": " ", **dict.fromkeys((*kind.required, *kind.optional), "changed")}
    assert plain.api.put(plain.at(path), body).error == invalid("Field 'name' is required")
    assert plain.get(path)[kind.key] == entry


@each_kind
def test_what_is_deleted_is_gone_and_its_name_free(plain: World, kind: Named) -> None:
    entry = made(plain, kind)
    path = f"{kind.path}/{entry['id']}"
    body = plain.delete(path)
    assert body["deleted"] is True
    assert body["id"] == entry["id"]
    for answered in (
        plain.api.get(plain.at(path)), plain.api.delete(plain.at(path)),
        plain.api.put(plain.at(path), {"name": "n"}),
    ):  # fmt: skip
        assert answered.error == absent(kind.missing)
    assert plain.get(kind.path)["count"] == 0
    assert made(plain, kind)["id"] != entry["id"]


@each_kind
def test_a_text_of_many_words_and_scripts_comes_back_as_it_is(plain: World, kind: Named) -> None:
    text = "Ünï\u200dcode 日本 🎨\nsecond \u2028 line\t<b>&amp;\"'"
    entry = made(plain, kind, "🎨 名前")
    assert entry["name"] == "🎨 名前"
    for name in (*kind.required, *kind.optional):
        assert plain.put(f"{kind.path}/{entry['id']}", {name: text})[kind.key][name] == text


# Reference items


@pytest.fixture
def items(plain: World) -> str:
    pk = plain.post(routes.SETS, {"name": "Set"})["reference_set"]["id"]
    return f"{routes.SETS}/{pk}/items"


def test_an_item_has_its_defaults(plain: World, items: str) -> None:
    item = plain.post(items, {"label": " North ", "content_uri": " a.png "})["item"]
    assert item["label"] == "North"
    assert item["content_uri"] == "a.png"
    assert item["content_text"] == ""
    assert item["sort_order"] == 0
    assert item["metadata_json"] == {}
    assert item["reference_set_id"] in items
    assert plain.get(f"{items}/{item['id']}")["item"] == item
    body = plain.get(items)
    assert (body["count"], body["items"]) == (1, [item])


def test_items_are_always_added_and_labels_may_repeat(plain: World, items: str) -> None:
    ids = {plain.post(items, {"label": "Same", "content_text": "t"})["item"]["id"] for _ in range(3)}
    assert len(ids) == plain.get(items)["count"] == 3


@pytest.mark.parametrize("value", [{}, {"a": [1, None]}, [], [1, "a"], "text", 1, 1.5, True, False, ""])
def test_metadata_may_be_any_json_value(plain: World, items: str, value: object) -> None:
    body = {"label": "L", "content_text": "t", "metadata_json": value, "sort_order": -5}
    item = plain.post(items, body)["item"]
    assert item["metadata_json"] == value
    assert item["sort_order"] == -5
    pk = plain.post(items, {"label": "L", "content_text": "t"})["item"]["id"]
    assert plain.put(f"{items}/{pk}", {"metadata_json": value})["item"]["metadata_json"] == value


def test_a_put_of_an_item_merges_and_one_content_must_remain(plain: World, items: str) -> None:
    item = plain.post(items, {"label": "L", "content_uri": "a.png", "content_text": "t", "sort_order": 3})[
        "item"
    ]
    path = f"{items}/{item['id']}"
    none_left = invalid("Provide at least one of: content_uri, content_text")
    answered = plain.api.put(plain.at(path), {"content_uri": "", "content_text": " "})
    assert answered.error == none_left
    shown = plain.put(path, {"content_uri": "", "label": None, "metadata_json": None})["item"]
    assert (shown["label"], shown["content_uri"], shown["content_text"]) == ("L", "", "t")
    assert shown["sort_order"] == 3
    assert plain.api.put(plain.at(path), {"content_text": ""}).error == none_left
    shown = plain.put(path, {"content_text": "", "content_uri": "b.png"})["item"]
    assert (shown["content_uri"], shown["content_text"]) == ("b.png", "")
    assert plain.put(path, {"sort_order": 0})["item"]["sort_order"] == 0
    assert plain.put(path, {"label": " M "})["item"]["label"] == "M"
    answered = plain.api.put(plain.at(path), {"label": " ", "content_uri": ""})
    assert answered.error == invalid("Field 'label' is required")


def test_writing_items_does_not_touch_their_set(plain: World, items: str) -> None:
    path = items.removesuffix("/items")
    before = plain.get(path)["reference_set"]
    second = plain.post(routes.SETS, {"name": "Second"})["reference_set"]["id"]
    pk = plain.post(items, {"label": "L", "content_text": "t"})["item"]["id"]
    plain.put(f"{items}/{pk}", {"label": "M"})
    plain.delete(f"{items}/{pk}")
    assert plain.get(path)["reference_set"] == before
    assert [row["id"] for row in plain.get(routes.SETS)["reference_sets"]] == [second, before["id"]]


def test_a_deleted_item_is_gone(plain: World, items: str) -> None:
    pk = plain.post(items, {"label": "L", "content_text": "t"})["item"]["id"]
    body = plain.delete(f"{items}/{pk}")
    assert (body["deleted"], body["id"]) == (True, pk)
    gone = absent("Reference set item not found")
    assert plain.api.get(plain.at(f"{items}/{pk}")).error == gone
    assert plain.api.delete(plain.at(f"{items}/{pk}")).error == gone
    assert plain.get(items)["items"] == []


def test_deleting_a_set_takes_its_items_with_it(plain: World, items: str) -> None:
    pk = plain.post(items, {"label": "L", "content_text": "t"})["item"]["id"]
    plain.delete(items.removesuffix("/items"))
    assert plain.api.get(plain.at(items)).error == absent("Reference set not found")
    gone = absent("Reference set item not found")
    assert plain.api.get(plain.at(f"{items}/{pk}")).error == gone
    assert plain.api.put(plain.at(f"{items}/{pk}"), {"label": "M"}).error == gone
    assert plain.api.delete(plain.at(f"{items}/{pk}")).error == gone


# Provider accounts


FULL: dict[str, object] = {
    "provider_code": " Open AI ", "display_name": " Studio ", "account_ref": " ref ",
    "base_url": " https://api.example/v1 ", "enabled": False,
    "config_json": {"timeout": 2, "list": [1, None]},
}  # fmt: skip


def account(world: World, body: dict[str, object]) -> dict[str, Any]:
    shown: dict[str, Any] = world.post(routes.ACCOUNTS, body)["provider_account"]
    return shown


def test_an_account_has_its_defaults(plain: World) -> None:
    shown = account(plain, {"provider_code": "Open AI"})
    assert shown["provider_code"] == shown["display_name"] == "open_ai"
    assert (shown["account_ref"], shown["base_url"]) == ("", "")
    assert shown["enabled"] is True
    assert shown["config_json"] == {}


def test_an_account_keeps_what_it_is_given(plain: World) -> None:
    shown = account(plain, FULL)
    assert shown["provider_code"] == "open_ai"
    assert shown["display_name"] == "Studio"
    assert shown["account_ref"] == "ref"
    assert shown["base_url"] == "https://api.example/v1"
    assert shown["enabled"] is False
    assert shown["config_json"] == FULL["config_json"]
    assert plain.get(f"{routes.ACCOUNTS}/Open%20AI")["provider_account"] == shown
    body = plain.get(routes.ACCOUNTS)
    assert (body["count"], body["provider_accounts"]) == (1, [shown])


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_second_post_replaces_the_whole_account(plain: World, blank: object) -> None:
    account(plain, FULL)
    shown = account(plain, {"provider_code": "OPEN_AI", "display_name": blank, "account_ref": blank})
    assert plain.get(routes.ACCOUNTS)["count"] == 1
    assert shown["display_name"] == "open_ai"
    assert (shown["account_ref"], shown["base_url"], shown["enabled"]) == ("", "", True)
    assert shown["config_json"] == {}


def test_a_put_changes_only_what_it_names(plain: World) -> None:
    before = account(plain, FULL)
    path = f"{routes.ACCOUNTS}/open_ai"
    after = plain.put(path, {"enabled": True, "display_name": None, "config_json": None})["provider_account"]
    same = ("provider_code", "display_name", "account_ref", "base_url", "config_json", "created_at")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["enabled"] is True
    after = plain.put(path, {"account_ref": " ", "base_url": ""})["provider_account"]
    assert (after["account_ref"], after["base_url"]) == ("", "")
    after = plain.put(path, {"display_name": " D ", "account_ref": " r "})["provider_account"]
    assert (after["display_name"], after["account_ref"]) == ("D", "r")


@pytest.mark.parametrize("value", [{"a": {"b": [1]}}, {}, [], [1, "a", None], "text", 2, 1.5, False])
def test_a_config_may_be_any_json_value_and_is_replaced_as_a_whole(plain: World, value: object) -> None:
    shown = account(plain, {"provider_code": "openai", "config_json": {"kept": False}})
    assert shown["config_json"] == {"kept": False}
    path = f"{routes.ACCOUNTS}/openai"
    assert plain.put(path, {"config_json": value})["provider_account"]["config_json"] == value
    assert account(plain, {"provider_code": "openai", "config_json": value})["config_json"] == value


def test_deleting_an_account_echoes_its_code_as_sent_and_keeps_its_secrets(plain: World) -> None:
    account(plain, {"provider_code": "openai"})
    plain.post(routes.SECRETS, {"provider_code": "openai", "secret_name": "n", "secret_value": "v"})
    body = plain.delete(f"{routes.ACCOUNTS}/OpenAI")
    assert (body["deleted"], body["provider_code"]) == (True, "OpenAI")
    gone = absent("Provider account not found")
    assert plain.api.get(plain.at(f"{routes.ACCOUNTS}/openai")).error == gone
    assert plain.api.delete(plain.at(f"{routes.ACCOUNTS}/openai")).error == gone
    assert plain.get(routes.SECRETS)["count"] == 1


def test_accounts_of_two_projects_are_apart(plain: World, other: World) -> None:
    account(plain, FULL)
    account(other, {"provider_code": "open_ai"})
    assert plain.get(f"{routes.ACCOUNTS}/open_ai")["provider_account"]["display_name"] == "Studio"
    other.delete(f"{routes.ACCOUNTS}/open_ai")
    assert plain.get(routes.ACCOUNTS)["count"] == 1
