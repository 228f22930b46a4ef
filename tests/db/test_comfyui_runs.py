"""Whole runs with a studio's own ComfyUI, a stand-in on loopback, and its account on page and by command."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from pipeline.models import AccountHealth, Attempt, CostEvent
from pipeline.providers import comfyui
from pipeline.services.replay import prepare_replay, repeat
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import ProviderUnusable
from projects.models import Project, ProviderAccount
from projects.services.accounts import save_account
from projects.services.secrets import set_secret
from tests.comfy import WORKFLOW, Comfy, comfy
from tests.factories import make_plan, make_run
from tests.fakes import expire_leases, work_through
from tests.pictures import png
from tests.standin import Answer

pytestmark = pytest.mark.django_db
KEY = "studio-key-that-must-never-be-seen"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    monkeypatch.setattr(comfyui, "FIRST_LOOK", 0.01)
    with comfy() as running:
        yield running


def use_comfyui(project: Project, service: Comfy, **config: Any) -> None:
    changes = {"base_url": service.url, "config": {"workflow": WORKFLOW, **config}}
    save_account(project, "comfyui", changes=changes, by=OPERATOR)
    set_secret(project, "comfyui", "api_key", value=KEY, by=OPERATOR)
    file = project.storage.root() / ".kroma/pipeline.settings.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"provider_code": "comfyui"}))


def test_a_run_is_free_and_its_record_holds_no_key(project: Project, service: Comfy) -> None:
    service.picture = png(number=9)
    use_comfyui(project, service)
    run = make_run(project, n_scenes=2)
    work_through(run)
    assert run.status == "ok"
    assert run.estimate_usd == 0
    assert not CostEvent.objects.exists()
    assert {one.billed for one in Attempt.objects.all()} == {False}
    seeds = {workflow["5"]["inputs"]["seed"] for workflow in service.workflows}
    assert seeds == {int(one.seed) for one in run.candidates.all()}
    log = store_for(project).read(run.run_log_path).decode()
    assert "workflow_sha256" in log
    assert KEY not in log
    assert KEY not in json.dumps(list(Attempt.objects.values()), default=str)


def test_after_a_death_in_the_call_it_is_simply_made_again(
    project: Project, service: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> bytes:
        raise Died

    use_comfyui(project, service)
    run = make_run(project)
    monkeypatch.setattr(comfyui.ComfyUIProvider, "_made", die)
    with pytest.raises(Died):
        work_through(run)
    monkeypatch.undo()
    expire_leases()
    work_through(run)
    assert run.status == "ok"
    assert sorted(Attempt.objects.values_list("status", flat=True)) == ["abandoned", "stored"]


def test_a_server_that_breaks_off_is_asked_again(project: Project, service: Comfy) -> None:
    use_comfyui(project, service)
    service.faults["/history"] = Answer(cut="before")
    run = make_run(project)
    work_through(run)
    assert Attempt.objects.get().status == "failed"
    run.candidates.update(not_before=None, rung_at=None)
    work_through(run)
    assert run.status == "ok"


def test_a_refused_key_is_told_where_people_look(project: Project, service: Comfy) -> None:
    use_comfyui(project, service)
    service.faults["/upload"] = Answer(status=401, body=KEY.encode())
    run = make_run(project)
    work_through(run)
    assert run.status == "failed"
    told = AccountHealth.objects.get(provider_code="comfyui").message
    assert "does not accept the key" in told
    assert KEY not in told


def test_what_is_missing_is_told_when_a_run_is_planned(project: Project, service: Comfy) -> None:
    use_comfyui(project, service)
    ProviderAccount.objects.update(config={})
    with pytest.raises(ProviderUnusable, match="no workflow"):
        make_plan(project)
    ProviderAccount.objects.update(config={"workflow": {"nodes": []}})
    with pytest.raises(ProviderUnusable, match="format of ComfyUI's pages"):
        make_plan(project)


def test_a_replay_does_not_promise_the_same_picture(project: Project, service: Comfy) -> None:
    use_comfyui(project, service)
    run = make_run(project)
    work_through(run)
    n = len(service.workflows)
    replay = prepare_replay(store_for(project).path(run.run_log_path))
    repeat(replay)
    assert not replay.is_repeatable
    assert len(service.workflows) == n


def test_a_workflow_comes_into_the_account_by_page(
    alice_client: Client, project: Project, service: Comfy
) -> None:
    at = reverse("pipeline:account-new", args=[project.slug])
    sent = {"provider_code": "comfyui", "enabled": "on", "base_url": service.url, "more": ""}

    def file(document: object) -> SimpleUploadedFile:
        return SimpleUploadedFile("workflow.json", json.dumps(document).encode())

    for wrong, told in (({"nodes": []}, "format of ComfyUI"), (3, "JSON object")):
        page = alice_client.post(at, {**sent, "workflow": file(wrong)})
        assert page.status_code == 422
        assert told in page.content.decode()
    broken = SimpleUploadedFile("workflow.json", b"{")
    assert "no JSON" in alice_client.post(at, {**sent, "workflow": broken}).content.decode()
    assert not ProviderAccount.objects.exists()
    alice_client.post(at, {**sent, "workflow": file(WORKFLOW)})
    assert ProviderAccount.objects.get().config == {"workflow": WORKFLOW}
    assert AccountHealth.objects.get().ok
    # What is changed later leaves it alone.
    edit = reverse("pipeline:account-edit", args=[project.slug, "comfyui"])
    alice_client.post(edit, {**sent, "timeout": "90"})
    assert ProviderAccount.objects.get().config == {"workflow": WORKFLOW, "timeout": 90}


def test_a_workflow_comes_into_the_account_by_command(
    project: Project, service: Comfy, settings: Settings, tmp_path: Path
) -> None:
    settings.DATABASE_FILE = tmp_path / "app.db"
    file = tmp_path / "workflow.json"

    def account(*more: str) -> None:
        arguments = ["--project", "saltmarsh", "--provider", "comfyui", *more]
        call_command("account", *arguments, stdout=io.StringIO(), stderr=io.StringIO())

    for text, told in (("{", "no JSON"), ('{"nodes": []}', "format of ComfyUI")):
        file.write_text(text)
        with pytest.raises(CommandError, match=told):
            account("--workflow", str(file))
    with pytest.raises(CommandError, match="can't be read"):
        account("--workflow", str(tmp_path / "nowhere"))
    assert not ProviderAccount.objects.exists()
    file.write_text(json.dumps(WORKFLOW))
    account("--base-url", service.url, "--config", '{"timeout": 90}')
    account("--workflow", str(file), "--check")
    assert ProviderAccount.objects.get().config == {"workflow": WORKFLOW, "timeout": 90}
    assert AccountHealth.objects.get().ok
