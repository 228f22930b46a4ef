"""Run the README's first command as a new user would, sign in, see a finished run, stop it."""

import http.cookiejar
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable
from pathlib import Path

LIMIT = 900  # seconds for the installation and the example universe


def command() -> str:
    """The line of the README that starts the workspace."""
    return next(line for line in Path("README.md").read_text().splitlines() if "manage.py up --demo" in line)


def main() -> int:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KROMA_")}
    # A session of its own, so that everything it started can be ended if something goes wrong here.
    shell = subprocess.Popen(
        ["bash", "-c", f"{command()} & wait $!"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
        start_new_session=True,
    )
    alarm = threading.Timer(LIMIT, os.killpg, (shell.pid, signal.SIGKILL))
    alarm.start()
    try:
        look_around(shell)
        stop(shell)
    finally:
        alarm.cancel()
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    return 0


def look_around(shell: "subprocess.Popen[str]") -> None:
    """Sign in by the printed link and follow the pages to a finished run with its pictures."""
    assert shell.stdout is not None
    link = None
    for line in shell.stdout:
        print("   ", line, end="", flush=True)
        found = re.search(r"Sign in: (http\S+)", line)
        if found:
            link = found[1]
            break
    if link is None:
        raise SystemExit("The first command ended without a link to sign in")
    threading.Thread(target=echo, args=[shell.stdout], daemon=True).start()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    base = link.split("/signin/")[0]

    def page(path: str) -> str:
        with browser.open(base + path if path.startswith("/") else path, timeout=30) as answer:
            assert answer.status == 200, (path, answer.status)
            return answer.read().decode()

    universes = page(link)
    dashboard_path = re.search(r'href="(/projects/[^/"]+/)"', universes)
    assert dashboard_path, "no universe on the first page"
    dashboard = page(dashboard_path[1])
    run_path = re.search(r'href="(/projects/[^/"]+/runs/[0-9a-f-]{36})"', dashboard)
    assert run_path, "no run on the dashboard"
    run = page(run_path[1])
    assert "status-ok" in run, "the run is not finished"
    picture = re.search(r'src="(/projects/[^/"]+/assets/[0-9a-f-]{36}/thumb)"', run)
    assert picture, "no picture on the run page"
    with browser.open(base + picture[1], timeout=30) as answer:
        assert answer.headers["Content-Type"] == "image/webp", answer.headers
        assert len(answer.read()) > 1000
    print("    signed in, saw the dashboard, a finished run and a picture")


def echo(lines: Iterable[str]) -> None:
    """Show what else it prints, so that it never waits for a reader."""
    for line in lines:
        print("   ", line, end="", flush=True)


def stop(shell: "subprocess.Popen[str]") -> None:
    """SIGTERM to `up` alone, as a service manager would; it must end by itself, with exit code 0."""
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
    workspace = children
    while workspace:
        pid = int(workspace[0])
        if b"manage.py\0up\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            break
        workspace = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    else:
        raise SystemExit("the running workspace was not found")
    if shell.wait(timeout=30) != 0:
        raise SystemExit(f"the workspace ended with exit code {shell.returncode}")
    print("    stopped cleanly")


if __name__ == "__main__":
    sys.exit(main())
