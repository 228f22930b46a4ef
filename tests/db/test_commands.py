"""Commands that need no worker; those that start processes are in tests/services/test_up.py."""

import io
import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from kroma_site.checks import exposure_faults
from kroma_site.headless import failures, split_paths
from kroma_site.prepare import database_fault, prepare
from pipeline.engine.runlog import parse_summary
from pipeline.models import Asset, Attempt, Candidate, Run
from pipeline.providers.base import GenerateRequest
from pipeline.services import ending
from pipeline.services.runs import start_run
from projects.access import OPERATOR
from projects.models import AuditEvent, Membership, Project, User
from tests.factories import make_plan, png
from tests.fakes import FakeProvider, Use, work_through
from tests.pictures import picture

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def database_file(settings: Settings, tmp_path: Path) -> None:
    """The place of the file that a command would prepare."""
    settings.DATABASE_FILE = tmp_path / "data" / "backend" / "app.db"


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "my scenes"
    (folder / "chapter, two").mkdir(parents=True)
    (folder / "Quay Wide.png").write_bytes(png())
    (folder / "chapter, two" / "alley.jpg").write_bytes(png(number=2, format="JPEG"))
    return folder


def called(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_dry_makes_the_universe_shows_the_plan_and_makes_no_image(scenes: Path) -> None:
    out, err = called(
        *("pipeline", "dry", "--project", "Salt Marsh", "--input", str(scenes), "--candidates", "2"),
        *("--stage", "weather", "--time", "night", "--weather", "rain"),
    )
    assert "Made the universe salt_marsh" in err
    assert "2 jobs, 4 images, free, runs here" in out
    assert out.count("Prompt: ") == 1
    assert "outputs/weather_1_quay_wide__c2.png" in out
    summary = parse_summary(out)
    assert summary is not None
    assert (summary.project_slug, summary.jobs, summary.mode) == ("salt_marsh", 2, "dry")
    assert len([line for line in out.splitlines()[-5:] if line.startswith(("Run log:", "KROMA_"))]) == 2
    membership = Membership.objects.get(project__slug="salt_marsh")
    assert (membership.user.username, membership.role) == ("local", "owner")
    assert (Run.objects.get().run_mode, Asset.objects.count()) == ("dry", 0)


def test_dry_as_json_is_one_object_whose_paths_open(scenes: Path) -> None:
    out, _ = called("pipeline", "dry", "--project", "saltmarsh", "--input", str(scenes), "--json")
    told = json.loads(out)
    assert (told["ok"], told["jobs"], told["n_images"], told["mode"]) == (True, 2, 2, "dry")
    assert Path(told["run_log_path"]).is_file()
    assert [job["scene"] for job in told["plan"]] == ["Quay Wide", "chapter, two/alley"]


def test_a_run_without_the_confirmation_is_refused_before_anything_is_written(scenes: Path) -> None:
    with pytest.raises(CommandError, match="needs --confirm-spend"):
        called("pipeline", "run", "--project", "saltmarsh", "--input", str(scenes))
    assert not Project.objects.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--style-guide", "Nobody's"], "no style guide named"),
        (["--batch-limit", "1"], "batch limit of 1"),
        (["--time", "night"], "'time' requires stage"),
        (["--seed", "-1"], "--seed must be"),
        (["--stage", "spring"], "invalid choice"),
        (["--style-refs", "nowhere.png"], "can't be read"),
        (["--project", "???"], "needs a name"),
    ],
)
def test_a_wrong_option_is_one_line(scenes: Path, options: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        called("pipeline", "dry", "--project", "saltmarsh", "--input", str(scenes), *options)
    assert "\n" not in str(caught.value)
    assert not Run.objects.exists()


def planned(*arguments: str) -> dict[str, Any]:
    out, _ = called("pipeline", "dry", "--project", "saltmarsh", "--json", *arguments)
    return dict(json.loads(out))


@pytest.mark.acceptance("S-08")
def test_options_of_the_steps_beat_the_settings_and_absent_ones_inherit(
    scenes: Path, data_folder: Path
) -> None:
    file = data_folder / "config/pipeline.settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[postprocess]\nupscale = true\ncolor = true\nbg_refine_openai_required = true\n")

    def steps(*options: str) -> dict[str, Any]:
        run = Run.objects.get(pk=planned("--input", str(scenes), *options)["run_id"])
        return dict(run.settings_snapshot["postprocess"])

    assert steps()["pipeline_order"] == ["generate", "upscale", "color"]
    off = steps("--no-upscale", "--no-color")
    assert off["pipeline_order"] == ["generate"]
    assert steps("--color-profile", "cold_rain", "--upscale-backend", "ncnn") | {
        "color_profile": "cold_rain",
        "upscale_backend": "ncnn",
    } == steps("--color-profile", "cold_rain", "--upscale-backend", "ncnn")
    cut = steps("--bg-remove", "--refine", "--no-refine-required", "--bg-remove-backends", "PhotoRoom, rembg")
    assert (cut["bg_remove_backends"], cut["bg_refine_openai_required"]) == (["photoroom", "rembg"], False)
    assert cut["pipeline_order"][:3] == ["generate", "bg_remove", "bg_refine_openai"]
    assert steps("--bg-remove", "--no-refine")["bg_refine_openai"] is False


