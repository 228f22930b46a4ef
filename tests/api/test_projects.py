"""Routes: projects and where their files lie."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from projects.access import Role
from projects.models import AuditEvent, Membership, Project, User
from projects.services.people import first_owner
from tests.api.conftest import Api
from tests.factories import make_project, make_run, make_user


def add_member(slug: str, username: str) -> None:
    project, user = Project.objects.get(slug=slug), User.objects.get(username=username)
    Membership.objects.create(project=project, user=user, role=Role.VIEWER)


TAKEN = "Project slug is already used by another user. Choose a different slug."
NOT_AUTHORIZED = "Token is not authorized for this project"


@pytest.mark.acceptance("U-11", "U-16")
def test_a_project_is_made_and_written_anew(bypass: Api) -> None:
    first = bypass.post("/api/projects", {"name": " My Fancy Project ", "description": " d "})
    assert first.status == 200
    assert first.body["project"] == {
        "id": first.body["project"]["id"], "slug": "my_fancy_project", "name": "My Fancy Project"
    }  # fmt: skip
    again = bypass.post("/api/projects", {"name": "Other", "slug": "MY fancy PROJECT"})
    assert again.body["project"]["id"] == first.body["project"]["id"]
    assert again.body["storage"] == first.body["storage"]
    shown = bypass.get("/api/projects/My%20Fancy%20Project").body
    assert (shown["project"]["name"], shown["project"]["description"]) == ("Other", "")
    assert shown["counts"] == {"runs": 0, "jobs": 0, "assets": 0}
    events = AuditEvent.objects.filter(event_code="project.upsert").order_by("sequence")
    assert [str(event.pk) for event in events] == [first.body["audit_id"], again.body["audit_id"]]
    assert events[1].payload["project_id"] == first.body["project"]["id"]
    assert events[0].actor_user_id is None


def test_a_project_needs_a_name_and_an_address_that_pages_can_have(bypass: Api) -> None:
    for body, error in (
        ({}, "Field 'name' is required"),
        ({"name": "  "}, "Field 'name' is required"),
        ({"name": "x" * 201}, "Field 'name' has 201 characters: use at most 200"),
        ({"name": "x", "slug": "s" * 201}, "The name has more than 200 characters: choose a shorter one"),
    ):
        assert bypass.post("/api/projects", body).error == (400, "validation", "validation_error", error)
    assert bypass.post("/api/projects", {"name": "日本"}).body["project"]["slug"] == "project"
    assert not Project.objects.exclude(slug="project").exists()


def test_a_project_may_be_called_new(bypass: Api, alice_client: Client) -> None:
    """Its pages lie below `/projects/new/`, the form for another one at `/projects/new`."""
    bypass.post("/api/projects", {"name": "New"})
    add_member("new", "alice")
    assert "New" in alice_client.get("/projects/new/").content.decode()
    assert alice_client.get("/projects/new").status_code == 200


def test_a_slug_belongs_to_one_owner(bypass: Api) -> None:
    bypass.post("/api/projects", {"name": "Ink", "username": "Mara B", "user_display_name": "Mara"})
    mara = User.objects.get(username="mara_b")
    assert mara.display_name == "Mara"
    assert not mara.has_usable_password()
    assert bypass.post("/api/projects", {"name": "Ink"}).error[3] == TAKEN
    assert bypass.post("/api/projects", {"name": "Ink", "username": "mara_b"}).status == 200
    assert [row["username"] for row in bypass.get("/api/projects", username=" Mara B ").body["projects"]] == [
        "mara_b"
    ]
    assert bypass.get("/api/projects", username="nobody").body["count"] == 0
    assert bypass.get("/api/projects", username="!!").body["count"] == 1


def test_with_a_token_a_project_belongs_to_its_person_whatever_the_body_says(
    project: Project, caller: Callable[..., Api]
) -> None:
    made = caller("vic").post(
        "/api/projects", {"name": "Mine", "username": "alice", "user_display_name": "X"}
    )
    assert made.status == 200
    member = Membership.objects.get(project__slug="mine")
    assert (member.user.username, member.role) == ("vic", Role.OWNER)
    assert User.objects.get(username="alice").display_name != "X"
    assert caller("alice").post("/api/projects", {"name": "Mine"}).error[3] == TAKEN


def test_only_an_owner_writes_a_project_anew(project: Project, caller: Callable[..., Api]) -> None:
    body = {"name": "Renamed", "slug": project.slug}
    refused = caller("erin").post("/api/projects", body)
    assert refused.error[:3] == (403, "validation", "forbidden")
    assert caller("alice", role=Role.EDITOR).post("/api/projects", body).status == 403
    second = make_project(name="Second", owner=User.objects.get(username="alice"))
    scoped = caller("alice", project=second)
    assert scoped.post("/api/projects", body).error == (403, "validation", "forbidden", NOT_AUTHORIZED)
    assert scoped.post("/api/projects", {"name": "Third"}).error[3] == NOT_AUTHORIZED
    assert scoped.post("/api/projects", {"name": "Second again", "slug": "second"}).status == 200
    project.refresh_from_db()
    assert project.name == "Saltmarsh"
    assert not Project.objects.filter(slug="third").exists()


def test_one_sees_ones_own_projects_only(project: Project, caller: Callable[..., Api]) -> None:
    make_project(name="Foreign")
    second = make_project(name="Second", owner=User.objects.get(username="alice"))
    seen = caller("alice").get("/api/projects").body
    assert [row["slug"] for row in seen["projects"]] == ["second", project.slug]
    assert seen["count"] == 2
    assert [row["slug"] for row in caller("alice", project=second).get("/api/projects").body["projects"]] == [
        "second"
    ]
    make_user(username="mallory")
    assert caller("mallory").get("/api/projects").body["projects"] == []


def test_a_list_goes_on_where_it_ended(project: Project, bypass: Api) -> None:
    for number in range(5):
        make_project(name=f"P{number}")
    whole = [row["slug"] for row in bypass.get("/api/projects").body["projects"]]
    read: list[str] = []
    cursor = ""
    while True:
        page = bypass.get("/api/projects", limit=2, cursor=cursor).body
        read += [row["slug"] for row in page["projects"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert read == whole
    assert len(read) == 6
    for foreign in ("x", "WzFd", "bnVsbA"):
        assert bypass.get("/api/projects", cursor=foreign).status == 400


def test_the_list_takes_the_same_number_of_queries_whatever_there_is(
    project: Project, caller: Callable[..., Api]
) -> None:
    alice = caller("alice")
    alice.get("/api/projects")
    with CaptureQueriesContext(connection) as few:
        alice.get("/api/projects")
    for number in range(4):
        make_project(name=f"P{number}", owner=User.objects.get(username="alice"))
    with CaptureQueriesContext(connection) as many:
        assert alice.get("/api/projects").body["count"] == 5
    assert len(few) == len(many) == 2


def test_a_project_counts_what_it_holds(project: Project, caller: Callable[..., Api]) -> None:
    make_run(project, n_scenes=3)
    counts = caller("vic").get(f"/api/projects/{project.slug}").body["counts"]
    assert counts == {"runs": 1, "jobs": 3, "assets": 0}


@pytest.mark.acceptance("U-11")
def test_storage_is_read_and_changed_in_part(
    project: Project, caller: Callable[..., Api], settings: Settings
) -> None:
    alice, path = caller("alice"), f"/api/projects/{project.slug}/storage"
    assert alice.get(path).body["storage"]["s3"] == {
        "enabled": False, "bucket": "", "prefix": "iat-projects", "region": "",
        "profile": "", "endpoint_url": "",
    }  # fmt: skip
    changed = alice.put(f"{path}/local", {"project_root": "/tmp/x-of-nobody"}).body
    assert changed["updated"] == "local"
    assert changed["storage"]["local"] == {"base_dir": "var/projects", "project_root": "/tmp/x-of-nobody"}
    back = alice.put(f"{path}/local", {"project_root": " ", "base_dir": " comics "}).body["storage"]["local"]
    assert back == {"base_dir": "comics", "project_root": str(settings.APP_ROOT / "comics" / project.slug)}
    s3 = alice.put(f"{path}/s3", {"enabled": True, "bucket": " shelf ", "prefix": "  "}).body
    assert s3["updated"] == "s3"
    assert s3["storage"]["s3"]["bucket"] == "shelf"
    assert s3["storage"]["s3"]["prefix"] == "iat-projects"
    still = alice.raw("PUT", f"{path}/s3", b"").body
    assert still["storage"]["s3"]["enabled"] is True
    assert AuditEvent.objects.get(pk=still["audit_id"]).payload == {"updated": "s3"}
    assert caller("erin").put(f"{path}/s3", {"enabled": False}).status == 403


def test_storage_texts_come_in_the_order_of_the_contract(bypass: Api, project: Project) -> None:
    nothing = "Provide at least one of: base_dir, project_root"
    assert bypass.put("/api/projects/unknown/storage/local", {}).error[::3] == (400, nothing)
    assert bypass.put("/api/projects/unknown/storage/local", {"base_dir": ""}).error[::3] == (
        404, "Project not found"
    )  # fmt: skip
    path = f"/api/projects/{project.slug}/storage/local"
    assert bypass.put(path, {"base_dir": " "}).error[::3] == (400, "Field 'base_dir' must not be empty")
    assert bypass.put("/api/projects/unknown/storage/s3", {}).status == 404
    assert bypass.put(path, {"base_dir": 3}).error[:3] == (422, "validation", "validation_error")
    assert bypass.put(path, {"base_dir": "../up"}).status == 400


def test_the_bypass_writes_as_the_first_owner(bypass: Api) -> None:
    bypass.post("/api/projects", {"name": "Ink"})
    assert Membership.objects.get(project__slug="ink").user == first_owner()
