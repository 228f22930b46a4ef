"""Secrets at rest: written, used, rotated; a planted value is found nowhere."""

import logging
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as configured
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from kroma_site import keys, prepare
from projects import crypto
from projects.access import OPERATOR
from projects.crypto import KeyUnusable
from projects.errors import Invalid, NotFound
from projects.models import AuditEvent, Project, Secret
from projects.services import secrets
from tests.factories import make_project

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-7f1d2c93b0"


def put(project: Project, *, value: str = CANARY, name: str = "api_key") -> Secret:
    secrets.set_secret(project, "openai", name, value=value, by=OPERATOR)
    return Secret.objects.get(project=project, secret_name=name)


@pytest.mark.acceptance("U-14")
def test_a_value_comes_back_and_is_stored_encrypted(project: Project) -> None:
    secret = put(project)
    assert secret.value_encrypted.startswith("enc:v1:")
    assert CANARY not in secret.value_encrypted
    assert secrets.secret_value(project, "openai", "api_key") == CANARY
    assert secrets.secret_value(project, "openai", "other") == ""
    assert secrets.secret_value(make_project(name="Other"), "openai", "api_key") == ""


def test_a_second_value_takes_the_place_of_the_first(project: Project) -> None:
    made = put(project).created_at
    secret = put(project, value="another")
    assert secret.created_at == made
    assert secrets.secret_value(project, "openai", "api_key") == "another"


def test_code_and_name_are_normalised_and_blanks_refused(project: Project) -> None:
    secrets.set_secret(project, " OpenAI ", " api_key ", value=" v ", by=OPERATOR)
    assert secrets.secret_value(project, "openai", "api_key") == "v"
    for code, name, value in ((" ", "n", "v"), ("c", " ", "v"), ("c", "n", " ")):
        with pytest.raises(Invalid, match="is required"):
            secrets.set_secret(project, code, name, value=value, by=OPERATOR)


@pytest.mark.acceptance("U-10")
def test_each_write_is_audited_without_the_value(project: Project) -> None:
    put(project)
    secrets.rotate_secrets(project, by=OPERATOR, force=True)
    secrets.delete_secret(project, "openai", "api_key", by=OPERATOR)
    events = list(AuditEvent.objects.filter(event_code__startswith="secret.").order_by("sequence"))
    assert [event.event_code for event in events] == ["secret.upsert", "secret.rotate", "secret.delete"]
    named = {"provider_code": "openai", "secret_name": "api_key"}
    assert [event.payload for event in events] == [
        named, {"from_key_ref": "", "force": True, "rotated": 1}, named,
    ]  # fmt: skip
    with pytest.raises(NotFound, match="has no secret openai/api_key"):
        secrets.delete_secret(project, "openai", "api_key", by=OPERATOR)


@pytest.mark.acceptance("U-14")
def test_values_survive_a_rotation_of_the_key(project: Project, settings: Settings) -> None:
    put(project)
    old = settings.MASTER_KEY
    settings.MASTER_KEY, settings.MASTER_KEY_REF = Fernet.generate_key().decode(), "second"
    with pytest.raises(KeyUnusable, match=r"openai/api_key can't be used.*IAT_MASTER_KEY_PREVIOUS"):
        secrets.secret_value(project, "openai", "api_key")
    settings.MASTER_KEYS_PREVIOUS = [old]
    assert secrets.secret_value(project, "openai", "api_key") == CANARY
    assert secrets.rotate_secrets(project, by=OPERATOR)[0] == secrets.Rotation(scanned=1, rotated=1)
    settings.MASTER_KEYS_PREVIOUS = []
    assert secrets.secret_value(project, "openai", "api_key") == CANARY
    assert secrets.rotation_status(project).key_refs == {"second": 1}


def test_a_rotation_counts_what_it_passes_over(project: Project) -> None:
    put(project)
    Secret.objects.create(project=project, provider_code="a", secret_name="empty", key_ref="older")
    plain = Secret.objects.create(
        project=project, provider_code="a", secret_name="plain", value_encrypted="in the clear",
        key_ref="local-master",
    )  # fmt: skip
    status = secrets.rotation_status(project)
    assert (status.total, status.encrypted, status.plaintext, status.empty) == (3, 1, 1, 1)
    assert status.key_refs == {"local-master": 2, "older": 1}
    assert secrets.secret_value(project, "a", "plain") == "in the clear"
    assert secrets.rotate_secrets(project, by=OPERATOR, from_key_ref="nobody")[0].scanned == 0
    assert secrets.rotate_secrets(project, by=OPERATOR)[0] == secrets.Rotation(
        scanned=3, rotated=1, skipped_empty=1, skipped_current_key_ref=1, plaintext_reencrypted=1
    )
    plain.refresh_from_db()
    assert crypto.is_encrypted(plain.value_encrypted)


