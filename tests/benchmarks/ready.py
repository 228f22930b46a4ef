"""A provider that has its pictures ready, and runs for it."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

from django.conf import settings

from pipeline.models import Run
from pipeline.providers.base import NO_ACCESS, GenerateRequest, Health, ImageProvider, ProviderResult
from pipeline.services import assets
from pipeline.services.planning import InputImage, RunOrder, prepare_run
from pipeline.services.runs import start_run
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.models import Project
from projects.services.people import first_owner
from projects.services.projects import create_project


class Ready:
    """Answers each call with the next of some PNG files, at once and for nothing."""

    code = "local"
    billed = False
    repeatable = True

    def __init__(self, pictures: list[bytes]) -> None:
        self.pictures = pictures
        self.n_calls = 0

    @property
    def next_picture(self) -> bytes:
        return self.pictures[self.n_calls % len(self.pictures)]

    def missing(self) -> str:
        return ""

    def about(self) -> str:
        return ""

    def health(self) -> Health:
        return Health(ok=True, message="")

    def describe(self) -> Mapping[str, object]:
        return {"look": "ready"}

    def estimate(self, request: GenerateRequest) -> Decimal:
        return Decimal(0)

    def generate(self, request: GenerateRequest) -> ProviderResult:
        data = self.next_picture
        self.n_calls += 1
        return ProviderResult(data, "image/png", "png", "ready", "", "", Decimal(0))


def always(provider: ImageProvider) -> Callable[..., ImageProvider]:
    """In the place of `provider_for`: this one, whatever is asked for."""
    return lambda code, access=NO_ACCESS: provider


def run_of(pictures: list[bytes], *, colour: bool, candidates: int = 1) -> Run:
    """A run of these scenes in a universe of its own; the thumbnails of the scenes are there."""
    n_projects = Project.objects.count()
    project = create_project(name=f"Bench {n_projects}", owner=first_owner(), by=OPERATOR)
    store = store_for(project)
    folder = Path(settings.APP_ROOT) / "config"
    folder.mkdir(exist_ok=True)
    layer = {"postprocess": {"color": colour, "color_profile": "cold_rain"}}
    (folder / "pipeline.settings.json").write_text(json.dumps(layer))
    scenes = []
    for number, picture in enumerate(pictures):
        name = f"{number:03d}.png"
        sha256 = store.write(f"scenes/{name}", picture)
        assets.keep_thumbnail(store, sha256, lambda: b"")
        scenes.append(InputImage(path=f"scenes/{name}", name=name, label=name))
    order = RunOrder(mode="run", scenes=tuple(scenes), candidates=candidates, batch_limit=len(scenes))
    return start_run(prepare_run(project, order), by=OPERATOR, confirm_spend=True)
