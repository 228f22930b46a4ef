"""The commands that work on files outside of a run."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image
from pytest_django.fixtures import Settings

from pipeline.models import Asset, AssetLink, Attempt
from pipeline.store import store_for
from projects.models import AuditEvent, Project
from tests.factories import configure, make_run, png
from tests.fakes import FakePaidTool, FakeProvider, FakeTool, Use, UseTools, work_through

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def database_file(settings: Settings, tmp_path: Path) -> None:
    settings.DATABASE_FILE = tmp_path / "data" / "backend" / "app.db"


@pytest.fixture
def made(project: Project, use: Use) -> Project:
    """A universe with a finished run: one generated file, which is an asset."""
    use(FakeProvider())
    configure(project)
    work_through(make_run(project))
    return project


def called(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def told(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(called(*arguments, "--json")))


def size_of(project: Project, name: str) -> tuple[int, int]:
    with Image.open(store_for(project).path(name)) as image:
        return image.size


def test_upscale_enlarges_the_outputs_and_says_where_they_come_from(made: Project) -> None:
    record = told("upscale", "--project", made.slug)
    assert (record["backend"], record["scale"], record["model"], record["processed"]) == (
        "pillow", 2, "lanczos", 1
    )  # fmt: skip
    asset = Asset.objects.get(kind="upscaled")
    assert asset.rel_path == "upscaled/style_1_scene_0.png"
    assert size_of(made, asset.rel_path) == (192, 256)
    link = AssetLink.objects.get()
    assert (link.parent.rel_path, link.child) == ("outputs/style_1_scene_0.png", asset)
    assert record["results"][0]["sha256"] == asset.sha256
    assert AuditEvent.objects.filter(event_code="files.upscaled").count() == 1


def test_the_same_again_changes_nothing_and_another_result_archives_the_old(made: Project) -> None:
    assert called("upscale", "--project", made.slug) == called("upscale", "--project", made.slug)
    first = Asset.objects.get(kind="upscaled")
    called("upscale", "--project", made.slug, "--scale", "3")
    first.refresh_from_db()
    store = store_for(made)
    assert first.rel_path.startswith("archive/replaced/style_1_scene_0_replaced_")
    assert store.sha256(first.rel_path) == first.sha256
    assert size_of(made, "upscaled/style_1_scene_0.png") == (288, 384)


def test_color_takes_one_file_to_a_file_of_another_format(made: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(png(number=3))
    arguments = ["--input", str(tmp_path / "mine.png"), "--output", "color_corrected/warm.jpg"]
    record = told("color", "--project", made.slug, *arguments, "--profile", "cinematic_warm")
    assert (record["profile"], record["settings"]) == ("cinematic_warm", "builtin")
    assert record["output"].endswith("color_corrected/warm.jpg")
    asset = Asset.objects.get(kind="color_corrected")
    assert (asset.rel_path, asset.mime_type) == ("color_corrected/warm.jpg", "image/jpeg")
    assert not AssetLink.objects.exists(), "the source is nobody's asset"


def test_color_keeps_the_folders_and_formats_of_a_folder(made: Project) -> None:
    store = store_for(made)
    store.write("drafts/b/quay.jpg", png(number=1, format="JPEG"))
    store.write("drafts/a.png", png(number=2))
    store.write("drafts/a.bmp", png(number=2, format="BMP"))
    called("color", "--project", made.slug, "--input", "drafts", "--output", "toned")
    folder = store.root / "toned"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert names == ["a-2.png", "a.png", "b/quay.jpg"]


def test_color_with_profiles_of_ones_own(made: Project, tmp_path: Path) -> None:
    file = tmp_path / "ink.json"
    file.write_text(json.dumps({"profiles": {"ink": {"brightness": 0.5}}}))
    record = told("color", "--project", made.slug, "--profile", "ink", "--settings-file", str(file))
    assert record["settings"] == str(file)
    with pytest.raises(CommandError, match="'neutral' is unknown; use ink"):
        called("color", "--project", made.slug, "--settings-file", str(file))


def test_bgremove_falls_back_and_refines(made: Project, use_tools: UseTools) -> None:
    refiner = FakePaidTool("openai", answer=lambda data: png(number=4))
    room = FakePaidTool("photoroom")
    use_tools(FakeTool("rembg", fault="no subject"), room, refiner=refiner)
    arguments = ["--project", made.slug, "--backends", "rembg,photoroom", "--refine", "true"]
    with pytest.raises(CommandError, match=r"photoroom and openai may cost money.*--confirm-spend"):
        called("bgremove", *arguments)
    assert not Attempt.objects.filter(billed=True).exists()
    record = told("bgremove", *arguments, "--confirm-spend")
    assert (record["backends"], record["format"], record["refine_openai"]) == (
        ["rembg", "photoroom"], "png", True
    )  # fmt: skip
    result = record["results"][0]
    assert (result["backend"], result["refine_openai"]) == ("photoroom", True)
    assert result["backend_failures"] == [{"backend": "rembg", "error": "no subject"}]
    store = store_for(made)
    assert store.read("background_removed/style_1_scene_0.png") == png(number=4)
    cut = Asset.objects.get(metadata__step="bg_remove")
    assert cut.metadata["archived"] == "replaced"
    assert sorted(Attempt.objects.filter(billed=True).values_list("step", flat=True)) == [
        "bg_refine_openai", "bg_remove"
    ]  # fmt: skip


def test_one_image_that_fails_does_not_hold_up_the_others(made: Project, use_tools: UseTools) -> None:
    use_tools(FakeTool("rembg"))
    store_for(made).write("outputs/broken.png", b"no picture")
    with pytest.raises(CommandError, match="1 of 2 images failed"):
        called("bgremove", "--project", made.slug)
    assert store_for(made).exists("background_removed/style_1_scene_0.png")


def test_a_backend_that_can_not_run_is_refused_in_words(made: Project, use_tools: UseTools) -> None:
    use_tools(FakeTool("rembg", lack="no weights: fetch them."))
    with pytest.raises(CommandError, match="no weights: fetch them"):
        called("bgremove", "--project", made.slug)
    with pytest.raises(CommandError, match="no 'gimp'"):
        called("bgremove", "--project", made.slug, "--backends", "gimp")


def test_qa_ends_with_1_on_a_hard_failure_and_lists_it(made: Project) -> None:
    assert told("qa", "--project", made.slug)["summary"] == {
        "total_files": 1, "hard_failures": 0, "soft_warnings": 1
    }  # fmt: skip
    with pytest.raises(CommandError, match="1 of 1 fail the guard") as caught:
        called("qa", "--project", made.slug, "--enforce-grayscale")
    assert caught.value.returncode == 1
    called("qa", "--project", made.slug, "--enforce-grayscale", "--max-chroma-delta", "200")
    assert told("qa", "--project", made.slug, "--guard", "off") == {"ok": True, "guard": "off"}
    with pytest.raises(CommandError):
        called("qa", "--project", made.slug, "--input", "nowhere")


def test_qa_takes_its_limits_from_the_manifest(made: Project) -> None:
    configure(made, manifest={"output_guard": {"fail_on_chroma_exceed": True, "max_chroma_delta": 0}})
    with pytest.raises(CommandError, match="fail the guard"):
        called("qa", "--project", made.slug)


def test_archive_bad_moves_images_with_their_rows(made: Project) -> None:
    store = store_for(made)
    store.write("outputs/sub/loose.jpg", png(format="JPEG"))
    moved = told("archive-bad", "--project", made.slug, "--input", "outputs")["moved"]
    assert [move["from"] for move in moved] == ["outputs/style_1_scene_0.png", "outputs/sub/loose.jpg"]
    assert all(move["to"].startswith("archive/bad/") and store.exists(move["to"]) for move in moved)
    asset = Asset.objects.get()
    assert (asset.metadata["archived"], store.sha256(asset.rel_path)) == ("bad", asset.sha256)
    with pytest.raises(CommandError, match="no image in outputs"):
        called("archive-bad", "--project", made.slug, "--input", "outputs")


@pytest.mark.parametrize("path", [".", "scenes/../.kroma", ".kroma", "archive", "references"])
def test_what_must_stay_is_never_archived(made: Project, path: str) -> None:
    store = store_for(made)
    for folder in ("references", "archive/bad"):
        store.write(f"{folder}/a.png", png())
    before = sorted(store.root.rglob("*"))
    with pytest.raises(CommandError, match="must stay"):
        called("archive-bad", "--project", made.slug, "--input", str(store.root / path))
    assert sorted(store.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["upscale", "--project", "nobody"], "no universe nobody: create it .* There are: saltmarsh"),
        (["upscale", "--project", "saltmarsh", "--input", "nowhere"], "There is no nowhere"),
        (["upscale", "--project", "saltmarsh", "--input", "scenes", "--output", "/tmp/x"], "is not in"),
        (["color", "--project", "saltmarsh", "--input", "scenes", "--output", "../x"], "not a path inside"),
        (["color", "--project", "saltmarsh", "--input", "scenes", "--output", ".kroma/x"], "can't go to"),
        (["upscale", "--project", "saltmarsh", "--scale", "7"], "invalid choice"),
        (["archive-bad", "--project", "saltmarsh"], "required"),
        (["archive-bad", "--project", "saltmarsh", "--input", "/usr/share"], "is not in the folder"),
    ],
)
def test_wrong_options_are_named(made: Project, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        called(*arguments)


def test_qa_looks_for_further_signs_if_asked(project: Project, tmp_path: Path) -> None:
    Image.new("RGB", (96, 128), (9, 9, 9)).save(tmp_path / "blank.png")
    arguments = ("qa", "--project", project.slug, "--input", str(tmp_path / "blank.png"), "--guard", "on")
    assert "signals" not in told(*arguments)["files"][0]
    with pytest.raises(CommandError, match="1 of 1 fail the guard"):
        called(*arguments, "--signals")
    report = told(*arguments, "--signals", "noisy")
    assert [one["code"] for one in report["files"][0]["signals"]] == ["noisy"]
    assert report["settings"]["signals"] == ["noisy"]
