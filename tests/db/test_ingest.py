"""Run logs from elsewhere become rows; logs of runs made here are only looked at."""

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.db import IntegrityError
from hypothesis import HealthCheck, given
from hypothesis import settings as examined

from pipeline.models import (
    Asset,
    AssetLink,
    Attempt,
    Candidate,
    CostEvent,
    QualityReport,
    Run,
    RunJob,
)
from pipeline.services import importing, reviews
from pipeline.services.ingest import IngestResult, ingest_run_log
from pipeline.services.postrun import ingest_after_run
from pipeline.services.runs import record_dry_run
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import Invalid, NotFound
from projects.models import AuditEvent, Project
from tests.factories import make_finished_run, make_plan, png
from tests.unit.engine.test_ingest import logs

pytestmark = pytest.mark.django_db

EXAMPLES = Path(__file__).parent.parent / "runlogs"


def example(name: str) -> dict[str, Any]:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def written(log: object, name: str = "run.json") -> Path:
    path = Path(settings.APP_ROOT) / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log if isinstance(log, str) else json.dumps(log))
    return path


def ingested(log: object, *, slug: str = "saltmarsh", name: str = "run.json", **options: Any) -> IngestResult:
    return ingest_run_log(written(log, name), project_slug=slug, by=OPERATOR, **options)


def dump() -> str:
    """All tables, in order."""
    models = sorted(apps.get_models(), key=lambda model: model._meta.label)
    rows = (row for model in models for row in model._default_manager.order_by("pk"))
    return serializers.serialize("json", rows)


def counts() -> dict[str, int]:
    models = (Run, RunJob, Candidate, QualityReport, CostEvent, AssetLink)
    return {model.__name__: model.objects.count() for model in models}


def job(number: int, *candidates: dict[str, object], **fields: object) -> dict[str, object]:
    return {"id": f"style_{number}_quay", "status": "done", "candidates": list(candidates), **fields}


@pytest.mark.acceptance("I-04", "W-26")
def test_the_paid_example_of_the_reference() -> None:
    result = ingested(example("run"))
    assert (result.status, result.jobs, result.candidates) == ("failed", 2, 4)
    assert (result.assets_upserted, result.quality_reports_written, result.cost_events_written) == (6, 5, 0)
    contract = ("candidate_output", "candidate_final_output", "job_final_output")
    assert Asset.objects.filter(kind__in=contract).count() == 5
    run = Run.objects.get(pk=result.run_id)
    assert (run.is_imported, run.run_mode, run.status, run.stage) == (True, "run", "failed", "weather")
    assert (run.model_name, run.image_size, run.image_quality) == ("gpt-image-1", "1024x1536", "high")
    assert run.provider_code == "openai"
    assert run.started_at.isoformat() == run.finished_at.isoformat() == "2026-05-04T21:06:40.902000+00:00"
    first, second = run.jobs.order_by("position")
    assert (first.status, first.selected_candidate_index, first.label) == ("done", 2, "Quay Wide 01")
    assert (second.status, second.failure_reason) == (
        "failed_output_guard",
        "all_candidates_failed_output_guard",
    )
    assert first.metadata == example("run")["jobs"][0]
    assert [image["path"] for image in first.inputs] == ["scenes/Quay Wide 01.png", "styles/ink_plate.png"]
    winner = first.candidates.get(candidate_index=2)
    assert winner.metadata == example("run")["jobs"][0]["candidates"][1]
    assert winner.final_asset.kind == "job_final_output"
    assert winner.final_asset.candidate == winner
    assert winner.final_asset.metadata == {"path_exists": False, "imported": True, "selected_candidate": 2}
    assert "Chosen" in winner.rank_reason
    rejected = first.candidates.get(candidate_index=1)
    assert (rejected.rank_hard_failures, rejected.rank_avg_chroma_exceed) == (1, 1.25)
    assert "must be grey" in rejected.rank_reason
    report = QualityReport.objects.get(candidate=winner)
    assert report.asset == winner.final_asset
    assert report.summary["output_guard"]["files"][0]["chroma_delta"] == 7.1042
    assert QualityReport.objects.get(candidate=None).summary["scope"] == "run"


