"""What faults cost: how much was billed for what was needed.

Run with `python -m tests.benchmarks.spend`: a paid run of eight images for each fault, with real workers and
a stand-in that keeps books. It prints billed ÷ needed and how the run ended, and asserts nothing.
Calls of which nobody can know the outcome are decided: they arrived, and their picture is brought.
"""

import json
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.bank import Bank, opened
from tests.machine import PATIENCE, Machine, Running, until
from tests.pictures import png
from tests.studio import SLUG, Studio

N_IMAGES = 8
ANSWERS = ("500", "429", "hang", "cut", "cut half", "text", "half an image")

# What is done to a running run; the run's command goes on after it.
Blow = Callable[[Studio, Running], None]


def lock(studio: Studio, running: Running) -> None:
    """Hold the write lock for longer than a lease lasts."""
    with closing(sqlite3.connect(studio.machine.data / "backend/app.db", timeout=PATIENCE)) as database:
        database.isolation_level = None
        database.execute("BEGIN IMMEDIATE")
        subprocess.run(["sleep", "5"], check=True)
        database.execute("ROLLBACK")


def empty_queue(studio: Studio, running: Running) -> None:
    """Lose every message."""
    with closing(sqlite3.connect(studio.machine.data / "backend/app.db", timeout=PATIENCE)) as database:
        database.execute("DELETE FROM django_q_ormq")
        database.commit()


def kill(studio: Studio, running: Running) -> None:
    """kill -9 of the command with its worker, calls in flight included; another worker takes over."""
    running.stop(signal.SIGKILL)
    studio.worker()


def main() -> None:
    print(f"{'fault':<24}{'billed ÷ needed':>16}  state")  # noqa: T201
    for fault in ANSWERS:
        report(fault, [fault, fault] if fault in {"500", "429"} else [fault], None)
    report("full disk", [], None, full=True)
    for name, blow in (("locked database", lock), ("emptied queue", empty_queue), ("kill in a call", kill)):
        report(name, [], blow)


def report(name: str, answers: list[str], blow: Blow | None, *, full: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(delay=0.2) as bank:
        machine = Machine(Path(folder))
        try:
            studio = Studio(machine, bank)
            state = suffer(studio, bank, answers, blow, full=full)
        finally:
            machine.end()
        print(f"{name:<24}{bank.books.billed.total() / N_IMAGES:>16.2f}  {state}", flush=True)  # noqa: T201


def suffer(studio: Studio, bank: Bank, answers: list[str], blow: Blow | None, *, full: bool) -> str:
    scenes = studio.furnish(N_IMAGES)
    if answers:
        bank.faults["scene 01.png"] = answers
    originals = studio.machine.data / "var/projects" / SLUG / ".kroma/originals"
    if full:
        originals.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(originals)], check=True)
    running = studio.start_run(scenes)
    if full:
        running.process.wait(timeout=3 * PATIENCE)
        subprocess.run(["umount", str(originals)], check=True)
        run_id = json.loads(running.said[running.said.index("{") : running.said.rindex("}") + 1])["run_id"]
        studio.command("run", "retry", run_id, "--confirm-spend")
    if blow:
        until(lambda: studio.n("done") >= 2, lambda: running.said)
        blow(studio, running)
    until(lambda: studio.states() and not studio.left(), lambda: running.said, patience=3 * PATIENCE)
    decide(studio)
    until(
        lambda: studio.status() not in {"queued", "running"}, lambda: str(studio.states()), patience=PATIENCE
    )
    return f"{studio.status()} {studio.states()}"


def decide(studio: Studio) -> None:
    """Say of each call in doubt that it arrived, and bring its picture."""
    calls = json.loads(studio.command("doubt", "list", "--json"))["calls"]
    picture = studio.machine.folder / "from the provider.png"
    picture.write_bytes(png(number=5))
    for call in calls:
        studio.command("doubt", "arrived", call["id"], "--picture", str(picture))
    if calls:
        studio.worker()


if __name__ == "__main__":
    main()
