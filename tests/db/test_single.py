"""One image outside of a run, by command."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from pipeline.models import Asset
from pipeline.providers.base import GenerateRequest, ProviderRefused
from pipeline.services import single
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import CallFailed
from projects.models import Project
from projects.services.budgets import set_budget
from tests.factories import png
from tests.fakes import FakeProvider

pytestmark = pytest.mark.django_db


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for n, name in enumerate(("scene.png", "style.png")):
        (tmp_path / name).write_bytes(png(number=n))
    file = tmp_path / "images.json"
    file.write_text(json.dumps([str(tmp_path / "scene.png"), str(tmp_path / "style.png")]))
    return file


@pytest.fixture
def billed(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    provider = FakeProvider(repeatable=False)
    monkeypatch.setattr(single, "provider_for", lambda code, access: provider)
    return provider


def generate(project: Project, images: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setattr("kroma_site.management.commands.generate-one.prepare", lambda: None)
    out = io.StringIO()
    asked = {"prompt": "A quay", "output": "outputs/quay.png", "json": True, **options}
    call_command("generate-one", project=project.slug, images=str(images), stdout=out, **asked)
    return json.loads(out.getvalue())


def test_one_image_is_made_recorded_and_its_forerunner_archived(
    project: Project, images: Path, billed: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_for(project).write("outputs/quay.png", b"earlier")
    answer = generate(project, images, monkeypatch, confirm_spend=True)
    store, asset = store_for(project), Asset.objects.get()
    assert answer["ok"]
    assert answer["project"] == project.slug
    assert answer["bytes_written"] == len(store.read("outputs/quay.png"))
    assert [Path(path).name for path in answer["input_images"]] == ["scene.png", "style.png"]
    assert (asset.rel_path, asset.width, asset.height) == ("outputs/quay.png", 96, 128)
    assert [path.name for path in billed.requests[0].images] == ["scene.png", "style.png"]
    (archived,) = store.path("archive/replaced").iterdir()
    assert archived.read_bytes() == b"earlier"
    assert project.cost_events.get().total_cost_usd == Decimal("0.04")
    assert project.attempts.get().status == "stored"


def test_what_costs_money_is_confirmed_and_within_the_budget(
    project: Project, images: Path, billed: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match=r"up to 0\.04 USD"):
        generate(project, images, monkeypatch)
    set_budget(project, per_run=None, per_day=Decimal("0.03"), per_month=None, by=OPERATOR)
    with pytest.raises(CommandError, match="budget"):
        generate(project, images, monkeypatch, confirm_spend=True)
    assert not billed.requests
    assert not project.attempts.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": "../quay.png"}, "quay.png"),
        ({"output": ".kroma/quay.png"}, "another folder"),
        ({"output": "outputs/quay.jpg"}, ".png"),
        ({"prompt": "  "}, "prompt"),
        ({"provider": "nobody"}, "nobody"),
    ],
)
def test_bad_input_is_named_and_nothing_is_called(
    project: Project, images: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        generate(project, images, monkeypatch, **options)
    assert not project.attempts.exists()


@pytest.mark.parametrize("content", ["[]", "{}", "[1]", "no json", '["nowhere.png"]'])
def test_a_list_of_images_that_is_none_is_refused(
    project: Project, images: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    images.write_text(content)
    with pytest.raises(CommandError):
        generate(project, images, monkeypatch)


def test_a_call_that_is_refused_leaves_the_old_file(
    project: Project, images: Path, billed: FakeProvider
) -> None:
    def refuse(request: GenerateRequest) -> bytes:
        raise ProviderRefused("The picture was refused", code="provider_refused")

    billed.answer = refuse
    store_for(project).write("outputs/quay.png", b"earlier")
    wanted = single.Wanted("A quay", [str(images.parent / "scene.png")], "outputs/quay.png")
    with pytest.raises(CallFailed, match="was refused"):
        single.generate_one(project, wanted, confirm_spend=True, by=OPERATOR)
    assert store_for(project).read("outputs/quay.png") == b"earlier"


def test_the_local_renderer_needs_no_confirmation(
    project: Project, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generate(project, images, monkeypatch, seed=3)["model"].startswith("classical")