def test_files_and_a_provider_may_be_named(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"safe_batch_limit": 1}))
    with pytest.raises(CommandError, match="batch limit of 1"):
        planned("--input", str(scenes), "--manifest", str(tmp_path / "m.json"))
    assert planned("--input", str(scenes), "--manifest", str(tmp_path / "m.json"), "--batch-limit", "5")["ok"]
    for option, words in (
        (["--provider", "nobody"], "Unknown provider 'nobody'"),
        (["--app-settings", "no.toml"], "app settings file leads to"),
        (["--project-settings", "no.toml"], "project settings file leads to"),
        (["--postprocess-config", "no.json"], "'postprocess_config_path' of the request leads to"),
        (["--bg-remove-backends", "scissors"], "each entry one of: rembg"),
        (["--color-profile", " "], "must not be blank"),
    ):
        with pytest.raises(CommandError, match=words):
            planned("--input", str(scenes), *option)


def test_scenes_may_come_from_the_manifest_and_must_come_from_somewhere(
    data_folder: Path, tmp_path: Path
) -> None:
    data_folder.mkdir(exist_ok=True)
    (data_folder / "quay.png").write_bytes(png())
    (data_folder / "m.json").write_text(json.dumps({"scene_refs": ["quay.png"]}))
    assert [job["scene"] for job in planned("--manifest", "m.json")["plan"]] == ["quay"]
    with pytest.raises(CommandError, match="no scene references"):
        planned()
    (data_folder / "m.json").write_text(json.dumps({"scene_refs": ["gone.png"]}))
    with pytest.raises(CommandError, match=r"gone\.png is not there"):
        planned("--manifest", "m.json")


