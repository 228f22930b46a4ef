"""One candidate from claim to outcome, and what happens when it goes wrong on the way."""

import errno
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import timezone
from PIL import Image

from pipeline.models import Asset, Attempt, Candidate, QualityReport, Run
from pipeline.providers.base import (
    GenerateRequest,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderResult,
)
from pipeline.services import execution, finishing, runs
from pipeline.store import ORIGINALS, AssetStore, StorageFull, sha256_of, store_for
from projects.models import AuditEvent, Project
from tests.factories import make_plan, make_run, png
from tests.fakes import FakeProvider, Use, expire_leases, work_through

pytestmark = pytest.mark.django_db


def log_of(run: Run) -> dict[str, object]:
    return json.loads(store_for(run.project).read(run.run_log_path))


def test_a_run_becomes_winners_files_and_a_log(project: Project, use: Use) -> None:
    provider = use(FakeProvider())
    run = make_run(project, n_scenes=3, candidates=2)
    work_through(run)
    store = store_for(project)
    assert run.status == "ok"
    assert run.finished_at is not None
    assert len(provider.requests) == 6
    for job in run.jobs.all():
        winner = job.candidates.get(candidate_index=job.selected_candidate_index)
        assert store.sha256(winner.final_asset.rel_path) == winner.final_asset.sha256
        assert store.sha256(winner.original_path) == winner.original_sha256
        assert winner.final_asset.kind == "job_final_output"
        assert winner.rank_reason.startswith("Chosen")
        assert store.exists(f".kroma/thumbnails/{winner.final_asset.sha256}.webp")
    log = log_of(run)
    assert [job["status"] for job in log["jobs"]] == ["done"] * 3
    assert log["run_id"] == str(run.pk)
    assert QualityReport.objects.filter(run=run).count() == 6
    assert Attempt.objects.filter(run=run, status="stored").count() == 6
    assert AuditEvent.objects.filter(event_code="run.finished").count() == 1


def test_the_provider_gets_the_scene_first_then_the_styles(project: Project, use: Use) -> None:
    provider = use(FakeProvider())
    work_through(make_run(project))
    assert [path.name for path in provider.requests[0].images] == ["scene 0.png", "style 0.png"]


@pytest.mark.acceptance("W-36")
def test_a_second_delivery_is_a_no_op(project: Project, use: Use) -> None:
    provider = use(FakeProvider())
    run = make_run(project)
    work_through(run)
    work_through(run)
    assert len(provider.requests) == 1


@pytest.mark.acceptance("W-36")
def test_only_one_worker_gets_a_candidate(project: Project) -> None:
    candidate = make_run(project).candidates.get()
    now = timezone.now()
    tokens = [Candidate.objects.claim(candidate.pk, now=now) for _ in range(3)]
    assert [token is not None for token in tokens] == [True, False, False]


@pytest.mark.acceptance("W-03")
def test_a_failed_candidate_does_not_stop_the_others(project: Project, use: Use) -> None:
    calls = iter(range(100))

    def answer(request: GenerateRequest) -> bytes:
        if next(calls) == 1:
            raise ProviderRefused(
                "The picture was refused: change the prompt", code="provider_refused", http_status=400
            )
        return png()

    use(FakeProvider(answer=answer))
    run = make_run(project, n_scenes=3)
    work_through(run)
    assert run.status == "partial"
    assert [job.status for job in run.jobs.order_by("position")] == ["done", "failed", "done"]
    failed = run.candidates.get(status="failed")
    assert failed.error["code"] == "provider_refused"
    assert "change the prompt" in failed.rank_reason
    assert log_of(run)["jobs"][1]["failure_reason"] == "all_candidates_failed"


def test_after_a_death_in_the_call_a_free_provider_is_called_again(project: Project, use: Use) -> None:
    class Died(BaseException):
        pass

    def die(request: GenerateRequest) -> bytes:
        raise Died

    provider = use(FakeProvider(answer=die))
    run = make_run(project)
    with pytest.raises(Died):
        work_through(run)
    assert Attempt.objects.get().status == "open"
    work_through(run)
    assert len(provider.requests) == 1, "its lease has not expired yet"
    expire_leases()
    provider.answer = lambda request: png()
    work_through(run)
    assert run.status == "ok"
    assert sorted(Attempt.objects.values_list("number", "status")) == [(1, "abandoned"), (2, "stored")]


def test_after_a_death_in_the_call_a_billed_provider_waits_for_a_person(project: Project, use: Use) -> None:
    class Died(BaseException):
        pass

    def die(request: GenerateRequest) -> bytes:
        raise Died

    provider = use(FakeProvider(repeatable=False, answer=die))
    run = make_run(project)
    with pytest.raises(Died):
        work_through(run)
    expire_leases()
    runs.ring_again()
    work_through(run)
    assert len(provider.requests) == 1
    assert Attempt.objects.get().status == "in_doubt"
    assert run.candidates.get().status == "in_doubt"
    assert run.finished_at is None


