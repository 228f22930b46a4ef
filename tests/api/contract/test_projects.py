"""Sections 7.2 and 8: projects and their storage."""

from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from projects.models import Project, User
from tests.api.conftest import Api
from tests.api.contract import routes, shapes
from tests.api.contract.conftest import World, furnish
from tests.api.contract.routes import invalid, put_there
from tests.api.contract.shapes import faults

P = routes.P
LOCAL, S3 = f"{P}/storage/local", f"{P}/storage/s3"
TAKEN = invalid("Project slug is already used by another user. Choose a different slug.")


@pytest.fixture(autouse=True)
def app_root(settings: Settings, data_folder: Path, tmp_path: Path) -> Path:
    """The application root apart from the data folder, in which no project may choose a place."""
    settings.APP_ROOT = tmp_path / "app"
    return tmp_path / "app"


def upsert(api: Api, **body: object) -> dict[str, Any]:
    return put_there(api.post("/api/projects", body))


def test_a_new_project_is_active_and_has_the_default_storage(bypass: Api) -> None:
    body = upsert(bypass, name="  Night Quay ", description=" By the sea ")
    assert faults(body["project"], shapes.PROJECT_REF) == []
    assert faults(body["storage"], shapes.STORAGE) == []
    assert (body["project"]["name"], body["project"]["slug"]) == ("Night Quay", "night_quay")
    assert body["storage"]["local"]["base_dir"] == "var/projects"
    assert body["storage"]["s3"] == {
        "enabled": False, "bucket": "", "prefix": "iat-projects", "region": "", "profile": "",
        "endpoint_url": "",
    }  # fmt: skip
    shown = put_there(bypass.get("/api/projects/night_quay"))
    assert shown["project"]["status"] == "active"
    assert shown["project"]["description"] == "By the sea"
    assert shown["storage"] == body["storage"]
    assert shown["counts"] == {"runs": 0, "jobs": 0, "assets": 0}


def test_writing_a_project_again_overwrites_its_texts_and_keeps_the_rest(bypass: Api) -> None:
    upsert(bypass, name="Night Quay", description="By the sea")
    put_there(bypass.put("/api/projects/night_quay/storage/s3", {"bucket": "b", "enabled": True}))
    put_there(bypass.post("/api/projects/night_quay/characters", {"name": "Mira"}))
    before = put_there(bypass.get("/api/projects/night_quay"))["project"]
    Project.objects.filter(slug="night_quay").update(
        status="archived", updated_at="2020-01-01T00:00:00Z", created_at="2020-01-01T00:00:00Z"
    )
    body = upsert(bypass, name="NIGHT quay")
    after = put_there(bypass.get("/api/projects/night_quay"))
    assert after["project"]["id"] == before["id"] == body["project"]["id"]
    assert after["project"]["name"] == "NIGHT quay"
    assert after["project"]["description"] == ""  # an omitted one is cleared
    assert after["project"]["status"] == "active"
    assert after["project"]["created_at"] == "2020-01-01T00:00:00Z"
    assert after["project"]["updated_at"] > "2020-01-01T00:00:00Z"
    assert after["storage"]["s3"]["bucket"] == "b"
    assert put_there(bypass.get("/api/projects/night_quay/characters"))["count"] == 1


@pytest.mark.parametrize("description", [None, "", "  "])
def test_a_description_that_is_not_given_is_cleared(bypass: Api, description: str | None) -> None:
    upsert(bypass, name="Quay", description="D")
    upsert(bypass, name="Quay", description=description)
    assert put_there(bypass.get("/api/projects/quay"))["project"]["description"] == ""


def test_the_owner_is_the_named_user_or_the_local_one(bypass: Api) -> None:
    upsert(bypass, name="One")
    upsert(bypass, name="Two", username="  Maya Rae ", user_display_name="Maya")
    owners = {row["slug"]: row["username"] for row in put_there(bypass.get("/api/projects"))["projects"]}
    assert owners == {"one": "local", "two": "maya_rae"}
    assert User.objects.get(username="local").display_name == "Local User"
    assert User.objects.get(username="maya_rae").display_name == "Maya"


def test_a_slug_of_another_user_is_refused_and_nothing_changes(bypass: Api) -> None:
    upsert(bypass, name="Quay", username="maya", description="D")
    for body in ({"name": "Quay"}, {"name": "Other", "slug": "QUAY"}, {"name": "Quay", "username": "ida"}):
        assert bypass.post("/api/projects", body).error == TAKEN
    shown = put_there(bypass.get("/api/projects/quay"))["project"]
    assert (shown["name"], shown["description"]) == ("Quay", "D")
    upsert(bypass, name="Quay", username="MAYA")


@pytest.mark.parametrize(
    ("username", "slugs"),
    [("maya", ["two"]), (" MAYA ", ["two"]), ("local", ["one"]), ("nobody", []), ("", None), ("!!!", None)],
)
def test_the_list_can_be_narrowed_to_a_user(bypass: Api, username: str, slugs: list[str] | None) -> None:
    upsert(bypass, name="One")
    upsert(bypass, name="Two", username="maya")
    body = put_there(bypass.get("/api/projects", username=username))
    assert [row["slug"] for row in body["projects"]] == (["two", "one"] if slugs is None else slugs)
    assert body["count"] == len(body["projects"])