@pytest.mark.acceptance("W-25")
def test_files_between_are_assets_and_the_chain_is_linked() -> None:
    result = ingested(example("run"))
    chain = ["outputs/weather_1_quay_wide_01__c2.png"]
    while link := AssetLink.objects.filter(parent__rel_path=chain[-1], link_type="derived_from").first():
        chain.append(link.child.rel_path)
    assert chain[1:] == [
        "background_removed/weather_1_quay_wide_01__c2_nobg.png",
        "upscaled/weather_1_quay_wide_01__c2_nobg_x2.png",
        "color_corrected/weather_1_quay_wide_01__c2_nobg_x2_cold_rain.png",
    ]
    bad = Asset.objects.filter(kind="archived_bad")
    assert {asset.metadata["archived"] for asset in bad} == {"bad"}
    assert (bad.count(), result.derived_assets) == (3, Asset.objects.count() - 5)
    assert not Asset.objects.filter(candidate=None).exists()


@pytest.mark.acceptance("I-04", "W-23")
def test_the_dry_example_of_the_reference_is_marked_as_planned() -> None:
    result = ingested(example("dry"))
    assert (result.status, result.jobs, result.candidates, result.assets_upserted) == ("ok", 1, 1, 0)
    assert result.quality_reports_written == 2
    candidate = Candidate.objects.get()
    assert (candidate.candidate_index, candidate.status, candidate.finished_at) == (1, "planned", None)
    assert QualityReport.objects.get(candidate=candidate).summary["planned"] is True
    assert Run.objects.get().settings_snapshot["timestamp"] == "2026-05-04T20:58:03.417Z"


@pytest.mark.acceptance("I-06", "W-24")
@pytest.mark.parametrize("name", ["dry", "run"])
def test_the_same_log_again_leaves_the_same_rows_and_the_run_its_id(name: str) -> None:
    first, before = ingested(example(name)), counts()
    assets = set(Asset.objects.values_list("pk", "rel_path", "run"))
    again = ingested(example(name))
    assert again == first
    assert counts() == before
    assert set(Asset.objects.values_list("pk", "rel_path", "run")) == assets
    assert not Asset.objects.filter(job=None).exists()


@pytest.mark.acceptance("I-06")
def test_two_spellings_of_a_path_are_one_log(tmp_path: Path) -> None:
    path = written(example("dry"))
    link = tmp_path / "link.json"
    link.symlink_to(path)
    runs = {
        ingest_run_log(spelled, project_slug="saltmarsh", by=OPERATOR).run_id
        for spelled in (path, "logs/run.json", "logs/../logs/run.json", link)
    }
    assert len(runs) == Run.objects.count() == 1


@pytest.mark.acceptance("I-07", "W-24")
def test_a_newer_text_of_a_log_counts_alone() -> None:
    def candidate(path: str) -> dict[str, object]:
        return {"candidate_index": 1, "status": "done", "output": path, "final_output": path}

    first = ingested({"mode": "run", "jobs": [job(1, candidate("a.png")), job(2, candidate("b.png"))]})
    (Path(settings.APP_ROOT) / "c.png").write_bytes(png())
    more = [job(1, candidate("c.png")), job(2, candidate("d.png")), job(3, candidate("d2.png"))]
    second = ingested({"mode": "run", "jobs": more, "cost_events": [{"cost_usd": 1}]})
    assert (second.run_id, second.jobs, second.candidates, second.cost_events_written) == (
        first.run_id, 3, 3, 1,
    )  # fmt: skip
    exists = {Path(a.rel_path).name: a.metadata["path_exists"] for a in Asset.objects.exclude(run=None)}
    assert exists == {"c.png": True, "d.png": False, "d2.png": False}
    left = Asset.objects.filter(run=None)
    assert {Path(a.rel_path).name for a in left} == {"a.png", "b.png"}
    assert not left.filter(job__isnull=False).exists()
    (Path(settings.APP_ROOT) / "c.png").unlink()
    third = ingested({"mode": "run", "jobs": [job(1, candidate("c.png"))]})
    assert (third.jobs, third.cost_events_written) == (1, 0)
    assert counts() == {
        "Run": 1, "RunJob": 1, "Candidate": 1, "QualityReport": 1, "CostEvent": 0, "AssetLink": 0,
    }  # fmt: skip
    assert Asset.objects.get(run=first.run_id).metadata["path_exists"] is False


