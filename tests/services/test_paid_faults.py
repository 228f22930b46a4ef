"""Paid runs with real workers against a provider that keeps books, while everything goes wrong.

After each fault: no candidate is lost, no image is paid for twice, every ambiguous call is listed, and the
run ends in a true state.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.bank import Bank, opened
from tests.machine import PATIENCE, Machine, until
from tests.studio import PRICE, SLUG, Studio, finish


@pytest.fixture
def bank() -> Iterator[Bank]:
    with opened(delay=0.1) as bank:
        yield bank


@pytest.fixture
def studio(ready_machine: Machine, bank: Bank) -> Studio:
    return Studio(ready_machine, bank)


def test_a_fault_that_bills_nothing_is_tried_again_and_paid_once(studio: Studio, bank: Bank) -> None:
    scenes = studio.furnish(4)
    bank.faults["scene 01.png"] = ["500"]
    bank.faults["scene 02.png"] = ["429"]
    code, answer = finish(studio.start_run(scenes))
    assert code == 0, answer
    assert studio.states() == {"done": 4}
    assert set(bank.books.billed.values()) == {1}
    assert bank.books.asked["scene 01.png"] == bank.books.asked["scene 02.png"] == 2
    assert studio.money() == (4 * PRICE, 0)


def test_calls_that_may_have_been_billed_wait_for_a_person(studio: Studio, bank: Bank) -> None:
    faults = ("hang", "cut", "cut half", "text", "half an image")
    scenes = studio.furnish(len(faults) + 1)
    for n, fault in enumerate(faults):
        bank.faults[f"scene {n:02d}.png"] = [fault]
    running = studio.start_run(scenes)
    running.process.wait(timeout=2 * PATIENCE)
    assert "4 images may have been paid for" in running.said
    # Half an image was certainly billed: it is kept, booked, and not bought again by itself.
    assert studio.states() == {"done": 1, "failed": 1, "in_doubt": 4}
    error = json.loads(studio.one("SELECT error FROM pipeline_candidate WHERE status = 'failed'"))
    assert error["code"] == "image_unreadable"
    assert studio.money() == (2 * PRICE, 4 * PRICE)
    assert studio.decide_all("arrived") == 4
    assert (studio.status(), studio.states()) == ("partial", {"done": 1, "failed": 5})
    assert set(bank.books.asked.values()) == {1}
    assert studio.money() == (round(bank.books.billed.total() * PRICE, 6), 0)


def test_with_a_full_disk_nothing_is_bought(studio: Studio, bank: Bank) -> None:
    scenes = studio.furnish(3)
    root = studio.machine.data / "var/projects" / SLUG
    originals = root / ".kroma/originals"
    originals.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(originals)], check=True)
    try:
        code, answer = finish(studio.start_run(scenes))
        assert (code, studio.status(), studio.states()) == (1, "failed", {"failed": 3})
        assert not bank.books.asked
        assert studio.money() == (0, 0)
    finally:
        subprocess.run(["umount", str(originals)], check=True)
    studio.command("run", "retry", answer["run_id"], "--confirm-spend")
    assert studio.states() == {"done": 3}
    assert set(bank.books.billed.values()) == {1}
    assert studio.money() == (round(3 * PRICE, 6), 0)


def test_a_locked_database_only_delays(studio: Studio, bank: Bank) -> None:
    scenes = studio.furnish(12)
    running = studio.start_run(scenes)
    until(lambda: studio.n("done") >= 2, lambda: running.said)
    with closing(sqlite3.connect(studio.machine.data / "backend/app.db", timeout=PATIENCE)) as database:
        database.isolation_level = None
        database.execute("BEGIN IMMEDIATE")
        # Longer than a lease and than SQLite's own patience of 20 seconds: paid results must outlast both.
        asked = bank.books.asked.total()
        released = time.monotonic() + 22
        until(lambda: time.monotonic() > released)
        assert bank.books.asked.total() <= asked + 2, "without a row nothing is called"
        database.execute("ROLLBACK")
    code, _ = finish(running)
    assert code == 0, running.said
    assert studio.states() == {"done": 12}
    assert set(bank.books.billed.values()) == {1}
    assert studio.money() == (round(12 * PRICE, 6), 0)


def test_an_emptied_queue_loses_nothing(studio: Studio, bank: Bank) -> None:
    scenes = studio.furnish(12)
    running = studio.start_run(scenes)
    until(lambda: studio.n("done") >= 2, lambda: running.said)
    with closing(sqlite3.connect(studio.machine.data / "backend/app.db", timeout=PATIENCE)) as database:
        database.execute("DELETE FROM django_q_ormq")
        database.commit()
    code, _ = finish(running)
    assert code == 0, running.said
    assert studio.states() == {"done": 12}
    assert set(bank.books.billed.values()) == {1}


def test_calls_at_once_stay_within_the_account_across_processes(studio: Studio, bank: Bank) -> None:
    scenes = studio.furnish(16, max_concurrency="2")
    running = studio.start_run(scenes, workers=5)
    code, _ = finish(running)
    assert code == 0, running.said
    assert bank.books.most_at_once == 2
    assert set(bank.books.billed.values()) == {1}


@pytest.mark.timeout(600)
def test_a_hundred_images_and_twenty_kills(studio: Studio, bank: Bank, record_property: Any) -> None:
    """kill -9 of a worker with all its processes, at 20 random moments of a run of 100."""
    seed = int(os.environ.get("KROMA_TEST_SEED", random.randrange(10**6)))
    record_property("KROMA_TEST_SEED", seed)
    chance = random.Random(seed)
    scenes = studio.furnish(100)
    bank.delay = 0.3
    starting = studio.start_run(scenes)
    workers = [studio.worker() for _ in range(3)]
    # Before the run is planned nothing is left either, and all twenty would be killed at once.
    until(lambda: bool(studio.states()), studio.why(workers))
    for _ in range(20):
        at_least = bank.books.asked.total() + chance.randint(1, 5)
        until(lambda n=at_least: bank.books.asked.total() >= n or not studio.left(), studio.why(workers))
        pause = time.monotonic() + chance.uniform(0, 0.4)
        until(lambda moment=pause: time.monotonic() > moment)
        workers.pop(0).stop(signal.SIGKILL)
        workers.append(studio.worker())
    until(lambda: not studio.left(), studio.why(workers), patience=4 * PATIENCE)
    starting.stop(signal.SIGKILL)
    states = studio.states()
    doubtful = states.pop("in_doubt", 0)
    assert states == {"done": 100 - doubtful}, f"seed {seed}"
    assert max(bank.books.billed.values()) == 1, f"an image was paid for twice, seed {seed}"
    # A worker may die after its attempt was written and before the provider heard of it.
    assert 100 - doubtful <= bank.books.billed.total() <= 100
    assert doubtful <= 20 * 2, "at most what the killed ones had in flight"
    assert studio.money() == (round((100 - doubtful) * PRICE, 6), round(doubtful * PRICE, 6))
    assert studio.decide_all("lost") == doubtful, "every ambiguous call is listed"
    until(lambda: studio.status() == "ok", studio.why(workers), patience=4 * PATIENCE)
    assert studio.states() == {"done": 100}
    assert studio.money() == (round(100 * PRICE, 6), 0)
    # Billed again is only what a person has called lost.
    assert bank.books.billed.total() <= 100 + doubtful
