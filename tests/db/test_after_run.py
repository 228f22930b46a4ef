"""What follows the end of a run: once, whatever dies, and without a say in what the run is."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from pipeline.bucket import BucketUnusable
from pipeline.models import Run
from pipeline.providers.base import GenerateRequest, ProviderRefused
from pipeline.services import control, execution, runs
from pipeline.services.after_run import after_run
from pipeline.services.references import add_images
from pipeline.services.runs import record_dry_run
from pipeline.services.s3 import SyncGoingOn, SyncResult
from projects.access import OPERATOR
from projects.errors import Invalid
from projects.models import Project
from projects.services.storage import set_s3_storage
from tests.factories import make_finished_run, make_plan, make_run, make_set, upload
from tests.fakes import FakeProvider, Use, work_through

pytestmark = pytest.mark.django_db

OnCommit = DjangoCaptureOnCommitCallbacks
Does = Callable[[Run], list[str]]


class Died(BaseException):
    """The end of a worker in the middle of something."""


class Steps:
    """Stand-ins for the two halves of the step; they note what they were called for."""

    def __init__(self) -> None:
        self.ingested: list[object] = []
        self.synced: list[object] = []
        self.ingest: Does = lambda run: []
        self.sync: Callable[[Project], tuple[str, ...]] = lambda project: ()

    def ingest_after_run(self, run: Run) -> list[str]:
        self.ingested.append(run.pk)
        return self.ingest(run)

    def sync_project(self, project: Project, **options: object) -> SyncResult:
        self.synced.append(project.pk)
        return SyncResult(project.slug, "", "", dry_run=False, delete=False, failed=self.sync(project))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr("pipeline.services.after_run.ingest_after_run", steps.ingest_after_run)
    monkeypatch.setattr("pipeline.services.after_run.sync_project", steps.sync_project)
    return steps


def finished(project: Project, *, sync: bool = False) -> Run:
    run = make_finished_run(project)
    Run.objects.filter(pk=run.pk).update(sync_s3=sync)
    return run


def raising(error: BaseException) -> Callable[[object], list[str]]:
    def answer(subject: object) -> list[str]:
        raise error

    return answer


def is_due(run: Run) -> bool:
    return Run.objects.owing_post_run(timezone.now()).filter(pk=run.pk).exists()


@pytest.mark.acceptance("I-03", "I-09")
def test_a_dry_run_is_taken_in_at_its_end_and_never_sent(project: Project, steps: Steps) -> None:
    run = record_dry_run(make_plan(project, mode="dry"), by=OPERATOR)
    assert run.post_run_at
    Run.objects.filter(pk=run.pk).update(sync_s3=True, post_run_at=None)
    after_run(run.pk)
    after_run(run.pk)
    assert steps.ingested == [run.pk] * 2
    assert steps.synced == []


@pytest.mark.acceptance("I-02", "I-03")
def test_a_run_is_taken_in_once_when_its_end_is_rung(
    project: Project, steps: Steps, django_capture_on_commit_callbacks: OnCommit
) -> None:
    run = make_run(project, n_scenes=2)
    with django_capture_on_commit_callbacks(execute=True):
        work_through(run)
    assert steps.ingested == [run.pk]
    run.refresh_from_db()
    assert (run.status, bool(run.post_run_at), run.warnings) == ("ok", True, [])
    with django_capture_on_commit_callbacks(execute=True):
        runs.ring_again()
        runs.close_run_if_finished(run)
    after_run(run.pk)
    assert steps.ingested == [run.pk]


@pytest.mark.acceptance("I-02")
def test_a_run_that_failed_is_taken_in_too_and_a_retry_makes_it_due_again(
    project: Project, use: Use, steps: Steps, django_capture_on_commit_callbacks: OnCommit
) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise ProviderRefused("The picture was refused: change the prompt", code="provider_refused")

    provider = use(FakeProvider(answer=refuse))
    run = make_run(project)
    with django_capture_on_commit_callbacks(execute=True):
        work_through(run)
    assert run.status == "failed"
    assert steps.ingested == [run.pk]
    provider.answer = FakeProvider().answer
    control.retry_failed(run, by=OPERATOR, confirm_spend=True)
    assert not is_due(run)
    with django_capture_on_commit_callbacks(execute=True):
        work_through(run)
    assert run.status == "ok"
    assert steps.ingested == [run.pk] * 2


def test_a_canceled_run_is_taken_in_once_its_log_is_written(project: Project, use: Use, steps: Steps) -> None:
    use(FakeProvider())
    run = make_run(project, n_scenes=2)
    in_hand = run.candidates.order_by("job__position").first()

    def cancel_meanwhile(request: GenerateRequest) -> bytes:
        control.cancel_run(run, by=OPERATOR)
        assert not is_due(run)
        return FakeProvider().answer(request)

    use(FakeProvider(answer=cancel_meanwhile))
    assert in_hand
    execution.execute_candidate(in_hand.pk)
    run.refresh_from_db()
    assert run.status == "canceled"
    assert is_due(run)
    after_run(run.pk)
    assert steps.ingested == [run.pk]
    assert not is_due(run)


def test_files_are_sent_only_where_it_was_asked_for(project: Project, steps: Steps) -> None:
    after_run(finished(project).pk)
    assert steps.synced == []
    after_run(finished(project, sync=True).pk)
    assert steps.synced == [project.pk]


@pytest.mark.acceptance("I-02", "I-09")
def test_what_fails_after_a_run_is_a_warning_and_changes_nothing_of_it(
    project: Project, steps: Steps
) -> None:
    run = finished(project, sync=True)
    steps.ingest = raising(Invalid("The log is gone"))
    after_run(run.pk)
    run.refresh_from_db()
    assert run.warnings == ["The run could not be taken in, so nothing was sent to S3: The log is gone"]
    assert (run.status, bool(run.post_run_at), steps.synced) == ("ok", True, [])

    run = finished(project, sync=True)
    steps.ingest = lambda run: ["A hash differs"]
    steps.sync = raising(BucketUnusable("The server refused the key"))  # type: ignore[assignment]
    after_run(run.pk)
    run.refresh_from_db()
    assert run.warnings == ["A hash differs", "S3 sync: The server refused the key"]

    run = finished(project, sync=True)
    steps.sync = lambda project: tuple(f"file {n}" for n in range(12))
    after_run(run.pk)
    run.refresh_from_db()
    assert len(run.warnings) == 12
    assert run.warnings[-1] == "S3 sync: 2 more faults; sync again to see them"

    run = finished(project)
    steps.ingest = raising(TypeError("surprise"))
    after_run(run.pk)
    run.refresh_from_db()
    assert run.warnings == ["The step after the run failed (TypeError): the worker's log says more"]
    assert (run.status, bool(run.post_run_at)) == ("ok", True)


def test_s3_that_is_switched_off_is_a_warning(project: Project) -> None:
    run = finished(project, sync=True)
    after_run(run.pk)
    run.refresh_from_db()
    assert run.warnings == [
        "S3 sync: S3 is switched off for Saltmarsh: switch it on in the project's storage settings"
    ]


def test_a_worker_that_dies_in_the_step_leaves_it_to_the_next(
    project: Project, steps: Steps, django_capture_on_commit_callbacks: OnCommit
) -> None:
    run = finished(project, sync=True)
    steps.sync = raising(Died())  # type: ignore[assignment]
    with pytest.raises(Died):
        after_run(run.pk)
    steps.sync = lambda project: ()
    after_run(run.pk)
    assert steps.synced == [project.pk], "the lease of the dead one holds"
    Run.objects.filter(pk=run.pk).update(post_run_until=timezone.now() - timedelta(seconds=1))
    with django_capture_on_commit_callbacks(execute=True):
        runs.ring_again()
    assert steps.synced == [project.pk] * 2
    run.refresh_from_db()
    assert (bool(run.post_run_at), run.post_run_until) == (True, None)


def test_a_step_that_lost_its_lease_writes_nothing(project: Project, steps: Steps) -> None:
    run = finished(project)

    def take_over(run: Run) -> list[str]:
        Run.objects.filter(pk=run.pk).update(post_run_until=timezone.now() + timedelta(hours=1))
        return ["late"]

    steps.ingest = take_over
    after_run(run.pk)
    run.refresh_from_db()
    assert (run.warnings, run.post_run_at) == ([], None)


def test_a_run_that_ends_anew_during_the_step_is_due_again(project: Project, steps: Steps) -> None:
    run = finished(project)

    def end_anew(run: Run) -> list[str]:
        Run.objects.filter(pk=run.pk).update(finished_at=timezone.now(), post_run_at=None)
        return []

    steps.ingest = end_anew
    after_run(run.pk)
    assert is_due(run)


def test_a_sync_that_another_one_holds_up_is_tried_again_later(project: Project, steps: Steps) -> None:
    run = finished(project, sync=True)
    steps.sync = raising(SyncGoingOn("Another sync is going on"))  # type: ignore[assignment]
    after_run(run.pk)
    run.refresh_from_db()
    assert (run.post_run_at, run.warnings) == (None, [])
    Run.objects.filter(pk=run.pk).update(post_run_until=timezone.now() - timedelta(seconds=1))
    assert is_due(run)


def test_the_page_of_a_run_tells_what_failed_after_it(project: Project, vic_client: Client) -> None:
    run = finished(project, sync=True)
    page = vic_client.get(run.get_absolute_url()).content.decode()
    assert "The files are being sent to S3." in page
    assert 'hx-trigger="every 2s"' in page
    after_run(run.pk)
    page = vic_client.get(run.get_absolute_url()).content.decode()
    assert "S3 sync: S3 is switched off for Saltmarsh" in page
    assert 'hx-trigger="every 2s"' not in page


def test_the_composer_offers_to_send_where_s3_is_switched_on(project: Project, erin_client: Client) -> None:
    scenes = make_set(project=project)
    add_images(scenes, [upload()], by=OPERATOR)
    url = reverse("pipeline:run-new", args=[project.slug])
    sent = {
        "stage": "style", "time": "day", "weather": "clear", "scene_sets": str(scenes.pk), "candidates": "1",
        "seed": "0", "sync_s3": "on", "do": "start", "confirm_spend": "1", "max_cost_usd": "0",
    }  # fmt: skip

    def started() -> Run:
        shown = erin_client.post(reverse("pipeline:run-plan", args=[project.slug]), sent).content.decode()
        plan_hash = shown.split('name="plan_hash" value="')[1].split('"')[0]
        assert erin_client.post(url, sent | {"plan_hash": plan_hash}).status_code == 302
        return Run.objects.latest("created_at")

    assert b"sync_s3" not in erin_client.get(url).content
    assert not started().sync_s3
    set_s3_storage(project, by=OPERATOR, enabled=True)
    assert b'name="sync_s3"' in erin_client.get(url).content
    run = started()
    assert run.sync_s3
    again = erin_client.get(url, {"again": str(run.pk)}).content.decode()
    assert 'name="sync_s3"' in again
    assert "checked" in again.split('name="sync_s3"')[1].split(">")[0]
    del sent["sync_s3"]
    assert not started().sync_s3
