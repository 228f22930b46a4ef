"""Instructions over the API: written, confirmed, canceled, reported on."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from pipeline.models import AgentInstruction
from pipeline.services import instructions
from pipeline.services.agentcalls import Outcome
from pipeline.services.dispatch import lease_one, settle
from projects.access import OPERATOR
from projects.models import AuditEvent, Project
from tests.api.conftest import Answered, Api
from tests.factories import make_project, put_scene
from tests.standin import StandIn, as_json

V = (400, "validation", "validation_error")
NOT_FOUND = (404, "validation", "not_found", "Agent instruction not found")
REFUSED = (401, "validation", "unauthorized", "Invalid callback secret")


@pytest.fixture
def erin(caller: Callable[..., Api]) -> Api:
    return caller("erin")


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.slug}/agent/instructions"


def written(api: Api, base: str, **body: Any) -> str:
    answer = api.post(base, {"instruction_text": "Look at it", **body})
    assert answer.status == 200, answer.body
    return str(answer.body["instruction"]["id"])


def events(api: Api, base: str, pk: str) -> list[tuple[str, str]]:
    answer = api.get(f"{base}/{pk}/events")
    assert answer.body["instruction_id"] == pk
    return [(row["event_type"], row["message"]) for row in answer.body["events"]]


def put_into(pk: str, status: str, **fields: Any) -> None:
    AgentInstruction.objects.filter(pk=pk).update(status=status, **fields)


def leased(pk: str) -> AgentInstruction:
    taken = lease_one("w", timezone.now(), only=pk)
    assert taken is not None
    return taken


@pytest.mark.acceptance("U-12")
def test_creation_shows_the_documented_fields_and_audits(erin: Api, base: str, project: Project) -> None:
    answer = erin.post(base, {"instruction_text": "  Look at it "})
    assert set(answer.body) == {"ok", "instruction", "audit_id"}
    shown = answer.body["instruction"]
    assert set(shown) == {
        "id", "project_id", "instruction_text", "instruction_type", "status", "run_id",
        "created_at", "updated_at", "confirmed_at", "canceled_at",
    }  # fmt: skip
    assert shown["instruction_text"] == "Look at it"
    assert (shown["status"], shown["instruction_type"]) == ("pending", "custom")
    assert shown["confirmed_at"] == shown["canceled_at"] == shown["run_id"] == ""
    event = AuditEvent.objects.get(pk=answer.body["audit_id"])
    assert event.event_code == "agent_instruction.create"
    assert event.payload == {"instruction_id": shown["id"], "status": "pending"}
    assert events(erin, base, shown["id"]) == [("created", "Instruction created")]
    assert erin.get(f"{base}/{shown['id']}").body == {"ok": True, "instruction": shown}
    assert erin.get(base).body["instructions"] == [shown]


def test_a_text_is_needed_or_made_of_type_and_payload(erin: Api, base: str) -> None:
    needed = (*V, "Field 'instruction_text' is required")
    assert erin.post(base, {}).error == needed
    assert erin.post(base, {"instruction_text": " ", "instruction_type": "qa_check"}).error == needed
    assert erin.post(base, {"payload_json": {"a": 1}, "instruction_type": " "}).error == needed
    assert erin.post(base, {"instruction_text": None}).status == 422
    body = {"instruction_type": "qa_check", "payload_json": {"scene": "Kai"}, "dispatch_to_agent": True}
    shown = erin.post(base, body).body["instruction"]
    assert (shown["instruction_type"], shown["instruction_text"]) == (
        "qa_check",
        'qa_check: {"scene": "Kai"}',
    )
    shown = erin.post(base, {"instruction_type": "Dance"}).body["instruction"]
    assert (shown["instruction_type"], shown["instruction_text"]) == ("custom", "Dance")


def test_what_does_not_exist_is_said_in_the_right_order(bypass: Api, project: Project, base: str) -> None:
    x = "/api/projects/x/agent/instructions"
    assert bypass.post(x).error == (*V, "Field 'instruction_text' is required")
    assert bypass.post(x, {"instruction_text": "a"}).error[3] == "Project not found"
    assert bypass.get(x).error[3] == "Project not found"
    other = AgentInstruction.objects.create(project=make_project(name="Other"), instruction_text="a")
    for one in (f"{x}/x", f"{base}/x", f"{base}/{other.pk}"):
        assert bypass.get(one).error == NOT_FOUND
        assert bypass.get(f"{one}/events").error == NOT_FOUND
        assert bypass.post(f"{one}/confirm").error == NOT_FOUND
        assert bypass.post(f"{one}/cancel").error == NOT_FOUND


@pytest.mark.acceptance("U-12")
def test_confirming_twice_changes_nothing_but_the_audit_trail(erin: Api, base: str, project: Project) -> None:
    pk = written(erin, base)
    first = erin.post(f"{base}/{pk}/confirm", {"message": "  go  "}).body
    assert first["instruction"]["status"] == "confirmed"
    assert first["instruction"]["confirmed_at"]
    second = erin.post(f"{base}/{pk}/confirm").body
    assert second["instruction"] == first["instruction"]
    assert second["audit_id"] != first["audit_id"]
    assert events(erin, base, pk) == [("created", "Instruction created"), ("confirmed", "go")]
    found = AuditEvent.objects.filter(event_code="agent_instruction.confirm")
    assert [event.payload for event in found] == [{"instruction_id": pk, "status": "confirmed"}] * 2
    assert {event.actor for event in found} == {"erin"}


@pytest.mark.acceptance("U-12")
def test_canceling_is_for_what_is_not_confirmed_unless_forced(erin: Api, base: str) -> None:
    pk = written(erin, base)
    first = erin.post(f"{base}/{pk}/cancel").body
    assert first["instruction"]["status"] == "canceled"
    assert first["instruction"]["canceled_at"]
    second = erin.post(f"{base}/{pk}/cancel", {"message": "again"}).body
    assert second["instruction"] == first["instruction"]
    assert events(erin, base, pk)[1:] == [("canceled", "Instruction canceled")]
    assert erin.post(f"{base}/{pk}/confirm").error == (*V, "Instruction is already canceled")
    pk = written(erin, base)
    erin.post(f"{base}/{pk}/confirm")
    assert erin.post(f"{base}/{pk}/cancel").error == (*V, "Instruction is already confirmed")
    forced = erin.post(f"{base}/{pk}/cancel", {"force": True}).body
    assert forced["instruction"]["status"] == "canceled"
    codes = AuditEvent.objects.filter(event_code="agent_instruction.cancel")
    assert codes.count() == 3


@pytest.mark.parametrize("status", ["running", "done"])
def test_what_runs_or_is_done_is_not_confirmed_again(erin: Api, base: str, status: str) -> None:
    pk = written(erin, base)
    put_into(pk, status)
    before = AuditEvent.objects.count()
    assert erin.post(f"{base}/{pk}/confirm").error == (*V, f"Instruction is already {status}")
    assert AgentInstruction.objects.get(pk=pk).status == status
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("status", ["done", "failed"])
def test_what_has_ended_is_not_canceled(erin: Api, base: str, status: str) -> None:
    pk = written(erin, base)
    put_into(pk, status)
    for force in (False, True):
        assert (
            erin.post(f"{base}/{pk}/cancel", {"force": force}).error[3] == f"Instruction is already {status}"
        )


def test_a_failed_instruction_can_be_confirmed_again(erin: Api, base: str) -> None:
    pk = written(erin, base)
    put_into(pk, "failed", attempts=3, last_error="x", next_attempt_at=timezone.now())
    assert erin.post(f"{base}/{pk}/confirm").body["instruction"]["status"] == "confirmed"
    row = AgentInstruction.objects.get(pk=pk)
    assert (row.attempts, row.last_error, row.next_attempt_at) == (3, "", None)


def test_two_confirmations_of_stale_rows_make_one_event(project: Project) -> None:
    made, _ = instructions.create_instruction(project, instruction_text="a", by=OPERATOR)
    stale = AgentInstruction.objects.get(pk=made.pk)
    instructions.confirm_instruction(made, by=OPERATOR)
    instructions.confirm_instruction(stale, by=OPERATOR)
    assert made.events.filter(event_type="confirmed").count() == 1


def test_a_confirmation_rings_for_a_worker_if_there_is_an_agent(
    erin: Api,
    base: str,
    settings: Settings,
    standin: StandIn,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    pk = written(erin, base)
    with django_capture_on_commit_callbacks(execute=True):
        erin.post(f"{base}/{pk}/confirm")
    assert [event_type for event_type, _ in events(erin, base, pk)] == ["created", "confirmed"]
    standin.script(as_json({}))
    settings.AGENT_API_URL = standin.url
    pk = written(erin, base)
    with django_capture_on_commit_callbacks(execute=True):
        erin.post(f"{base}/{pk}/confirm")
    assert erin.get(f"{base}/{pk}").body["instruction"]["status"] == "done"


def test_readers_read_and_editors_instruct(caller: Callable[..., Api], erin: Api, base: str) -> None:
    pk = written(erin, base)
    rita = caller("rita")
    assert rita.get(f"{base}/{pk}/events").status == 200
    for path in (base, f"{base}/{pk}/confirm", f"{base}/{pk}/cancel"):
        assert rita.post(path, {"instruction_text": "a"}).status == 403


def test_wrong_types_are_refused(erin: Api, base: str) -> None:
    pk = written(erin, base)
    assert erin.post(f"{base}/{pk}/confirm", {"message": 5}).status == 422
    assert erin.post(f"{base}/{pk}/cancel", {"force": "yes"}).status == 422
    assert erin.post(base, {"instruction_text": "a", "execution": []}).status == 422


def test_nothing_of_the_inside_is_shown(erin: Api, base: str) -> None:
    pk = written(erin, base)
    put_into(pk, "failed", last_error="canary", response={"a": "canary"}, callback_hash="canary")
    for path in (base, f"{base}/{pk}", f"{base}/{pk}/events"):
        assert "canary" not in str(erin.get(path).body)


# --- Runs that Kroma starts itself ------------------------------------------------------------------
def test_a_run_of_our_own_is_judged_when_it_is_written(erin: Api, base: str) -> None:
    def asking(**body: Any) -> Answered:
        return erin.post(base, {"instruction_text": "a", "execution": {"by": "kroma"}, **body})

    assert asking().error[3] == (
        "Field 'execution.by' can be 'kroma' for the instruction type 'pipeline_run' only"
    )
    assert asking(execution={"by": "me"}).error[3] == "Field 'execution.by' must be one of: agent, kroma"
    run = {"instruction_type": "pipeline_run"}
    assert asking(**run, payload_json={"mode": "wet"}).error[2] == "invalid_mode"
    assert asking(**run, payload_json={"mode": "dry"}).error[2] == "invalid_request"
    assert asking(**run, payload_json=[]).status == 422
    assert asking(**run, payload_json={"mode": "run", "scene_refs": ["a.png"]}).status == 200


def test_spending_is_confirmed_by_the_one_who_confirms(erin: Api, base: str, project: Project) -> None:
    payload = {"mode": "run", "scene_refs": [put_scene(project).path], "confirm_spend": True}
    pk = written(erin, base, instruction_type="pipeline_run", payload_json=payload)
    refused = (
        400, "policy", "spend_confirmation_required", "Run mode requires explicit spend confirmation"
    )  # fmt: skip
    assert erin.post(f"{base}/{pk}/confirm").error == refused
    assert erin.post(f"{base}/{pk}/confirm", {"confirm_spend": False}).error == refused
    assert [kind for kind, _ in events(erin, base, pk)] == ["created"]
    answer = erin.post(f"{base}/{pk}/confirm", {"confirm_spend": True})
    assert answer.body["instruction"]["status"] == "confirmed"
    assert AgentInstruction.objects.get(pk=pk).executor == "kroma"


def test_an_agent_with_an_address_gets_runs_unless_kroma_is_named(
    erin: Api, base: str, settings: Settings
) -> None:
    settings.AGENT_API_URL = "http://agent.example"
    payload = {"mode": "run", "scene_refs": ["a.png"]}
    run = {"instruction_type": "pipeline_run", "payload_json": payload}
    pk = written(erin, base, **run)
    assert erin.post(f"{base}/{pk}/confirm").status == 200
    assert AgentInstruction.objects.get(pk=pk).executor == "agent"
    pk = written(erin, base, **run, execution={"by": "kroma"})
    assert erin.post(f"{base}/{pk}/confirm").error[2] == "spend_confirmation_required"


# --- Callbacks --------------------------------------------------------------------------------------
@pytest.fixture
def taken(erin: Api, base: str) -> AgentInstruction:
    """An instruction that its agent has taken and not reported on."""
    pk = written(erin, base)
    erin.post(f"{base}/{pk}/confirm")
    instruction = leased(pk)
    settle(instruction, Outcome("running", "accepted", 202))
    return AgentInstruction.objects.get(pk=pk)


def agent_of(instruction: AgentInstruction) -> Api:
    return Api(instructions.callback_secret(instruction))


@pytest.mark.acceptance("U-15")
def test_an_agent_reports_the_end_once(taken: AgentInstruction, erin: Api, base: str) -> None:
    agent, path = agent_of(taken), f"{base}/{taken.pk}/callback"
    body = {"status": " Done ", "message": "all good", "result": {"files": 3}}
    told = {"ok": True, "instruction_id": str(taken.pk), "status": "done"}
    assert agent.post(path, body).body == told
    story = events(erin, base, str(taken.pk))
    assert story[-1] == ("result", "callback, remote_status=done: all good")
    assert agent.post(path, body).body == told
    assert events(erin, base, str(taken.pk)) == story
    assert agent.post(path, {"status": "failed"}).error == (*V, "Instruction is already done")
    taken.refresh_from_db()
    assert taken.response == {"status": "done", "message": "all good", "error": "", "result": {"files": 3}}
    ended = AuditEvent.objects.get(event_code="agent_instruction.finish")
    assert (ended.payload["status"], ended.actor) == ("done", "agent")


def test_an_agent_reports_a_failure_or_that_it_still_works(
    taken: AgentInstruction, erin: Api, base: str
) -> None:
    agent, path = agent_of(taken), f"{base}/{taken.pk}/callback"
    AgentInstruction.objects.update(deadline_at=timezone.now())
    story = events(erin, base, str(taken.pk))
    assert agent.post(path, {"status": "running"}).body["status"] == "running"
    taken.refresh_from_db()
    assert taken.deadline_at is not None
    assert taken.deadline_at > timezone.now()
    assert events(erin, base, str(taken.pk)) == story
    secret = instructions.callback_secret(taken)
    assert agent.post(path, {"status": "failed", "error": f"no room {secret}"}).body["status"] == "failed"
    assert events(erin, base, str(taken.pk))[-1] == (
        "error",
        "callback, remote_status=failed: no room [hidden]",
    )
    taken.refresh_from_db()
    assert secret not in str(taken.response) + taken.last_error
    assert agent.post(path, {"status": "running"}).error[3] == "Instruction is already failed"


def test_a_report_is_for_running_instructions_only(taken: AgentInstruction, erin: Api, base: str) -> None:
    agent, path = agent_of(taken), f"{base}/{taken.pk}/callback"
    put_into(str(taken.pk), "confirmed")
    assert agent.post(path, {"status": "done"}).error[3] == "Instruction is not running"
    put_into(str(taken.pk), "running")
    erin.post(f"{base}/{taken.pk}/cancel")
    assert agent.post(path, {"status": "done"}).error == (*V, "Instruction is already canceled")
    assert agent.post(path, {"status": "wild"}).error[3] == (
        "Field 'status' must be one of: done, failed, rejected, running, accepted, queued"
    )
    assert agent.post(path, {}).error[3] == "Field 'status' is required"


def test_a_callback_takes_its_own_secret_only(
    taken: AgentInstruction, erin: Api, base: str, bypass: Api, project: Project
) -> None:
    path, done = f"{base}/{taken.pk}/callback", {"status": "done"}
    other = AgentInstruction.objects.create(project=project, instruction_text="a")
    agent = agent_of(taken)
    for api in (erin, bypass, Api("wrong"), agent_of(other)):
        assert api.post(path, done).error == REFUSED
        assert api.post(path, {"status": 5}).error == REFUSED  # nothing is told before the secret is right
    for where in (
        f"{base}/{other.pk}/callback",
        f"{base}/x/callback",
        f"/api/projects/x/agent/instructions/{taken.pk}/callback",
        f"/api/projects/%21/agent/instructions/{taken.pk}/callback",
    ):
        assert agent.post(where, done).error == REFUSED
    assert agent_of(other).post(f"{base}/{other.pk}/callback", done).error == REFUSED  # never sent out
    assert AgentInstruction.objects.get(pk=taken.pk).status == "running"


def test_the_secret_of_a_callback_opens_nothing_else(
    taken: AgentInstruction, base: str, settings: Settings
) -> None:
    agent, one = agent_of(taken), f"{base}/{taken.pk}"
    assert agent.get(one).status == 401
    assert agent.get(f"{one}/callback").status == 401
    assert agent.post(f"{one}/confirm").status == 401
    assert agent.post(f"{one}/callback/confirm").status == 401
    assert agent.post(f"{base}/{taken.pk}/x/callback").status == 401
    settings.API_AUTH_DEV_BYPASS = True
    response = Client(headers={"host": "127.0.0.1"}).post(
        f"{one}/callback", {"status": "done"}, content_type="application/json"
    )
    assert response.status_code == 401


def test_lists_need_a_constant_number_of_queries(
    erin: Api, base: str, django_assert_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    pk = written(erin, base)
    for path in (base, f"{base}/{pk}/events"):
        with CaptureQueriesContext(connection) as few:
            erin.get(path)
        n_few = len(few)
        written(erin, base)
        erin.post(f"{base}/{pk}/confirm")
        erin.post(f"{base}/{pk}/cancel", {"force": True})
        with django_assert_num_queries(n_few):
            erin.get(path)
