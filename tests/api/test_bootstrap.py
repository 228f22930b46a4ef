"""The bootstrap exchange over the API (contract, section 10)."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from pipeline.models import AgentInstruction, ChatMessage, ChatSession
from projects.access import Role
from projects.models import (
    AuditEvent,
    Character,
    Project,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    Secret,
    StyleGuide,
)
from tests.api.conftest import Api
from tests.api.routes import routes
from tests.factories import make_project

PROMPT, IMPORT = "/api/projects/saltmarsh/bootstrap-prompt", "/api/projects/saltmarsh/bootstrap-import"
ITEM = {"label": "Front", "content_text": "t"}
EXAMPLE: dict[str, Any] = {
    "project": {"name": "New Name", "description": "New description"},
    "provider_accounts": [{"provider_code": "openai", "display_name": "OpenAI Studio"}],
    "style_guides": [{"name": "Studio Look", "instructions": "Ink"}],
    "characters": [{"name": "Protagonist", "description": "Tall", "prompt_text": "a tall woman"}],
    "reference_sets": [{"name": "Hero Faces", "items": [ITEM]}],
    "secrets": [{"provider_code": "anthropic", "secret_name": "api_key"}],
    "prompt_templates": [{"name": "Hero Prompt", "template_text": "A hero"}],
}
# Applied, created, updated, deleted, unchanged, replaced.
NUMBERS = {
    "provider_accounts": (1, 0, 1, 0, 0, True),
    "style_guides": (1, 1, 0, 1, 0, True),
    "characters": (1, 0, 1, 0, 0, True),
    "reference_sets": (1, 1, 0, 1, 0, True),
    "secrets": (1, 1, 0, 0, 1, False),
    "prompt_templates": (1, 1, 0, 1, 0, True),
}
KINDS = ("created", "updated", "deleted", "unchanged")


@pytest.fixture
def old(project: Project) -> Project:
    """The project of the worked example, before."""
    ProviderAccount.objects.create(
        project=project,
        provider_code="openai",
        display_name="Old",
        max_concurrency=3,
        config={"api_key": "sk-hidden-4711", "timeout": 2},
    )
    StyleGuide.objects.create(project=project, name="Old Style", instructions="Old")
    PromptTemplate.objects.create(project=project, name="Old Template", template_text="Old")
    Character.objects.create(project=project, name="Protagonist", description="Old")
    legacy = ReferenceSet.objects.create(project=project, name="Legacy References")
    ReferenceItem.objects.create(project=project, reference_set=legacy, label="Legacy", content_text="t")
    Secret.objects.create(
        project=project,
        provider_code="openai",
        secret_name="api_key",
        value_encrypted="enc:v1:hidden",
        key_ref="k",
    )
    return project


def dump() -> str:
    models = (
        Project,
        ProviderAccount,
        StyleGuide,
        Character,
        ReferenceSet,
        ReferenceItem,
        Secret,
        PromptTemplate,
        AuditEvent,
    )
    return "".join(serializers.serialize("json", model._default_manager.order_by("pk")) for model in models)


def imported(api: Api, settings: object = None, **more: object) -> dict[str, Any]:
    answered = api.post(IMPORT, {**({} if settings is None else {"settings": settings}), **more})
    assert answered.status == 200, answered.body
    return answered.body["bootstrap_import"]


def numbers(result: dict[str, Any], section: str) -> tuple[object, ...]:
    change = result["changes"][section]
    return (result["applied"][section], *(change[kind] for kind in KINDS), change["replaced"])


@pytest.mark.acceptance("B-01")
def test_the_export_shows_the_state_and_no_secret(bypass: Api, old: Project) -> None:
    body = bypass.get(PROMPT, brief="A storm is coming").body["bootstrap"]
    assert "hidden" not in json.dumps(body)
    assert body["settings"]["provider_accounts"][0]["config_json"] == {"api_key": "[kept]", "timeout": 2}
    marks = ["Kroma", "Return ONLY valid JSON", '"merge"', "[]", "A storm is coming", "Legacy References"]
    places = [body["prompt"].index(mark) for mark in marks]
    assert places == sorted(places)
    assert bypass.get("/api/projects/nowhere/bootstrap-prompt").error[3] == "Project not found"
    assert bypass.get(PROMPT, brief="x" * 20_001).status == 400


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_what_was_exported_changes_nothing(bypass: Api, old: Project, mode: str) -> None:
    settings = bypass.get(PROMPT).body["bootstrap"]["settings"]
    for dry_run in (True, False):
        result = imported(bypass, settings, mode=mode, dry_run=dry_run)
        assert {numbers(result, section)[:5] for section in NUMBERS} == {(1, 0, 0, 0, 1)}
    account = ProviderAccount.objects.get()
    assert account.config == {"api_key": "sk-hidden-4711", "timeout": 2}
    assert account.max_concurrency == 3


@pytest.mark.acceptance("B-03", "B-07")
@pytest.mark.parametrize("as_text", [False, True])
def test_the_worked_example_has_its_numbers_dry_and_for_good(
    bypass: Api, old: Project, as_text: bool
) -> None:
    text = json.dumps({"mode": "replace", "settings": EXAMPLE})
    body: dict[str, Any] = {"ai_response_text": text} if as_text else {"settings": EXAMPLE, "mode": "replace"}
    before = dump()
    dry = imported(bypass, dry_run=True, **body)
    assert dump() == before
    result = imported(bypass, **body)
    for one in (dry, result):
        assert {section: numbers(one, section) for section in NUMBERS} == NUMBERS
        assert one["project"]["name"] == "New Name"
    assert dry["settings"]["style_guides"][0]["id"].startswith("preview_style_")
    assert result["settings"] == bypass.get(PROMPT).body["bootstrap"]["settings"]
    assert "audit_id" not in result
    assert [(one.provider_code, bool(one.value_encrypted), one.key_ref) for one in Secret.objects.all()] == [
        ("anthropic", False, "local-master"),
        ("openai", True, "k"),
    ]
    event = AuditEvent.objects.get(event_code="bootstrap.import")
    assert event.payload["sections"]["characters"] == {
        "created": 0,
        "updated": 1,
        "deleted": 0,
        "unchanged": 0,
    }


@pytest.mark.acceptance("B-18")
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "Provide either 'settings' or 'ai_response_text'"),
        ({"ai_response_text": " "}, "Field 'ai_response_text' must not be empty"),
        ({"ai_response_text": "{broken"}, "Could not parse JSON from 'ai_response_text'"),
        ({"ai_response_text": "1"}, "Could not parse bootstrap JSON from 'ai_response_text'"),
        ({"ai_response_text": "{}"}, "Import payload does not include any settings"),
        ({"settings": {"characters": [{}]}, "mode": ""}, "Field 'mode' must be one of: merge, replace"),
        ({"settings": {"project": {"name": ""}}}, "Field 'project.name' is required"),
        (
            {"settings": {"reference_sets": [{"name": "a"}]}},
            "Field 'reference_sets[].items' is required (use [] to provide an empty set)",
        ),
    ],
)
def test_a_bad_payload_is_told_before_the_project(
    bypass: Api, old: Project, body: object, error: str
) -> None:
    before = dump()
    for path in (IMPORT, "/api/projects/nowhere/bootstrap-import"):
        assert bypass.post(path, body).error == (400, "validation", "validation_error", error)
    assert dump() == before


def test_all_problems_are_listed_at_once(bypass: Api, project: Project) -> None:
    settings = {
        "characters": [{"name": "a"}, {}],
        "style_guides": [{"name": "b"}],
        "secrets": [{"provider_code": "p"}],
    }
    body = bypass.post(IMPORT, {"settings": settings}).body
    assert body["error"] == "Field 'style_guides[].instructions' is required"
    paths = [one["path"] for one in body["details"]]
    assert paths == ["style_guides[0].instructions", "characters[1].name", "secrets[0].secret_name"]


def test_wrong_types_in_settings_are_422(bypass: Api, project: Project) -> None:
    assert bypass.post(IMPORT, {"settings": {"characters": [{"name": 3}]}}).status == 422


def test_names_in_other_letters_are_updated_in_place(bypass: Api, old: Project) -> None:
    was = StyleGuide.objects.get()
    for dry_run in (True, False):
        result = imported(
            bypass, {"style_guides": [{"name": "OLD style", "instructions": "x"}]}, dry_run=dry_run
        )
        assert numbers(result, "style_guides") == (1, 0, 1, 0, 0, False)
    now = StyleGuide.objects.get()
    assert (now.pk, now.created_at, now.name) == (was.pk, was.created_at, "OLD style")


def test_items_keep_the_order_of_the_payload(bypass: Api, project: Project) -> None:
    items = [
        {**ITEM, "label": label, "sort_order": order}
        for label, order in zip("cabd", (1, 1, 0, 1), strict=True)
    ]
    for n in range(2):
        result = imported(bypass, {"reference_sets": [{"name": "Quays", "items": items}]})
        assert "".join(one["label"] for one in result["settings"]["reference_sets"][0]["items"]) == "bcad"
        assert numbers(result, "reference_sets")[4] == n  # unchanged the second time


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"token": "[kept]"}, "config_json.token"),
        ({"api_key": "sk-new"}, "config_json.api_key"),
        ({"timeout": "[kept]"}, "config_json.timeout"),
        ("[kept]", "config_json."),
    ],
)
def test_credentials_and_lone_markers_are_refused(
    bypass: Api, old: Project, config: object, path: str
) -> None:
    before = dump()
    settings = {"provider_accounts": [{"provider_code": "openai", "config_json": config}]}
    answered = bypass.post(IMPORT, {"settings": settings})
    assert answered.status == 400
    assert answered.body["details"][0]["path"].endswith(path)
    assert "sk-" not in answered.response.content.decode()
    assert dump() == before


def test_an_editor_may_import_but_not_touch_accounts_and_secrets(
    caller: Callable[..., Api], old: Project
) -> None:
    erin = caller("erin")
    state = erin.get(PROMPT).body["bootstrap"]["settings"]
    imported(erin, {**state, "characters": [{"name": "Zoe"}]})
    for section in ("provider_accounts", "secrets"):
        before = dump()
        answered = erin.post(
            IMPORT, {"settings": {section: EXAMPLE[section], "characters": [{"name": "No"}]}}
        )
        assert answered.error[:3] == (403, "validation", "forbidden")
        assert dump() == before
    assert caller("rita").post(IMPORT, {"settings": EXAMPLE}).status == 403
    assert caller("alice", role=Role.VIEWER).post(IMPORT, {"settings": EXAMPLE}).status == 403
    assert caller("vic").get(PROMPT).status == 200


def test_mutated_answers_are_imported_whole_or_leave_no_trace(bypass: Api, old: Project) -> None:
    chance = random.Random(3)
    text = json.dumps({"mode": "merge", "settings": EXAMPLE})
    for _ in range(60):
        letters = list(text)
        for _ in range(chance.randint(1, 3)):
            letters[chance.randrange(len(letters))] = chance.choice('{}[]",:\\ x0')
        before = dump()
        answered = bypass.post(IMPORT, {"ai_response_text": "".join(letters)})
        assert answered.status in (200, 400)
        if answered.status == 400:
            assert dump() == before


@pytest.mark.acceptance("B-20")
def test_the_export_s_queries_do_not_grow(bypass: Api, old: Project) -> None:
    with CaptureQueriesContext(connection) as few:
        bypass.get(PROMPT)
    sets = [{"name": f"Set {n}", "items": [ITEM, ITEM]} for n in range(200)]
    assert imported(bypass, {"reference_sets": sets})["changes"]["reference_sets"]["created"] == 200
    with CaptureQueriesContext(connection) as many:
        bypass.get(PROMPT)
    assert len(many) == len(few)


@pytest.mark.parametrize(("name", "meant"), [("core", "core"), ("CORE", "Core")])
def test_of_two_rows_that_differ_in_case_one_is_written_and_the_plan_says_so(
    bypass: Api, project: Project, name: str, meant: str
) -> None:
    for older_first in ("core", "Core"):
        StyleGuide.objects.create(project=project, name=older_first, instructions="old")
    settings = {"style_guides": [{"name": name, "instructions": "new"}]}
    was = StyleGuide.objects.get(name=meant)
    for dry_run in (True, False):
        result = imported(bypass, settings, dry_run=dry_run)
        assert numbers(result, "style_guides") == (1, 0, 1, 0, 1, False)
        assert len(result["settings"]["style_guides"]) == 2
    assert StyleGuide.objects.get(instructions="new").pk == was.pk
    assert numbers(imported(bypass, settings, mode="replace"), "style_guides") == (1, 0, 0, 1, 1, True)


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_another_project_stays_as_it_is(bypass: Api, old: Project, mode: str) -> None:
    make_project(name="Elsewhere")
    before = bypass.get(PROMPT).body["bootstrap"]["settings"]
    answered = bypass.post("/api/projects/elsewhere/bootstrap-import", {"settings": EXAMPLE, "mode": mode})
    assert answered.body["bootstrap_import"]["changes"]["characters"]["created"] == 1
    assert bypass.get(PROMPT).body["bootstrap"]["settings"] == before


def test_a_failure_in_the_last_statement_leaves_nothing(
    bypass: Api, old: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise IntegrityError

    monkeypatch.setattr("bootstrap.services.audit.record", failing)
    before = dump()
    answered = bypass.post(IMPORT, {"settings": EXAMPLE, "mode": "replace"})
    assert answered.status == 400
    assert "meanwhile" in answered.body["error"]
    assert dump() == before


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"base_url": "ftp://x.example"}, "base_url"),
        ({"base_url": "https://me:pw@x.example"}, "base_url"),
        ({"config_json": {"a": "x" * 70_000}}, "config_json"),
    ],
)
def test_an_account_is_held_to_the_rules_of_accounts(
    bypass: Api, project: Project, fields: dict[str, object], where: str
) -> None:
    settings = {"provider_accounts": [{"provider_code": "x", **fields}]}
    answered = bypass.post(IMPORT, {"settings": settings})
    assert answered.status == 400
    assert [one["path"] for one in answered.body["details"]] == [f"provider_accounts[0].{where}"]
    assert not ProviderAccount.objects.exists()


@pytest.mark.acceptance("B-21")
def test_chats_and_instructions_are_no_part_of_the_exchange(bypass: Api, project: Project) -> None:
    session = ChatSession.objects.create(project=project, title="A storm at the quay")
    ChatMessage.objects.create(project=project, session=session, position=1, role="user", content="the quay")
    AgentInstruction.objects.create(project=project, instruction_text="Draw the quay")
    exported = json.dumps(bypass.get(PROMPT).body)
    assert "quay" not in exported
    foreign = {"chat_sessions": [{"title": "x"}], "agent_instructions": [], "characters": [{"name": "Mira"}]}
    imported(bypass, foreign, mode="replace")
    assert (ChatSession.objects.count(), ChatMessage.objects.count()) == (1, 1)
    assert AgentInstruction.objects.count() == 1
    route = next(one for one in routes() if one.name == "POST /api/projects/{}/bootstrap-import")
    assert "Chats and agent instructions are no part" in (route.operation.description or "")


def test_the_mode_of_the_request_goes_before_a_bad_one_in_the_answer(bypass: Api, project: Project) -> None:
    text = json.dumps({"mode": "append", "settings": {"characters": [{"name": "Mira"}]}})
    assert "'mode' must be one of" in bypass.post(IMPORT, {"ai_response_text": text}).error[3]
    result = imported(bypass, ai_response_text=text, mode="replace")
    assert (result["mode"], result["applied"]["characters"]) == ("replace", 1)
