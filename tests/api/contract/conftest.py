"""A universe with one of everything in it, and a second one that must not be touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from pipeline.models import Asset, Candidate, CostEvent, Export, QualityReport, Run, RunJob
from projects.models import Project
from tests.api.conftest import Api
from tests.api.contract import routes
from tests.api.contract.routes import put_there
from tests.factories import make_project, numbers


@dataclass(frozen=True)
class World:
    """A project with one of everything; `ids` are the parameters of the routes to them."""

    api: Api
    project: Project
    ids: Mapping[str, str]

    @property
    def slug(self) -> str:
        return self.project.slug

    def at(self, path: str, **other: str) -> str:
        """The address of a path of `routes.py` in this project."""
        return path.format_map({"slug": self.slug, **self.ids, **other})

    def get(self, path: str, **query: object) -> dict[str, Any]:
        return put_there(self.api.get(self.at(path), **query))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        return put_there(self.api.post(self.at(path), body or {}))

    def put(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        return put_there(self.api.put(self.at(path), body))

    def delete(self, path: str) -> dict[str, Any]:
        return put_there(self.api.delete(self.at(path)))


def make_asset(project: Project, *, name: str = "", run: Run | None = None) -> Asset:
    """A row for a file that nobody reads."""
    return Asset.objects.create(
        project=project,
        kind="candidate_output",
        rel_path=name or f"outputs/{next(numbers)}.png",
        mime_type="image/png",
        run=run,
    )


def make_old_run(project: Project, **fields: object) -> Run:
    """The row of a run that has ended, without its files."""
    values: dict[str, object] = {
        "run_mode": "run", "status": "ok", "stage": "style", "time_of_day": "day", "weather": "clear",
        "provider_code": "local", "plan_hash": "0" * 64, "run_log_path": f"runs/run_{next(numbers)}-000.json",
        "finished_at": timezone.now(), "post_run_at": timezone.now(), **fields,
    }  # fmt: skip
    return Run.objects.create(project=project, **values)


def made_by_runs(project: Project) -> dict[str, str]:
    """One of each row that only runs make: run, job, candidate, file, report, cost, package."""
    run = make_old_run(project)
    asset = make_asset(project, run=run)
    job = RunJob.objects.create(
        run=run, position=1, job_key="style_1_quay", label="quay", status="done", prompt_text="A quay",
        selected_candidate_index=1, finished_at=timezone.now(),
    )  # fmt: skip
    candidate = Candidate.objects.create(
        run=run, job=job, candidate_index=1, status="done", seed="1", output_name=asset.rel_path,
        output_asset=asset, final_asset=asset, rank_avg_chroma_exceed=1,
    )  # fmt: skip
    QualityReport.objects.create(
        project=project, run=run, candidate=candidate, asset=asset, report_type="output_guard"
    )
    CostEvent.objects.create(
        project=project, run=run, job=job, provider_code="openai", event_type="image", units=800,
        unit_cost_usd="0.05", total_cost_usd=40,
    )  # fmt: skip
    export = Export.objects.create(project=project, run=run, status="queued", export_format="zip")
    return {"run": str(run.pk), "asset": str(asset.pk), "export": str(export.pk)}


def furnish(api: Api, project: Project) -> World:
    """Put one of everything into a project, through the API where it can make it."""
    ids = made_by_runs(project)
    world = World(api, project, ids)

    def made(path: str, body: dict[str, object], key: str) -> str:
        return str(world.post(path, body)[key]["id"])

    guide: dict[str, object] = {"name": "Ink", "instructions": "Draw in ink", "notes": "n"}
    ids["guide"] = made(routes.GUIDES, guide, "style_guide")
    ids["character"] = made(routes.PEOPLE, {"name": "Mira", "description": "d"}, "character")
    ids["template"] = made(routes.TEMPLATES, {"name": "Opening", "template_text": "t"}, "prompt_template")
    ids["set"] = made(routes.SETS, {"name": "Quays", "description": "d"}, "reference_set")
    ids["item"] = made(routes.ITEMS, {"label": "North", "content_text": "t"}, "item")
    ids["session"] = made(routes.CHATS, {"title": "Plans"}, "session")
    ids["message"] = made(f"{routes.CHAT}/messages", {"role": "user", "content": "Hello"}, "message")
    ids["instruction"] = made(routes.ORDERS, {"instruction_text": "Draw"}, "instruction")
    child = make_asset(project)
    ids["child"] = str(child.pk)
    ids["link"] = made(
        routes.LINKS, {"parent_asset_id": ids["asset"], "child_asset_id": ids["child"]}, "asset_link"
    )
    ids["code"] = world.post(routes.ACCOUNTS, {"provider_code": "openai"})["provider_account"][
        "provider_code"
    ]
    secret = {"provider_code": "openai", "secret_name": "api_key", "secret_value": "sk-hidden-4711"}
    ids["secret"] = world.post(routes.SECRETS, secret)["secret"]["secret_name"]
    return world


@pytest.fixture
def world(bypass: Api, project: Project) -> World:
    """The universe `saltmarsh` with one of everything, as the bypass sees it."""
    return furnish(bypass, project)


@pytest.fixture
def plain(bypass: Api, project: Project) -> World:
    """The empty universe `saltmarsh`, as the bypass sees it."""
    return World(bypass, project, {})


@pytest.fixture
def other(bypass: Api, project: Project) -> World:
    """A second, empty universe, `harbour`."""
    return World(bypass, make_project(name="Harbour"), {})
