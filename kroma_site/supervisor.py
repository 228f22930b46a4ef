"""`up`: the web server and the worker together, in the foreground, over one data folder."""

import errno
import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.core.management import CommandError
from django.db import connection

from kroma_site import env
from kroma_site.addresses import base_url, new_signin_url, public_name
from kroma_site.checks import exposure_faults, place_faults, split_bind
from kroma_site.prepare import make_places, prepare, told
from kroma_site.processes import kill_session, manage, spawn, worker_environ
from pipeline.services import ending
from projects.services.people import FIRST_OWNER

LOOK = 0.1  # seconds
LONGEST_DELAY = 30  # seconds before a process that keeps crashing is started again
STEADY = 60  # seconds after which a process counts as running well
START = 60  # seconds that the web server has to answer for the first time
GRACE = 6  # seconds that children have to end by themselves
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to knock when all are listened at

Say = Callable[[str], None]


@dataclass
class Child:
    """One program that must be running."""

    name: str
    argv: list[str]
    environ: dict[str, str]
    once: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    n_crashes: int = 0

    def start(self) -> None:
        self.process = spawn(self.argv, environ=self.environ)
        self.started_at = time.monotonic()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """Keeps children running until it is asked to end."""

    bind: str
    say: Say
    children: list[Child]
    n_signals: int = field(default=0, init=False)

    def run(self, ready: Callable[[], None]) -> int:
        """Start all, keep them going until a signal comes; the exit code.

        `ready` is called once the web server answers and what is to be done once is done.
        """
        signal.signal(signal.SIGTERM, self._signaled)
        signal.signal(signal.SIGINT, self._signaled)
        signal.signal(signal.SIGHUP, self._signaled)
        try:
            return self._run(ready)
        finally:
            for child in self.children:
                if child.process is not None:
                    kill_session(child.process)

    def _run(self, ready: Callable[[], None]) -> int:
        early = [child for child in self.children if not child.once]
        for child in early:
            child.start()
        deadline = time.monotonic() + START
        while not self.n_signals and (status := health_status(self.bind)) != http.HTTPStatus.OK:
            dead = next((child for child in early if not child.running), None)
            if dead or status or time.monotonic() > deadline:
                why = (
                    f"the {dead.name} ended at once"
                    if dead
                    else f"it answers with error {status}"
                    if status
                    else f"it did not answer within {START} s"
                )
                raise CommandError(f"The workspace did not start: {why}. Its messages stand above")
            time.sleep(LOOK)
        errands = [child for child in self.children if child.once]
        for child in errands:
            child.start()
        while not self.n_signals and any(child.process for child in errands):
            self._look_after_all()
        if not self.n_signals:
            ready()
        while not self.n_signals:
            self._look_after_all()
        return self._end()

    def _look_after_all(self) -> None:
        for child in self.children:
            self._keep(child)
        time.sleep(LOOK)

    def _signaled(self, signum: int, frame: FrameType | None) -> None:
        self.n_signals += 1

    def _keep(self, child: Child) -> None:
        if child.running or (child.once and child.process is None):
            return
        now = time.monotonic()
        if child.process is not None:
            code, child.process = child.process.returncode, None
            if child.once:
                if code:
                    self.say(f"The {child.name} was not finished (exit code {code}).")
                return
            if now - child.started_at > STEADY:
                child.n_crashes = 0
            delay = min(2**child.n_crashes, LONGEST_DELAY)
            child.n_crashes += 1
            child.due_at = now + delay
            self.say(f"The {child.name} {_ended(code)}; it is started again in {delay} s.")
        elif now >= child.due_at:
            child.start()

    def _end(self) -> int:
        """Stop all: at once what is free to repeat, after its end what may have cost money."""
        first = self.n_signals
        self.say("Stopping. (A second Ctrl-C stops at once.)")
        for child in self.children:
            if child.running and child.process is not None:
                child.process.terminate()
        last_moment = time.monotonic() + GRACE
        named: list[str] = []
        while any(child.running for child in self.children):
            if self.n_signals > first:
                self.say("Stopped at once.")
                return 1
            if time.monotonic() > last_moment:
                calls = ending.open_calls_if_known()
                if not calls:
                    break
                if calls != named:
                    self.say("Waiting for paid calls: " + "; ".join(calls))
                    named = calls
                last_moment = time.monotonic() + 1
            time.sleep(LOOK)
        self.say("Stopped.")
        return 0


def up(*, bind: str, n_workers: int, with_demo: bool, say: Say) -> int:
    """Run the workspace until a signal comes; the exit code. Raises `CommandError`."""
    faults = exposure_faults(bind) + place_faults()
    if faults:
        raise CommandError(told(faults))
    make_places()
    with only_one(bind):
        _refuse_taken(bind)
        prepare(bind=bind)
        say(f"State: {settings.DATA_DIR}")
        environ = {
            "KROMA_BACKEND_BIND": bind,
            "KROMA_PUBLIC_URL": env.web_address("KROMA_PUBLIC_URL", base_url(bind)),
            "KROMA_WORKERS": str(n_workers),
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:kroma_site.serving"]
        children = [
            Child("web server", [*gunicorn, "kroma_site.wsgi:application"], environ),
            Child("worker", manage("worker"), environ | worker_environ(n_workers)),
        ]
        if with_demo:
            children.append(Child("example universe", manage("demo", "--once"), environ, once=True))

        def ready() -> None:
            say(f"Open: {base_url(bind)}/")
            say(f"Sign in: {new_signin_url(FIRST_OWNER, bind=bind)}")
            say("The link works once, within 15 minutes; `manage.py signin-link local` prints another.")
            say("Ctrl-C stops the workspace.")
            connection.close()

        return Supervisor(bind, say, children).run(ready)


@contextmanager
def only_one(bind: str) -> Iterator[None]:
    """Hold the data folder as the one `up` that runs over it. Raises `CommandError` naming the other one."""
    path = _lock_file()
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            process = file.read().partition(" ")[0]
            raise CommandError(
                f"The workspace of {settings.DATA_DIR} is running already (process {process}): "
                "use that one, stop it, or name another folder in KROMA_DATA_DIR"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {bind}\n")
        file.flush()
        yield


def is_running() -> bool:
    """Whether an `up` with a worker runs over this data folder."""
    try:
        with _lock_file().open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def running_bind() -> str:
    """The address at which the `up` over this data folder listens; '' if none runs."""
    if not is_running():
        return ""
    return _lock_file().read_text(encoding="ascii").strip().partition(" ")[2]


def health_status(bind: str) -> int:
    """The HTTP status with which the workspace at this address says how it is; 0 if nobody answers."""
    host, port = split_bind(bind)
    connected = http.client.HTTPConnection(WILDCARDS.get(host, host), port, timeout=5)
    try:
        connected.request("GET", "/health", headers={"Host": public_name(bind)})
        return connected.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connected.close()


def _lock_file() -> Path:
    return Path(settings.BACKEND_DIR) / "up.lock"


def _refuse_taken(bind: str) -> None:
    host, port = split_bind(bind)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = "is taken by another program: end that one, or"
        else:
            what = f"can't be listened at ({error.strerror}):"
        raise CommandError(f"{bind} {what} choose another address with --bind ADDRESS:PORT") from error


def _ended(code: int) -> str:
    if code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"
