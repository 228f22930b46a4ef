"""Rows and pictures for tests: plain keyword-only functions with sensible defaults."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from pipeline.models import Run
from pipeline.services.execution import execute_candidate
from pipeline.services.planning import InputImage, PreparedRun, RunOrder, prepare_run
from pipeline.services.runs import start_run
from pipeline.store import store_for
from projects.access import OPERATOR, Principal, Role
from projects.models import ApiToken, Membership, Project, ReferenceSet, User
from projects.services.projects import create_project
from projects.services.tokens import hashed
from tests.pictures import png

numbers = itertools.count(1)


def make_user(*, username: str = "", superuser: bool = False) -> User:
    user = User(username=username or f"user{next(numbers)}", is_staff=superuser, is_superuser=superuser)
    user.set_unusable_password()
    user.save()
    return user


def make_project(*, name: str = "Saltmarsh", owner: User | None = None, slug: str = "") -> Project:
    owner = owner or make_user()
    return create_project(name=name, slug=slug, owner=owner, by=Principal(owner))


def make_member(*, project: Project, role: Role, username: str) -> User:
    user = make_user(username=username)
    Membership.objects.create(project=project, user=user, role=role)
    return user


def make_token(*, user: User, role: Role = Role.OWNER, project: Project | None = None, **fields: Any) -> str:
    """A new bearer token of somebody; the row takes further `fields`."""
    value = f"kroma_{next(numbers):064x}"
    ApiToken.objects.create(
        user=user, role=role, project=project, token_prefix=value[:12], token_hash=hashed(value), **fields
    )
    return value


def make_set(*, project: Project, name: str = "Scenes") -> ReferenceSet:
    return ReferenceSet.objects.create(project=project, name=name)


def upload(*, name: str = "quay.png", data: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, png() if data is None else data)


def put_scene(project: Project, name: str = "quay.png", *, number: int = 0) -> InputImage:
    """A scene file in the project's folder, as an input of a run."""
    store_for(project).write(f"scenes/{name}", png(number=number))
    return InputImage(path=f"scenes/{name}", name=name, label=Path(name).stem)


def make_plan(
    project: Project,
    *,
    n_scenes: int = 1,
    n_styles: int = 1,
    candidates: int = 1,
    mode: str = "run",
    seed: int = 0,
) -> PreparedRun:
    scenes = tuple(put_scene(project, f"scene {n}.png", number=n) for n in range(n_scenes))
    styles = tuple(put_scene(project, f"style {n}.png", number=100 + n) for n in range(n_styles))
    order = RunOrder(
        mode=mode, scenes=scenes, style_refs=styles, candidates=candidates, seed=seed, batch_limit=10_000
    )
    return prepare_run(project, order)


def configure(
    project: Project,
    *,
    steps: Mapping[str, object] | None = None,
    config: Mapping[str, object] | None = None,
    manifest: Mapping[str, object] | None = None,
    colours: Mapping[str, object] | None = None,
) -> None:
    """Settings of a universe: its steps, and the post-process, manifest and colour files that they name."""
    app_root = Path(settings.APP_ROOT)
    app_root.mkdir(parents=True, exist_ok=True)
    config = {"upscale": {"backend": "pillow"}, "bg_remove": {"openai": {"enabled": False}}, **(config or {})}
    if colours is not None:
        (app_root / "colours.json").write_text(json.dumps({"profiles": colours}))
        config["color"] = {"settings_file": "colours.json"}
    (app_root / "config.json").write_text(json.dumps(config))
    (app_root / "manifest.json").write_text(json.dumps(manifest or {}))
    folder = store_for(project).root / ".kroma"
    folder.mkdir(parents=True, exist_ok=True)
    document = {"postprocess": steps or {}, "postprocess_config_path": "config.json"}
    (folder / "pipeline.settings.json").write_text(json.dumps({**document, "manifest_path": "manifest.json"}))


def make_finished_run(project: Project, *, n_scenes: int = 1, candidates: int = 1) -> Run:
    """A run as workers leave it, with a winner for each scene."""
    run = make_run(project, n_scenes=n_scenes, candidates=candidates)
    for pk in run.candidates.values_list("pk", flat=True):
        execute_candidate(pk)
    run.refresh_from_db()
    assert run.status == "ok"
    return run


def make_run(project: Project, *, n_scenes: int = 1, candidates: int = 1, by: Principal = OPERATOR) -> Run:
    """A run with its rows, planned but not worked on (nothing is rung outside a committed transaction)."""
    plan = make_plan(project, n_scenes=n_scenes, candidates=candidates)
    return start_run(plan, by=by, confirm_spend=True)
