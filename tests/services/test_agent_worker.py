"""The worker of instructions as a process of its own, which may die at any moment."""

import signal
import subprocess
import sys

import pytest
from django.conf import settings

from tests.machine import PATIENCE, Machine, until
from tests.standin import Answer, StandIn, as_json

QUICK = (
    "--max-locked", "3", "--timeout", "2", "--retries", "0", "--retry-backoff", "0", "--poll", "0.1",
)  # fmt: skip

CONFIRMED = """
import django
django.setup()
from pipeline.services.instructions import confirm_instruction, create_instruction
from projects.access import OPERATOR
from projects.models import User
from projects.services.projects import create_project
project = create_project(name="Salt Marsh", owner=User.objects.create(username="alice"), by=OPERATOR)
made, _ = create_instruction(project, instruction_text="Look", by=OPERATOR)
confirm_instruction(made, by=OPERATOR)
"""


@pytest.mark.acceptance("U-15", "W-30")
def test_an_instruction_outlives_the_worker_that_had_it(ready_machine: Machine, standin: StandIn) -> None:
    subprocess.run(
        [sys.executable, "-c", CONFIRMED],
        cwd=settings.BASE_DIR,
        env=ready_machine.environ | {"DJANGO_SETTINGS_MODULE": "kroma_site.settings"},
        timeout=PATIENCE,
        check=True,
    )
    standin.script(Answer(hang="before"), as_json({"status": "done"}))
    first = ready_machine.start("agent-worker", "--url", standin.url, *QUICK, name="first")
    until(lambda: len(standin.requests) == 1, lambda: first.said)
    first.stop(signal.SIGKILL)
    state = "SELECT status, attempts, locked_by FROM pipeline_agentinstruction"
    ((status, attempts, _),) = ready_machine.rows(state)
    assert (status, attempts) == ("running", 1)
    second = ready_machine.start("agent-worker", "--url", standin.url, *QUICK, name="second")
    until(lambda: ready_machine.rows(state) == [("done", 2, "")], lambda: second.said)
    assert len(standin.requests) == 2
    assert second.stop()[0] == 0
    events = ready_machine.rows("SELECT event_type FROM pipeline_agentinstructionevent ORDER BY position")
    assert [event for (event,) in events] == [
        "created", "confirmed", "started", "retry_scheduled", "started", "result"
    ]  # fmt: skip