def test_an_unknown_outcome_is_in_doubt_and_never_repeated(project: Project, use: Use) -> None:
    def vanish(request: GenerateRequest) -> bytes:
        raise OutcomeUnknown("The connection was lost after sending", code="connection_lost")

    provider = use(FakeProvider(repeatable=False, answer=vanish))
    run = make_run(project)
    work_through(run)
    work_through(run)
    assert len(provider.requests) == 1
    assert run.candidates.get().status == "in_doubt"


def test_a_death_after_the_bytes_are_kept_costs_nothing(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = use(FakeProvider(repeatable=False))
    run = make_run(project)
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "finish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            work_through(run)
    assert run.candidates.get().status == "generated"
    expire_leases()
    work_through(run)
    assert run.status == "ok"
    assert len(provider.requests) == 1
    assert run.cost_events.get().total_cost_usd == Decimal("0.04")


def test_a_late_result_is_kept_though_the_lease_was_lost(project: Project, use: Use) -> None:
    def slow(request: GenerateRequest) -> bytes:
        Candidate.objects.update(lease_token=uuid4())  # somebody else took it meanwhile
        return png(number=7)

    use(FakeProvider(repeatable=False, answer=slow))
    run = make_run(project)
    work_through(run)
    attempt, candidate = Attempt.objects.get(), run.candidates.get()
    assert attempt.status == "stored"
    assert candidate.original_sha256 == attempt.original_sha256
    assert store_for(project).exists(candidate.original_path)
    assert candidate.status == "running", "the other worker finishes it"


def test_a_picture_that_kills_its_worker_is_given_up(project: Project, use: Use) -> None:
    class Died(BaseException):
        pass

    def die(request: GenerateRequest) -> bytes:
        raise Died

    provider = use(FakeProvider(answer=die))
    run = make_run(project)
    for _ in range(execution.MAX_CLAIMS):
        with pytest.raises(Died):
            work_through(run)
        expire_leases()
    work_through(run)
    assert len(provider.requests) == execution.MAX_CLAIMS
    assert run.status == "failed"
    assert run.candidates.get().error["code"] == "worker_lost"


@pytest.mark.parametrize("code", ["input_missing", "input_changed"])
def test_a_scene_that_vanished_or_changed_is_named(project: Project, use: Use, code: str) -> None:
    use(FakeProvider())
    run = make_run(project, n_scenes=2)
    scene = store_for(project).path("scenes/scene 0.png")
    scene.unlink() if code == "input_missing" else scene.write_bytes(png(number=55))
    work_through(run)
    assert run.status == "partial"
    error = run.candidates.get(status="failed").error
    assert error["code"] == code
    assert "scene 0" in error["message"]


def test_bytes_that_are_no_picture_are_kept_and_reported(project: Project, use: Use) -> None:
    use(FakeProvider(answer=lambda request: b"<html>busy</html>"))
    run = make_run(project)
    work_through(run)
    candidate = run.candidates.get()
    assert candidate.error["code"] == "image_unreadable"
    assert store_for(project).read(candidate.original_path) == b"<html>busy</html>"


def test_a_full_disk_fails_the_candidate_in_words(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    run = make_run(project)
    before = Asset.objects.count()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.store.os.fsync", full)
        with pytest.raises(StorageFull):  # its log finds no room either
            work_through(run)
    candidate = run.candidates.get()
    assert candidate.error["code"] == "disk_full"
    assert "free some space" in candidate.error["message"]
    assert Asset.objects.count() == before
    assert not list(store_for(project).root.rglob(".draft-*"))
    runs.ring_again()
    run.refresh_from_db()
    assert run.status == "failed", "the bell closes it once there is room"


def test_a_guard_rejection_moves_the_file_to_the_archive(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project)
    guard = {
        "enabled": True,
        "enforce_grayscale": True,
        "max_chroma_delta": 0.5,
        "fail_on_chroma_exceed": False,
    }
    run.settings_snapshot["output_guard"] = guard
    run.save()
    work_through(run)
    candidate = run.candidates.get()
    asset = candidate.output_asset
    assert candidate.status == "failed_output_guard"
    assert run.status == "failed"
    assert asset.rel_path.startswith("archive/bad/")
    assert asset.metadata["archived"] == "bad"
    assert store_for(project).exists(asset.rel_path)
    assert not store_for(project).exists(candidate.output_name)
    block = log_of(run)["jobs"][0]["candidates"][0]["output_guard"]
    assert block["bad_archive"].endswith(asset.rel_path)
    assert block["files"][0]["hard_fail_reasons"] == ["not_grayscale_like"]


@pytest.mark.acceptance("W-07")
def test_an_older_panel_of_the_same_name_keeps_its_picture(project: Project, use: Use) -> None:
    use(FakeProvider(answer=lambda request: png(number=1)))
    first = make_run(project)
    work_through(first)
    use(FakeProvider(answer=lambda request: png(number=2)))
    second = make_run(project)
    work_through(second)
    old, new = (run.candidates.get().output_asset for run in (first, second))
    store = store_for(project)
    assert new.rel_path == "outputs/style_1_scene_0.png"
    assert old.rel_path.startswith("archive/replaced/style_1_scene_0_replaced_")
    assert [store.sha256(asset.rel_path) for asset in (old, new)] == [old.sha256, new.sha256]


@pytest.mark.parametrize("moment", ["before our file is in place", "before the commit"])
def test_publishing_again_after_a_death_between_rename_and_commit(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    use(FakeProvider(answer=lambda request: png(number=1)))
    first = make_run(project)
    work_through(first)
    use(FakeProvider(answer=lambda request: png(number=2)))
    second = make_run(project)

    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "before the commit":
            patch.setattr(Asset.objects, "create", die)
        else:
            patch.setattr(Path, "replace", die_for_outputs(Path.replace))
        with pytest.raises(KeyboardInterrupt):
            work_through(second)
    expire_leases()
    work_through(second)
    store = store_for(project)
    for run in (first, second):
        asset = run.candidates.get().output_asset
        assert store.sha256(asset.rel_path) == asset.sha256
    assert len(list((store.root / "archive/replaced").iterdir())) == 1


def die_for_outputs(replace: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    def guarded(self: Path, target: Path) -> Path:
        if "outputs" in str(target):
            raise KeyboardInterrupt
        return replace(self, target)

    return guarded


def test_the_bell_takes_up_what_was_left(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project, n_scenes=2)
    first, second = run.candidates.order_by("job__position")
    Candidate.objects.claim(first.pk, now=timezone.now() - timedelta(hours=1))
    Candidate.objects.filter(pk=first.pk).update(rung_at=timezone.now() - timedelta(hours=1))
    assert runs.ring_again(timezone.now()) == 1, "the dead worker's; the other was rung just now"
    assert runs.ring_again(timezone.now()) == 0, "it was rung for just now"
    assert runs.ring_again(timezone.now() + timedelta(hours=1)) == 2
    assert second.status == "planned"


def test_a_job_whose_last_worker_died_before_closing_it_is_closed_by_the_bell(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    run = make_run(project)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "close_job_if_finished", lambda job: None)
        work_through(run)
    assert run.status == "running"
    runs.ring_again()
    run.refresh_from_db()
    assert run.status == "ok"


def test_the_same_seed_gives_the_same_plan_and_another_seed_another(project: Project) -> None:
    one, again = make_plan(project, seed=7), make_plan(project, seed=7)
    assert one.plan_hash == again.plan_hash
    assert make_plan(project, seed=8).plan_hash != one.plan_hash


def test_originals_are_never_written_twice(project: Project, use: Use) -> None:
    use(FakeProvider(answer=lambda request: png(number=3)))
    work_through(make_run(project, n_scenes=2))
    originals = [path for path in (store_for(project).root / ORIGINALS).iterdir() if path.is_file()]
    assert len(originals) == 1
    assert sha256_of(originals[0]) == originals[0].stem


def test_a_provider_error_leaves_no_open_attempt(project: Project, use: Use) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise ProviderError("No", code="provider_failed")

    use(FakeProvider(answer=refuse))
    work_through(make_run(project))
    assert Attempt.objects.get().status == "failed"


@pytest.mark.acceptance("W-20")
def test_a_store_never_leaves_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AssetStore(tmp_path)
    store.write("outputs/a.png", b"old")
    monkeypatch.setattr(
        "pipeline.store.os.fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, ""))
    )
    with pytest.raises(StorageFull, match="free some space"):
        store.write("outputs/a.png", b"new")
    assert (tmp_path / "outputs/a.png").read_bytes() == b"old"
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["a.png"]


def test_published_pictures_are_png_whatever_the_provider_sends(project: Project, use: Use) -> None:
    class Webp(FakeProvider):
        def generate(self, request: GenerateRequest) -> ProviderResult:
            return ProviderResult(png(format="WEBP"), "image/webp", "webp", "fake", "", "", Decimal(0))

    use(Webp())
    run = make_run(project)
    work_through(run)
    candidate = run.candidates.get()
    assert candidate.original_path.endswith(".webp")
    with Image.open(store_for(project).path(candidate.output_asset.rel_path)) as image:
        assert image.format == "PNG"
