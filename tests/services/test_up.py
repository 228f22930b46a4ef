"""The workspace as a person starts it: real processes over a temporary data folder."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings

from kroma_site.processes import children_of
from tests.factories import png
from tests.machine import PATIENCE, Machine, alive, command_of, free_port, get, until, worker_main


@pytest.mark.acceptance("A-01", "A-06", "A-14", "A-15")
def test_up_starts_from_nothing_lets_the_owner_in_and_stops_without_a_rest(machine: Machine) -> None:
    port = free_port()
    up = machine.start("up", "--bind", f"127.0.0.1:{port}", "--workers", "1", name="up")
    up.says("Ctrl-C stops")
    assert f"Open: http://127.0.0.1:{port}/" in up.said
    link = up.said.partition("Sign in: ")[2].split()[0]
    path = link.removeprefix(f"http://127.0.0.1:{port}")
    assert (get(port, path), get(port, path)) == (302, 410)
    assert (machine.data / "backend").stat().st_mode & 0o777 == 0o700
    assert (machine.data / "backend" / "app.db").stat().st_mode & 0o777 == 0o600

    second = machine.refused("up", "--bind", f"127.0.0.1:{free_port()}")
    assert f"process {up.process.pid}" in second
    other = machine.refused("up", "--bind", f"127.0.0.1:{port}", KROMA_DATA_DIR=str(machine.folder / "other"))
    assert f"127.0.0.1:{port} is taken" in other
    assert not (machine.folder / "other" / "backend" / "app.db").exists()

    family = up.family()
    assert len(family) >= 7  # gunicorn and two of its own; the worker's main, sentinel, one, monitor, pusher
    code, seconds = up.stop()
    assert (code, seconds < 8) == (0, True), up.said
    until(lambda: not alive(family))


def test_nothing_outlives_an_up_that_is_killed_and_its_folder_is_free_at_once(ready_machine: Machine) -> None:
    bind = f"127.0.0.1:{free_port()}"
    up = ready_machine.start("up", "--bind", bind, name="up")
    up.says("Ctrl-C stops")
    worker_main(up)
    family = up.family()
    up.process.kill()
    up.process.wait()
    until(lambda: not alive(family), lambda: [command_of(pid) for pid in alive(family)])
    again = ready_machine.start("up", "--bind", bind, name="up")
    again.says("Ctrl-C stops")
    main = worker_main(again)
    os.kill(main, signal.SIGKILL)
    again.says("The worker was killed (SIGKILL); it is started again in 1 s.")
    until(lambda: worker_main(again) != main)
    # One of its processes may have died with a lock in its hands: all of them are started anew.
    main = worker_main(again)
    sentinel = next(iter(children_of(main)))
    time_to_look = time.monotonic() + 1.5  # the main process looks once a second
    until(lambda: time.monotonic() > time_to_look)
    os.kill(max(children_of(sentinel)), signal.SIGKILL)
    again.says("A worker process died")
    until(lambda: worker_main(again) != main)
    assert again.stop()[0] == 0


def test_a_killed_worker_loses_no_panel_and_makes_none_twice(ready_machine: Machine) -> None:
    scenes = ready_machine.scenes(40)
    style = ready_machine.folder / "style.png"
    style.write_bytes(png(number=99))
    run = ready_machine.start(
        *("pipeline", "run", "--project", "saltmarsh", "--input", str(scenes), "--style-refs", str(style)),
        *("--batch-limit", "40", "--confirm-spend"),
        name="run",
    )
    stored = "SELECT candidate_id FROM pipeline_attempt WHERE status = 'stored'"
    until(lambda: len(ready_machine.rows(stored)) >= 5, lambda: run.said)
    assert len(ready_machine.rows(stored)) < 35, "too fast to be killed in the middle"
    os.kill(worker_main(run), signal.SIGKILL)
    assert run.process.wait(timeout=PATIENCE * 2) == 0, run.said
    assert "it is started again" in run.said
    assert "[40/40]" in run.said
    candidates = [row[0] for row in ready_machine.rows(stored)]
    assert len(candidates) == len(set(candidates)) == 40
    assert ready_machine.rows("SELECT status, count(*) FROM pipeline_candidate GROUP BY 1") == [("done", 40)]
    assert ready_machine.rows("SELECT status FROM pipeline_run") == [("ok",)]


def test_an_interrupted_run_is_kept_and_goes_on_at_once_with_a_worker(ready_machine: Machine) -> None:
    scenes = ready_machine.scenes(6, size=(360, 480))
    run = ready_machine.start(
        *("pipeline", "run", "--project", "saltmarsh", "--input", str(scenes), "--confirm-spend"),
        name="run",
        KROMA_LEASE_SECONDS="600",
    )
    until(
        lambda: ready_machine.rows("SELECT 1 FROM pipeline_attempt WHERE status = 'open'"), lambda: run.said
    )
    family = run.family()
    code, seconds = run.stop(signal.SIGINT)
    assert (code, seconds < 8) == (1, True), run.said
    assert "it goes on with" in run.said
    until(lambda: not alive(family))
    assert ready_machine.rows("SELECT status FROM pipeline_run") == [("running",)]
    # The leases of ten minutes were given back: nobody waits for them.
    worker = ready_machine.start("worker", "--workers", "2", name="worker", KROMA_LEASE_SECONDS="600")
    until(lambda: ready_machine.rows("SELECT status FROM pipeline_run") == [("ok",)], lambda: worker.said)
    stored = ready_machine.rows("SELECT candidate_id FROM pipeline_attempt WHERE status = 'stored'")
    assert len(stored) == len(set(stored)) == 6
    family = worker.family()
    code, seconds = worker.stop()
    assert (code, seconds < 8) == (0, True), worker.said
    until(lambda: not alive(family))


def test_the_demo_prints_one_object_and_a_second_call_makes_another_run(machine: Machine) -> None:
    scenes = machine.scenes(1)
    first = machine.run("demo", "--input", str(scenes), "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert set(told) == {
        "ok", "project_slug", "run_id", "run_log_path", "winners_dir", "contact_sheet", "jobs", "winners"
    }  # fmt: skip
    assert (told["ok"], told["project_slug"], told["jobs"], len(told["winners"])) == (True, "demo", 1, 1)
    assert Path(told["contact_sheet"]).read_bytes().startswith(b"\x89PNG")
    assert all(Path(winner["path"]).is_file() for winner in told["winners"])
    assert json.loads(Path(told["run_log_path"]).read_text(encoding="utf-8"))["run_id"] == told["run_id"]

    once = machine.run("demo", "--once")
    assert "finished run" in once.stderr
    second = json.loads(machine.run("demo", "--input", str(scenes), "--json").stdout)
    assert second["run_id"] != told["run_id"]
    assert [w["sha256"] for w in second["winners"]] == [w["sha256"] for w in told["winners"]]
    assert machine.rows("SELECT count(*) FROM projects_project") == [(1,)]
    assert machine.rows("SELECT count(*) FROM projects_referenceitem") == [(9,)]


def test_bad_input_is_named_in_one_line(machine: Machine) -> None:
    empty = machine.folder / "empty"
    empty.mkdir()
    broken = machine.folder / "broken.png"
    broken.write_bytes(png()[:200])
    command = ("pipeline", "run", "--project", "saltmarsh", "--confirm-spend", "--input")
    assert "holds no image" in machine.refused(*command, str(empty))
    assert "broken.png" in machine.refused(*command, str(broken))
    assert "nowhere' can't be read" in machine.refused(*command, str(machine.folder / "nowhere"))
    assert not (machine.data / "backend" / "app.db").exists()


def test_a_database_of_a_newer_version_is_refused_unchanged(ready_machine: Machine) -> None:
    file = ready_machine.data / "backend" / "app.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('pipeline', '9999_future', '2030-01-01')"
        )
    before = file.read_bytes()
    line = ready_machine.refused("up", "--bind", f"127.0.0.1:{free_port()}")
    assert "newer version" in line
    assert "pipeline.9999_future" in line
    assert file.read_bytes() == before


def test_an_older_database_is_copied_before_it_is_migrated(machine: Machine) -> None:
    assert machine.run("migrate", "-v0", "pipeline", "zero").returncode == 0
    assert machine.run("migrate", "-v0", "projects").returncode == 0
    assert machine.run("pipeline", "dry", "--project", "p", "--input", str(machine.scenes(1))).returncode == 0
    copies = list((machine.data / "backend").glob("app.db.before-*"))
    assert len(copies) == 1
    with closing(sqlite3.connect(copies[0])) as database:
        assert not database.execute("SELECT 1 FROM django_migrations WHERE app = 'pipeline'").fetchall()


def test_a_damaged_database_is_named(machine: Machine) -> None:
    (machine.data / "backend").mkdir(parents=True)
    (machine.data / "backend" / "app.db").write_bytes(b"this is no database" * 400)
    assert "damaged" in machine.refused("up", "--bind", f"127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("bind", "environ", "words"),
    [
        ("0.0.0.0:8801", {"KROMA_ALLOWED_HOSTS": "comics.example"}, "KROMA_SECRET_KEY"),
        ("0.0.0.0:8801", {"KROMA_SECRET_KEY": "k" * 50}, "KROMA_ALLOWED_HOSTS"),
        ("0.0.0.0:8801", {"KROMA_SECRET_KEY": "short", "KROMA_ALLOWED_HOSTS": "c.example"}, "too short"),
        ("nonsense", {}, "not an address"),
    ],
)
def test_an_address_that_must_not_be_listened_at_is_refused(
    machine: Machine, bind: str, environ: dict[str, str], words: str
) -> None:
    assert words in machine.refused("up", "--bind", bind, **environ)
    assert not (machine.data / "backend" / "app.db").exists()


def test_a_data_folder_that_can_not_be_is_named(machine: Machine) -> None:
    machine.data.write_text("a file where the folder should be", encoding="utf-8")
    line = machine.refused("up")
    assert str(machine.data) in line
    assert "KROMA_DATA_DIR" in line


ENDING = """
import os, sys, time
import django
django.setup()
from pipeline.services import ending
ending.become_worker()
down, up = os.pipe()
if os.fork() == 0:
    with ending.billed_call(True):
        os.write(up, b"x")
        time.sleep(1)
    ending.wait_if_ending()
    os.write(up, b"went on")
    os._exit(0)
os.read(down, 1)
ending.begin()
assert ending.calls_in_flight()
while ending.calls_in_flight():
    time.sleep(0.05)
time.sleep(0.3)
os.set_blocking(down, False)
try:
    sys.exit(os.read(down, 9).decode())
except BlockingIOError:
    print("waited")
"""


def test_the_end_waits_for_a_billed_call_and_lets_nothing_begin(machine: Machine) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING],
        cwd=settings.BASE_DIR,
        env=machine.environ | {"DJANGO_SETTINGS_MODULE": "kroma_site.settings"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "waited\n", done.stderr