def test_a_rotation_that_meets_an_unreadable_value_changes_nothing(
    project: Project, settings: Settings
) -> None:
    put(project, name="first")
    settings.MASTER_KEY = Fernet.generate_key().decode()
    put(project, name="second")
    before = list(Secret.objects.order_by("pk").values_list("value_encrypted", flat=True))
    with pytest.raises(KeyUnusable, match="Nothing was rotated: openai/first can't be read"):
        secrets.rotate_secrets(project, by=OPERATOR, force=True)
    assert list(Secret.objects.order_by("pk").values_list("value_encrypted", flat=True)) == before
    assert not AuditEvent.objects.filter(event_code="secret.rotate").exists()


def test_the_first_start_makes_the_key_file_for_its_owner_only(settings: Settings) -> None:
    settings.MASTER_KEY = ""
    prepare._have_master_key()
    assert stat.S_IMODE(settings.MASTER_KEY_FILE.stat().st_mode) == 0o600
    key = settings.MASTER_KEY_FILE.read_text()
    assert crypto.is_key(key.strip())
    prepare._have_master_key()
    assert settings.MASTER_KEY_FILE.read_text() == key


def test_a_key_file_that_is_gone_is_named_and_never_replaced(project: Project, settings: Settings) -> None:
    settings.MASTER_KEY = ""
    prepare._have_master_key()
    put(project)
    settings.MASTER_KEY_FILE.unlink()
    with pytest.raises(CommandError, match=r"master\.key is missing, and 1 stored secrets need it"):
        prepare._have_master_key()
    assert not settings.MASTER_KEY_FILE.exists()
    with pytest.raises(KeyUnusable, match=r"master\.key is missing: restore it"):
        secrets.secret_value(project, "openai", "api_key")
    secrets.delete_secret(project, "openai", "api_key", by=OPERATOR)
    prepare._have_master_key()
    assert settings.MASTER_KEY_FILE.exists()


def test_a_key_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(ImproperlyConfigured, match="IAT_MASTER_KEY must be 32 random bytes") as caught:
        keys.checked_master_key("nearly-a-key", "IAT_MASTER_KEY")
    assert "nearly" not in str(caught.value)


def test_no_column_log_repr_error_or_output_holds_the_value(
    project: Project,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = put(project)
    told = [repr(secret), str(secret), repr(secrets.list_secrets(project))]
    told.append(repr(secrets.rotation_status(project)))
    for what in ("list", "rotation-status", "rotate"):
        call_command("secret", what, "--project", project.slug, "--json")
    call_command("secret", "list", "--project", project.slug)
    settings.MASTER_KEY = Fernet.generate_key().decode()
    for attempt in (
        lambda: secrets.secret_value(project, "openai", "api_key"),
        lambda: secrets.rotate_secrets(project, by=OPERATOR, force=True),
        lambda: secrets.set_secret(project, "", "n", value=CANARY, by=OPERATOR),
    ):
        with pytest.raises((KeyUnusable, Invalid)) as caught:
            attempt()
        told.append(f"{caught.value!r} {caught.value.__cause__!r}")
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            told.append(repr(cursor.fetchall()))
    output = capsys.readouterr()
    assert "openai" in output.out, "the commands said something"
    assert CANARY not in "".join(told) + caplog.text + output.out + output.err


def manage(
    folder: Path, *words: str, entered: str = "", **variables: str
) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KROMA_", "DJANGO_"))}
    return subprocess.run(
        [sys.executable, str(configured.BASE_DIR / "manage.py"), *words],
        env=own | {"KROMA_DATA_DIR": str(folder)} | variables,
        input=entered, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_command_leaves_the_value_in_no_file_of_the_data_folder(tmp_path: Path, prepared: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "own")
    script = (
        "from projects.services.projects import create_project;"
        "from projects.services.people import first_owner; from projects.access import OPERATOR;"
        "create_project(name='Harbour', owner=first_owner(), by=OPERATOR)"
    )
    assert manage(folder, "shell", "-v", "0", "-c", script).returncode == 0
    here = ("--project", "harbour")
    typed = manage(folder, "secret", "set", *here, "--provider", "openai", entered=f"{CANARY}\n")
    assert typed.returncode == 0, typed.stderr
    named = (*here, "--provider", "s3", "--name", "secret_access_key")
    from_variable = manage(folder, "secret", "set", *named, "--value-env", "PLANTED", PLANTED=CANARY)
    assert from_variable.returncode == 0, from_variable.stderr
    listed = manage(folder, "secret", "list", *here)
    assert listed.stdout.splitlines() == ["openai/api_key  stored", "s3/secret_access_key  stored"]
    read = "from projects.services.secrets import secret_value as v; from projects.models import Project;"
    read += "print(len(v(Project.objects.get(), 'openai', 'api_key')))"
    assert manage(folder, "shell", "-v", "0", "-c", read).stdout.strip() == str(len(CANARY))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "app.db" for path in files)
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    told = "".join(done.stdout + done.stderr for done in (typed, from_variable, listed))
    assert CANARY not in told
    (folder / "backend/master.key").unlink()
    again = manage(folder, "secret", "set", *named, entered=CANARY)
    assert again.returncode == 1
    assert "master.key is missing, and 2 stored secrets need it" in again.stderr
    gone = manage(folder, "secret", "delete", *named)
    assert gone.stdout.strip() == "Deleted s3/secret_access_key", gone.stderr
