"""What must hold when files, disks and workers misbehave at the worst moment."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kroma_site import worker
from pipeline.models import Asset, Candidate, Run
from pipeline.providers.base import GenerateRequest, ProviderRefused
from pipeline.services import control, ending, execution, finishing, runs
from pipeline.store import AssetStore, StorageFailed, StorageFull, store_for
from projects.access import OPERATOR
from projects.errors import Invalid, PlanRefused
from projects.models import Project, User
from tests.factories import make_plan, make_project, make_run, make_set, png, upload
from tests.fakes import FakeProvider, Use, expire_leases, work_through

pytestmark = pytest.mark.django_db

STRICT_GUARD = {
    "enabled": True, "enforce_grayscale": True, "max_chroma_delta": 0.5, "fail_on_chroma_exceed": False
}  # fmt: skip


def make_strict_run(project: Project) -> Run:
    """A run whose guard rejects every coloured picture."""
    run = make_run(project)
    run.settings_snapshot["output_guard"] = STRICT_GUARD
    run.save()
    return run


def test_a_worker_that_was_held_up_does_not_call_again(project: Project, use: Use) -> None:
    """Suspended between its claim and its call, while another one made and paid for the picture."""

    class HeldUp(FakeProvider):
        taken_over = False

        def estimate(self, request: GenerateRequest) -> Decimal | None:
            if candidates and not self.taken_over:
                self.taken_over = True
                expire_leases()
                execution.execute_candidate(candidates[0])
            return Decimal("0.04")

    candidates: list[Any] = []
    provider = use(HeldUp(repeatable=False))
    run = make_run(project)
    candidates.append(run.candidates.get().pk)
    execution.execute_candidate(candidates[0])
    assert len(provider.requests) == 1
    assert run.cost_events.count() == 1
    run.refresh_from_db()
    assert run.status == "ok"


def test_a_picture_that_somebody_edited_by_hand_is_archived_not_lost(project: Project, use: Use) -> None:
    use(FakeProvider(answer=lambda request: png(number=1)))
    work_through(make_run(project))
    store, edited = store_for(project), png(number=77)
    store.path("outputs/style_1_scene_0.png").write_bytes(edited)
    use(FakeProvider(answer=lambda request: png(number=2)))
    work_through(make_run(project))
    kept = [path.read_bytes() for path in (store.root / "archive/replaced").iterdir()]
    assert kept == [edited]


def test_a_rejected_file_is_found_though_another_run_took_its_name(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider(answer=lambda request: png(number=1)))
    first, second = make_strict_run(project), make_run(project)
    inspect, others = finishing.judged, [second]

    def other_run_first(*args: Any, **kwargs: Any) -> Any:
        while others:
            use(FakeProvider(answer=lambda request: png(number=2)))
            work_through(others.pop())
        return inspect(*args, **kwargs)

    monkeypatch.setattr(finishing, "judged", other_run_first)
    work_through(first)
    second.refresh_from_db()
    assert (first.status, second.status) == ("failed", "ok")
    store = store_for(project)
    assert [store.sha256(asset.rel_path) == asset.sha256 for asset in Asset.objects.all()] == [True, True]


def test_a_death_while_a_rejected_file_is_archived_is_repaired(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    run = make_strict_run(project)
    save = models.Model.save

    def die(self: Asset, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("update_fields"):
            raise KeyboardInterrupt
        save(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Asset, "save", die)
        with pytest.raises(KeyboardInterrupt):
            work_through(run)
    expire_leases()
    work_through(run)
    candidate = run.candidates.get()
    assert candidate.status == "failed_output_guard"
    assert store_for(project).sha256(candidate.output_asset.rel_path) == candidate.output_asset.sha256


@pytest.fixture
def one_worker() -> Iterator[None]:
    """This process as the main one of a worker."""
    ending.become_worker()
    yield
    ending._Worker.locks.close()
    ending._Worker.id, ending._Worker.locks = 0, None


@pytest.mark.parametrize("on_purpose", [True, False])
def test_a_death_counts_against_a_picture_and_a_stop_does_not(
    project: Project, use: Use, one_worker: None, on_purpose: bool
) -> None:
    use(FakeProvider())
    candidate = make_run(project).candidates.get()
    for _ in range(3):
        assert Candidate.objects.claim(candidate.pk, now=timezone.now(), token=ending.new_lease_token())
        ending.release_leases(on_purpose=on_purpose)
    candidate.refresh_from_db()
    assert candidate.n_claims == (0 if on_purpose else 3)


def test_one_log_that_can_not_be_written_does_not_hold_up_other_runs(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    stuck, fine = make_run(project), make_run(make_project(name="Other"))
    with monkeypatch.context() as patch:
        patch.setattr(runs, "close_job_if_finished", lambda job: None)
        for run in (stuck, fine):
            work_through(run)
    write = AssetStore.write

    def full(self: AssetStore, name: str, data: bytes) -> str:
        if self.root == store_for(project).root:
            raise StorageFull("full")
        return write(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(AssetStore, "write", full)
        runs.ring_again()
    fine.refresh_from_db()
    assert fine.status == "ok"
    runs.ring_again()
    stuck.refresh_from_db()
    assert stuck.status == "ok", "it is closed once there is room"


def test_the_bell_survives_a_fault_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.connections, "close_all", lambda: None)
    rung = []

    def fault() -> int:
        rung.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(runs, "ring_again", fault)
    worker._ring(runs.ring_again)
    assert rung == [1]


def test_a_scene_that_became_a_link_out_of_the_root_ends_the_run_in_words(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project)
    path = store_for(project).path("scenes/scene 0.png")
    path.unlink()
    path.symlink_to("/etc/hostname")
    work_through(run)
    assert run.status == "failed"
    assert "leads out" in run.candidates.get().error["message"]


def test_a_dry_run_without_room_for_its_log_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(project, mode="dry")

    def full(self: AssetStore, name: str, data: bytes) -> str:
        raise StorageFull("full")

    monkeypatch.setattr(AssetStore, "write", full)
    with pytest.raises(StorageFull):
        runs.record_dry_run(plan, by=OPERATOR)
    assert not Run.objects.exists()


def test_a_folder_that_is_a_file_fails_the_candidate_in_words(project: Project, use: Use) -> None:
    provider = use(FakeProvider())
    run = make_run(project)
    (store_for(project).root / ".kroma").mkdir()
    (store_for(project).root / ".kroma/originals").write_text("in the way")
    work_through(run)
    error = run.candidates.get().error
    assert error["code"] == "storage_failed"
    assert "originals" in error["message"]
    assert len(provider.requests) == 1


def test_an_upload_into_a_place_that_can_not_be_written_is_refused_in_words(
    project: Project, erin_client: Client
) -> None:
    root = store_for(project).root
    root.mkdir(parents=True)
    (root / "references").write_text("in the way")
    scenes = make_set(project=project)
    url = reverse("pipeline:reference-upload", args=[project.slug, scenes.pk])
    answer = erin_client.post(url, {"images": upload()})
    assert answer.status_code in {422, 507}
    assert "can&#x27;t be written" in answer.content.decode()
    assert not scenes.items.exists()


def test_a_store_names_what_it_can_not_write(project: Project) -> None:
    store = store_for(project)
    store.root.mkdir(parents=True)
    (store.root / "outputs").write_text("in the way")
    with pytest.raises(StorageFailed, match="outputs"):
        store.make_layout()


def test_names_that_no_folder_could_bear_are_refused(alice: User) -> None:
    with pytest.raises(Invalid, match="more than 200 characters"):
        make_project(name="İ" * 150, owner=alice)


def test_an_address_with_a_nul_is_not_found(alice_client: Client) -> None:
    assert alice_client.get("/projects/%00/").status_code == 404


def test_a_ring_is_not_repeated_before_it_can_have_been_heard(project: Project, use: Use) -> None:
    use(FakeProvider())
    run = make_run(project)
    Candidate.objects.claim(run.candidates.get().pk, now=timezone.now() - timedelta(hours=1))
    assert runs.ring_again() == 0, "it was rung for when the run started, a moment ago"


def test_a_picture_made_again_after_its_original_vanished_is_the_one_that_wins(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1, 9))
    use(FakeProvider(answer=lambda request: png(number=next(numbers))))
    run = make_run(project)

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "_judge", die)
        with pytest.raises(KeyboardInterrupt):
            work_through(run)
    store_for(project).path(run.candidates.get().original_path).unlink()
    expire_leases()
    work_through(run)
    assert run.candidates.get().error["code"] == "original_missing"
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    work_through(run)
    candidate = run.candidates.get()
    assert candidate.final_asset.metadata["original_sha256"] == candidate.original_sha256
    assert store_for(project).sha256(candidate.final_asset.rel_path) == candidate.final_asset.sha256


def test_the_row_of_a_lost_file_never_names_another_ones_bytes(project: Project, use: Use) -> None:
    use(FakeProvider())
    work_through(make_run(project))
    asset = Asset.objects.get()
    store = store_for(project)
    store.path(asset.rel_path).write_bytes(b"retouched by hand")
    work_through(make_run(project))
    asset.refresh_from_db()
    assert asset.metadata["path_exists"] is False
    assert not store.exists(asset.rel_path)


def test_a_run_whose_provider_is_gone_can_still_be_looked_at(
    project: Project, use: Use, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = use(FakeProvider())

    def refuse(request: GenerateRequest) -> bytes:
        raise ProviderRefused("No", code="provider_refused")

    provider.answer = refuse
    run = make_run(project)
    work_through(run)
    Run.objects.filter(pk=run.pk).update(provider_code="gone")
    monkeypatch.undo()
    assert alice_client.get(run.get_absolute_url()).status_code == 200


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000"])
def test_settings_with_text_that_can_not_be_stored_are_refused_in_words(project: Project, text: str) -> None:
    folder = store_for(project).root / ".kroma"
    folder.mkdir(parents=True)
    (folder / "pipeline.settings.json").write_text(f'{{"provider_code": "{text}"}}')
    with pytest.raises(PlanRefused, match="can't be stored"):
        make_plan(project)


def test_without_room_for_its_log_a_run_is_canceled_all_the_same_and_gets_it_later(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    run = make_run(project)
    write = runs.runlogs.write_run_log

    def full(run: Run) -> None:
        raise StorageFull("The disk is full")

    monkeypatch.setattr(runs.runlogs, "write_run_log", full)
    control.cancel_run(run, by=OPERATOR)
    run.refresh_from_db()
    assert run.status == "canceled"
    monkeypatch.setattr(runs.runlogs, "write_run_log", write)
    runs.ring_again()
    assert store_for(project).exists(run.run_log_path)
