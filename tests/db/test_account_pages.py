"""Accounts and keys: their pages, their checks against a stand-in, and what a broken one says where."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from pipeline.models import AccountHealth
from pipeline.providers.base import AccountRefused, GenerateRequest
from pipeline.services import health
from pipeline.services.execution import execute_candidate
from projects.access import OPERATOR
from projects.models import AuditEvent, Project, ProviderAccount, Secret
from projects.services.secrets import secret_value, set_secret
from tests.factories import make_project, make_run
from tests.fakes import FakeProvider, Use
from tests.standin import Answer, StandIn, as_json

KEY = "sk-a-key-that-must-never-be-seen"
MODEL = as_json({"id": "gpt-image-1", "object": "model", "created": 1, "owned_by": "openai"})


@pytest.fixture(autouse=True)
def no_keys_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "PHOTOROOM_API_KEY", "REMOVE_BG_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def url(project: Project, name: str, *more: object) -> str:
    return reverse(f"pipeline:{name}", args=[project.slug, *more])


def account(project: Project, code: str, standin: StandIn, path: str = "/v1", *, key: str = KEY) -> None:
    ProviderAccount.objects.create(project=project, provider_code=code, base_url=f"{standin.url}{path}")
    if key:
        set_secret(project, code, "api_key", value=key, by=OPERATOR)


def test_openai_is_asked_for_its_model_and_the_answer_is_kept(project: Project, standin: StandIn) -> None:
    standin.script(MODEL)
    account(project, "openai", standin)
    found = health.check_account(project, "openai", by=OPERATOR)
    assert (found.ok, "has the model gpt-image-1" in found.message) == (True, True)
    (request,) = standin.requests
    assert (request.method, request.path) == ("GET", "/v1/models/gpt-image-1")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    event = AuditEvent.objects.get(event_code="provider_account.checked")
    assert event.payload == {"provider_code": "openai", "ok": True}


@pytest.mark.parametrize(
    ("code", "path", "answer", "ok", "told"),
    [
        ("openai", "/v1", Answer(status=401, body=KEY.encode()), False, "does not accept the key"),
        ("openai", "/v1", as_json({"error": {"code": "insufficient_quota"}}, status=429), False, "credit"),
        ("openai", "/v1", Answer(status=404), True, "can't say whether it has the model"),
        ("openai", "/v1", Answer(status=500), False, "a fault of its own"),
        ("openai", "/v1", Answer(cut="before"), False, "did not answer the check"),
        ("openai", "/v1", Answer(body=b"<html>"), False, "did not answer the check"),
        ("photoroom", "/v1/segment", as_json({"images": {"available": 40}}), True, "40 left"),
        ("photoroom", "/v1/segment", as_json({"images": {"available": 0}}), False, "nothing is left"),
        ("photoroom", "/v1/segment", as_json({"detail": KEY}, status=403), False, "does not accept the key"),
        ("photoroom", "/v1/segment", as_json([1]), True, "accepts the key"),
        ("photoroom", "/v1/segment", Answer(body=b"no JSON"), False, "did not answer the check"),
        ("removebg", "/v1.0/removebg", as_json({"data": {"credits": {"total": 7.5}}}), True, "7.5 left"),
        ("removebg", "/v1.0/removebg", Answer(cut="half", body=b"x" * 50), False, "did not answer the check"),
    ],
)  # fmt: skip
def test_a_check_says_in_words_what_works_and_never_the_key(  # noqa: PLR0917 - the columns of a table
    project: Project, standin: StandIn, code: str, path: str, answer: Answer, ok: bool, told: str
) -> None:
    standin.script(answer)
    account(project, code, standin, path)
    found = health.check_account(project, code, by=OPERATOR)
    assert found.ok is ok
    assert told in found.message
    assert "billed" not in found.message
    assert KEY not in found.message
    assert len(standin.requests) <= 1
    if code == "photoroom" and standin.requests:
        assert standin.requests[0].path == "/v2/account"


def test_what_is_missing_is_told_without_asking_anybody(project: Project, standin: StandIn) -> None:
    for code, path in (("openai", "/v1"), ("photoroom", "/v1/segment")):
        account(project, code, standin, path, key="")
        found = health.check_account(project, code, by=OPERATOR)
        assert not found.ok
        assert "no key" in found.message
    ProviderAccount.objects.filter(provider_code="openai").update(enabled=False)
    assert "switched off" in health.check_account(project, "openai", by=OPERATOR).message
    assert health.check_account(project, "local", by=OPERATOR).ok
    assert standin.requests == []


def test_an_account_is_made_checked_and_changed_on_its_page(
    alice_client: Client, project: Project, standin: StandIn
) -> None:
    standin.script(MODEL)
    set_secret(project, "openai", "api_key", value=KEY, by=OPERATOR)
    sent: dict[str, Any] = {
        "provider_code": "openai", "display_name": "Studio", "base_url": f"{standin.url}/v1", "enabled": "on",
        "max_concurrency": "4", "requests_per_minute": "", "price": "0.05", "model": "gpt-image-1",
        "timeout": "90", "more": '{"prices": {"per_image": "1"}, "note": "x"}',
    }  # fmt: skip
    answered = alice_client.post(url(project, "account-new"), sent)
    assert answered.url == url(project, "accounts")
    row = ProviderAccount.objects.get()
    assert (row.max_concurrency, row.requests_per_minute, row.enabled) == (4, None, True)
    assert row.config == {
        "prices": {"per_image": "0.05"}, "note": "x", "model": "gpt-image-1", "timeout": 90
    }  # fmt: skip
    assert AccountHealth.objects.get().ok
    page = alice_client.get(url(project, "accounts")).content.decode()
    for told in ("works", "4 at once", "$0.05 an image", "a secret of this universe"):
        assert told in page
    form = alice_client.get(url(project, "account-edit", "openai")).context["form"]
    again = {name: value for name, value in form.initial.items() if value not in (None, "")}
    assert json.loads(again["more"]) == {"note": "x"}
    assert again["price"] == "0.05"
    alice_client.post(url(project, "account-edit", "openai"), {**again, "price": "", "enabled": ""})
    row.refresh_from_db()
    assert (row.enabled, row.config) == (False, {"note": "x", "model": "gpt-image-1", "timeout": 90})
    assert not AccountHealth.objects.get().ok


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("base_url", "ftp://x.example", "whole address"),
        ("base_url", "https://me:pw@x.example", "name or password"),
        ("more", "[1]", "JSON object"),
        ("more", "{", "no JSON"),
        ("more", '{"model": "x"}', "use the field above"),
        ("more", '{"prices": {"per_picture": 1}}', "is no price"),
        ("more", '{"api_key": "sk-12345678"}', "make it a secret"),
        ("max_concurrency", "0", "greater than or equal to 1"),
        ("price", "-1", "greater than or equal to 0"),
        ("provider_code", "nobody", "not one of the available choices"),
    ],
)
def test_what_no_account_can_be_is_told_and_nothing_is_written(
    alice_client: Client, project: Project, field: str, value: str, told: str
) -> None:
    page = alice_client.post(
        url(project, "account-new"), {"provider_code": "openai", "enabled": "on", field: value}
    )
    assert page.status_code == 422
    assert told in page.content.decode()
    assert not ProviderAccount.objects.exists()


def test_a_second_account_with_a_provider_is_refused(alice_client: Client, project: Project) -> None:
    ProviderAccount.objects.create(project=project, provider_code="openai", display_name="First")
    page = alice_client.post(url(project, "account-new"), {"provider_code": "openai"})
    assert page.status_code == 422
    assert ProviderAccount.objects.get().display_name == "First"


def test_a_new_key_is_checked_at_once_and_never_shown(
    alice_client: Client, project: Project, standin: StandIn
) -> None:
    standin.script(Answer(status=401), MODEL)
    account(project, "openai", standin, key="")
    sent = {"provider_code": "OpenAI", "secret_name": "api_key", "secret_value": KEY}
    page = alice_client.post(url(project, "secret-set"), sent, follow=True).content.decode()
    assert "does not accept the key" in page
    assert KEY not in page
    dashboard = alice_client.get(url(project, "dashboard")).content.decode()
    assert "does not accept the key" in dashboard
    page = alice_client.post(url(project, "secret-set"), sent, follow=True).content.decode()
    assert "accepts the key" in page
    assert "does not accept" not in alice_client.get(url(project, "dashboard")).content.decode()
    assert secret_value(project, "openai", "api_key") == KEY
    bad = alice_client.post(url(project, "secret-set"), {**sent, "secret_value": " "})
    assert bad.status_code == 422
    assert (
        KEY not in alice_client.post(url(project, "secret-set"), {**sent, "secret_name": ""}).content.decode()
    )


def test_secrets_are_forgotten_and_encrypted_anew(alice_client: Client, project: Project) -> None:
    set_secret(project, "openai", "api_key", value=KEY, by=OPERATOR)
    before = Secret.objects.get().value_encrypted
    page = alice_client.post(url(project, "secrets-rotate"), follow=True).content.decode()
    assert "1 value encrypted anew" in page
    assert Secret.objects.get().value_encrypted != before
    assert secret_value(project, "openai", "api_key") == KEY
    named = {"provider_code": "openai", "secret_name": "api_key"}
    alice_client.post(url(project, "secret-delete"), named)
    assert not Secret.objects.exists()
    # Once more: there is nothing, and it says so instead of failing.
    assert (
        "has no secret"
        in alice_client.post(url(project, "secret-delete"), named, follow=True).content.decode()
    )


def test_others_see_health_but_no_forms(vic_client: Client, project: Project) -> None:
    set_secret(project, "openai", "api_key", value=KEY, by=OPERATOR)
    page = vic_client.get(url(project, "accounts")).content.decode()
    assert "not checked yet" in page
    assert "secret_value" not in page
    assert vic_client.get(url(project, "account-edit", "openai")).status_code == 403


def test_an_account_of_another_universe_is_not_found(alice_client: Client, project: Project) -> None:
    ProviderAccount.objects.create(project=make_project(name="Elsewhere"), provider_code="openai")
    assert alice_client.get(url(project, "account-edit", "openai")).status_code == 404
    assert alice_client.post(url(project, "account-check", "nobody")).status_code == 404


def test_a_refused_account_stops_the_run_and_stands_on_the_pages(
    alice_client: Client, project: Project, use: Use
) -> None:
    def refusing(request: GenerateRequest) -> bytes:
        raise AccountRefused("Fake does not accept the key", code="provider_auth")

    use(FakeProvider(answer=refusing))
    run = make_run(project, n_scenes=2)
    for pk in run.candidates.values_list("pk", flat=True):
        execute_candidate(pk)
    (row,) = AccountHealth.objects.all()
    assert (row.ok, row.message) == (False, "Fake does not accept the key")
    assert "does not accept the key" in alice_client.get(url(project, "dashboard")).content.decode()
    page = alice_client.get(url(project, "accounts")).content.decode()
    assert "Runs that an account stopped" in page
    assert url(project, "run", run.pk) in page


def test_the_command_checks_and_shows_what_was_found(
    project: Project, standin: StandIn, settings: Settings, tmp_path: Any
) -> None:
    settings.DATABASE_FILE = tmp_path / "app.db"
    standin.script(MODEL)
    account(project, "openai", standin)

    def told(*more: str) -> str:
        out = io.StringIO()
        call_command("account", "--project", "saltmarsh", *more, stdout=out, stderr=io.StringIO())
        return out.getvalue()

    assert "not checked yet" in told()
    assert standin.requests == []
    assert "has the model gpt-image-1" in told("--check")
    assert "invents nothing" in told()
    found = json.loads(told("--provider", "openai", "--check", "--json"))["provider_accounts"]
    assert [one["ok"] for one in found if one["provider_code"] == "openai"] == [True]
    with pytest.raises(CommandError, match="no provider nobody"):
        told("--provider", "nobody", "--check")


def test_the_page_of_tools_says_what_is_ready_and_what_is_missing(
    vic_client: Client, project: Project, settings: Settings
) -> None:
    page = vic_client.get(url(project, "tools"))
    found = {tool.name: tool for tool in page.context["tools"]}
    assert "models fetch" in found["rembg"].lack
    assert "models fetch" in found["ncnn, waifu2x_photo"].lack
    assert (found["pillow"].lack, found["pillow"].trial) == ("", "upscale")
    assert (found["colour, cold_rain"].lack, found["rembg"].trial) == ("", "")
    assert "no key" in found["photoroom"].lack
    told = page.content.decode()
    assert "Apache-2.0" in told
    assert reverse("pipeline:lab") + "?tool=colour" in told
    ProviderAccount.objects.create(project=project, provider_code="removebg", enabled=False)
    set_secret(project, "photoroom", "api_key", value=KEY, by=OPERATOR)
    page = vic_client.get(url(project, "tools"))
    found = {tool.name: tool for tool in page.context["tools"]}
    assert found["photoroom"].lack == ""
    assert "switched off" in found["removebg"].lack
    assert KEY not in page.content.decode()
    assert vic_client.get(reverse("pipeline:lab"), {"tool": "colour"}).context["form"].initial == {
        "tool": "colour"
    }
