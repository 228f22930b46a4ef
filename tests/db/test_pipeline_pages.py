"""The pages of sets, the composer, runs and review, as the server answers."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pipeline.engine.manifest import DEFAULT_MANIFEST
from pipeline.models import Candidate, Run, RunJob
from pipeline.services import reviews
from pipeline.services.assets import make_reference_thumbnail
from pipeline.services.execution import execute_candidate
from pipeline.services.references import add_images
from pipeline.services.runs import close_job_if_finished
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import Project, ReferenceItem, ReferenceSet
from tests.factories import make_finished_run, make_project, make_run, make_set, make_user, png, upload
from tests.fakes import FakeProvider, Use

HTMX = {"HTTP_HX_REQUEST": "true"}  # what htmx sends


@pytest.fixture
def scenes(project: Project) -> ReferenceSet:
    found = make_set(project=project, name="Scenes")
    add_images(found, [upload(name=f"quay {n}.png", data=png(number=n)) for n in range(2)], by=OPERATOR)
    return found


@pytest.fixture
def plates(project: Project) -> ReferenceSet:
    found = make_set(project=project, name="Plates")
    add_images(found, [upload(name="plate.png", data=png(number=50))], by=OPERATOR)
    return found


def body(response: HttpResponseBase) -> bytes:
    data = b"".join(response)
    response.close()
    return bytes(data)


def order(scene_set: ReferenceSet, **changes: str) -> dict[str, str]:
    sent = {
        "stage": "style",
        "time": "day",
        "weather": "clear",
        "scene_sets": str(scene_set.pk),
        "candidates": "2",
        "seed": "0",
        **changes,
    }
    return {name: value for name, value in sent.items() if value}


def hidden(response: HttpResponseBase) -> dict[str, str]:
    """What the plan panel gives the start button."""
    text = response.content.decode()
    names = ("plan_hash", "max_cost_usd", "confirm_spend")
    return {name: match[1] for name in names if (match := re.search(rf'name="{name}" value="([^"]*)"', text))}


# --- Files ------------------------------------------------------------------------------------------


def test_a_file_carries_its_hash_and_is_not_sent_twice(vic_client: Client, project: Project) -> None:
    asset = make_finished_run(project).assets.get()
    url = reverse("pipeline:asset-file", args=[project.slug, asset.pk])
    answer = vic_client.get(url)
    assert answer["ETag"] == f'"{asset.sha256}"'
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Type"] == "image/png"
    assert body(answer) == store_for(project).read(asset.rel_path)
    again = vic_client.get(url, headers={"if-none-match": answer["ETag"]})
    assert (again.status_code, again["ETag"], again.content) == (304, answer["ETag"], b"")


def test_head_tells_the_length_without_the_bytes(vic_client: Client, project: Project) -> None:
    asset = make_finished_run(project).assets.get()
    answer = vic_client.head(reverse("pipeline:asset-file", args=[project.slug, asset.pk]))
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer["Content-Length"]) == asset.n_bytes


def test_a_reference_is_saved_under_the_name_it_came_with(
    vic_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    item = scenes.items.first()
    assert item is not None
    url = reverse("pipeline:reference-item-file", args=[project.slug, item.pk])
    answer = vic_client.get(url, {"download": "1"})
    assert answer["Content-Disposition"] == 'attachment; filename="quay 0.png"'
    assert body(answer) == png(number=0)


def test_the_original_stands_in_until_there_is_a_thumbnail(
    vic_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    item = scenes.items.first()
    assert item is not None
    for path in store_for(project).path(".kroma/thumbnails").glob("*"):
        path.unlink()
    url = reverse("pipeline:reference-item-thumb", args=[project.slug, item.pk])
    before = vic_client.get(url)
    assert (before["Content-Type"], before["Cache-Control"]) == ("image/png", "private, no-cache")
    before.close()
    make_reference_thumbnail(item.pk)
    after = vic_client.get(url, headers={"if-none-match": before["ETag"]})
    assert (after.status_code, after["Content-Type"]) == (200, "image/webp")
    assert "immutable" in after["Cache-Control"]
    after.close()


def test_a_file_that_left_the_disk_is_404_in_words(vic_client: Client, project: Project) -> None:
    asset = make_finished_run(project).assets.get()
    store_for(project).path(asset.rel_path).unlink()
    answer = vic_client.get(reverse("pipeline:asset-file", args=[project.slug, asset.pk]))
    assert answer.status_code == 404
    assert "is not in the folder of Saltmarsh any more" in answer.content.decode()


def test_a_path_that_leads_out_of_the_project_is_refused(vic_client: Client, project: Project) -> None:
    asset = make_finished_run(project).assets.get()
    type(asset).objects.filter(pk=asset.pk).update(rel_path="../../backend/app.db", sha256="")
    answer = vic_client.get(reverse("pipeline:asset-file", args=[project.slug, asset.pk]))
    assert answer.status_code == 400


def test_what_is_no_picture_is_only_downloaded(vic_client: Client, project: Project) -> None:
    asset = make_finished_run(project).assets.get()
    type(asset).objects.filter(pk=asset.pk).update(mime_type="text/html")
    answer = vic_client.get(reverse("pipeline:asset-file", args=[project.slug, asset.pk]))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    answer.close()


# --- Reference sets ---------------------------------------------------------------------------------


def test_upload_keeps_the_order_and_the_names(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    files = [upload(name=name, data=png(number=n)) for n, name in enumerate(["z.png", "a.png"])]
    url = reverse("pipeline:reference-upload", args=[project.slug, scenes.pk])
    answer = erin_client.post(url, {"images": files}, follow=True)
    assert "2 images are now in Scenes." in answer.content.decode()
    assert [item.label for item in scenes.items.all()] == ["quay 0.png", "quay 1.png", "z.png", "a.png"]


def test_upload_takes_all_or_nothing(erin_client: Client, project: Project, scenes: ReferenceSet) -> None:
    files = [upload(name="good.png"), upload(name="broken.png", data=b"no picture"), upload(name="also.png")]
    answer = erin_client.post(
        reverse("pipeline:reference-upload", args=[project.slug, scenes.pk]), {"images": files}
    )
    assert answer.status_code == 422
    assert "broken.png is not an image" in answer.content.decode()
    assert scenes.items.count() == 2


def test_upload_of_nothing_says_so(erin_client: Client, project: Project, scenes: ReferenceSet) -> None:
    answer = erin_client.post(reverse("pipeline:reference-upload", args=[project.slug, scenes.pk]))
    assert answer.status_code == 422
    assert "choose at least one file" in answer.content.decode()


def test_an_item_is_removed_and_its_file_stays(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    item = scenes.items.first()
    assert item is not None
    answer = erin_client.post(reverse("pipeline:reference-item-remove", args=[project.slug, item.pk]))
    assert answer.status_code == 302
    assert not ReferenceItem.objects.filter(pk=item.pk).exists()
    assert store_for(project).exists(item.content_uri)


# --- Composer ---------------------------------------------------------------------------------------


def test_the_plan_is_shown_and_what_was_shown_is_started(
    erin_client: Client, project: Project, scenes: ReferenceSet, plates: ReferenceSet
) -> None:
    sent = order(scenes, style_sets=str(plates.pk))
    shown = erin_client.post(reverse("pipeline:run-plan", args=[project.slug]), sent, **HTMX)
    text = shown.content.decode()
    assert text.lstrip().startswith("<section")
    assert "Make 4 images, free" in text
    assert "outputs/style_1_quay_0__c1.png" in text
    assert not Run.objects.exists()
    confirmed = {**sent, **hidden(shown), "do": "start"}
    answer = erin_client.post(reverse("pipeline:run-new", args=[project.slug]), confirmed)
    run = Run.objects.get()
    assert answer["Location"] == run.get_absolute_url()
    assert (run.n_jobs, run.n_candidates, run.plan_hash) == (2, 2, hidden(shown)["plan_hash"])
    assert [image["label"] for image in run.jobs.all()[0].inputs] == ["quay 0", "plate"]


def test_a_changed_plan_comes_back_and_starts_nothing(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    shown = erin_client.post(reverse("pipeline:run-plan", args=[project.slug]), order(scenes), **HTMX)
    changed = {**order(scenes, seed="7"), **hidden(shown), "do": "start"}
    answer = erin_client.post(reverse("pipeline:run-new", args=[project.slug]), changed)
    assert answer.status_code == 422
    assert "The plan has changed since you saw it." in answer.content.decode()
    assert "pageshow" not in answer.content.decode(), "the page must not ask anew and wipe the reason"
    assert not Run.objects.exists()
    # The new plan is on the page, so the next press starts it.
    again = erin_client.post(reverse("pipeline:run-new", args=[project.slug]), {**changed, **hidden(answer)})
    assert again.status_code == 302


@pytest.mark.parametrize("missing", ["plan_hash", "confirm_spend"])
def test_nothing_starts_without_what_was_agreed_to(
    erin_client: Client, project: Project, scenes: ReferenceSet, missing: str
) -> None:
    shown = erin_client.post(reverse("pipeline:run-plan", args=[project.slug]), order(scenes), **HTMX)
    sent = {**order(scenes), **hidden(shown), "do": "start"}
    del sent[missing]
    answer = erin_client.post(reverse("pipeline:run-new", args=[project.slug]), sent)
    assert answer.status_code == 422
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scene_sets": ""}, "Choose at least one scene"),
        ({"candidates": "7"}, "candidates"),
        ({"seed": "-1"}, "greater than or equal to 0"),
        ({"stage": "magic"}, "magic"),
    ],
)
def test_an_invalid_order_is_422(
    erin_client: Client,
    project: Project,
    scenes: ReferenceSet,
    changes: dict[str, str],
    words: str,
) -> None:
    for name in ("run-new", "run-plan"):
        answer = erin_client.post(reverse(f"pipeline:{name}", args=[project.slug]), order(scenes, **changes))
        assert answer.status_code == 422
        assert words.lower() in answer.content.decode().lower()


def test_more_scenes_than_the_batch_limit_are_refused_in_place(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    n = DEFAULT_MANIFEST.safe_batch_limit
    files = [upload(name=f"more {place}.png", data=png(number=200 + place)) for place in range(n)]
    add_images(scenes, files, by=OPERATOR)
    shown = erin_client.post(reverse("pipeline:run-plan", args=[project.slug]), order(scenes), **HTMX)
    assert f"more than the batch limit of {n}" in shown.content.decode()
    assert "plan-start" not in shown.content.decode()


def test_somebody_elses_images_can_not_be_composed(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    other = make_set(project=make_project(name="Elsewhere", owner=make_user()))
    (item,) = add_images(other, [upload()], by=OPERATOR)
    answer = erin_client.post(
        reverse("pipeline:run-plan", args=[project.slug]), order(scenes, scenes=str(item.pk))
    )
    assert answer.status_code == 422


def test_a_dry_run_is_kept_and_makes_nothing(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    answer = erin_client.post(
        reverse("pipeline:run-new", args=[project.slug]), {**order(scenes), "do": "dry"}, follow=True
    )
    text = answer.content.decode()
    assert "nothing was made" in text
    assert "outputs/style_1_quay_0__c1.png" in text
    assert Run.objects.get().run_mode == "dry"


def test_stage_decides_which_light_counts(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    sent = {**order(scenes, stage="time", time="night", weather="rain"), "do": "dry"}
    erin_client.post(reverse("pipeline:run-new", args=[project.slug]), sent)
    run = Run.objects.get()
    assert (run.stage, run.time_of_day, run.weather) == ("time", "night", "clear")


def test_a_run_is_composed_again_from_its_inputs(
    erin_client: Client, project: Project, scenes: ReferenceSet, plates: ReferenceSet
) -> None:
    sent = {**order(scenes, style_sets=str(plates.pk), seed="9"), "do": "dry"}
    erin_client.post(reverse("pipeline:run-new", args=[project.slug]), sent)
    run = Run.objects.get()
    again = erin_client.get(reverse("pipeline:run-new", args=[project.slug]), {"again": str(run.pk)})
    assert hidden(again)["plan_hash"] == run.plan_hash


@pytest.mark.acceptance("S-08")
def test_steps_are_chosen_or_left_to_the_settings(
    erin_client: Client, project: Project, scenes: ReferenceSet, data_folder: Path
) -> None:
    file = data_folder / "config/pipeline.settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"postprocess": {"color": True, "color_profile": "cold_rain"}}))
    url, plan_url = (reverse(f"pipeline:run-{name}", args=[project.slug]) for name in ("new", "plan"))
    page = erin_client.get(url).content.decode()
    assert "as the settings say (on)" in page
    assert "as the settings say (cold_rain)" in page
    dry = {**order(scenes), "do": "dry"}
    erin_client.post(url, dry)
    erin_client.post(url, {**dry, "color": "off", "upscale": "on", "upscale_backend": "ncnn"})
    erin_client.post(url, {**dry, "color_profile": "neutral", "bg_remove_backends": ["photoroom", "rembg"]})
    kept, asked, named = (run.settings_snapshot for run in Run.objects.order_by("created_at"))
    assert (kept["postprocess"]["color"], kept["postprocess"]["color_profile"]) == (True, "cold_rain")
    assert asked["postprocess"]["pipeline_order"] == ["generate", "upscale"]
    assert (asked["postprocess"]["upscale_backend"], asked["postprocess"]["color"]) == ("ncnn", False)
    assert named["postprocess"]["color_profile"] == "neutral"
    assert named["settings"]["postprocess.bg_remove_backends"]["layer"] == "request"
    shown = erin_client.post(plan_url, order(scenes, color="maybe"), **HTMX).content.decode()
    assert "maybe is not one of the available choices" in shown


def test_the_steps_come_back_when_a_run_is_composed_again(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    url = reverse("pipeline:run-new", args=[project.slug])
    steps = {"color": "on", "color_profile": "neutral", "bg_remove": "off", "bg_remove_backends": "photoroom"}
    erin_client.post(url, {**order(scenes, **steps), "do": "dry"})
    form = erin_client.get(url, {"again": str(Run.objects.get().pk)}).context["form"]
    assert {name: form[name].value() for name in ("color", "color_profile", "bg_remove", "upscale")} == {
        "color": "on", "color_profile": "neutral", "bg_remove": "off", "upscale": None,
    }  # fmt: skip
    assert form["bg_remove_backends"].value() == ["photoroom"]
    assert form.steps_chosen


def test_style_references_of_the_manifest_are_shown(
    erin_client: Client, project: Project, scenes: ReferenceSet, data_folder: Path
) -> None:
    (data_folder / "config").mkdir(parents=True)
    (data_folder / "ink.png").write_bytes(png(number=9))
    (data_folder / "m.json").write_text(json.dumps({"style_refs": ["ink.png"]}))
    (data_folder / "config/pipeline.settings.json").write_text(json.dumps({"manifest_path": "m.json"}))
    shown = erin_client.post(reverse("pipeline:run-plan", args=[project.slug]), order(scenes), **HTMX)
    assert "(of the manifest)" in shown.content.decode()


# --- Runs -------------------------------------------------------------------------------------------


def test_the_run_page_polls_only_while_the_run_is_open(vic_client: Client, project: Project) -> None:
    run = make_run(project)
    assert 'hx-trigger="every 2s"' in vic_client.get(run.get_absolute_url()).content.decode()
    for pk in run.candidates.values_list("pk", flat=True):
        execute_candidate(pk)
    text = vic_client.get(run.get_absolute_url()).content.decode()
    assert "hx-trigger" not in text
    assert "Chosen:" in text


def test_a_poll_brings_only_what_has_changed_until_the_end_brings_all(
    vic_client: Client, project: Project
) -> None:
    run = make_run(project, n_scenes=3)
    long_ago = "2020-01-01T00:00:00+00:00"
    Run.objects.filter(pk=run.pk).update(created_at=long_ago)
    RunJob.objects.filter(run=run).update(created_at=long_ago)
    url = run.get_absolute_url()
    page = vic_client.get(url).content.decode()
    match = re.search(r'"since": "([^"]+)"', page)
    assert match is not None
    since = match[1]
    first, *others = run.candidates.order_by("job__position")
    execute_candidate(first.pk)
    text = vic_client.get(url, {"since": since, "page": "1"}, **HTMX).content.decode()
    assert "<html" not in text
    assert text.count('class="panel-face"') == text.count('class="shots"') == 1
    assert f'id="face-{first.job_id}"' in text
    for other in others:
        execute_candidate(other.pk)
    text = vic_client.get(url, {"since": "2999-01-01T00:00:00+00:00"}, **HTMX).content.decode()
    assert text.count('class="panel-face"') == text.count('class="shots"') == 3
    assert "every 2s" not in text


def test_a_failed_candidate_says_why_and_what_to_do(vic_client: Client, project: Project) -> None:
    run = make_run(project)
    for path in store_for(project).path("scenes").iterdir():
        path.unlink()
    execute_candidate(run.candidates.get().pk)
    text = vic_client.get(run.get_absolute_url()).content.decode()
    assert "has vanished since the plan was made" in text
    assert "Upload the scene again and compose a new run." in text


def test_the_zip_holds_the_winners_and_only_the_approved_when_asked(
    vic_client: Client, project: Project
) -> None:
    run = make_finished_run(project, n_scenes=2)
    url = reverse("pipeline:run-winners", args=[project.slug, run.pk])
    answer = vic_client.get(url)
    assert "attachment" in answer["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(body(answer))) as package:
        assert len([name for name in package.namelist() if name.endswith(".png")]) == 2
    none_yet = vic_client.get(url, {"approved": "1"})
    assert none_yet.status_code == 400
    assert "No panel of this run is approved yet" in none_yet.content.decode()
    reviews.approve(run.jobs.all()[0], by=OPERATOR)
    with zipfile.ZipFile(io.BytesIO(body(vic_client.get(url, {"approved": "1"})))) as package:
        assert len([name for name in package.namelist() if name.endswith(".png")]) == 1


def test_the_run_log_is_downloaded_as_json(vic_client: Client, project: Project) -> None:
    run = make_finished_run(project)
    answer = vic_client.get(reverse("pipeline:run-log", args=[project.slug, run.pk]), {"download": "1"})
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "private, no-cache"
    assert json.loads(body(answer))["run_id"] == str(run.pk)


# --- Review -----------------------------------------------------------------------------------------


def say(client: Client, job: RunJob, **data: str) -> HttpResponseBase:
    url = reverse("pipeline:review-say", args=[job.run.project.slug, job.pk], query={"show": "waiting"})
    return client.post(url, data)


def test_a_verdict_leads_on_to_the_next_without_one(rita_client: Client, project: Project) -> None:
    first, second, third = make_finished_run(project, n_scenes=3).jobs.all()
    assert str(third.pk) in say(rita_client, second, say="approve")["Location"]
    # After the last one it goes on from the top.
    assert (
        str(first.pk)
        in say(rita_client, third, say="reject", preset="Off model", note="the nose")["Location"]
    )
    assert third.reviews.get().note == "Off model: the nose"
    done = say(rita_client, first, say="approve")
    assert "job=" not in done["Location"]
    assert "Nothing waits for review" in rita_client.get(done["Location"]).content.decode()


def test_a_rejection_without_a_reason_is_422(rita_client: Client, project: Project) -> None:
    job = make_finished_run(project).jobs.get()
    answer = say(rita_client, job, say="reject")
    assert answer.status_code == 422
    assert "A rejection needs a reason" in answer.content.decode()
    assert not job.reviews.exists()


def test_picking_makes_a_winner_and_asks_for_the_verdict_again(rita_client: Client, project: Project) -> None:
    job = make_finished_run(project, candidates=2).jobs.get()
    other = 2 if job.selected_candidate_index == 1 else 1
    say(rita_client, job, say="approve")
    say(rita_client, job, say="pick", candidate=str(other))
    job.refresh_from_db()
    assert (job.selected_candidate_index, job.verdict) == (other, "")
    say(rita_client, job, say="pick", candidate=str(other))
    assert [review.verdict for review in job.reviews.all()] == ["picked", "approved"]


def test_reopen_and_note(rita_client: Client, project: Project) -> None:
    job = make_finished_run(project).jobs.get()
    say(rita_client, job, say="reject", preset="Artefacts")
    say(rita_client, job, say="reopen")
    say(rita_client, job, say="note", note="look at the hands")
    job.refresh_from_db()
    assert job.verdict == ""
    text = rita_client.get(reverse("pipeline:review", args=[project.slug])).content.decode()
    assert "look at the hands" in text


@pytest.mark.parametrize("data", [{}, {"say": "praise"}, {"say": "pick", "candidate": "9"}, {"say": "note"}])
def test_nonsense_about_a_panel_is_422(rita_client: Client, project: Project, data: dict[str, str]) -> None:
    job = make_finished_run(project).jobs.get()
    assert say(rita_client, job, **data).status_code == 422


def test_a_viewer_looks_and_has_no_buttons(vic_client: Client, project: Project) -> None:
    job = make_finished_run(project).jobs.get()
    text = vic_client.get(reverse("pipeline:review", args=[project.slug])).content.decode()
    assert "say-approve" not in text
    assert say(vic_client, job, say="approve").status_code == 403


def test_the_order_goes_on_from_run_to_run(vic_client: Client, project: Project) -> None:
    older = make_finished_run(project, n_scenes=2)
    newer = make_finished_run(project, n_scenes=2)
    jobs = [*newer.jobs.all(), *older.jobs.all()]
    url = reverse("pipeline:review", args=[project.slug], query={"show": "all"})
    for place, job in enumerate(jobs, start=1):
        text = vic_client.get(url, {"show": "all", "job": str(job.pk)}).content.decode()
        assert f"<strong>{place}</strong> of 4" in text
        around = [jobs[place - 2]] if place > 1 else []
        around += jobs[place : place + 1]
        links = re.findall(r'id="step-\w+" href="[^"]*job=([0-9a-f-]+)"', text)
        assert links == [str(other.pk) for other in around]


# --- Everywhere -------------------------------------------------------------------------------------


def test_pages_of_a_universe_do_not_exist_for_strangers(
    mallory_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    run = make_finished_run(project)
    item = scenes.items.first()
    assert item is not None
    for name, pk in (
        ("reference-set", scenes.pk),
        ("reference-item-file", item.pk),
        ("reference-item-thumb", item.pk),
        ("asset-file", run.assets.get().pk),
        ("asset-thumb", run.assets.get().pk),
        ("scene-file", run.jobs.get().pk),
        ("run", run.pk),
        ("run-log", run.pk),
        ("run-winners", run.pk),
        ("run-review", run.pk),
    ):
        assert mallory_client.get(reverse(f"pipeline:{name}", args=[project.slug, pk])).status_code == 404


def count(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


@pytest.mark.parametrize(
    "url_of",
    [
        lambda run: run.get_absolute_url(),
        lambda run: reverse("pipeline:run-list", args=[run.project.slug]),
        lambda run: reverse("pipeline:review", args=[run.project.slug]),
        lambda run: reverse("pipeline:run-review", args=[run.project.slug, run.pk]),
        lambda run: run.get_absolute_url() + "?since=2020-01-01T00:00:00Z",
    ],
    ids=["run", "run-list", "review", "run-review", "run-poll"],
)
def test_queries_do_not_grow(
    alice_client: Client, project: Project, use: Use, url_of: Callable[[Run], str]
) -> None:
    use(FakeProvider())
    run = make_finished_run(project, n_scenes=2)
    few = count(alice_client, url_of(run))
    larger = make_finished_run(project, n_scenes=6, candidates=3)
    assert count(alice_client, url_of(larger)) == few


def test_the_composer_and_a_set_ask_the_same_however_many_images(
    alice_client: Client, project: Project, scenes: ReferenceSet, plates: ReferenceSet
) -> None:
    urls = [
        reverse("pipeline:run-new", args=[project.slug]),
        reverse("pipeline:run-new", args=[project.slug], query={"scenes": str(scenes.pk)}),
        scenes.get_absolute_url(),
    ]
    few = [count(alice_client, url) for url in urls]
    add_images(scenes, [upload(name=f"{n}.png", data=png(number=90 + n)) for n in range(6)], by=OPERATOR)
    add_images(make_set(project=project, name="Third"), [upload()], by=OPERATOR)
    assert [count(alice_client, url) for url in urls] == few


def test_a_run_with_many_panels_is_cut_into_pages(vic_client: Client, project: Project) -> None:
    run = make_run(project, n_scenes=61)
    second = vic_client.get(run.get_absolute_url(), {"page": "2"}).content.decode()
    assert second.count('class="panel-card"') == 1
    assert "Page 2 of 2" in second


def test_a_canceled_candidate_is_told_apart(vic_client: Client, project: Project) -> None:
    run = make_run(project)
    Candidate.objects.filter(run=run).update(status="canceled")
    close_job_if_finished(run.jobs.get())
    text = vic_client.get(run.get_absolute_url()).content.decode()
    assert "Canceled. What was finished before is kept." in text
    assert run.estimate_usd == Decimal(0)


def test_the_composer_asks_for_a_provider_and_its_choices_and_they_come_back(
    erin_client: Client, project: Project, scenes: ReferenceSet
) -> None:
    url = reverse("pipeline:run-new", args=[project.slug])
    options = {"model": "m-1", "size": "640x640", "quality": "low", "input_fidelity": "low"}
    chosen = order(scenes, provider_code="local")
    assert erin_client.post(url, {**chosen, **options, "do": "dry"}).status_code == 302
    run = Run.objects.get()
    assert run.settings_snapshot["provider_options"] == options
    told = " ".join(run.settings_snapshot["warnings"])
    assert "local has no choice of input_fidelity, model, quality, size" in told
    form = erin_client.get(url, {"again": str(run.pk)}).context["form"]
    assert {name: form[name].value() for name in options} == options
    assert form["provider_code"].value() == "local"
    wrong = erin_client.post(url, {**chosen, "input_fidelity": "medium", "do": "dry"})
    assert wrong.status_code == 422
    assert Run.objects.count() == 1
