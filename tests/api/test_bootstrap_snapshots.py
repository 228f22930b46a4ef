"""Snapshots over the API, and what is additive in the import: fingerprint, entries left out, changes."""

from typing import Any

import pytest

from bootstrap.models import SettingsSnapshot
from projects.models import AuditEvent, Character, Project
from tests.api.conftest import Api
from tests.api.test_bootstrap import IMPORT
from tests.exchange import dump
from tests.factories import make_project

SNAPSHOTS = "/api/projects/saltmarsh/bootstrap-snapshots"


def imported(api: Api, settings: object, **more: object) -> dict[str, Any]:
    answered = api.post(IMPORT, {"settings": settings, **more})
    assert answered.status == 200, answered.body
    return answered.body["bootstrap_import"]


def test_an_import_tells_each_change_and_keeps_a_snapshot(bypass: Api, project: Project) -> None:
    Character.objects.create(project=project, name="Mira", description="tall")
    settings = {"characters": [{"name": "MIRA", "description": "very tall"}, {"name": "Zoe"}]}
    dry = imported(bypass, settings, dry_run=True)
    assert dry["snapshot_id"] == ""
    done = imported(bypass, settings, fingerprint=dry["fingerprint"])
    assert done["entries"] == dry["entries"]
    assert [(one["kind"], one["key"]) for one in done["entries"]] == [("created", "zoe"), ("updated", "mira")]
    assert done["entries"][1]["fields"][1] == {"label": "Description", "old": "tall", "new": "very tall"}
    (listed,) = bypass.get(SNAPSHOTS).body["bootstrap_snapshots"]
    assert listed["id"] == done["snapshot_id"]
    assert listed["changes"]["sections"]["characters"]["created"] == 1
    whole = bypass.get(f"{SNAPSHOTS}/{listed['id']}").body["bootstrap_snapshot"]
    assert [one["name"] for one in whole["settings"]["characters"]] == ["Mira"]


def test_a_stale_fingerprint_is_refused_with_the_new_changes(bypass: Api, project: Project) -> None:
    settings = {"characters": [{"name": "Mira"}]}
    dry = imported(bypass, settings, dry_run=True)
    Character.objects.create(project=project, name="Mira", description="by somebody else")
    before = dump()
    answered = bypass.post(IMPORT, {"settings": settings, "fingerprint": dry["fingerprint"]})
    assert answered.error[:3] == (400, "policy", "settings_changed")
    now = answered.body["bootstrap_import"]
    assert [one["kind"] for one in now["entries"]] == ["updated"]
    assert dump() == before
    imported(bypass, settings, fingerprint=now["fingerprint"])
    assert Character.objects.get().description == ""


def test_entries_are_left_out_by_their_keys(bypass: Api, project: Project) -> None:
    for name in ("Mira", "Old"):
        Character.objects.create(project=project, name=name, description="old")
    settings = {
        "project": {"name": "New"},
        "characters": [{"name": "mira"}, {"name": "Zoe"}, {"name": "Eve"}],
    }
    left_out = {"characters": ["mira", "old", "zoe"], "project": ["name"]}
    dry = imported(bypass, settings, mode="replace", dry_run=True, left_out=left_out)
    done = imported(bypass, settings, mode="replace", left_out=left_out)
    assert done["changes"] == dry["changes"]
    assert done["applied"]["characters"] == 1
    assert {one.name: one.description for one in Character.objects.all()} == {
        "Mira": "old", "Old": "old", "Eve": "",
    }  # fmt: skip
    assert done["project"]["name"] == project.name
    for wrong in ({"characters": ["nobody"]}, {"people": ["mira"]}, {"project": ["slug"]}):
        answered = bypass.post(IMPORT, {"settings": settings, "left_out": wrong})
        assert answered.error[:3] == (400, "validation", "validation_error")
        assert "left_out" in answered.error[3]


def test_a_restore_is_looked_at_carried_out_audited_and_undoable(bypass: Api, project: Project) -> None:
    first = imported(bypass, {"characters": [{"name": "Mira"}]})["snapshot_id"]
    at = f"{SNAPSHOTS}/{first}"
    before = dump()
    dry = bypass.post(f"{at}/restore", {"dry_run": True}).body["bootstrap_restore"]
    assert dump() == before
    assert [one["kind"] for one in dry["entries"]] == ["deleted"]
    Character.objects.create(project=project, name="Late")
    stale = bypass.post(f"{at}/restore", {"fingerprint": dry["fingerprint"]})
    assert stale.error[:3] == (400, "policy", "settings_changed")
    assert len(stale.body["bootstrap_restore"]["entries"]) == 2
    done = bypass.post(f"{at}/restore").body["bootstrap_restore"]
    assert not Character.objects.exists()
    assert AuditEvent.objects.filter(event_code="bootstrap.restore").count() == 1
    bypass.post(f"{SNAPSHOTS}/{done['snapshot_id']}/restore")
    assert Character.objects.count() == 2


def test_states_are_compared(bypass: Api, project: Project) -> None:
    first = imported(bypass, {"characters": [{"name": "Mira"}]})["snapshot_id"]
    second = imported(bypass, {"characters": [{"name": "Zoe"}]}, mode="replace")["snapshot_id"]
    to_now = bypass.get(f"{SNAPSHOTS}/{first}/changes").body["changes"]
    assert [(one["kind"], one["name"]) for one in to_now] == [("created", "Zoe")]
    between = bypass.get(f"{SNAPSHOTS}/{first}/changes", to=second).body["changes"]
    assert [(one["kind"], one["name"]) for one in between] == [("created", "Mira")]
    assert bypass.get(f"{SNAPSHOTS}/{first}/changes", to="x").error[3] == "Snapshot not found"


def test_snapshots_of_another_project_do_not_exist(bypass: Api, project: Project) -> None:
    make_project(name="Elsewhere")
    first = imported(bypass, {"characters": [{"name": "Mira"}]})["snapshot_id"]
    away = f"/api/projects/elsewhere/bootstrap-snapshots/{first}"
    for answered in (bypass.get(away), bypass.get(f"{away}/changes"), bypass.post(f"{away}/restore")):
        assert answered.error[:2] == (404, "validation")
    assert SettingsSnapshot.objects.count() == 1


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"max_concurrency": 2}, "is required beside"),
        ({"max_concurrency": 0, "requests_per_minute": None}, "must be null or between"),
    ],
)
def test_limits_come_together_and_in_their_bounds(
    bypass: Api, project: Project, limits: dict[str, object], error: str
) -> None:
    settings = {"provider_accounts": [{"provider_code": "openai", **limits}]}
    assert error in bypass.post(IMPORT, {"settings": settings}).error[3]
    good = {"max_concurrency": 2, "requests_per_minute": None}
    imported(bypass, {"provider_accounts": [{"provider_code": "openai", **good}]})
    imported(bypass, {"provider_accounts": [{"provider_code": "openai"}]}, mode="replace")
    assert project.provider_accounts.get().max_concurrency == 2
