"""Confirmed instructions on their way: taken once, handed on or run by Kroma, settled, taken up again."""

import importlib
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from pipeline import enqueue
from pipeline.models import AgentInstruction, Run
from pipeline.services import dispatch, instructions, trigger
from pipeline.services.agentcalls import Limits, Outcome
from pipeline.services.control import cancel_run
from pipeline.tasks import dispatch_instruction
from projects.access import OPERATOR, Principal
from projects.models import AuditEvent, Membership, Project, User
from projects.services.secrets import set_secret
from tests.factories import put_scene
from tests.fakes import FakeProvider, Use, work_through
from tests.standin import Answer, StandIn, as_json

pytestmark = pytest.mark.django_db

TOKEN = "canary-9b2e-never-shown"


@pytest.fixture
def agent(standin: StandIn, settings: Settings) -> StandIn:
    """The agent that the workspace itself names."""
    settings.AGENT_API_URL = f"{standin.url}/tasks"
    settings.AGENT_API_TOKEN = TOKEN
    settings.PUBLIC_URL = "https://kroma.example"
    return standin


def confirmed(project: Project, *, by: Principal | None = None, **fields: Any) -> AgentInstruction:
    by = by or Principal(User.objects.get(username="erin"))
    spend = fields.pop("confirm_spend", False)
    fields.setdefault("instruction_text", "Look at it")
    made, _ = instructions.create_instruction(project, **fields, by=by)
    return instructions.confirm_instruction(made, confirm_spend=spend, by=by)[0]


def a_run(project: Project, mode: str = "run", **more: Any) -> dict[str, Any]:
    """The fields of an instruction that asks for a run of one scene."""
    payload = {"mode": mode, "scene_refs": [put_scene(project).path], **more}
    return {"instruction_type": "pipeline_run", "payload": payload, "execution": {"by": "kroma"}}