@pytest.mark.acceptance("I-05")
def test_candidates_without_an_index_count_in_each_job_from_one() -> None:
    ingested({"mode": "run", "jobs": [job(1, {"status": "done"}, {"status": "failed"}), job(2, {}, {})]})
    found = Candidate.objects.order_by("job__position", "candidate_index")
    assert [row.candidate_index for row in found] == [1, 2, 1, 2]


def test_missing_paths_make_no_asset_and_missing_files_one_that_says_so(project: Project) -> None:
    store_for(project).write("outputs/there.png", png())
    root = store_for(project).root.relative_to(settings.APP_ROOT)
    outputs = [None, "", 7, f"{root}/outputs/gone.png", f"{root}\\outputs\\there.png", "/elsewhere/x.png"]
    candidates = [{"status": "done", "output": output} for output in outputs]
    result = ingested({"mode": "run", "jobs": [job(1, *candidates)]}, compute_hashes=True)
    assert result.assets_upserted == 3
    rows = {asset.rel_path: asset for asset in Asset.objects.all()}
    assert set(rows) == {"outputs/gone.png", "outputs/there.png", "/elsewhere/x.png"}
    there = rows["outputs/there.png"]
    assert (there.mime_type, there.width, there.height) == ("image/png", 96, 128)
    assert there.sha256 == store_for(project).sha256("outputs/there.png")
    assert (rows["outputs/gone.png"].sha256, rows["outputs/gone.png"].n_bytes) == ("", None)
    assert Candidate.objects.filter(output_asset=None).count() == 3


@pytest.mark.acceptance("I-04")
def test_money_is_booked_once() -> None:
    events = [
        {"provider_code": "openai", "operation_code": "edit", "units": 2, "cost_usd": "0.08", "job_id": "a"},
        {"provider": "removebg", "operation": "cut", "quantity": "1", "amount_cents": 20},
        "nothing",
        {},
        {"cost_usd": -5, "event_type": "refund"},
    ]
    log = {"mode": "run", "model": "m1", "generation": {"cost_usd": 9}, "cost_usd": 9}
    log |= {"jobs": [{"id": "a", "status": "done"}], "timestamp": "2024-03-01T10:00:00Z"}
    result = ingested({**log, "cost_events": events})
    assert result.cost_events_written == 4
    assert "refund is -5" in " ".join(result.warnings)
    edit = CostEvent.objects.get(event_type="edit")
    assert (edit.unit_cost_usd, edit.total_cost_usd) == (Decimal("0.04"), Decimal("0.08"))
    assert (edit.job, edit.model_name) == (RunJob.objects.get(), "m1")
    assert edit.created_at.year == 2024
    assert CostEvent.objects.get(provider_code="removebg").total_cost_usd == Decimal("0.2")
    assert CostEvent.objects.get(event_type="legacy_event").provider_code == "unknown"
    ingested(log)
    assert [(c.provider_code, c.event_type, c.total_cost_usd) for c in CostEvent.objects.all()] == [
        ("openai", "image_generation", Decimal(9))
    ]
    ingested({**log, "generation": {}})
    assert [(c.provider_code, c.event_type, c.units) for c in CostEvent.objects.all()] == [
        ("unknown", "run_total", Decimal(1))
    ]


