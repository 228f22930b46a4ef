"""manage.py universe: export, import, diff, history, restore, copy."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from bootstrap import services
from bootstrap.models import SettingsSnapshot
from bootstrap.rows import load
from projects.access import OPERATOR, Role
from projects.models import Character, Project, ProviderAccount, Secret
from tests.db.test_exchange_proofs import CHANGED, WHOLE
from tests.exchange import document, dump

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def database_file(settings: Settings, tmp_path: Path) -> None:
    settings.DATABASE_FILE = tmp_path / "data" / "backend" / "app.db"


@pytest.fixture
def whole(project: Project) -> Project:
    universe("history", "saltmarsh")  # the first command makes the account `local`
    services.apply(project, document(WHOLE), by=OPERATOR, role=Role.OWNER)
    Secret.objects.update(value_encrypted="enc:v1:hidden")
    ProviderAccount.objects.update(config={"api_key": "sk-hidden-4711", "model": "m"})
    project.refresh_from_db()
    return project


def universe(*arguments: object) -> str:
    out = io.StringIO()
    call_command("universe", *map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def told(*arguments: object) -> dict[str, Any]:
    return dict(json.loads(universe(*arguments, "--json")))


def test_an_export_is_private_holds_no_secret_and_comes_back_exactly(whole: Project, tmp_path: Path) -> None:
    file = tmp_path / "saltmarsh.json"
    universe("export", "saltmarsh", "--output", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    exported = file.read_text()
    assert "hidden" not in exported
    assert "confidential" in exported
    assert universe("export", "saltmarsh").split('"settings"')[1] == exported.split('"settings"')[1]
    assert universe("diff", "saltmarsh", file) == "No difference\n"
    was = load(whole).state
    services.apply(whole, document(CHANGED, "replace"), by=OPERATOR, role=Role.OWNER)
    # The credential of old went with its account: the file can't bring it back, and says so.
    with pytest.raises(CommandError, match="none is stored"):
        universe("import", "saltmarsh", file, "--mode", "replace")
    file.write_text(exported.replace('"api_key": "[kept]"', '"api_key": ""'))
    universe("import", "saltmarsh", file, "--mode", "replace")
    whole.refresh_from_db()
    now = load(whole).state
    for section in was.sections:
        if section not in ("provider_accounts", "secrets"):
            assert now.sections[section] == was.sections[section]


def test_an_existing_file_is_not_overwritten(whole: Project, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text("mine")
    with pytest.raises(CommandError, match="exists"):
        universe("export", "saltmarsh", "--output", file)
    assert file.read_text() == "mine"
    universe("export", "saltmarsh", "--output", file, "--force")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="can't be written"):
        universe("export", "saltmarsh", "--output", tmp_path / "nowhere" / "x.json")


def test_an_answer_is_imported_shown_and_undone(whole: Project, tmp_path: Path) -> None:
    file = tmp_path / "answer.md"
    file.write_text(
        'Sure:\n```json\n{"characters": [{"name": "MIRA", "description": "new"}, {"name": "Zoe"},]}\n```'
    )
    before = dump()
    dry = told("import", "saltmarsh", file, "--dry-run")
    assert dump() == before
    assert [(one["kind"], one["name"]) for one in dry["changes"]] == [("created", "Zoe"), ("updated", "MIRA")]
    assert universe("diff", "saltmarsh", file) == (
        "+ characters: Zoe\n~ characters: MIRA\n    Name: 'Mira' -> 'MIRA'\n    Description: 'old' -> 'new'\n"
        "created 1, updated 1\n"
    )
    done = told("import", "saltmarsh", file)
    assert done["changes"] == dry["changes"]
    assert done["snapshot"] in universe("history", "saltmarsh")
    assert told("history", "saltmarsh")["snapshots"][0]["id"] == done["snapshot"]
    assert "- characters: Zoe" in universe("diff", "saltmarsh", done["snapshot"])
    assert "- characters: Zoe" in universe("restore", "saltmarsh", done["snapshot"], "--dry-run")
    assert Character.objects.filter(name="Zoe").exists()
    universe("restore", "saltmarsh", done["snapshot"])
    assert sorted(whole.characters.values_list("name", flat=True)) == ["Mira", "Tomas"]
    assert universe("diff", "saltmarsh", done["snapshot"]) == "No difference\n"


def test_a_universe_begins_with_the_settings_of_another(whole: Project) -> None:
    first = SettingsSnapshot.objects.get()
    universe("copy", "saltmarsh", "Second", "--owner", "alice")
    universe("copy", "saltmarsh", "Third", "--owner", "alice", "--snapshot", first.pk)
    assert Project.objects.get(slug="second").characters.count() == 2
    assert Project.objects.get(slug="third").characters.count() == 0
    assert Secret.objects.filter(project__slug="second").get().value_encrypted == ""
    assert "hidden" not in str(ProviderAccount.objects.get(project__slug="second").config)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["import", "saltmarsh", "nowhere.json"], "can't be read"),
        (["import", "nowhere", "nowhere.json"], "no universe"),
        (["import", "saltmarsh", "BAD"], r"characters\[0\].name"),
        (["import", "saltmarsh", "BYTES"], "no text in UTF-8"),
        (["restore", "saltmarsh", "00000000-0000-4000-8000-000000000000"], "has no snapshot"),
        (["diff", "saltmarsh", "00000000-0000-4000-8000-000000000000"], "has no snapshot"),
        (["copy", "saltmarsh", "Second", "--owner", "nobody"], "no active account"),
        (["copy", "saltmarsh", "Saltmarsh", "--owner", "alice"], "exists already"),
    ],
)
def test_what_can_t_be_done_is_told_and_changes_nothing(
    whole: Project, tmp_path: Path, arguments: list[str], error: str
) -> None:
    (tmp_path / "bad.json").write_text('{"characters": [{}]}')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    files = {"BAD": str(tmp_path / "bad.json"), "BYTES": str(tmp_path / "bytes.json")}
    before = dump()
    with pytest.raises(CommandError, match=error):
        universe(*[files.get(argument, argument) for argument in arguments])
    assert dump() == before