class Pauses(list[float]):
    """In place of sleeping."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def work(pauses: Pauses | None = None, **rules: Any) -> bool:
    return dispatch.work_once(
        "w1", rules=dispatch.Rules(**rules), pause=Pauses() if pauses is None else pauses
    )


def lease(worker: str = "w1") -> AgentInstruction:
    taken = dispatch.lease_one(worker, timezone.now())
    assert taken is not None
    return taken


def due_again() -> None:
    AgentInstruction.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=timezone.now())


def long_ago() -> datetime:
    return timezone.now() - timedelta(seconds=121)


def story(instruction: AgentInstruction) -> list[str]:
    return list(instruction.events.order_by("position").values_list("event_type", flat=True))


def last_word(instruction: AgentInstruction) -> str:
    return str(instruction.events.order_by("position").values_list("message", flat=True).last())


def now_is(instruction: AgentInstruction) -> str:
    instruction.refresh_from_db()
    return str(instruction.status)


# --- What the agent gets ----------------------------------------------------------------------------
@pytest.mark.acceptance("U-15")
def test_an_instruction_goes_out_whole_and_is_done(project: Project, agent: StandIn) -> None:
    agent.script(as_json({"status": " DONE ", "files": 3}))
    instruction = confirmed(
        project,
        instruction_type="qa_check",
        payload={"scene": "Kai"},
        constraints={"most": 2},
        inputs={"a": "b"},
    )
    assert work()
    assert now_is(instruction) == "done"
    (request,) = agent.requests
    assert (request.path, request.headers["Authorization"]) == ("/tasks", f"Bearer {TOKEN}")
    sent: Any = request.json()
    callback = sent.pop("callback")
    assert sent == {
        "instruction_id": str(instruction.pk),
        "project_slug": project.slug,
        "instruction_type": "qa_check",
        "objective": "Look at it",
        "constraints": {"most": 2},
        "inputs": {"a": "b"},
        "execution": {},
        "confirmation_required": True,
        "requested_by": "erin",
        "payload": {"instruction_text": "Look at it", "scene": "Kai"},
    }
    where = f"/api/projects/{project.slug}/agent/instructions/{instruction.pk}/callback"
    assert callback["url"] == f"https://kroma.example{where}"
    assert callback["token"] == instructions.callback_secret(instruction)
    assert callback["token"] not in instruction.callback_hash
    assert story(instruction) == ["created", "confirmed", "started", "result"]
    assert last_word(instruction) == "remote_status=DONE, attempts=1, http_status=200"
    assert instruction.response == {"status": " DONE ", "files": 3}
    assert (instruction.locked_by, instruction.locked_at, instruction.last_error) == ("", None, "")
    ended = AuditEvent.objects.get(event_code="agent_instruction.finish")
    assert ended.payload == {"instruction_id": str(instruction.pk), "status": "done"}
    assert not work()


def test_a_project_names_its_own_agent_which_never_gets_the_workspace_s_token(
    project: Project, standin: StandIn, settings: Settings
) -> None:
    standin.script(as_json({}))
    settings.AGENT_API_TOKEN = TOKEN
    set_secret(project, "agent_api", "url", value=standin.url, by=OPERATOR)
    confirmed(project)
    work()
    assert "Authorization" not in standin.requests[0].headers
    set_secret(project, "agent_api", "token", value="own", by=OPERATOR)
    confirmed(project)
    work()
    assert standin.requests[1].headers["Authorization"] == "Bearer own"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (as_json({}), "done"),
        (as_json({"status": None}), "done"),
        (Answer(body=b"fine", content_type="text/plain"), "done"),
        (as_json([1, 2]), "done"),
        (Answer(status=204), "done"),
        (Answer(body=b'{"status": "failed", "x": NaN}'), "done"),  # no JSON
        (as_json({"status": "Failed"}), "failed"),
        (as_json({"status": "rejected"}), "failed"),
        (as_json({"status": "what"}), "failed"),
        (as_json({"status": 5}), "failed"),
        (as_json({"status": "running"}), "running"),
        (as_json({"status": "accepted"}, status=202), "running"),
        (as_json({"status": "queued"}), "running"),
    ],
)
def test_what_an_answer_means(project: Project, agent: StandIn, answer: Answer, status: str) -> None:
    agent.script(answer)
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == status
    assert (instruction.deadline_at is not None) == (status == "running")
    assert story(instruction)[-1] == "result"


def test_an_answer_that_no_database_takes_is_made_harmless(project: Project, agent: StandIn) -> None:
    agent.script(Answer(body=b'{"status": "do\\u0000ne", "a\\ud800": ["\\u0000"]}'))
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == "failed"
    assert instruction.response == {"status": "do\ufffdne", "a?": ["\ufffd"]}


def test_an_endless_answer_is_cut_off(project: Project, agent: StandIn) -> None:
    agent.script(Answer(body=b" " * (1024 * 1024 + 1)))
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == "confirmed"
    assert instruction.last_error == "network_error:DecodingError"


# --- Failures ---------------------------------------------------------------------------------------
@pytest.mark.acceptance("U-15")
def test_a_failing_agent_is_tried_thrice_in_each_of_three_attempts(project: Project, agent: StandIn) -> None:
    agent.script(Answer(status=503, body=b"try later\n please"))
    instruction, pauses = confirmed(project), Pauses()
    for attempt in (1, 2):
        before = timezone.now()
        assert work(pauses)
        assert now_is(instruction) == "confirmed"
        assert instruction.next_attempt_at is not None
        wait = instruction.next_attempt_at - before
        assert timedelta(seconds=10 * attempt) <= wait < timedelta(seconds=10 * attempt + 5)
        assert last_word(instruction) == (
            f"error=http_503:try later please, attempts={attempt}, max_attempts=3, "
            f"next_attempt_at={instruction.next_attempt_at:%Y-%m-%dT%H:%M:%SZ}"
        )
        assert not work(pauses)
        due_again()
    assert work(pauses)
    assert now_is(instruction) == "failed"
    assert len(agent.requests) == 9
    assert pauses == [1.5, 3.0] * 3
    assert story(instruction)[2:] == ["started", "retry_scheduled"] * 2 + ["started", "error"]
    assert last_word(instruction).endswith("attempts=3, max_attempts=3, next_attempt_at=none")


@pytest.mark.acceptance("W-31")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_final_refusal_is_not_tried_again(project: Project, agent: StandIn, status: int) -> None:
    agent.script(Answer(status=status))
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == "failed"
    assert len(agent.requests) == 1
    assert instruction.last_error.startswith(f"http_{status}:")


def test_a_redirect_is_not_followed(project: Project, agent: StandIn) -> None:
    agent.script(Answer(status=307, headers={"Location": f"{agent.url}/elsewhere"}))
    instruction = confirmed(project)
    work(call=Limits(retries=0))
    assert now_is(instruction) == "confirmed"
    assert [request.path for request in agent.requests] == ["/tasks"]


def test_a_broken_connection_is_tried_again(project: Project, agent: StandIn) -> None:
    agent.script(Answer(cut="before"), Answer(cut="half", body=b"xxxx"), as_json({"status": "done"}))
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == "done"
    assert len(agent.requests) == 3


def test_an_agent_that_hangs_is_left(project: Project, agent: StandIn) -> None:
    agent.script(Answer(hang="before"))
    instruction = confirmed(project)
    work(call=Limits(timeout=0.2, retries=0))
    assert now_is(instruction) == "confirmed"
    assert instruction.last_error == "network_error:ReadTimeout"


def test_a_limit_of_the_worker_holds_whatever_the_default(project: Project, agent: StandIn) -> None:
    agent.script(Answer(status=500))
    instruction = confirmed(project)
    work(max_attempts=1)
    assert now_is(instruction) == "failed"


def test_without_an_address_the_rules_for_failures_hold(project: Project) -> None:
    instruction = confirmed(project)
    for status in ("confirmed", "confirmed", "failed"):
        assert work()
        assert now_is(instruction) == status
        assert instruction.last_error == "missing_agent_api_url"
        due_again()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x", "http://", "http://u:p@x", "http://x:99999", "x y"]
)
def test_an_odd_address_is_not_called(project: Project, url: str) -> None:
    set_secret(project, "agent_api", "url", value=url, by=OPERATOR)
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == "confirmed"
    assert instruction.last_error == "invalid_agent_api_url"


def test_no_secret_is_told_whatever_the_agent_echoes(
    project: Project, agent: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    instruction = confirmed(project)
    secret = instructions.callback_secret(instruction)
    echo = f"{TOKEN} {secret}"
    agent.script(Answer(status=500, body=echo.encode()), as_json({"status": echo, "a": [echo]}))
    work()
    instruction.refresh_from_db()
    kept = [instruction.last_error, json.dumps(instruction.response), instruction.callback_hash]
    kept += list(instruction.events.values_list("message", flat=True))
    kept += [str(payload) for payload in AuditEvent.objects.values_list("payload", flat=True)]
    told = " ".join([*kept, caplog.text])
    assert "[hidden]" in told
    assert TOKEN not in told
    assert secret not in told


def test_a_token_with_a_line_break_is_not_sent(project: Project, agent: StandIn, settings: Settings) -> None:
    settings.AGENT_API_TOKEN = f"{TOKEN}\nX: y"
    instruction = confirmed(project)
    work()
    assert now_is(instruction) == "confirmed"
    assert instruction.last_error == "invalid_agent_api_token"
    assert agent.requests == []


# --- Taking -----------------------------------------------------------------------------------------
def test_an_instruction_is_taken_once_the_oldest_first(project: Project) -> None:
    first, second = confirmed(project), confirmed(project)
    assert lease("w1").pk == first.pk
    assert lease("w2").pk == second.pk
    assert dispatch.lease_one("w3", timezone.now()) is None
    first.refresh_from_db()
    assert (first.status, first.locked_by, first.attempts) == ("running", "w1", 1)


def test_a_second_delivery_does_nothing(project: Project, agent: StandIn) -> None:
    agent.script(as_json({"status": "accepted"}))
    instruction = confirmed(project)
    dispatch_instruction(str(instruction.pk))
    dispatch_instruction(str(instruction.pk))
    dispatch_instruction(str(uuid4()))
    assert len(agent.requests) == 1
    assert now_is(instruction) == "running"


@pytest.mark.acceptance("U-15", "W-30")
def test_what_a_killed_worker_held_is_taken_up_and_counted(project: Project, agent: StandIn) -> None:
    agent.script(as_json({"status": "done"}))
    instruction = confirmed(project)
    lease("dead")
    assert dispatch.reclaim_stale(timezone.now()) == 0
    AgentInstruction.objects.update(locked_at=long_ago())
    assert dispatch.reclaim_stale(timezone.now()) == 1
    assert now_is(instruction) == "confirmed"
    assert last_word(instruction).startswith("error=worker_lost, attempts=1, max_attempts=3")
    due_again()
    work()
    assert now_is(instruction) == "done"
    assert instruction.attempts == 2


def test_an_instruction_that_kills_its_workers_fails(project: Project) -> None:
    instruction = confirmed(project)
    for _ in range(3):
        lease()
        AgentInstruction.objects.update(locked_at=long_ago())
        dispatch.reclaim_stale(timezone.now())
        due_again()
    assert now_is(instruction) == "failed"
    assert dispatch.reclaim_stale(timezone.now()) == 0


def test_a_result_that_comes_too_late_is_an_event_only(project: Project) -> None:
    instruction = confirmed(project)
    late = lease("slow")
    AgentInstruction.objects.update(locked_at=long_ago())
    dispatch.reclaim_stale(timezone.now())
    due_again()
    lease("slow")  # the same name, another attempt
    for outcome in (Outcome("done", "done", 200), Outcome("running", "running", 200), Outcome(error="x")):
        dispatch.settle(late, outcome)
        assert now_is(instruction) == "running"
        assert instruction.attempts == 2
        assert last_word(instruction).startswith("too late, ")


def test_a_cancel_while_the_agent_works_stays(project: Project, agent: StandIn) -> None:
    instruction = confirmed(project)
    taken = lease()
    instructions.cancel_instruction(instruction, by=OPERATOR)
    dispatch.settle(taken, Outcome("done", "done", 200))
    assert now_is(instruction) == "canceled"
    assert story(instruction)[-2:] == ["canceled", "result"]
    assert dispatch.dispatch(taken, pause=Pauses()).error == "canceled"
    assert agent.requests == []


def test_a_report_before_the_answer_counts(project: Project) -> None:
    instruction = confirmed(project)
    taken = lease()
    instructions.report(taken, status="done", by=Principal())
    dispatch.settle(taken, Outcome("running", "accepted", 202))
    assert now_is(instruction) == "done"
    assert story(instruction)[-2:] == ["result", "result"]


def test_an_agent_that_never_reports_has_failed(project: Project) -> None:
    instruction = confirmed(project)
    dispatch.settle(lease(), Outcome("running", "accepted", 202))
    assert dispatch.reclaim_stale(timezone.now()) == 0
    assert dispatch.reclaim_stale(timezone.now() + timedelta(hours=2)) == 1
    assert now_is(instruction) == "failed"
    assert instruction.last_error == "callback_timeout"
    assert story(instruction)[-1] == "error"


# --- The bell ---------------------------------------------------------------------------------------
def test_the_bell_rings_for_what_is_due_and_not_twice_while_messages_wait(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(enqueue, "async_task", lambda func, pk, **options: sent.append(pk))
    waiting = False
    monkeypatch.setattr(dispatch, "queue_is_empty", lambda: not waiting)

    def ring() -> list[str]:
        sent.clear()
        with django_capture_on_commit_callbacks(execute=True):
            dispatch.ring_instructions()
        return list(sent)

    instruction = confirmed(project)  # its own ring is lost
    pk = str(instruction.pk)
    waiting = True
    assert ring() == []
    waiting = False
    assert ring() == []  # it may be in somebody's hands
    AgentInstruction.objects.update(rung_at=long_ago())
    assert ring() == [pk]
    assert ring() == []
    dispatch.settle(lease(), Outcome(error="x"))
    assert ring() == []
    waiting = True
    AgentInstruction.objects.update(rung_at=long_ago(), next_attempt_at=timezone.now())
    assert ring() == [pk]
    assert ring() == []


def test_the_bell_asks_little_when_nothing_is_to_be_done(
    project: Project, django_assert_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    instructions.create_instruction(project, instruction_text="a", by=OPERATOR)
    with django_assert_num_queries(5):
        dispatch.ring_instructions()


# --- Runs of our own --------------------------------------------------------------------------------
def test_a_confirmed_run_is_started_in_the_name_of_who_confirmed(project: Project, use: Use) -> None:
    use(FakeProvider())
    instruction = confirmed(project, **a_run(project), confirm_spend=True)
    assert work()
    assert now_is(instruction) == "running"
    run = Run.objects.get()
    assert instruction.run == run
    assert (run.run_mode, run.created_by) == ("run", User.objects.get(username="erin"))
    assert AuditEvent.objects.get(event_code="run.started").actor == "erin"
    assert dispatch.reclaim_stale(timezone.now() + timedelta(days=1)) == 0
    assert not work()
    work_through(run)
    assert run.status == "ok"
    work()
    assert now_is(instruction) == "done"
    assert story(instruction)[2:] == ["started", "started", "result"]
    assert last_word(instruction) == f"run={run.pk}, run_status=ok"
    assert Run.objects.count() == 1


def test_a_dry_run_is_done_at_once(project: Project) -> None:
    instruction = confirmed(project, **a_run(project, "dry"))
    work()
    assert now_is(instruction) == "done"
    assert instruction.run is not None
    assert instruction.run.run_mode == "dry"


def test_a_run_that_does_not_come_out_fails_its_instruction(project: Project, use: Use) -> None:
    use(FakeProvider())
    instruction = confirmed(project, **a_run(project), confirm_spend=True)
    work()
    run = Run.objects.get()
    cancel_run(run, by=OPERATOR)
    work()
    assert now_is(instruction) == "failed"
    assert last_word(instruction) == f"run={run.pk}, run_status=canceled"
    again = instructions.confirm_instruction(instruction, confirm_spend=True, by=OPERATOR)[0]
    assert again.run is None
    work()
    assert Run.objects.count() == 2


def test_canceling_the_instruction_leaves_its_run_alone(project: Project, use: Use) -> None:
    use(FakeProvider())
    instruction = confirmed(project, **a_run(project), confirm_spend=True)
    work()
    instructions.cancel_instruction(instruction, by=OPERATOR)
    run = Run.objects.get()
    work_through(run)
    assert run.status == "ok"
    work()
    assert now_is(instruction) == "canceled"
    assert instruction.run == run


def test_a_crash_between_run_and_link_leaves_neither(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    instruction = confirmed(project, **a_run(project), confirm_spend=True)
    started = trigger.carry_out

    def killed(*args: Any, **kwargs: Any) -> Run:
        started(*args, **kwargs)
        raise SystemExit

    monkeypatch.setattr(trigger, "carry_out", killed)
    with pytest.raises(SystemExit):
        work()
    assert Run.objects.count() == 0
    assert now_is(instruction) == "running"
    monkeypatch.undo()
    use(FakeProvider())
    AgentInstruction.objects.update(locked_at=long_ago())
    assert not work()
    due_again()
    work()
    assert now_is(instruction) == "running"
    assert [instruction.run] == list(Run.objects.all())


def test_a_worker_that_lost_the_instruction_starts_no_run(
    project: Project, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakeProvider())
    instruction = confirmed(project, **a_run(project), confirm_spend=True)
    prepared = trigger.prepare

    def slowly(*args: Any, **kwargs: Any) -> Any:
        instructions.cancel_instruction(instruction, by=OPERATOR)
        return prepared(*args, **kwargs)

    monkeypatch.setattr(trigger, "prepare", slowly)
    work()
    assert now_is(instruction) == "canceled"
    assert Run.objects.count() == 0


def lose_the_role(project: Project) -> None:
    Membership.objects.filter(project=project, user__username="erin").update(role="viewer")


def leave(project: Project) -> None:
    Membership.objects.filter(project=project, user__username="erin").delete()


def be_deactivated(project: Project) -> None:
    User.objects.filter(username="erin").update(is_active=False)


def archive(project: Project) -> None:
    Project.objects.update(status="archived")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lose_the_role, "may not start runs"),
        (leave, "may not start runs"),
        (be_deactivated, "may not start runs"),
        (archive, "archived"),
    ],
)
def test_a_run_that_may_not_be_started_any_more_is_refused_plainly(
    project: Project, change: Callable[[Project], None], reason: str
) -> None:
    instruction = confirmed(project, **a_run(project), confirm_spend=True)
    change(project)
    work()
    assert now_is(instruction) == "failed"
    assert reason in last_word(instruction)
    assert Run.objects.count() == 0


def test_a_plan_that_is_refused_fails_the_instruction(project: Project) -> None:
    instruction = confirmed(project, **a_run(project, max_cost_usd=0, plan_hash="0" * 64), confirm_spend=True)
    work()
    assert now_is(instruction) == "failed"
    assert "The plan has changed" in instruction.last_error


# --- The command ------------------------------------------------------------------------------------
@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Call the worker's command once, inside the test's own connection."""
    module = importlib.import_module("kroma_site.management.commands.agent-worker")
    monkeypatch.setattr(module, "prepare", lambda: None)
    monkeypatch.setattr(module.connections, "close_all", lambda: None)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)

    def call(*arguments: str) -> str:
        err = StringIO()
        call_command("agent-worker", "--once", *arguments, stderr=err)
        return err.getvalue()

    return call


