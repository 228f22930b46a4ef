"""Many runs at once, from several processes, against one budget."""

import json
import subprocess
import sys
from decimal import Decimal

import pytest
from django.conf import settings

from tests.bank import opened
from tests.machine import PATIENCE, Machine
from tests.studio import PRICE, SLUG, Studio

N_PROCESSES, N_RUNS = 5, 10  # runs of each
# What each process does: it makes its plans, waits for the word, and starts all its runs at once.
RACER = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kroma_site.settings")
import django
django.setup()
from django.db import connection
from pipeline.services.planning import InputImage, RunOrder, prepare_run
from pipeline.services.runs import start_run
from projects.access import OPERATOR
from projects.errors import BudgetExceeded
from projects.models import Project
project = Project.objects.select_related("storage").get(slug=sys.argv[1])
scene = next((project.storage.root() / "inputs").rglob("scene 00.png"))
image = InputImage(path=str(scene.relative_to(project.storage.root())), name=scene.name, label=scene.stem)
def start(seed):
    try:
        plan = prepare_run(project, RunOrder(mode="run", scenes=(image,), seed=seed))
        start_run(plan, by=OPERATOR, confirm_spend=True)
        return "started"
    except BudgetExceeded:
        return "refused"
    finally:
        connection.close()
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    print(json.dumps(list(pool.map(start, range(int(sys.argv[2]))))))
"""


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def test_fifty_runs_at_once_do_not_exceed_a_budget_by_a_cent(
    ready_machine: Machine, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "postgresql":
        ready_machine.environ["KROMA_DATABASE_URL"] = request.getfixturevalue("database")
    with opened() as bank:
        studio = Studio(ready_machine, bank)
        studio.furnish(1)
        affordable = 3  # few, so that the first of all processes already want the last of it
        budget = Decimal(str(PRICE)) * affordable + Decimal("0.049999")
        studio.command("budget", "--project", SLUG, "--per-day", str(budget))
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, SLUG, str(N_RUNS)],
                cwd=settings.BASE_DIR,
                env=ready_machine.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(N_PROCESSES)
        ]
        try:
            for racer in racers:
                assert racer.stdout.readline() == "ready\n"
            for racer in racers:
                racer.stdin.write("go\n")
                racer.stdin.flush()
            answers = [racer.communicate(timeout=3 * PATIENCE)[0] for racer in racers]
        finally:
            for racer in racers:
                racer.kill()
        outcomes = [outcome for answer in answers for outcome in json.loads(answer)]
        assert (outcomes.count("started"), outcomes.count("refused")) == (affordable, 50 - affordable)
        told = json.loads(studio.command("budget", "--project", SLUG, "--json"))
        assert Decimal(told["reserved"]) == Decimal(str(PRICE)) * affordable <= budget
