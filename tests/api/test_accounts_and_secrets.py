"""Routes: provider accounts and secrets."""

from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from pipeline.services.accounts import access_to
from projects.models import AuditEvent, Project, ProviderAccount, Secret
from projects.services.secrets import secret_value
from tests.api.conftest import Api

CANARY = "sk-canary-0123456789abcdef"


@pytest.fixture
def path(project: Project) -> str:
    return f"/api/projects/{project.slug}"


@pytest.mark.acceptance("U-09", "U-16")
def test_an_account_is_written_whole_and_changed_in_part(bypass: Api, path: str) -> None:
    full = {
        "provider_code": "Open AI", "display_name": " Studio ", "account_ref": "a", "base_url": "https://x.example",
        "enabled": False, "config_json": {"model": "m"}, "max_concurrency": 3,
    }  # fmt: skip
    made = bypass.post(f"{path}/provider-accounts", full).body["provider_account"]
    assert made["provider_code"] == "open_ai"
    assert (made["display_name"], made["enabled"], made["config_json"]) == ("Studio", False, {"model": "m"})
    again = bypass.post(f"{path}/provider-accounts", {"provider_code": "open_ai"}).body
    assert again["provider_account"] == {
        **made, "display_name": "open_ai", "account_ref": "", "base_url": "", "enabled": True,
        "config_json": {},
        "max_concurrency": 3, "updated_at": again["provider_account"]["updated_at"],
    }  # fmt: skip
    event = AuditEvent.objects.get(pk=again["audit_id"])
    assert (event.event_code, event.payload["provider_code"]) == ("provider_account.upsert", "open_ai")
    one = f"{path}/provider-accounts/OPEN%20AI"
    for value in ([1, "x"], "text", 0, False, {"a": None}):
        assert bypass.put(one, {"config_json": value}).body["provider_account"]["config_json"] == value
        assert bypass.get(one).body["provider_account"]["config_json"] == value
    assert bypass.put(one, {"config_json": None, "base_url": ""}).body["provider_account"]["config_json"] == {
        "a": None
    }
    assert bypass.put(one, {"max_concurrency": 0}).body["provider_account"]["max_concurrency"] == 0
    assert "audit_id" not in bypass.get(one).body
    gone = bypass.delete(one).body
    assert gone["provider_code"] == "OPEN AI"
    assert AuditEvent.objects.get(pk=gone["audit_id"]).payload == {"provider_code": "OPEN AI"}
    assert bypass.delete(one).error == (404, "validation", "not_found", "Provider account not found")


def test_an_account_whose_configuration_is_no_object_is_odd_but_no_crash(project: Project) -> None:
    ProviderAccount.objects.create(project=project, provider_code="openai", config=[1])
    assert access_to(project, "openai").prices == {}


def test_account_texts_come_in_the_order_of_the_contract(bypass: Api, path: str) -> None:
    at = f"{path}/provider-accounts"
    required = (400, "validation", "validation_error", "Field 'provider_code' is required")
    assert bypass.post("/api/projects/unknown/provider-accounts", {"provider_code": "!!"}).error == required
    assert bypass.post("/api/projects/unknown/provider-accounts", {"provider_code": "x"}).status == 404
    assert bypass.get("/api/projects/unknown/provider-accounts/!!").error == required
    nothing = "Provide at least one of: display_name, account_ref, base_url, enabled, config_json"
    assert bypass.put("/api/projects/unknown/provider-accounts/!!", {}).error[3] == nothing
    assert bypass.put(f"{at}/none", {"display_name": " "}).status == 404
    bypass.post(at, {"provider_code": "x"})
    assert bypass.put(f"{at}/x", {"display_name": " "}).error[3] == "Field 'display_name' is required"
    for body in (
        {"max_concurrency": -1}, {"max_concurrency": 2**31}, {"base_url": "ftp://x"},
        {"account_ref": "x" * 201},
        {"base_url": "https://me:pw@x.example"}, {"config_json": {"a": "x" * 70_000}},
    ):  # fmt: skip
        assert bypass.put(f"{at}/x", body).status == 400, body
        assert bypass.post(at, {"provider_code": "x", **body}).status == 400, body
    assert bypass.post(at, {"provider_code": "x" * 101}).status == 400


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"api_key": "abc"}, "api_key"),
        ({"headers": {"Authorization": "x"}}, "headers.Authorization"),
        ({"list": [{"clientSecret": "x"}]}, "list[0].clientSecret"),
        ({"note": "sk-0123456789"}, "note"),
        ({"note": "Bearer abcdefghij"}, "note"),
    ],
)
def test_a_credential_in_a_configuration_is_refused_and_named(
    bypass: Api, path: str, config: object, where: str
) -> None:
    body = {"provider_code": "x", "config_json": config}
    error = bypass.post(f"{path}/provider-accounts", body).error
    assert error[0] == 400
    assert f"({where})" in error[3]
    assert not ProviderAccount.objects.exists()


