"""Links between assets over the API."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from pipeline.api.assets import LinkAnswer, LinkListAnswer
from pipeline.models import Asset, AssetLink
from pipeline.services import links
from projects.access import OPERATOR
from projects.errors import Invalid, NotFound
from projects.models import AuditEvent, Project
from tests.api.conftest import Api
from tests.factories import make_project

BASE = "/api/projects/saltmarsh/asset-links"
X = "/api/projects/x/asset-links"
NOT_FOUND = (404, "validation", "not_found", "Asset link not found")
TYPES = "Field 'link_type' must be one of: derived_from, variant_of, mask_for, reference_of"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def bad(text: str) -> tuple[int, str, str, str]:
    return 400, "validation", "validation_error", text


def make_asset(project: Project, name: str) -> str:
    return str(Asset.objects.create(project=project, kind="candidate_output", rel_path=name).pk)


@pytest.fixture
def files(project: Project) -> tuple[str, str, str]:
    return make_asset(project, "a.png"), make_asset(project, "b.png"), make_asset(project, "c.png")


def body(parent: object, child: object, **more: object) -> dict[str, object]:
    return {"parent_asset_id": parent, "child_asset_id": child, **more}


def test_a_link_is_made_read_changed_and_deleted(
    files: tuple[str, str, str], caller: Callable[..., Api]
) -> None:
    first, second, third = files
    erin = caller("erin")
    made = erin.post(BASE, body(f" {first} ", second)).body
    LinkAnswer.model_validate(made, strict=True)
    link = made["asset_link"]
    assert (link["parent_asset_id"], link["child_asset_id"]) == (first, second)
    assert link["link_type"] == "derived_from"
    assert "audit_id" not in made
    address = f"{BASE}/{link['id']}"
    assert erin.get(address).body["asset_link"] == link
    changed = erin.put(address, {"child_asset_id": third, "link_type": " Mask_For "}).body["asset_link"]
    assert (changed["parent_asset_id"], changed["child_asset_id"]) == (first, third)
    assert changed["link_type"] == "mask_for"
    assert erin.get(address).body["asset_link"] == changed
    assert erin.delete(address).body == {"ok": True, "deleted": True, "id": link["id"]}
    assert erin.get(address).error == NOT_FOUND
    events = AuditEvent.objects.filter(subject_id=link["id"], actor="erin").order_by("sequence")
    assert [event.event_code for event in events] == [
        "asset_link.created", "asset_link.updated", "asset_link.deleted"
    ]  # fmt: skip
    assert events[1].payload["before"]["child_asset_id"] == second
    assert events[1].payload["after"]["child_asset_id"] == third


@pytest.mark.parametrize("path", [BASE, X])
@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({}, "Field 'parent_asset_id' is required"),
        (body(" ", ""), "Field 'parent_asset_id' is required"),
        (body("a", " ", link_type="x"), "Field 'child_asset_id' is required"),
        (body("a", " a", link_type="x"), "parent_asset_id and child_asset_id must differ"),
        (body("a", "b", link_type=" "), "Field 'link_type' is required"),
        (body("a", "b", link_type="x"), TYPES),
    ],
)
def test_what_needs_no_stored_data_is_judged_first(
    project: Project, bypass: Api, path: str, sent: dict[str, object], error: str
) -> None:
    assert bypass.post(path, sent).error == bad(error)


def test_both_ends_are_files_of_the_project(
    project: Project, files: tuple[str, str, str], bypass: Api
) -> None:
    first = files[0]
    foreign = make_asset(make_project(name="Other"), "a.png")
    assert bypass.post(X, body(first, foreign)).error == (404, "validation", "not_found", "Project not found")
    for wrong in (foreign, "x", NOWHERE, files[1].upper(), files[1].replace("-", "")):
        told = bad(f"Asset '{wrong}' was not found in this project")
        assert bypass.post(BASE, body(wrong, first)).error == told
        assert bypass.post(BASE, body(first, wrong)).error == told
    assert bypass.post(BASE, body("p", "c")).error == bad("Asset 'p' was not found in this project")
    assert not AssetLink.objects.exists()


def test_the_same_link_is_refused_and_its_reverse_or_another_type_is_not(
    files: tuple[str, str, str], bypass: Api
) -> None:
    first, second, third = files
    taken = bad("Asset link already exists")
    assert bypass.post(BASE, body(first, second, link_type=None)).status == 200
    assert bypass.post(BASE, body(first, second, link_type="derived_from")).error == taken
    reverse = bypass.post(BASE, body(second, first)).body["asset_link"]
    assert bypass.post(BASE, body(first, second, link_type="variant_of")).status == 200
    other = bypass.post(BASE, body(third, second)).body["asset_link"]
    assert bypass.put(f"{BASE}/{other['id']}", {"parent_asset_id": first}).error == taken
    assert bypass.get(f"{BASE}/{other['id']}").body["asset_link"] == other
    assert bypass.put(f"{BASE}/{reverse['id']}", {"link_type": "derived_from"}).status == 200
    assert AuditEvent.objects.filter(event_code="asset_link.created").count() == 4


def test_the_order_of_the_checks_of_a_change(files: tuple[str, str, str], bypass: Api) -> None:
    first, second, _ = files
    link = bypass.post(BASE, body(first, second)).body["asset_link"]
    address, nowhere = f"{BASE}/{link['id']}", f"{BASE}/{NOWHERE}"
    nothing = bad("Provide at least one of: parent_asset_id, child_asset_id, link_type")
    for path in (address, nowhere, f"{X}/x"):
        assert bypass.put(path, {}).error == nothing
        assert bypass.raw("PUT", path, b"", "").error == nothing
        assert bypass.put(path, {"link_type": None}).error == nothing
        assert bypass.put(path, {"link_type": 1}).status == 422
    for path in (nowhere, f"{X}/x", f"{BASE}/{link['id'].upper()}"):
        assert bypass.put(path, {"link_type": " "}).error == NOT_FOUND
    for sent, error in (
        ({"parent_asset_id": " ", "link_type": "x"}, "Field 'parent_asset_id' is required"),
        ({"child_asset_id": ""}, "Field 'child_asset_id' is required"),
        ({"child_asset_id": first, "link_type": "x"}, "parent_asset_id and child_asset_id must differ"),
        ({"child_asset_id": "x", "link_type": ""}, "Field 'link_type' is required"),
        ({"child_asset_id": "x", "link_type": "x"}, TYPES),
        ({"child_asset_id": "x"}, "Asset 'x' was not found in this project"),
    ):
        assert bypass.put(address, sent).error == bad(error)
    assert bypass.get(address).body["asset_link"] == link


def test_links_are_found_by_file_and_type(files: tuple[str, str, str], bypass: Api) -> None:
    first, second, third = files
    made = [
        bypass.post(BASE, sent).body["asset_link"]["id"]
        for sent in (body(first, second), body(second, third, link_type="mask_for"), body(third, first))
    ]
    answer = bypass.get(BASE).body
    LinkListAnswer.model_validate(answer, strict=True)
    assert [link["id"] for link in answer["asset_links"]] == made[::-1]
    assert answer["count"] == 3

    def found(**query: object) -> list[str]:
        return [link["id"] for link in bypass.get(BASE, **query).body["asset_links"]]

    assert found(asset_id=f" {second} ") == [made[1], made[0]]
    assert found(asset_id=second, link_type=" MASK_FOR ") == [made[1]]
    assert found(asset_id=" ") == made[::-1]
    assert found(asset_id="x") == found(asset_id=NOWHERE) == found(asset_id=second.upper()) == []
    assert found(limit=1) == made[2:]
    assert bypass.get(BASE, link_type="").error == bad("Field 'link_type' is required")
    assert bypass.get(BASE, link_type="x").error == bad(TYPES)
    assert bypass.get(X, link_type="x").error == (404, "validation", "not_found", "Project not found")


def test_links_are_for_editors_to_change(files: tuple[str, str, str], caller: Callable[..., Api]) -> None:
    link = caller("erin").post(BASE, body(*files[:2])).body["asset_link"]
    rita = caller("rita")
    assert rita.get(f"{BASE}/{link['id']}").status == 200
    assert rita.post(BASE, body(files[1], files[0])).status == 403
    assert rita.put(f"{BASE}/{link['id']}", {"link_type": "mask_for"}).status == 403
    assert rita.delete(f"{BASE}/{link['id']}").status == 403


def test_a_link_that_others_made_or_deleted_meanwhile_is_a_refusal(
    project: Project, files: tuple[str, str, str]
) -> None:
    ends = {"parent": files[0], "child": files[1], "link_type": "derived_from"}
    link = links.create_link(project, **ends, by=OPERATOR)
    with pytest.raises(Invalid, match="Asset link already exists") as caught:
        links.create_link(project, **ends, by=OPERATOR)
    assert isinstance(caught.value.__cause__, IntegrityError)
    AssetLink.objects.all().delete()
    with pytest.raises(NotFound):
        links.update_link(link, link_type="mask_for", by=OPERATOR)
    with pytest.raises(NotFound):
        links.delete_link(link, by=OPERATOR)
    assert not AssetLink.objects.exists()


def test_the_queries_of_the_list_do_not_grow(
    project: Project, files: tuple[str, str, str], bypass: Api
) -> None:
    first, second, third = files
    bypass.post(BASE, body(first, second))
    with CaptureQueriesContext(connection) as few:
        bypass.get(BASE)
    bypass.post(BASE, body(first, third))
    bypass.post(BASE, body(second, third))
    with CaptureQueriesContext(connection) as many:
        assert bypass.get(BASE).body["count"] == 3
    assert len(many) == len(few)
