"""Section 14.4: links between the files of a project."""

import pytest

from tests.api.contract import routes
from tests.api.contract.conftest import World, make_asset
from tests.api.contract.routes import absent, invalid

TYPES = ("derived_from", "variant_of", "mask_for", "reference_of")
EXISTS = invalid("Asset link already exists")
DIFFER = invalid("parent_asset_id and child_asset_id must differ")
ONE_OF = invalid("Field 'link_type' must be one of: derived_from, variant_of, mask_for, reference_of")
UNKNOWN = "2f8c1a44-6a3e-4a0e-9d55-0c7f4f6f1b7a"


def not_here(pk: str) -> tuple[int, str, str, str]:
    return invalid(f"Asset '{pk}' was not found in this project")


@pytest.fixture
def files(plain: World) -> list[str]:
    """The ids of three files of the project."""
    return [str(make_asset(plain.project).pk) for _ in range(3)]


def linked(parent: str, child: str, **more: object) -> dict[str, object]:
    return {"parent_asset_id": parent, "child_asset_id": child, **more}


@pytest.mark.parametrize("sent", [None, *TYPES, " Variant_Of "])
def test_a_link_has_a_type(plain: World, files: list[str], sent: str | None) -> None:
    a, b, _ = files
    link = plain.post(routes.LINKS, linked(f" {a} ", f" {b} ", link_type=sent))["asset_link"]
    assert link["link_type"] == (sent or "derived_from").strip().lower()
    assert (link["parent_asset_id"], link["child_asset_id"]) == (a, b)
    assert link["project_id"] == str(plain.project.pk)
    assert plain.get(f"{routes.LINKS}/{link['id']}")["asset_link"] == link


def test_both_ends_must_be_files_of_the_project(plain: World, other: World, files: list[str]) -> None:
    a, foreign = files[0], str(make_asset(other.project).pk)
    path = plain.at(routes.LINKS)
    for odd in (foreign, UNKNOWN, "nonsense", a.upper()):
        assert plain.api.post(path, linked(odd, a)).error == not_here(odd)
        assert plain.api.post(path, linked(a, odd)).error == not_here(odd)
        assert plain.api.post(path, linked(odd, a, link_type="bad")).error == ONE_OF
    assert plain.api.post(path, linked("one", "two")).error == not_here("one")  # the parent first
    assert plain.get(routes.LINKS)["count"] == 0


def test_the_same_link_exists_once_but_direction_and_type_make_another(
    plain: World, files: list[str]
) -> None:
    a, b, _ = files
    plain.post(routes.LINKS, linked(a, b))
    path = plain.at(routes.LINKS)
    assert plain.api.post(path, linked(a, b)).error == EXISTS
    assert plain.api.post(path, linked(a, b, link_type="DERIVED_FROM")).error == EXISTS
    plain.post(routes.LINKS, linked(b, a))
    plain.post(routes.LINKS, linked(a, b, link_type="variant_of"))
    assert plain.get(routes.LINKS)["count"] == 3


def test_the_list_can_be_narrowed_to_a_file_and_a_type(plain: World, files: list[str]) -> None:
    a, b, c = files
    ids = [
        plain.post(routes.LINKS, body)["asset_link"]["id"]
        for body in (linked(a, b), linked(b, c, link_type="mask_for"), linked(c, a))
    ]

    def shown(**query: object) -> list[str]:
        body = plain.get(routes.LINKS, **query)
        assert body["count"] == len(body["asset_links"])
        return [row["id"] for row in body["asset_links"]]

    assert shown() == ids[::-1]
    assert shown(asset_id="") == shown(asset_id="  ") == ids[::-1]
    assert shown(asset_id=f" {b} ") == [ids[1], ids[0]]
    assert shown(asset_id=a) == [ids[2], ids[0]]
    assert shown(asset_id=UNKNOWN) == []
    assert shown(link_type=" MASK_FOR ") == [ids[1]]
    assert shown(link_type="mask_for", asset_id=a) == []
    assert shown(link_type="derived_from", asset_id=a) == [ids[2], ids[0]]


def test_a_put_is_judged_by_what_the_link_would_become(plain: World, other: World, files: list[str]) -> None:
    a, b, c = files
    link = plain.post(routes.LINKS, linked(a, b))["asset_link"]
    path = plain.at(f"{routes.LINKS}/{link['id']}")
    foreign = str(make_asset(other.project).pk)
    for body, error in (
        ({"child_asset_id": a}, DIFFER), ({"parent_asset_id": f" {b} "}, DIFFER),
        ({"link_type": "bad"}, ONE_OF),
        ({"link_type": " "}, invalid("Field 'link_type' is required")),
        ({"parent_asset_id": ""}, invalid("Field 'parent_asset_id' is required")),
        ({"parent_asset_id": foreign}, not_here(foreign)), ({"child_asset_id": UNKNOWN}, not_here(UNKNOWN)),
        ({"child_asset_id": a, "link_type": "bad"}, DIFFER),
        ({"child_asset_id": foreign, "link_type": "x"}, ONE_OF),
    ):  # fmt: skip
        assert plain.api.put(path, body).error == error
    assert plain.get(f"{routes.LINKS}/{link['id']}")["asset_link"] == link
    second = plain.post(routes.LINKS, linked(a, c))["asset_link"]
    assert plain.api.put(path, {"child_asset_id": c}).error == EXISTS
    changed = plain.put(f"{routes.LINKS}/{link['id']}", {"link_type": " Mask_For ", "child_asset_id": c})[
        "asset_link"
    ]
    assert (changed["parent_asset_id"], changed["child_asset_id"], changed["link_type"]) == (a, c, "mask_for")
    assert changed["id"] != second["id"]
    assert plain.put(f"{routes.LINKS}/{link['id']}", {"parent_asset_id": a})["asset_link"]["id"] == link["id"]
    assert plain.get(routes.LINKS)["asset_links"][0]["id"] == link["id"]  # changed last


def test_a_deleted_link_is_gone_and_its_files_are_not(plain: World, files: list[str]) -> None:
    a, b, _ = files
    link = plain.post(routes.LINKS, linked(a, b))["asset_link"]
    body = plain.delete(f"{routes.LINKS}/{link['id']}")
    assert (body["deleted"], body["id"]) == (True, link["id"])
    path = plain.at(f"{routes.LINKS}/{link['id']}")
    assert plain.api.get(path).error == absent("Asset link not found")
    assert plain.api.delete(path).error == absent("Asset link not found")
    assert plain.get(f"{routes.P}/assets/{a}")["asset"]["id"] == a
    plain.post(routes.LINKS, linked(a, b))