def test_nothing_but_the_upsert_moves_a_project_s_updated_at(plain: World) -> None:
    Project.objects.update(updated_at="2020-01-01T00:00:00Z")
    world = furnish(plain.api, plain.project)
    world.put(S3, {"bucket": "b"})
    world.put(routes.PERSON, {"name": "Other"})
    world.post(f"{P}/runs/trigger", {"scene_refs": ["a.png"]})
    assert world.get(P)["project"]["updated_at"] == "2020-01-01T00:00:00Z"
    upsert(plain.api, name="Saltmarsh", username="alice")
    assert world.get(P)["project"]["updated_at"] > "2020-01-01T00:00:00Z"


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_a_project_can_t_be_changed_or_deleted_at_its_address(plain: World, method: str) -> None:
    answered = plain.api.raw(method, plain.at(P), b"{}")
    assert answered.status == 405
    assert "GET" in answered.response["Allow"]
    assert plain.get(P)["project"]["slug"] == "saltmarsh"


# Storage


def test_storage_is_shown_with_its_project_and_says_nothing_of_updates(plain: World) -> None:
    body = plain.get(f"{P}/storage")
    assert body["project"]["slug"] == "saltmarsh"
    assert not {"updated", "audit_id"} & set(body)
    for path, what, change in ((LOCAL, "local", {"base_dir": "var/projects"}), (S3, "s3", {})):
        updated = plain.put(path, change)
        assert updated["updated"] == what
        assert updated["project"] == body["project"]
        assert updated["storage"] == body["storage"]


def test_the_root_is_always_shown_as_an_absolute_path(plain: World, app_root: Path) -> None:
    shown = plain.get(f"{P}/storage")["storage"]["local"]
    assert shown["project_root"] == str(app_root / "var/projects/saltmarsh")
    shown = plain.put(LOCAL, {"base_dir": " var/elsewhere "})["storage"]["local"]
    assert shown == {
        "base_dir": "var/elsewhere", "project_root": str(app_root / "var/elsewhere/saltmarsh")
    }  # fmt: skip
    shown = plain.put(LOCAL, {"project_root": " var/own-place "})["storage"]["local"]
    assert shown == {
        "base_dir": "var/elsewhere", "project_root": str(app_root / "var/own-place")
    }  # fmt: skip
    for blank in ("", "  "):
        shown = plain.put(LOCAL, {"project_root": blank})["storage"]["local"]
        assert shown["project_root"] == str(app_root / "var/elsewhere/saltmarsh")


def test_an_absolute_root_is_taken_as_it_is(plain: World, tmp_path: Path) -> None:
    place = tmp_path / "pictures"
    shown = plain.put(LOCAL, {"project_root": str(place)})["storage"]["local"]
    assert shown["project_root"] == str(place)
    plain.put(LOCAL, {"project_root": ""})
    shown = plain.put(LOCAL, {"base_dir": str(place)})["storage"]["local"]
    assert shown == {"base_dir": str(place), "project_root": str(place / "saltmarsh")}


def test_saving_a_root_below_tmp_is_accepted(plain: World) -> None:
    shown = plain.put(LOCAL, {"project_root": "/tmp/kroma-contract-x"})["storage"]["local"]
    assert shown["project_root"] == "/tmp/kroma-contract-x"


@pytest.mark.parametrize("field", ["base_dir", "project_root"])
@pytest.mark.parametrize("place", ["../outside", "var/../../outside", "/tmp/../etc"])
def test_a_place_that_climbs_is_refused(plain: World, field: str, place: str) -> None:
    before = plain.get(f"{P}/storage")["storage"]
    assert plain.api.put(plain.at(LOCAL), {field: place}).error[:3] == invalid("")[:3]
    assert plain.get(f"{P}/storage")["storage"] == before


def test_half_of_a_refused_update_is_not_written(plain: World) -> None:
    before = plain.get(f"{P}/storage")["storage"]
    assert plain.api.put(plain.at(LOCAL), {"project_root": "var/own", "base_dir": " "}).error == invalid(
        "Field 'base_dir' must not be empty"
    )
    assert plain.get(f"{P}/storage")["storage"] == before


def test_s3_settings_are_changed_field_by_field_and_cleared_by_blanks(plain: World) -> None:
    full = {
        "enabled": True, "bucket": " b ", "prefix": " p/q ", "region": " r ", "profile": " f ",
        "endpoint_url": " https://s3.example ",
    }  # fmt: skip
    shown = {
        "enabled": True, "bucket": "b", "prefix": "p/q", "region": "r", "profile": "f",
        "endpoint_url": "https://s3.example",
    }  # fmt: skip
    assert plain.put(S3, full)["storage"]["s3"] == shown
    assert plain.put(S3, {})["storage"]["s3"] == shown
    assert plain.put(S3, dict.fromkeys(full))["storage"]["s3"] == shown
    shown["enabled"] = False
    assert plain.put(S3, {"enabled": False})["storage"]["s3"] == shown
    for name in ("bucket", "region", "profile", "endpoint_url", "prefix"):
        shown[name] = "iat-projects" if name == "prefix" else ""
        assert plain.put(S3, {name: "  "})["storage"]["s3"] == shown
    assert plain.get(f"{P}/storage")["storage"]["s3"] == shown


def test_s3_can_be_switched_on_without_a_bucket(plain: World) -> None:
    assert plain.put(S3, {"enabled": True})["storage"]["s3"]["enabled"] is True


def test_storage_of_one_project_leaves_another_alone(plain: World, other: World) -> None:
    before = other.get(f"{P}/storage")["storage"]
    plain.put(S3, {"bucket": "b"})
    plain.put(LOCAL, {"base_dir": "var/elsewhere"})
    assert other.get(f"{P}/storage")["storage"] == before