def test_what_only_sounds_like_a_credential_may_stand_in_a_configuration(bypass: Api, path: str) -> None:
    config = {
        "max_tokens": 3,
        "token_limit": "4",
        "api_key": "",
        "secret_santa": "x",
        "tokens": 5,
        "key": "C",
    }
    body = {"provider_code": "x", "config_json": config}
    assert bypass.post(f"{path}/provider-accounts", body).status == 200


@pytest.mark.acceptance("U-10", "U-14")
def test_a_secret_comes_in_and_never_out(bypass: Api, path: str, project: Project) -> None:
    body = {"provider_code": "OpenAI", "secret_name": " Api Key ", "secret_value": f" {CANARY} "}
    saved = bypass.post(f"{path}/secrets", body).body
    assert set(saved["secret"]) == {"project_id", "provider_code", "secret_name", "has_value", "updated_at"}
    assert saved["secret"]["has_value"] is True
    assert secret_value(project, "openai", "Api Key") == CANARY
    event = AuditEvent.objects.get(pk=saved["audit_id"])
    assert event.payload == {"provider_code": "openai", "secret_name": "Api Key"}
    Secret.objects.create(project=project, provider_code="anthropic", secret_name="k", key_ref="old")
    listed = bypass.get(f"{path}/secrets").body
    assert [(row["provider_code"], row["has_value"]) for row in listed["secrets"]] == [
        ("anthropic", False), ("openai", True)
    ]  # fmt: skip
    status = bypass.get(f"{path}/secrets/rotation-status").body["status"]
    assert status == {
        "total": 2, "encrypted": 1, "plaintext": 0, "empty": 1,
        "key_refs": [{"key_ref": "local-master", "count": 1}, {"key_ref": "old", "count": 1}],
    }  # fmt: skip
    assert CANARY not in str([saved, listed, status, list(AuditEvent.objects.values())])
    gone = bypass.delete(f"{path}/secrets/OPENAI/%20Api%20Key%20")
    assert set(gone.body) == {"ok", "deleted", "audit_id"}
    assert bypass.delete(f"{path}/secrets/openai/Api%20Key").error[::3] == (404, "Secret not found")


def test_only_an_owner_stores_secrets(path: str, caller: Callable[..., Api]) -> None:
    body = {"provider_code": "x", "secret_name": "y", "secret_value": CANARY}
    assert caller("erin").post(f"{path}/secrets", body).status == 403
    assert caller("alice").post(f"{path}/secrets", body).status == 200
    assert caller("vic").get(f"{path}/secrets").body["count"] == 1


def test_secret_texts_come_in_the_order_of_the_contract(bypass: Api, path: str) -> None:
    for body, name in (
        ({"provider_code": "!!"}, "provider_code"),
        ({"provider_code": "x"}, "secret_name"),
        ({"provider_code": "x", "secret_name": "y", "secret_value": " "}, "secret_value"),
    ):
        error = bypass.post("/api/projects/unknown/secrets", body).error
        assert error == (400, "validation", "validation_error", f"Field '{name}' is required")
    whole = {"provider_code": "x", "secret_name": "y", "secret_value": "v"}
    assert bypass.post("/api/projects/unknown/secrets", whole).status == 404
    assert bypass.post(f"{path}/secrets", {**whole, "secret_value": "v" * 20_001}).status == 400
    assert bypass.delete(f"{path}/secrets/!!/y").status == 400
    assert bypass.delete(f"{path}/secrets/x/%20").error[3] == "Field 'secret_name' is required"
    assert bypass.delete(f"{path}/secrets/x/%00").status == 400
    assert bypass.delete("/api/projects/unknown/secrets/x/y").error[::3] == (404, "Secret not found")


def test_secrets_are_rotated_all_or_none(
    bypass: Api, path: str, project: Project, settings: Settings
) -> None:
    for name in ("a", "b"):
        body = {"provider_code": "x", "secret_name": name, "secret_value": CANARY}
        bypass.post(f"{path}/secrets", body)
    Secret.objects.create(project=project, provider_code="x", secret_name="c", value_encrypted="plain")
    rotated = bypass.post(f"{path}/secrets/rotate", {"from_key_ref": None}).body
    assert rotated["rotation"] == {
        "scanned": 3, "rotated": 1, "skipped_empty": 0, "skipped_current_key_ref": 2,
        "plaintext_reencrypted": 1,
    }  # fmt: skip
    assert AuditEvent.objects.get(pk=rotated["audit_id"]).payload["rotated"] == 1
    assert bypass.post(f"{path}/secrets/rotate", {"force": True}).body["rotation"]["rotated"] == 3
    assert bypass.post(f"{path}/secrets/rotate", {"from_key_ref": "none"}).body["rotation"]["scanned"] == 0
    settings.MASTER_KEY = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="
    settings.MASTER_KEY_REF = "next"
    failed = bypass.post(f"{path}/secrets/rotate", {})
    assert failed.error == (500, "infra", "internal_error", "Internal server error")
    assert CANARY not in str(failed.body)
    assert bypass.post("/api/projects/unknown/secrets/rotate", {}).status == 404
    assert bypass.post(f"{path}/secrets/rotate", {"force": None}).status == 422