@pytest.mark.acceptance("U-15")
def test_the_command_carries_out_one(
    project: Project, standin: StandIn, command: Callable[..., str], tmp_path: Any
) -> None:
    standin.script(as_json({}))
    instruction = confirmed(project)
    second = confirmed(project)
    (tmp_path / "token").write_text("told\n")
    said = command("--url", standin.url, "--token-file", str(tmp_path / "token"), "--worker-id", "me")
    assert "One instruction was carried out" in said
    assert now_is(instruction) == "done"
    assert now_is(second) == "confirmed"
    assert standin.requests[0].headers["Authorization"] == "Bearer told"
    command("--url", standin.url)
    assert "No instruction is due" in command("--url", standin.url)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--poll", "0.01"), "--poll"),
        (("--max-attempts", "0"), "--max-attempts"),
        (("--max-locked", "60"), "--max-locked"),
        (("--worker-id", "  "), "--worker-id"),
        (("--timeout", "nan"), "--timeout"),
        (("--url", "ftp://x"), "--url"),
        (("--token-file", "/nowhere/token"), "--token-file"),
    ],
)
def test_the_command_refuses_odd_options(
    command: Callable[..., str], arguments: tuple[str, ...], named: str
) -> None:
    with pytest.raises(CommandError, match=named):
        command(*arguments)


