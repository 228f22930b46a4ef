"""The Lab: one image, one tool, one person; nothing of it in a universe, and gone after a day."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image
from pytest_django.fixtures import Settings

from pipeline.models import Asset, LabWork
from pipeline.services import lab
from pipeline.services.labtools import TONES, tones
from projects.access import Principal
from projects.models import AuditEvent, Project, ReferenceItem, User
from tests.factories import make_project, make_set, make_user, png, upload

pytestmark = pytest.mark.django_db


def sent(tool: str = "colour", **more: object) -> dict[str, Any]:
    plain = {"box": "", "scale": "2", "upscaler": "pillow", "profile": "cold_rain", "seed": "3"}
    return {"image": upload(), "tool": tool, **plain, **more}


def begun(client: Client, tool: str = "colour", **more: object) -> LabWork:
    answered = client.post(reverse("pipeline:lab"), sent(tool, **more))
    assert answered.status_code == 302, answered.content.decode()
    return LabWork.objects.latest("created_at")


def folder(work: LabWork) -> Path:
    return lab.path_of(work, work.source).parent


@pytest.mark.parametrize(
    ("tool", "more", "size"),
    [
        ("colour", {}, (96, 128)),
        ("upscale", {"scale": "4"}, (384, 512)),
        ("restyle", {"style": upload(name="ink.png", data=png(number=7))}, (96, 128)),
    ],
)
def test_a_work_is_begun_done_shown_and_downloaded(
    alice_client: Client, tool: str, more: dict[str, object], size: tuple[int, int]
) -> None:
    if "style" in more:
        more = {"style": upload(name="ink.png", data=png(number=7))}
    work = begun(alice_client, tool, **more)
    assert work.state == "queued"
    page = alice_client.get(work.get_absolute_url()).content.decode()
    assert "every 1s" in page
    lab.work_on(str(work.pk))
    work.refresh_from_db()
    assert (work.state, work.error) == ("done", "")
    page = alice_client.get(work.get_absolute_url()).content.decode()
    assert "every 1s" not in page
    assert f"after, {size[0]} × {size[1]}" in page
    saved = alice_client.get(reverse("pipeline:lab-result", args=[work.pk]), {"download": "1"})
    assert 'filename="quay-' in saved["Content-Disposition"]
    with Image.open(io.BytesIO(b"".join(saved.streaming_content))) as image:
        assert image.size == size
    assert not Asset.objects.exists()
    assert not ReferenceItem.objects.exists()
    # A second message changes nothing.
    finished = work.finished_at
    lab.work_on(str(work.pk))
    work.refresh_from_db()
    assert work.finished_at == finished


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": SimpleUploadedFile("x.png", b"no image")}, "not an image"),
        ({"image": ""}, "required"),
        ({"tool": "magic"}, "valid choice"),
        ({"tool": "restyle"}, "an image that shows the style"),
        ({"tool": "cutout"}, "models fetch"),
        ({"tool": "cutout", "box": "1 2 3"}, "four percentages"),
        ({"tool": "cutout", "box": "50 0 40 100"}, "four percentages"),
        ({"tool": "cutout", "box": "a b c d"}, "four percentages"),
        ({"tool": "upscale", "upscaler": "ncnn"}, "models fetch"),
        ({"tool": "upscale", "scale": "3"}, "valid choice"),
    ],
)
def test_what_can_t_be_done_is_told_and_leaves_nothing(
    alice_client: Client, settings: Settings, change: dict[str, object], told: str
) -> None:
    page = alice_client.post(reverse("pipeline:lab"), sent(**{"tool": "colour", **change}))
    assert page.status_code == 422
    assert told in page.content.decode()
    assert not LabWork.objects.exists()
    assert not list((Path(settings.DATA_DIR) / "lab").glob("*"))


def test_a_work_that_fails_says_why(alice_client: Client) -> None:
    work = begun(alice_client)
    (folder(work) / work.source).write_bytes(b"broken meanwhile")
    lab.work_on(str(work.pk))
    work.refresh_from_db()
    assert work.state == "failed"
    assert "not an image" in alice_client.get(work.get_absolute_url()).content.decode()
    assert alice_client.get(reverse("pipeline:lab-result", args=[work.pk])).status_code == 404


def test_nobody_else_sees_a_work(alice_client: Client, erin_client: Client) -> None:
    work = begun(alice_client)
    for name in ("lab-work", "lab-source", "lab-result"):
        assert erin_client.get(reverse(f"pipeline:{name}", args=[work.pk])).status_code == 404
    for name in ("lab-delete", "lab-keep"):
        assert erin_client.post(reverse(f"pipeline:{name}", args=[work.pk])).status_code == 404
    assert work.label not in erin_client.get(reverse("pipeline:lab")).content.decode()
    assert Client().get(work.get_absolute_url()).status_code == 302


def test_a_result_is_kept_only_where_one_may_edit(alice_client: Client, project: Project) -> None:
    work = begun(alice_client)
    mine, foreign = make_set(project=project), make_set(project=make_project(name="Elsewhere"))
    keep = reverse("pipeline:lab-keep", args=[work.pk])
    alice_client.post(keep, {"set": mine.pk})
    assert not mine.items.exists()  # there is no result yet
    lab.work_on(str(work.pk))
    assert alice_client.post(keep, {"set": foreign.pk}).status_code == 404
    assert alice_client.post(keep, {"set": "x"}).url == work.get_absolute_url()
    assert alice_client.post(keep, {"set": mine.pk}).url == mine.get_absolute_url()
    assert [item.label for item in mine.items.all()] == ["quay-colour.png"]
    assert not foreign.items.exists()


def test_a_work_is_gone_after_a_day_or_when_its_person_says_so(alice_client: Client) -> None:
    work, other = begun(alice_client), begun(alice_client)
    place = folder(work)
    assert place.is_dir()
    alice_client.post(reverse("pipeline:lab-delete", args=[work.pk]))
    assert not place.exists()
    now = timezone.now()
    assert lab.tidy(now) == 0
    assert lab.tidy(now + timedelta(days=1, minutes=1)) == 1
    assert not LabWork.objects.exists()
    assert not folder(other).exists()
    events = AuditEvent.objects.filter(event_code__startswith="lab.").values_list("event_code", flat=True)
    assert sorted(events) == ["lab.begun", "lab.begun", "lab.deleted"]


def test_what_was_lost_is_rung_for_and_what_was_cut_short_is_closed(
    alice_client: Client, settings: Settings, django_capture_on_commit_callbacks: Any
) -> None:
    lost, cut = begun(alice_client), begun(alice_client)
    now = timezone.now()
    LabWork.objects.filter(pk=cut.pk).update(
        state="running", started_at=now - timedelta(seconds=settings.TASK_TIMEOUT + 1)
    )
    assert lab.tidy(now) == 1
    cut.refresh_from_db()
    assert (cut.state, cut.error) == ("failed", "It was cut short: begin it again")
    with django_capture_on_commit_callbacks() as callbacks:
        assert lab.tidy(now + timedelta(minutes=2)) == 1
        assert lab.tidy(now + timedelta(minutes=2)) == 0
    assert len(callbacks) == 1
    assert LabWork.objects.get(pk=lost.pk).state == "queued"


def test_a_person_s_works_are_bounded(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "MOST_WORKS", 2)
    for _ in range(2):
        lab.begin(alice, upload(), tool="colour", options={"profile": "neutral"}, by=Principal(alice))
    with pytest.raises(lab.Invalid, match="keeps 2 works"):
        lab.begin(alice, upload(), tool="colour", options={"profile": "neutral"}, by=Principal(alice))
    other = make_user(username="other")
    assert lab.begin(other, upload(), tool="colour", options={"profile": "neutral"}, by=Principal(other))


def test_tones_count_what_is_seen() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (255, 0, 128, 255)
    found = tones(pixels)
    assert {name: values.index(100) for name, values in found.items()} == {
        "red": TONES - 1, "green": 0, "blue": TONES // 2,
    }  # fmt: skip
    assert [sum(values) for values in found.values()] == [100, 100, 100]  # clear pixels do not count


def test_the_command_does_the_same_without_a_database(tmp_path: Path) -> None:
    source, output = tmp_path / "quay.png", tmp_path / "made.png"
    source.write_bytes(png())

    def run(*arguments: object) -> str:
        out = io.StringIO()
        call_command("lab", *map(str, arguments), stdout=out, stderr=io.StringIO())
        return out.getvalue()

    told = json.loads(run("upscale", source, output, "--upscaler", "pillow", "--json"))
    assert told["after"]["size"] == [192, 256]
    with Image.open(output) as image:
        assert image.size == (192, 256)
    for arguments, error in (
        (("colour", source, output), "exists"),
        (("colour", source, tmp_path / "made.jpg"), "end its name with .png"),
        (("colour", tmp_path / "nowhere.png", tmp_path / "x.png"), "No such file"),
        (("restyle", source, tmp_path / "x.png"), "shows the style"),
        (("colour", source, tmp_path / "no folder" / "x.png"), "can't be written"),
    ):
        with pytest.raises((CommandError, lab.Invalid), match=error):
            run(*arguments)
