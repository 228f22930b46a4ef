"""How pages and the command treat runs that were made elsewhere."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from pipeline.models import Asset, Run, RunJob
from pipeline.services import control
from pipeline.services.ingest import ingest_run_log
from pipeline.services.runs import record_dry_run
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import Invalid
from projects.models import Project, User
from tests.db.test_ingest import EXAMPLES, example, ingested, job
from tests.factories import make_plan, make_user, png

pytestmark = pytest.mark.django_db


def candidate(path: object, status: str = "done", index: int = 1) -> dict[str, Any]:
    return {"candidate_index": index, "status": status, "output": path, "final_output": path}


@pytest.fixture
def imported(project: Project) -> Run:
    """A run with a winner that is here, one that is elsewhere, one that is lost, one unnamed, one failed."""
    here = store_for(project).path("outputs/here.png")
    here.parent.mkdir(parents=True)
    here.write_bytes(png())
    log = {
        "mode": "run",
        "stage": "style",
        "timestamp": "2024-03-01T10:00:00Z",
        "jobs": [
            job(1, candidate(str(here)), selected_candidate=1, input_images=["/gone/scene.png"]),
            job(2, candidate("/elsewhere/x.png"), selected_candidate=1),
            job(3, candidate("var/projects/saltmarsh/outputs/lost.png"), selected_candidate=1),
            job(4, candidate(None)),
            job(
                5,
                {**candidate(None, "failed"), "error": {"code": "odd", "message": "It broke"}},
                status="failed",
            ),
            job(6, status="planned"),
        ],
    }
    return Run.objects.get(pk=ingested(log).run_id)


@pytest.mark.parametrize("name", ["run", "dry"])
def test_pages_show_the_examples(alice_client: Client, project: Project, name: str) -> None:
    run = Run.objects.get(pk=ingested(example(name)).run_id)
    answer = alice_client.get(run.get_absolute_url())
    assert "Made elsewhere on" in answer.text
    for page in ("run-list", "dashboard"):
        answer = alice_client.get(reverse(f"pipeline:{page}", args=[project.slug]))
        assert "from a log, made elsewhere" in answer.text
    assert alice_client.get(reverse("pipeline:review", args=[project.slug])).status_code == 200
    assert alice_client.get(reverse("pipeline:run-review", args=[project.slug, run.pk])).status_code == 200


def test_the_run_page_is_still_and_offers_nothing_that_cannot_be_done(
    alice_client: Client, imported: Run
) -> None:
    page = alice_client.get(imported.get_absolute_url()).text
    assert "hx-trigger" not in page
    assert "4 of 6 panels have a winner, as its log says" in page
    assert "It broke" in page
    for absent in ("run-retry", "run-cancel", "run-pause", 'id="run-log"', "None × None"):
        assert absent not in page
    for asset in Asset.objects.all():
        url = reverse("pipeline:asset-thumb", args=["saltmarsh", asset.pk])
        assert (url in page) is (asset.rel_path == "outputs/here.png")
    assert "This file is not in the folder of the universe" in page


def test_files_that_are_not_here_are_not_found(alice_client: Client, imported: Run) -> None:
    for asset in Asset.objects.all():
        wanted = 200 if asset.rel_path == "outputs/here.png" else 404
        for name in ("asset-file", "asset-thumb"):
            url = reverse(f"pipeline:{name}", args=["saltmarsh", asset.pk])
            answer = alice_client.get(url)
            answer.close()
            assert answer.status_code == wanted
    for panel in RunJob.objects.all():
        url = reverse("pipeline:scene-thumb", args=["saltmarsh", panel.pk])
        assert alice_client.get(url).status_code == 404
    log = reverse("pipeline:run-log", args=["saltmarsh", imported.pk])
    assert alice_client.get(log).status_code == 404


def test_every_panel_can_be_looked_at_and_judged(alice_client: Client, imported: Run) -> None:
    url = reverse("pipeline:run-review", args=["saltmarsh", imported.pk])
    for panel in RunJob.objects.all():
        assert alice_client.get(url, {"show": "all", "job": str(panel.pk)}).status_code == 200
    say = reverse("pipeline:review-say", args=["saltmarsh", RunJob.objects.get(position=1).pk])
    assert alice_client.post(say, {"say": "approve"}).status_code == 302
    assert RunJob.objects.get(position=1).verdict == "approved"


def test_lists_show_the_winners_that_are_here(alice_client: Client, imported: Run) -> None:
    here = Asset.objects.get(rel_path="outputs/here.png")
    for page in ("run-list", "dashboard"):
        text = alice_client.get(reverse(f"pipeline:{page}", args=["saltmarsh"])).text
        for asset in Asset.objects.all():
            url = reverse("pipeline:asset-thumb", args=["saltmarsh", asset.pk])
            assert (url in text) is (asset == here)


def test_winners_that_are_not_here_are_said_to_be_missing(alice_client: Client, imported: Run) -> None:
    url = reverse("pipeline:run-winners", args=["saltmarsh", imported.pk])
    assert alice_client.get(url).status_code in (400, 404)


def test_controls_refuse_in_words(imported: Run) -> None:
    for refused, words in (
        (lambda: control.retry_failed(imported, by=OPERATOR, confirm_spend=True), "made elsewhere"),
        (lambda: control.cancel_run(imported, by=OPERATOR), "finished already"),
        (lambda: control.pause_run(imported, by=OPERATOR), "queued or running"),
        (lambda: control.resume_run(imported, by=OPERATOR), "paused"),
    ):
        with pytest.raises(Invalid, match=words):
            refused()


def test_the_admin_shows_them(imported: Run) -> None:
    admin = Client()
    admin.force_login(make_user(username="root", superuser=True))
    for model in ("run", "runjob", "candidate", "asset", "qualityreport", "assetlink"):
        assert admin.get(reverse(f"admin:pipeline_{model}_changelist")).status_code == 200
    assert admin.get(reverse("admin:pipeline_run_change", args=[imported.pk])).status_code == 200


@pytest.fixture
def prepared(settings: Settings, tmp_path: Path) -> None:
    settings.DATABASE_FILE = tmp_path / "data" / "backend" / "app.db"


def called(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("ingest-run", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.usefixtures("prepared")
def test_the_command_reads_a_log() -> None:
    path = str(EXAMPLES / "run.json")
    out, err = called(path, "--project", "Salt Marsh", "--name", "The marsh", "--json")
    told = json.loads(out)
    assert told["ok"] is True
    assert [told[key] for key in ("project_slug", "status", "jobs", "candidates", "assets_upserted")] == [
        "salt_marsh", "failed", 2, 4, 6,
    ]  # fmt: skip
    assert (told["quality_reports_written"], told["cost_events_written"]) == (5, 0)
    assert told["run_log_path"] == path
    assert "written for the universe 'saltmarsh'" in err
    assert User.objects.get(username="local").memberships.get().project.name == "The marsh"
    out, _ = called(path, "--project", "salt_marsh", "--compute-hashes")
    assert "2 jobs, 4 candidates, 6 assets, 5 quality reports, 0 cost events" in out
    for arguments, words in (
        ([path], "--project is needed"),
        ([path, "--project", "nowhere", "--no-create-if-missing"], "no universe nowhere"),
        (["missing.json", "--project", "a"], "There is no run log"),
    ):
        with pytest.raises(CommandError, match=words):
            called(*arguments)


@pytest.mark.acceptance("I-10", "I-11", "P-03")
@pytest.mark.usefixtures("prepared")
def test_the_command_reads_what_a_pipeline_said(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"noise\nRun log: {EXAMPLES / 'dry.json'}\nProject: saltmarsh\nJobs: 1 (dry/planned)\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert json.loads(called("-", "--json")[0])["project_slug"] == "saltmarsh"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    out, err = called("-", "--project", "other", "--json")
    assert json.loads(out)["project_slug"] == "other"
    assert "the summary is about saltmarsh; the log is read into other" in err
    monkeypatch.setattr("sys.stdin", io.StringIO(text.replace("Jobs: 1", "Jobs: 3")))
    assert "1 jobs were planned and 3 were executed" in called("-", "--project", "other")[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("nothing"))
    with pytest.raises(CommandError, match="names no run log"):
        called("-", "--project", "other")


@pytest.mark.usefixtures("prepared")
def test_the_command_only_checks_a_run_made_here(project: Project) -> None:
    run = record_dry_run(make_plan(project, mode="dry"), by=OPERATOR)
    path = store_for(project).path(run.run_log_path)
    out, _ = called(str(path), "--project", "saltmarsh")
    assert "was made here: its rows stay as they are" in out
    assert "are what the rows say" in out
    log = json.loads(path.read_text())
    log["jobs"][0]["prompt"] = "another"
    path.write_text(json.dumps(log))
    assert "Difference: The prompt of" in called(str(path), "--project", "saltmarsh")[0]


def test_a_path_from_the_app_root_is_enough(settings: Settings) -> None:
    ingested(example("dry"))
    assert (
        ingest_run_log("logs/run.json", project_slug="saltmarsh", by=OPERATOR).run_log_path == "logs/run.json"
    )