# --- Rows -------------------------------------------------------------------------------------------
def test_the_database_knows_the_states_and_locks(project: Project) -> None:
    instruction = confirmed(project)
    rows = AgentInstruction.objects.filter(pk=instruction.pk)
    for name, change in (
        ("agent_instruction_status_known", {"status": "draft"}),
        ("agent_instruction_locked_by_somebody", {"locked_by": "w"}),
    ):
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            rows.update(**change)


@pytest.mark.django_db(transaction=True)
def test_old_states_are_renamed_and_back() -> None:
    before, renamed = ("pipeline", "0005_instructions_that_are_dispatched"), "0006_states_of_instructions"
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes("pipeline")

    def states(at: Any) -> list[str]:
        rows = at.apps.get_model("pipeline", "AgentInstruction").objects.order_by("created_at")
        return list(rows.values_list("status", flat=True))

    try:
        old = MigrationExecutor(connection).migrate([before])
        project = old.apps.get_model("projects", "Project").objects.create(slug="a", name="A")
        rows = old.apps.get_model("pipeline", "AgentInstruction").objects
        for status in ("draft", "queued", "confirmed", "done"):
            rows.create(project=project, instruction_text="a", status=status)
        new = MigrationExecutor(connection).migrate([("pipeline", renamed)])
        assert states(new) == ["pending", "confirmed", "confirmed", "done"]
        old = MigrationExecutor(connection).migrate([before])
        assert states(old) == ["draft", "confirmed", "confirmed", "done"]
        rows.all().delete()
    finally:
        MigrationExecutor(connection).migrate(latest)