def test_an_older_log_with_seconds_for_a_timestamp_is_dated() -> None:
    ingested({"mode": "run", "timestamp": "1777928283.417Z", "jobs": []}, name="a.json")
    ingested({"mode": "dry", "timestamp": 1777928283417, "jobs": None}, name="b.json")
    for run in Run.objects.all():
        assert run.started_at.isoformat() == "2026-05-04T20:58:03.417000+00:00"
    assert set(Run.objects.values_list("status", flat=True)) == {"partial", "unknown"}


def test_what_no_database_takes_is_cut_or_replaced() -> None:
    """PostgreSQL refuses NUL, halves of surrogate pairs, longer texts and larger numbers."""
    long = "x" * 3000
    candidate = {
        "candidate_index": 2**40,
        "status": "running" + long,
        "output": f"a\0{long}",
        "rank": {"hard_failures": 2**70, "soft_warnings": -1, "avg_chroma_exceed": "1e999"},
        "seed": 2**70,
        "error": {"message": "no\0\ud800", "code": long, "reasons": 5},
    }
    fields = dict.fromkeys(("stage", "time", "weather", "model", "size", "quality", "plan_hash"), long)
    log = {
        **fields,
        "project": "saltmarsh",
        "provider_code": long,
        "run_id": long,
        "seed": 2**80,
        "mode": "run",
        "jobs": [
            job(1, candidate, id=long, failure_reason=long, selected_candidate=2**40, input_images=[long]),
            job(2, {"status": "running"}, {"status": "generated"}, prompt="\0"),
        ],
        "cost_events": [{"cost_usd": "1e300", "currency": long, "units": 1e-9, "operation": long}],
    }
    result = ingested(log)
    row = Candidate.objects.get(job__position=1)
    assert (row.candidate_index, row.rank_hard_failures, row.error["message"]) == (1, 0, "no��")
    assert len(row.status) == 20
    assert any("longer than 1000 characters" in warning for warning in result.warnings)
    assert RunJob.objects.get(position=2).prompt_text == "�"


