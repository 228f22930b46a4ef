"""Processes that live and die together: no child outlives the one that started it, however that one ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from django.conf import settings

PR_SET_PDEATHSIG = 1


def _prctl() -> Callable[[int, int], int]:
    if not sys.platform.startswith("linux"):
        return lambda _option, _value: 0  # elsewhere children notice a vanished parent by themselves, later
    function = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: int(function(option, value, 0, 0, 0))


# Looked up once, before any fork: a child between fork and exec must not load libraries.
_call_prctl = _prctl()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which must be its parent, ends in any way."""
    _call_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def forks_die_with_us() -> None:
    """Let every process that this one and its forks fork from now on die with the one that forked it."""
    parent = os.getpid()

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with(parent))


def spawn(argv: Sequence[str], *, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that the terminal's Ctrl-C is ours alone to pass on."""
    us = os.getpid()
    # preexec_fn is safe as long as one thread runs here; it does one system call.
    return subprocess.Popen(
        argv,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: die_with(us),  # noqa: PLW1509
    )


def manage(*arguments: str) -> list[str]:
    """The command line of one of our own commands."""
    return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *arguments]


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """End a program that `spawn` started, and all of its session, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children_of(pid: int) -> set[int]:
    """The processes whose parent is `pid`; empty where there is no /proc."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything: what counts stands behind the last bracket.
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(pid) and fields[0] != "Z":
            found.add(int(entry.parent.name))
    return found


def worker_environ(n_workers: int) -> dict[str, str]:
    """What a worker must find in its environment before it imports anything.

    The queue reads the number of processes at import, and the libraries how many threads each may use.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = str(max(1, cores // n_workers))
    wanted = {"KROMA_WORKERS": str(n_workers)}
    for name in ("OPENCV_FOR_THREADS_NUM", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        wanted[name] = os.environ.get(name, threads)
    return wanted
