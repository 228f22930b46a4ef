"""Kroma's own processes over a temporary data folder, as tests start them."""

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from kroma_site.processes import children_of
from tests.pictures import png

CHECKOUT = Path(__file__).resolve().parents[1]
PATIENCE = 40  # seconds, for a machine that has other things to do
LEASE = 3  # seconds


class Machine:
    """Commands over one data folder; ends what it started."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KROMA_")}
        self.environ = {**kept, "KROMA_DATA_DIR": str(self.data), "KROMA_LEASE_SECONDS": str(LEASE)}
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, name: str = "command", **environ: str) -> "Running":
        log = self.folder / f"{name}-{len(self.started)}.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=CHECKOUT,
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return Running(process, log)

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )

    def refused(self, *arguments: str, **environ: str) -> str:
        """The one line with which a command refuses."""
        done = self.run(*arguments, **environ)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]

    def rows(self, query: str) -> list[Any]:
        """Rows of the database, from outside; none while it is not there."""
        file = self.data / "backend" / "app.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as database:
            try:
                return database.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []

    def scenes(self, number: int, *, size: tuple[int, int] = (96, 128)) -> Path:
        folder = self.folder / "scenes"
        folder.mkdir()
        for n in range(number):
            (folder / f"scene {n:02d}.png").write_bytes(png(number=n, size=size))
        return folder

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


class Running:
    """One command that was started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def says(self, words: str) -> None:
        """Wait until it has said something."""
        until(lambda: words in self.said or self.process.poll() is not None, lambda: self.said)
        assert words in self.said, self.said

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit code and the seconds until it was gone."""
        started = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        return code, time.monotonic() - started

    def family(self) -> set[int]:
        """All processes below it."""
        return descendants(self.process.pid)


def until(
    true: Callable[[], object],
    why: Callable[[], object] = lambda: "it never came to be",
    *,
    patience: float = PATIENCE,
) -> None:
    """Wait for a condition, not for a time; `patience` in seconds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


def descendants(pid: int) -> set[int]:
    found = children_of(pid)
    for child in tuple(found):
        found |= descendants(child)
    return found


def alive(pids: set[int]) -> set[int]:
    living = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            living.add(pid)
    return living


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")
    except OSError:
        return ""


def worker_main(running: Running) -> int:
    """The main process of the worker below a command, once it has forked its others."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [
            pid
            for pid in children_of(running.process.pid)
            if "manage.py worker" in command_of(pid) and len(descendants(pid)) >= 3
        ]
        return bool(found)

    until(look, lambda: running.said)
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connected:
        connected.request("GET", path)
        return connected.getresponse().status
