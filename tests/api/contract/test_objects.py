"""Section 6: every object has its documented fields, with the documented types."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from pipeline.models import Asset, CostEvent, Export, QualityReport, Run
from projects.models import Project
from tests.api.conftest import Api
from tests.api.contract import routes, shapes
from tests.api.contract.conftest import World, make_asset, make_old_run
from tests.api.contract.routes import put_there
from tests.api.contract.shapes import Shape, faults

P = routes.P
ITEMS_OF_LISTS: list[tuple[str, str, Shape]] = [
    ("/api/projects", "projects", shapes.PROJECT_LIST_ITEM),
    (f"{P}/runs", "runs", shapes.RUN),
    (f"{P}/runs/{{run}}/jobs", "jobs", shapes.JOB),
    (f"{P}/assets", "assets", shapes.ASSET),
    (routes.LINKS, "asset_links", shapes.ASSET_LINK),
    (f"{P}/quality-reports", "quality_reports", shapes.QUALITY_REPORT),
    (f"{P}/cost-events", "cost_events", shapes.COST_EVENT),
    (f"{P}/exports", "exports", shapes.EXPORT),
    (routes.TEMPLATES, "prompt_templates", shapes.PROMPT_TEMPLATE),
    (routes.ACCOUNTS, "provider_accounts", shapes.PROVIDER_ACCOUNT),
    (routes.GUIDES, "style_guides", shapes.STYLE_GUIDE),
    (routes.PEOPLE, "characters", shapes.CHARACTER),
    (routes.SETS, "reference_sets", shapes.REFERENCE_SET),
    (routes.ITEMS, "items", shapes.REFERENCE_ITEM),
    (routes.CHATS, "sessions", shapes.CHAT_SESSION),
    (f"{routes.CHAT}/messages", "messages", shapes.CHAT_MESSAGE),
    (routes.ORDERS, "instructions", shapes.INSTRUCTION),
    (f"{routes.ORDER}/events", "events", shapes.INSTRUCTION_EVENT),
    (routes.SECRETS, "secrets", shapes.SECRET),
]
SINGLE: list[tuple[str, str, Shape]] = [
    (P, "project", shapes.PROJECT),
    (P, "counts", shapes.COUNTS),
    (P, "storage", shapes.STORAGE),
    (f"{P}/storage", "project", shapes.PROJECT_REF),
    (f"{P}/storage", "storage", shapes.STORAGE),
    (f"{P}/runs/{{run}}", "run", shapes.RUN),
    (f"{P}/assets/{{asset}}", "asset", shapes.ASSET),
    (routes.LINK, "asset_link", shapes.ASSET_LINK),
    (f"{P}/exports/{{export}}", "export", shapes.EXPORT),
    (routes.TEMPLATE, "prompt_template", shapes.PROMPT_TEMPLATE),
    (routes.ACCOUNT, "provider_account", shapes.PROVIDER_ACCOUNT),
    (routes.GUIDE, "style_guide", shapes.STYLE_GUIDE),
    (routes.PERSON, "character", shapes.CHARACTER),
    (routes.SET, "reference_set", shapes.REFERENCE_SET),
    (routes.ITEM, "item", shapes.REFERENCE_ITEM),
    (routes.CHAT, "session", shapes.CHAT_SESSION),
    (routes.ORDER, "instruction", shapes.INSTRUCTION),
    (f"{routes.SECRETS}/rotation-status", "status", shapes.SECRET_STATUS),
]


@pytest.mark.parametrize(("path", "key", "shape"), ITEMS_OF_LISTS, ids=lambda value: str(value)[:40])
def test_a_list_has_its_rows_their_number_and_their_fields(
    world: World, path: str, key: str, shape: Shape
) -> None:
    body = world.get(path)
    assert isinstance(body[key], list)
    assert len(body[key]) == body["count"] >= 1
    assert type(body["count"]) is int
    for row in body[key]:
        assert faults(row, shape) == []


@pytest.mark.parametrize(("path", "key", "shape"), SINGLE, ids=lambda value: str(value)[:40])
def test_an_object_has_its_fields(world: World, path: str, key: str, shape: Shape) -> None:
    assert faults(world.get(path)[key], shape) == []


@pytest.mark.parametrize(
    ("path", "key", "name"),
    [
        (f"{P}/runs/{{run}}/jobs", "run_id", "run"),
        (routes.ITEMS, "reference_set_id", "set"),
        (f"{routes.CHAT}/messages", "session_id", "session"),
        (f"{routes.ORDER}/events", "instruction_id", "instruction"),
    ],
)
def test_a_list_inside_something_names_it_as_sent(world: World, path: str, key: str, name: str) -> None:
    assert world.get(path)[key] == world.ids[name]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (f"{P}/runs", "runs"), (f"{P}/assets", "assets"), (routes.LINKS, "asset_links"),
        (f"{P}/quality-reports", "quality_reports"), (f"{P}/cost-events", "cost_events"),
        (f"{P}/exports", "exports"), (routes.TEMPLATES, "prompt_templates"),
        (routes.ACCOUNTS, "provider_accounts"), (routes.GUIDES, "style_guides"),
        (routes.PEOPLE, "characters"),
        (routes.SETS, "reference_sets"), (routes.CHATS, "sessions"), (routes.ORDERS, "instructions"),
        (routes.SECRETS, "secrets"),
    ],
)  # fmt: skip
def test_another_project_s_list_is_empty(world: World, other: World, path: str, key: str) -> None:
    body = other.get(path)
    assert body[key] == []
    assert body["count"] == 0
    assert world.get(path)["count"] >= 1


def test_a_run_carries_its_jobs_with_their_candidates(world: World) -> None:
    body = world.get(f"{P}/runs/{{run}}")
    assert [faults(job, shapes.JOB) for job in body["jobs"]] == [[]]
    assert body["run"]["id"] == world.ids["run"]
    assert body["jobs"][0]["run_id"] == world.ids["run"]
    assert body["jobs"][0]["candidates"][0]["job_id"] == body["jobs"][0]["id"]
    assert body["jobs"] == world.get(f"{P}/runs/{{run}}/jobs")["jobs"]


def test_what_is_not_there_is_an_empty_text_and_never_null(plain: World) -> None:
    """Everything that may be absent is, in rows that hold no more than they must."""
    run = Run.objects.create(
        project=plain.project, run_mode="run", stage="", time_of_day="", weather="", provider_code="",
        plan_hash="", run_log_path="",
    )  # fmt: skip
    asset = Asset.objects.create(project=plain.project, kind="", rel_path="a.png", storage_backend="")
    QualityReport.objects.create(project=plain.project, report_type="")
    export = Export.objects.create(project=plain.project, status="queued", export_format="zip")
    assert faults(plain.get(f"{P}/runs/{run.pk}")["run"], shapes.RUN) == []
    shown = plain.get(f"{P}/assets/{asset.pk}")["asset"]
    assert faults(shown, shapes.ASSET) == []
    assert (shown["width"], shown["height"]) == (None, None)
    assert faults(plain.get(f"{P}/quality-reports")["quality_reports"][0], shapes.QUALITY_REPORT) == []
    shown = plain.get(f"{P}/exports/{export.pk}")["export"]
    assert faults(shown, shapes.EXPORT) == []
    assert shown["completed_at"] == ""


def test_the_kinds_of_an_asset_stand_for_each_other(plain: World) -> None:
    asset = make_asset(plain.project)
    shown = plain.get(f"{P}/assets/{asset.pk}")["asset"]
    assert shown["kind"] == shown["asset_kind"] == "candidate_output"


def test_counts_are_those_of_the_project(world: World, other: World) -> None:
    assert world.get(P)["counts"] == {"runs": 1, "jobs": 1, "assets": 2}
    assert other.get(P)["counts"] == {"runs": 0, "jobs": 0, "assets": 0}
    make_asset(world.project)
    make_old_run(world.project)
    assert world.get(P)["counts"] == {"runs": 2, "jobs": 1, "assets": 3}


def test_numbers_of_money_are_floats_with_their_values(world: World) -> None:
    event = world.get(f"{P}/cost-events")["cost_events"][0]
    assert (event["units"], event["unit_cost_usd"], event["total_cost_usd"]) == (800.0, 0.05, 40.0)
    written = world.api.get(world.at(f"{P}/cost-events")).response.content.replace(b" ", b"")
    assert b'"units":800.0,' in written


def test_a_secret_shows_nothing_but_that_it_has_a_value(world: World) -> None:
    row = world.get(routes.SECRETS)["secrets"][0]
    assert set(row) == set(shapes.SECRET)
    assert row["has_value"] is True


def test_times_are_utc_in_whole_seconds(plain: World) -> None:
    created = plain.post(routes.PEOPLE, {"name": "Mira"})["character"]
    assert shapes.MOMENT.fullmatch(created["created_at"])
    assert created["created_at"] == created["updated_at"] or created["created_at"] < created["updated_at"]


def test_health_says_who_answers(db: None) -> None:
    body = put_there(Api().get("/health"))
    assert body["status"] == "ok"
    assert body["service"] == "kroma-backend-core"
    assert isinstance(body["version"], str)
    assert type(body["started_unix_ms"]) is int
    assert body["started_unix_ms"] > 1_600_000_000_000
    assert type(body["route_count"]) is int


# Lists: order and limits


def _runs(project: Project, number: int) -> None:
    Run.objects.bulk_create(
        Run(
            project=project, run_mode="dry", status="ok", stage="style", time_of_day="day", weather="clear",
            provider_code="local", plan_hash="0" * 64, run_log_path=f"runs/{n}.json",
            finished_at="2026-01-01T00:00:00Z",
        )
        for n in range(number)
    )  # fmt: skip


def _assets(project: Project, number: int) -> None:
    Asset.objects.bulk_create(Asset(project=project, kind="k", rel_path=f"{n}.png") for n in range(number))


def _reports(project: Project, number: int) -> None:
    QualityReport.objects.bulk_create(QualityReport(project=project, report_type="r") for _ in range(number))


def _costs(project: Project, number: int) -> None:
    CostEvent.objects.bulk_create(
        CostEvent(project=project, provider_code="p", event_type="e") for _ in range(number)
    )


def _exports(project: Project, number: int) -> None:
    Export.objects.bulk_create(
        Export(project=project, status="s", export_format="zip") for _ in range(number)
    )


class Limited(NamedTuple):
    """A list with limits of its own, and how to fill it."""

    path: str
    key: str
    default: int
    most: int
    make: Callable[[Project, int], None]
    model: type[Run | Asset | QualityReport | CostEvent | Export]


LIMITED = [
    Limited("runs", "runs", 200, 1000, _runs, Run),
    Limited("assets", "assets", 500, 2000, _assets, Asset),
    Limited("quality-reports", "quality_reports", 500, 2000, _reports, QualityReport),
    Limited("cost-events", "cost_events", 500, 2000, _costs, CostEvent),
    Limited("exports", "exports", 500, 2000, _exports, Export),
]


@pytest.mark.parametrize("of", LIMITED, ids=lambda of: of.path)
def test_a_list_has_its_default_and_its_most(plain: World, of: Limited) -> None:
    of.make(plain.project, of.most + 1)
    for limit, expected in ((None, of.default), (3, 3), (0, 1), (-7, 1), (of.most + 1, of.most)):
        query = {} if limit is None else {"limit": limit}
        body = plain.get(f"{P}/{of.path}", **query)
        assert (body["count"], len(body[of.key])) == (expected, expected)


@pytest.mark.parametrize("of", LIMITED, ids=lambda of: of.path)
def test_a_limited_list_begins_with_the_newest_and_of_equals_with_the_highest_id(
    plain: World, of: Limited
) -> None:
    of.make(plain.project, 6)
    ids = [row["id"] for row in plain.get(f"{P}/{of.path}")[of.key]]
    of.model.objects.update(created_at="2026-01-02T03:04:05.600Z")
    newest = ids.pop(2)
    of.model.objects.filter(pk=newest).update(created_at="2026-01-02T03:04:05.700Z")
    shown = [row["id"] for row in plain.get(f"{P}/{of.path}")[of.key]]
    assert shown == [newest, *sorted(ids, reverse=True)]


class ByUpdate(NamedTuple):
    """A list that begins with what was changed last: what a row needs besides its name, and a change."""

    path: str
    key: str
    single: str
    more: dict[str, Any]
    change: dict[str, Any]


BY_UPDATE = [
    ByUpdate(
        routes.TEMPLATES,
        "prompt_templates",
        "prompt_template",
        {"template_text": "t"},
        {"template_text": "u"},
    ),
    ByUpdate(routes.GUIDES, "style_guides", "style_guide", {"instructions": "i"}, {"notes": "n"}),
    ByUpdate(routes.PEOPLE, "characters", "character", {}, {"description": "d"}),
    ByUpdate(routes.SETS, "reference_sets", "reference_set", {}, {"description": "d"}),
]


@pytest.mark.parametrize("of", BY_UPDATE, ids=lambda of: of.key)
def test_a_library_list_begins_with_what_was_changed_last(plain: World, of: ByUpdate) -> None:
    ids = [plain.post(of.path, {"name": name, **of.more})[of.single]["id"] for name in "abc"]
    assert [row["id"] for row in plain.get(of.path)[of.key]] == ids[::-1]
    plain.put(f"{of.path}/{ids[0]}", of.change)
    assert [row["id"] for row in plain.get(of.path)[of.key]] == [ids[0], ids[2], ids[1]]


def test_accounts_and_secrets_are_in_the_order_of_their_names(plain: World) -> None:
    for code in ("zeta", "alpha", "mid"):
        plain.post(routes.ACCOUNTS, {"provider_code": code})
        for name in ("z", "a"):
            plain.post(routes.SECRETS, {"provider_code": code, "secret_name": name, "secret_value": "v"})
    accounts = plain.get(routes.ACCOUNTS)["provider_accounts"]
    assert [row["provider_code"] for row in accounts] == ["alpha", "mid", "zeta"]
    secrets = plain.get(routes.SECRETS)["secrets"]
    assert [(row["provider_code"], row["secret_name"]) for row in secrets] == [
        ("alpha", "a"), ("alpha", "z"), ("mid", "a"), ("mid", "z"), ("zeta", "a"), ("zeta", "z")
    ]  # fmt: skip


def test_items_are_in_their_sort_order_then_newest_change_first(plain: World) -> None:
    pk = plain.post(routes.SETS, {"name": "Set"})["reference_set"]["id"]
    items = f"{routes.SETS}/{pk}/items"
    for label, order in (("five", 5), ("minus", -3), ("zero", None)):
        plain.post(items, {"label": label, "content_text": "t", "sort_order": order})
    rows = plain.get(items)["items"]
    assert [(row["label"], row["sort_order"]) for row in rows] == [("minus", -3), ("zero", 0), ("five", 5)]


def test_projects_begin_with_what_was_written_last(plain: World) -> None:
    for name in ("One", "Two", "Three", "One"):
        plain.post("/api/projects", {"name": name})
    names = [row["name"] for row in plain.get("/api/projects")["projects"]]
    assert names == ["One", "Three", "Two", "Saltmarsh"]