def test_a_run_left_behind_half_way_is_not_taken_up_by_workers() -> None:
    from pipeline.services.runs import ring_again  # noqa: PLC0415

    ingested(
        {"mode": "run", "jobs": [job(1, {"status": "running"}, {"status": "planned"}, status="running")]}
    )
    before = dump()
    assert ring_again() == 0
    assert dump() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "holds no object"),
        ("{", "is not JSON"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": 1e999}', "too large a number"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested deeper than"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_log_is_refused_in_one_sentence(content: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        ingested(content)
    assert "\n" not in str(caught.value)
    assert "run.json" in str(caught.value)
    assert not Project.objects.exists()


def test_places_that_hold_no_log_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b"\xff\xfe")
    for path, words in (
        (tmp_path / "nowhere.json", "There is no run log"),
        (tmp_path, "not a file"),
        ("", "blank"),
        ("a\0b", "can't be opened"),
        (tmp_path / "latin.json", "no text in UTF-8"),
    ):
        with pytest.raises(Invalid, match=words):
            ingest_run_log(path, project_slug="saltmarsh", by=OPERATOR)


def test_the_universe_is_made_only_if_it_may_be() -> None:
    with pytest.raises(NotFound, match="no universe new_world"):
        ingested(example("dry"), slug="New World!", create_if_missing=False)
    with pytest.raises(Invalid, match="needs a name"):
        ingested(example("dry"), slug="???")
    result = ingested(example("dry"), slug="New World!", project_name="Brave")
    project = Project.objects.get()
    assert (project.slug, project.name) == ("new_world", "Brave")
    assert [member.user.username for member in project.memberships.all()] == ["local"]
    assert "saltmarsh" in result.warnings[0]
    assert AuditEvent.objects.filter(event_code="run.imported").count() == 1


@pytest.mark.acceptance("I-04")
def test_a_failure_leaves_the_database_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    ingested(example("run"))
    before = dump()

    def fail(*args: object, **kwargs: object) -> list[CostEvent]:
        raise IntegrityError("no")

    monkeypatch.setattr(importing, "_costs", fail)
    with pytest.raises(IntegrityError):
        ingested(example("run"))
    with pytest.raises(IntegrityError):
        ingested(example("run"), slug="another")
    assert dump() == before


def test_rows_that_people_have_judged_are_not_replaced() -> None:
    result = ingested(example("run"))
    reviews.approve(RunJob.objects.get(run=result.run_id, position=1), by=OPERATOR)
    before = dump()
    with pytest.raises(Invalid, match="reviews or calls"):
        ingested(example("run"))
    assert dump() == before


def test_another_winner_can_be_picked_in_an_imported_run() -> None:
    log = example("run")
    log["output_guard"] = None
    other = {**log["jobs"][0]["candidates"][1], "candidate_index": 3, "final_output": "x.png"}
    log["jobs"][0]["candidates"].append(other)
    ingested(log)
    panel = RunJob.objects.get(position=1)
    reviews.pick(panel, 3, by=OPERATOR)
    panel.refresh_from_db()
    assert panel.selected_candidate_index == 3


@pytest.fixture(params=["dry", "run"])
def own_run(request: pytest.FixtureRequest, project: Project) -> Run:
    if request.param == "dry":
        return record_dry_run(make_plan(project, n_scenes=2, candidates=2, mode="dry"), by=OPERATOR)
    return make_finished_run(project, n_scenes=2, candidates=2)


@pytest.mark.acceptance("I-03")
def test_the_log_of_a_run_made_here_changes_no_row(own_run: Run, tmp_path: Path) -> None:
    path = store_for(own_run.project).path(own_run.run_log_path)
    copy = shutil.copy(path, tmp_path / "copy.json")
    before = dump()
    for log in (path, copy):
        result = ingest_run_log(log, project_slug="saltmarsh", compute_hashes=True, by=OPERATOR)
        assert (result.run_id, result.is_imported, result.differences) == (own_run.pk, False, ())
        assert (result.jobs, result.candidates, result.status) == (2, 4, own_run.status)
    assert ingest_after_run(own_run) == []
    assert dump() == before


def test_a_log_of_a_run_made_here_is_not_read_into_another_universe(own_run: Run) -> None:
    path = store_for(own_run.project).path(own_run.run_log_path)
    with pytest.raises(Invalid, match="made here in the universe saltmarsh"):
        ingest_run_log(path, project_slug="other", by=OPERATOR)
    assert not Project.objects.filter(slug="other").exists()


def _spoil(change: Callable[[dict[str, Any]], None], run: Run) -> None:
    path = store_for(run.project).path(run.run_log_path)
    log = json.loads(path.read_text())
    change(log)
    path.write_text(json.dumps(log))


def test_differences_of_a_run_made_here_are_told_and_nothing_is_mended(project: Project) -> None:
    run = make_finished_run(project, n_scenes=3, candidates=1)
    store, files = store_for(project), [a.rel_path for a in Asset.objects.order_by("rel_path")]
    store.path(files[0]).unlink()
    store.path(files[1]).write_bytes(png(number=7))

    def change(log: dict[str, Any]) -> None:
        log["jobs"][2]["candidates"][0]["status"] = "failed"
        log["jobs"][1]["selected_candidate"] = None
        log["jobs"][0]["id"] = "renamed"
        log["cost_events"] = [{"cost_usd": 0.5}]

    _spoil(change, run)
    before = dump()
    path = store.path(run.run_log_path)
    found = ingest_run_log(path, project_slug="saltmarsh", by=OPERATOR).differences
    text = "\n".join(found)
    for words in (
        f"{files[0]} is not there any more",
        f"{files[1]} has another content",
        "The status of candidate 1 of style_3_scene_2 is failed in the log and done in the run",
        "The chosen candidate of style_2_scene_1 is nothing in the log and 1 in the run",
        "The log lacks the job style_1_scene_0",
        "The log has a job renamed",
        "0.5 USD and the run to 0 USD",
    ):
        assert words in text
    assert dump() == before
    assert any("bytes instead of" in warning for warning in ingest_after_run(run))
    path.write_text("{")
    assert ["could not be read back" in warning for warning in ingest_after_run(run)] == [True]


def test_rows_of_files_made_here_stay_when_a_log_from_elsewhere_names_them(project: Project) -> None:
    run = make_finished_run(project)
    asset = run.assets.get()
    before = Asset.objects.filter(pk=asset.pk).values().get()
    path = str(store_for(project).path(asset.rel_path))
    candidate = {"status": "done", "output": path, "final_output": path}
    result = ingested({"mode": "run", "jobs": [job(1, candidate, final_output=path)]})
    assert Asset.objects.filter(pk=asset.pk).values().get() == before
    assert Candidate.objects.get(run=result.run_id).final_asset == asset
    assert result.assets_upserted == 2
    ingested({"mode": "run", "jobs": []})
    assert Asset.objects.filter(pk=asset.pk).values().get() == before


def test_a_run_made_here_archives_the_file_of_a_log_with_its_row(project: Project) -> None:
    path = store_for(project).path("outputs/style_1_scene_0.png")
    path.parent.mkdir(parents=True)
    path.write_bytes(png(number=5))
    ingested({"mode": "run", "jobs": [job(1, {"status": "done", "output": str(path)})]})
    asset = Asset.objects.get()
    make_finished_run(project)
    asset.refresh_from_db()
    assert asset.rel_path.startswith("archive/replaced/style_1_scene_0_replaced_")
    assert asset.metadata["path_exists"] is True
    assert store_for(project).read(asset.rel_path) == png(number=5)
    assert len(list(store_for(project).path("archive/replaced").iterdir())) == 1


def test_attempts_are_never_made_up() -> None:
    ingested(example("run"))
    assert not Attempt.objects.exists()


@given(log=logs)
@examined(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_object_becomes_rows(project: Project, log: dict[str, Any]) -> None:
    result = ingested(log)
    assert Candidate.objects.filter(run=result.run_id).count() == result.candidates
    assert RunJob.objects.filter(run=result.run_id).count() == result.jobs
    assert QualityReport.objects.filter(run=result.run_id).count() == result.quality_reports_written
    assert CostEvent.objects.filter(run=result.run_id).count() == result.cost_events_written
    assert Asset.objects.filter(run=result.run_id).count() <= result.assets_upserted + result.derived_assets


@pytest.mark.acceptance("I-04")
def test_the_winner_of_an_imported_job_is_derived_again_and_the_log_stays_as_it_is() -> None:
    log = example("run")
    first = log["jobs"][0]
    first |= {"selected_candidate": 1, "final_output": "outputs/other.png", "status": "failed"}
    del first["planned_postprocess"]
    result = ingested(log)
    right = ingested(example("run"), name="right.json")
    [warning] = result.warnings
    assert "weather_1" in warning
    assert "the status done instead of failed and the winner 2 instead of 1" in warning
    run, other = Run.objects.get(pk=result.run_id), Run.objects.get(pk=right.run_id)
    columns = ("status", "selected_candidate_index", "failure_reason")
    assert list(run.jobs.order_by("position").values_list(*columns)) == list(
        other.jobs.order_by("position").values_list(*columns)
    )
    assert run.jobs.get(position=1).metadata["planned_postprocess"] == log["postprocess"]
    assert run.candidates.get(job__position=1, candidate_index=2).rank_reason.startswith("Chosen")
    assert json.loads((Path(settings.APP_ROOT) / "logs" / "run.json").read_text()) == log
    assert ingested(log) == result