@pytest.mark.acceptance("P-04")
def test_a_jobs_file_is_executed_as_it_is_written(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Project.objects.exists()
    root = data_folder / "var/projects/saltmarsh"
    (root / "scenes").mkdir(parents=True)
    for name in ("quay.png", "ink.png"):
        (root / "scenes" / name).write_bytes(png())
    monkeypatch.chdir(tmp_path)
    jobs = [
        {"id": "quay-night", "prompt": "Night.", "input_images": ["scenes/quay.png", "scenes/ink.png"]},
        {"id": "quay-rain", "prompt": "Rain.", "input_images": ["var/projects/saltmarsh/scenes/quay.png"]},
    ]
    light = {"mode": "weather", "time": "night", "weather": "rain"}
    Path("jobs.json").write_text(json.dumps([{**job, **light} for job in jobs]))
    told = planned("--jobs", "jobs.json", "--candidates", "2")
    run = Run.objects.get(pk=told["run_id"])
    log = json.loads(Path(told["run_log_path"]).read_text())
    assert [(job["id"], job["prompt"], job["mode"], job["time"], job["weather"]) for job in log["jobs"]] == [
        ("quay-night", "Night.", "weather", "night", "rain"),
        ("quay-rain", "Rain.", "weather", "night", "rain"),
    ]
    assert [len(job.inputs) for job in run.jobs.order_by("position")] == [2, 1]
    assert told["plan"][1]["outputs"] == ["outputs/quay-rain__c1.png", "outputs/quay-rain__c2.png"]
    for content, words in (
        ("[]", "list of jobs"),
        (json.dumps([{**jobs[0], "id": "a/b"}]), "'id'"),
        (json.dumps([{**jobs[0], "input_images": ["/etc/hostname"]}]), "lies neither"),
        (json.dumps([{**jobs[0], "input_images": ["gone.png"]}]), r"gone\.png is not there"),
    ):
        Path("jobs.json").write_text(content)
        with pytest.raises(CommandError, match=words):
            planned("--jobs", "jobs.json")
    for arguments, words in (
        (("--jobs", "none.json"), "can't be read"),
        (("--jobs", "jobs.json", "--input", "x.png"), "names its own images"),
    ):
        with pytest.raises(CommandError, match=words):
            planned(*arguments)


def test_the_same_file_name_from_two_places_stays_two_scenes(tmp_path: Path) -> None:
    for number, place in enumerate(("a", "b")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "quay.png").write_bytes(png(number=number))
    out, _ = called(
        *("pipeline", "dry", "--project", "saltmarsh", "--json"),
        *("--input", f"{tmp_path / 'a' / 'quay.png'},{tmp_path / 'b' / 'quay.png'}"),
    )
    first, second = json.loads(out)["plan"]
    assert first["inputs"] != second["inputs"]


def test_commas_separate_paths_unless_a_file_is_named_so(scenes: Path) -> None:
    odd = scenes / "chapter, two"
    assert split_paths([str(odd)]) == [odd]
    assert split_paths(["a.png, b.png", "c,"]) == [Path("a.png"), Path("b.png"), Path("c")]


def test_preparing_again_changes_nothing(settings: Settings) -> None:
    prepare()
    events = AuditEvent.objects.count()
    prepare()
    assert AuditEvent.objects.count() == events
    owner = User.objects.get(username="local")
    assert not owner.has_usable_password()


def test_a_signin_link_lets_in(client: Client, alice: User) -> None:
    out, _ = called("signin-link", "alice")
    path = out.strip().partition("8788")[2]
    assert client.get(path).status_code == 302
    assert int(client.session["_auth_user_id"].replace("-", ""), 16) == alice.pk.int


def test_a_signin_link_for_nobody_is_refused() -> None:
    with pytest.raises(CommandError, match="no active account named mallory"):
        called("signin-link", "mallory")


def test_the_audit_trail_is_proved(alice: User) -> None:
    called("signin-link", "alice")
    out, _ = called("audit", "verify")
    assert "holds: " in out
    assert "Without an anchor" in out
    AuditEvent.objects.filter(event_code="signin_link.created").update(actor="somebody else")
    with pytest.raises(CommandError, match="does not hold: 1 fault"):
        called("audit", "verify")


def test_jobs_without_a_winner_say_why(project: Project) -> None:
    run = start_run(make_plan(project), by=OPERATOR, confirm_spend=True)
    job = run.jobs.get()
    Candidate.objects.filter(job=job).update(status="failed", error={"message": "It rained."})
    run.jobs.update(status="failed", failure_reason="all_candidates_failed", finished_at=timezone.now())
    assert failures(run) == [{"job": job.job_key, "scene": job.label, "reason": "It rained."}]


@pytest.mark.acceptance("X-09")
def test_the_end_counts_the_jobs_without_a_winner(
    scenes: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch, use: Use
) -> None:
    manifest = data_folder / "m.json"
    data_folder.mkdir(exist_ok=True)
    manifest.write_text(
        json.dumps({"output_guard": {"enforce_grayscale": True, "fail_on_chroma_exceed": True}})
    )
    (scenes / "grey.png").write_bytes(png(number=7))

    def answer(request: GenerateRequest) -> bytes:
        if request.images[0].name != "grey.png":
            return png(number=3)
        buffer = io.BytesIO()
        picture(mode="L").save(buffer, "PNG")
        return buffer.getvalue()

    def worked(run: Run, **options: object) -> Run:
        work_through(run)
        return run

    use(FakeProvider(answer=answer))
    monkeypatch.setattr("kroma_site.headless.wait_for", worked)
    with pytest.raises(CommandError, match=r"^2 of 3 jobs have no winner$"):
        called(
            *("pipeline", "run", "--project", "saltmarsh", "--input", str(scenes), "--confirm-spend"),
            *("--manifest", "m.json"),
        )
    assert sorted(Run.objects.get().jobs.values_list("status", flat=True)) == [
        "done", "failed_output_guard", "failed_output_guard",
    ]  # fmt: skip


def test_an_ending_worker_gives_back_its_own_leases_only(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending._Worker, "id", 7)
    run = start_run(make_plan(project, n_scenes=2), by=OPERATOR, confirm_spend=True)
    ours, theirs = run.candidates.order_by("job__position")
    now = timezone.now()
    token = Candidate.objects.claim(ours.pk, now=now, token=ending.new_lease_token())
    Candidate.objects.claim(theirs.pk, now=now, token=uuid.uuid4())
    call = Attempt.objects.create(
        project=project, run=run, candidate=ours, provider_code="local", billed=False, lease_token=token
    )
    assert ending.release_leases(on_purpose=True, now=now) == 1
    assert list(Candidate.objects.stalled(now)) == [ours]
    call.refresh_from_db()
    assert (call.status, call.error_code) == ("abandoned", "worker_stopped")
    theirs.refresh_from_db()
    assert theirs.lease_until is not None
    assert theirs.lease_until > now + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("database or disk is full", "is full: free some space"),
        ("file is not a database", "restore it from a backup"),
        ("attempt to write a readonly database", "rights of the file"),
        ("unable to open database file", "rights of the file"),
        ("database is locked", "held by another program"),
        ("server closed the connection\nunexpectedly", "does not answer: server closed the connection"),
    ],
)
def test_a_fault_of_the_database_is_one_line(reason: str, words: str) -> None:
    line = database_fault(OperationalError(reason))
    assert words in line
    assert "\n" not in line


def test_an_address_for_others_needs_keys_and_names_of_its_own(settings: Settings) -> None:
    settings.DEBUG, settings.OWN_SECRET_KEY, settings.OWN_ALLOWED_HOSTS = False, False, False
    assert [fault.id for fault in exposure_faults("0.0.0.0:8801")] == ["kroma.E003", "kroma.E004"]
    assert exposure_faults("127.0.0.1:8801") == []
    settings.OWN_SECRET_KEY = settings.OWN_ALLOWED_HOSTS = True
    settings.SECRET_KEY = "k" * 40
    assert exposure_faults("0.0.0.0:8801") == []


@pytest.mark.django_db(transaction=True)
def test_a_refused_plan_leaves_no_universe_and_no_copies(tmp_path: Path, data_folder: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number=number))
    with pytest.raises(CommandError, match="batch limit of 2"):
        call_command(
            "pipeline",
            "run",
            "--project",
            "new",
            "--input",
            str(tmp_path),
            "--batch-limit",
            "2",
            "--confirm-spend",
        )
    assert not Project.objects.exists()
    assert not list(data_folder.rglob("*.png"))
