"""How many queries a route takes: the same for little and for much, and one more for a token at most."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bootstrap.rows import load
from bootstrap.snapshots import take
from pipeline.models import (
    AgentInstruction,
    Asset,
    AssetLink,
    ChatMessage,
    ChatSession,
    CostEvent,
    QualityReport,
)
from pipeline.models.copilot import AgentInstructionEvent
from pipeline.services.exports import create_export
from projects.access import OPERATOR
from projects.models import (
    Character,
    Project,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    StyleGuide,
    User,
)
from projects.services.secrets import set_secret
from tests.api.conftest import Api
from tests.api.routes import Route, Things, make_things, routes
from tests.factories import make_finished_run, make_project, make_token

MORE = 5  # of each


def add_more(things: Things) -> None:
    """More rows of every kind that a list or an object of this project shows."""
    project = things.project
    owner = User.objects.get(memberships__project=project, memberships__role="owner")
    session = ChatSession.objects.get(pk=things.ids["sessions"][0])
    instruction = AgentInstruction.objects.get(pk=things.ids["instructions"][0])
    references = ReferenceSet.objects.get(pk=things.ids["reference-sets"][0])
    run = project.runs.get(pk=things.ids["runs"][0])
    assets = list(Asset.objects.filter(project=project, run=run)[:2])
    for n in range(2, MORE + 2):
        StyleGuide.objects.create(project=project, name=f"Guide {n}", instructions="Ink")
        Character.objects.create(project=project, name=f"Name {n}")
        PromptTemplate.objects.create(project=project, name=f"Form {n}", template_text="Ink")
        ProviderAccount.objects.create(project=project, provider_code=f"provider-{n}")
        set_secret(project, f"provider-{n}", "api_key", value="sk-1", by=OPERATOR)
        more = ReferenceSet.objects.create(project=project, name=f"Set {n}")
        for of_set in (more, references):
            ReferenceItem.objects.create(
                project=project, reference_set=of_set, label=str(n), content_text="x"
            )
        ChatMessage.objects.create(project=project, session=session, position=n, role="user", content="x")
        ChatSession.objects.create(project=project, title=str(n))
        AgentInstructionEvent.objects.create(
            project=project, instruction=instruction, position=n, event_type="note", message="x"
        )
        AgentInstruction.objects.create(project=project, instruction_text="x")
        QualityReport.objects.create(project=project, run=run, report_type="output_guard")
        CostEvent.objects.create(
            project=project, run=run, provider_code="openai", event_type="image", units=1,
            unit_cost_usd=0, total_cost_usd=0,
        )  # fmt: skip
        AssetLink.objects.create(project=project, parent=assets[0], child=assets[1], link_type=f"kind_{n}")
        make_token(user=owner, project=project)
        take(project, load(project), reason="import", changes={}, by=OPERATOR)
        make_project(name=f"{project.name} {n}", owner=owner)
    for _ in range(2):
        create_export(make_finished_run(project, n_scenes=2), by=OPERATOR)


def reads() -> list[Route]:
    return [route for route in routes() if route.method == "GET" and route.action is not None]


def asked(caller: Api, address: str) -> list[str]:
    """The statements of one GET."""
    with CaptureQueriesContext(connection) as queries:
        answered = caller.get(address)
        answered.response.close()  # a file that is streamed is still open
    assert answered.status == 200, (address, answered.status)
    return [query["sql"] for query in queries.captured_queries]


@pytest.fixture
def owner(caller: Callable[..., Api]) -> Api:
    return caller("alice")


def test_no_route_takes_more_queries_for_more_rows(owner: Api, project: Project) -> None:
    little = make_things(project)
    asked(owner, "/auth/tokens")  # the last use of a token is noted once a minute
    few = {route.name: asked(owner, little.address(route.path)) for route in reads()}
    much = make_things(make_project(name="Much", owner=User.objects.get(username="alice")), n_scenes=9)
    add_more(much)
    grown = {}
    for route in reads():
        many = asked(owner, much.address(route.path))
        if len(many) != len(few[route.name]):
            again: dict[str, int] = {}
            for sql in many:
                again[sql[:200]] = again.get(sql[:200], 0) + 1
            grown[route.name] = (len(few[route.name]), len(many), max(again, key=lambda sql: again[sql]))
    assert grown == {}


def test_a_token_costs_one_query_at_most(owner: Api, project: Project, settings: Any) -> None:
    things = make_things(project)
    dearer = {}
    for route in reads():
        address = things.address(route.path)
        asked(owner, address)  # its last use is noted once a minute
        with_token = len(asked(owner, address))
        settings.API_AUTH_DEV_BYPASS = True
        without = len(asked(Api(), address))
        settings.API_AUTH_DEV_BYPASS = False
        if with_token > without + 1:
            dearer[route.name] = (without, with_token)
    assert dearer == {}
