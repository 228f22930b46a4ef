"""Section 9: secrets are written and rotated, and never come out."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from projects import crypto
from projects.models import AuditEvent, Secret
from tests.api.contract import routes, shapes
from tests.api.contract.conftest import World
from tests.api.contract.routes import absent, invalid
from tests.api.contract.shapes import faults

ROTATE, STATUS = f"{routes.SECRETS}/rotate", f"{routes.SECRETS}/rotation-status"
VALUE = "sk-hidden-4711-value"
OTHER_KEY = base64.urlsafe_b64encode(b"another-key-another-key-another-").decode()


def stored(world: World, name: str, *, value: str, key_ref: str) -> Secret:
    return Secret.objects.create(
        project=world.project, provider_code="p", secret_name=name, value_encrypted=value, key_ref=key_ref
    )


@pytest.fixture
def mixed(plain: World) -> World:
    """One secret of each sort: encrypted now, encrypted before, in the clear before and now, and empty."""
    stored(plain, "now", value=crypto.encrypt("v-now"), key_ref="local-master")
    stored(plain, "before", value=crypto.encrypt("v-before"), key_ref="old")
    stored(plain, "clear", value="v-clear", key_ref="old")
    stored(plain, "clear-now", value="v-clear-now", key_ref="local-master")
    stored(plain, "empty", value="", key_ref="old")
    return plain


def rotated(world: World, **body: object) -> dict[str, Any]:
    rotation: dict[str, Any] = world.post(ROTATE, body)["rotation"]
    assert faults(rotation, shapes.ROTATION) == []
    return {name: rotation[name] for name in shapes.ROTATION}


def counters(scanned: int, done: int, empty: int, current: int, plaintext: int) -> dict[str, int]:
    return {
        "scanned": scanned, "rotated": done, "skipped_empty": empty, "skipped_current_key_ref": current,
        "plaintext_reencrypted": plaintext,
    }  # fmt: skip


def test_a_secret_is_stored_encrypted_under_its_normalised_code(plain: World) -> None:
    body = {"provider_code": " Open AI ", "secret_name": "  Main Key ", "secret_value": f"  {VALUE}\n"}
    answer = plain.post(routes.SECRETS, body)
    assert answer["secret"]["provider_code"] == "open_ai"
    assert answer["secret"]["secret_name"] == "Main Key"
    assert answer["secret"]["has_value"] is True
    row = Secret.objects.get()
    assert row.value_encrypted.startswith("enc:v1:")
    assert "hidden" not in row.value_encrypted
    assert crypto.decrypt(row.value_encrypted) == VALUE
    assert row.key_ref == "local-master"


def test_no_answer_and_no_event_holds_a_value_or_what_is_stored_of_it(plain: World) -> None:
    secret = {"provider_code": "openai", "secret_name": "n", "secret_value": VALUE}
    texts = [str(plain.post(routes.SECRETS, secret))]
    row = Secret.objects.get()
    texts += [
        str(plain.post(ROTATE, {"force": True})),
        *(str(plain.get(path)) for path in (routes.SECRETS, STATUS, f"{routes.P}/bootstrap-prompt")),
        str(plain.delete(f"{routes.SECRETS}/openai/n")),
        *(str(event.payload) for event in AuditEvent.objects.all()),
    ]
    for text in texts:
        assert VALUE not in text
        assert row.value_encrypted not in text
        assert not re.search(r"""["']secret_value\\?["']\s*:""", text)


def test_writing_a_secret_again_replaces_its_value_and_keeps_its_creation(plain: World) -> None:
    secret = {"provider_code": "openai", "secret_name": "n", "secret_value": "one"}
    plain.post(routes.SECRETS, secret)
    Secret.objects.update(
        created_at="2020-01-01T00:00:00Z",
        updated_at="2020-01-01T00:00:00Z",
        key_ref="old",
        value_encrypted="",
    )
    assert plain.get(routes.SECRETS)["secrets"][0]["has_value"] is False
    shown = plain.post(routes.SECRETS, {**secret, "secret_value": "two"})["secret"]
    row = Secret.objects.get()
    assert crypto.decrypt(row.value_encrypted) == "two"
    assert (row.key_ref, row.created_at.year) == ("local-master", 2020)
    assert shown["updated_at"] > "2020-01-01T00:00:00Z"


def test_letter_case_of_a_secret_s_name_counts(plain: World) -> None:
    for name in ("Key", "key"):
        plain.post(routes.SECRETS, {"provider_code": "p", "secret_name": name, "secret_value": "v"})
    assert plain.get(routes.SECRETS)["count"] == 2
    plain.delete(f"{routes.SECRETS}/P/%20Key%20")
    assert [row["secret_name"] for row in plain.get(routes.SECRETS)["secrets"]] == ["key"]
    assert plain.api.delete(plain.at(f"{routes.SECRETS}/p/Key")).error == absent("Secret not found")


def test_a_deleted_secret_is_answered_without_echo(plain: World) -> None:
    plain.post(routes.SECRETS, {"provider_code": "p", "secret_name": "n", "secret_value": "v"})
    body = plain.delete(f"{routes.SECRETS}/p/n")
    assert body["deleted"] is True
    assert not {"id", "secret_name", "provider_code"} & set(body)


def test_the_status_counts_each_secret_once(mixed: World) -> None:
    status = mixed.get(STATUS)["status"]
    assert faults(status, shapes.SECRET_STATUS) == []
    assert (status["total"], status["encrypted"], status["plaintext"], status["empty"]) == (5, 2, 2, 1)
    assert [(row["key_ref"], row["count"]) for row in status["key_refs"]] == [("local-master", 2), ("old", 3)]


def test_the_status_of_no_secrets_is_zero(plain: World) -> None:
    status = plain.get(STATUS)["status"]
    assert {name: status[name] for name in shapes.SECRET_STATUS} == {
        "total": 0, "encrypted": 0, "plaintext": 0, "empty": 0, "key_refs": []
    }  # fmt: skip


def test_a_rotation_takes_what_is_not_under_the_current_key_and_all_plaintext(mixed: World) -> None:
    kept = Secret.objects.get(secret_name="now").value_encrypted
    assert rotated(mixed) == counters(5, 3, 1, 1, 2)
    rows = {row.secret_name: row for row in Secret.objects.all()}
    assert rows["now"].value_encrypted == kept
    assert (rows["empty"].value_encrypted, rows["empty"].key_ref) == ("", "old")
    for name in ("before", "clear", "clear-now"):
        assert crypto.is_encrypted(rows[name].value_encrypted)
        assert crypto.decrypt(rows[name].value_encrypted) == f"v-{name}"
        assert rows[name].key_ref == "local-master"
    assert rotated(mixed) == counters(5, 0, 1, 4, 0)


def test_a_forced_rotation_takes_all_that_have_a_value(mixed: World) -> None:
    kept = Secret.objects.get(secret_name="now").value_encrypted
    assert rotated(mixed, force=True) == counters(5, 4, 1, 0, 2)
    assert Secret.objects.get(secret_name="now").value_encrypted != kept


def test_a_rotation_can_be_narrowed_to_one_key(mixed: World) -> None:
    assert rotated(mixed, from_key_ref="unknown") == counters(0, 0, 0, 0, 0)
    assert rotated(mixed, from_key_ref=" old ") == counters(3, 2, 1, 0, 1)
    assert rotated(mixed, from_key_ref="  ", force=False) == counters(5, 1, 1, 3, 1)
    assert rotated(mixed, from_key_ref=None) == counters(5, 0, 1, 4, 0)


def test_a_rotation_carries_values_over_to_a_new_key(mixed: World, settings: Settings) -> None:
    settings.MASTER_KEYS_PREVIOUS = [settings.MASTER_KEY]
    settings.MASTER_KEY, settings.MASTER_KEY_REF = OTHER_KEY, "second"
    assert rotated(mixed) == counters(5, 4, 1, 0, 2)
    settings.MASTER_KEYS_PREVIOUS = []
    assert crypto.decrypt(Secret.objects.get(secret_name="now").value_encrypted) == "v-now"
    refs = {row["key_ref"]: row["count"] for row in mixed.get(STATUS)["status"]["key_refs"]}
    assert refs == {"second": 4, "old": 1}


def test_one_value_that_can_t_be_read_stops_the_whole_rotation(mixed: World, settings: Settings) -> None:
    before = list(Secret.objects.order_by("pk").values())
    settings.MASTER_KEY = OTHER_KEY
    answered = mixed.api.post(mixed.at(ROTATE), {"force": True})
    assert answered.error == (500, "infra", "internal_error", "Internal server error")
    assert list(Secret.objects.order_by("pk").values()) == before


def test_rotating_nothing_needs_no_key(plain: World, settings: Settings, tmp_path: Path) -> None:
    settings.MASTER_KEY, settings.MASTER_KEY_FILE = "", tmp_path / "none" / "master.key"
    assert rotated(plain) == counters(0, 0, 0, 0, 0)
    assert plain.get(STATUS)["status"]["total"] == 0
    assert not settings.MASTER_KEY_FILE.exists()


def test_a_secret_for_an_unknown_project_makes_no_key_file(
    plain: World, settings: Settings, tmp_path: Path
) -> None:
    settings.MASTER_KEY, settings.MASTER_KEY_FILE = "", tmp_path / "none" / "master.key"
    secret = {"provider_code": "p", "secret_name": "n", "secret_value": "v"}
    assert plain.api.post("/api/projects/nowhere/secrets", secret).error == absent("Project not found")
    assert not settings.MASTER_KEY_FILE.exists()


def test_secrets_of_two_projects_are_apart(mixed: World, other: World) -> None:
    other.post(routes.SECRETS, {"provider_code": "p", "secret_name": "now", "secret_value": "theirs"})
    assert other.get(STATUS)["status"]["total"] == 1
    assert rotated(other, force=True) == counters(1, 1, 0, 0, 0)
    other.delete(f"{routes.SECRETS}/p/now")
    assert mixed.get(routes.SECRETS)["count"] == 5


@pytest.mark.parametrize("missing", ["provider_code", "secret_name", "secret_value"])
def test_a_secret_needs_all_its_parts(plain: World, missing: str) -> None:
    body = {"provider_code": "p", "secret_name": "n", "secret_value": VALUE, missing: "  "}
    assert plain.api.post(plain.at(routes.SECRETS), body).error == invalid(f"Field '{missing}' is required")
    assert not Secret.objects.exists()
