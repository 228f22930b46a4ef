"""Chromium, and for each file of tests a workspace that `manage.py up` runs as on a user's machine."""

import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]
START_SECONDS = 60


@dataclass(frozen=True)
class Workspace:
    """A running workspace; `signin_url` lets its first owner in, once."""

    url: str
    signin_url: str
    data_dir: Path


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        absent("no Chromium: install the package chromium")
    return {**browser_type_launch_args, "executable_path": path, "args": QUIET}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Workspace]:
    data_dir = tmp_path_factory.mktemp("workspace") / "data"
    shutil.copytree(prepared, data_dir)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KROMA_")}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--bind", f"127.0.0.1:{port}", "--workers", "2"],
        cwd=ROOT,
        env={**environ, "KROMA_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    # Read to the end, or the workspace would stop at a full pipe.
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    try:
        yield Workspace(f"http://127.0.0.1:{port}", _signin_url(process, lines), data_dir)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        reader.join(timeout=5)
        if process.stdout:
            process.stdout.close()


def enter_new_universe(page: Page, workspace: Workspace, *, set_name: str) -> None:
    """Sign in for the first time, make the universe Dyke and an empty reference set, and stand before it."""
    page.goto(workspace.signin_url)
    page.goto(f"{workspace.url}/projects/new")
    page.get_by_label("Name").fill("Dyke")
    page.get_by_role("button", name="Create universe").click()
    page.goto(f"{workspace.url}/projects/dyke/library/reference-sets/new")
    page.get_by_label("Name").fill(set_name)
    page.locator("main form").get_by_role("button").first.click()


def _read(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    for line in process.stdout or ():
        lines.put(line)


def _signin_url(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> str:
    told: list[str] = []
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            told.append(lines.get(timeout=0.5))
        except queue.Empty:
            if process.poll() is not None:
                break
            continue
        if told[-1].startswith("Sign in: "):
            return told[-1].removeprefix("Sign in: ").strip()
    raise AssertionError("The workspace did not start:\n" + "".join(told))


@pytest.fixture
def complaints(context: BrowserContext) -> Iterator[list[str]]:
    """What the browser complains of on any page: script errors, refused or missing files. Must stay empty."""
    found: list[str] = []

    def watch(page: Page) -> None:
        page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: found.append(str(error)))

    context.on("page", watch)
    yield found
    assert found == []
