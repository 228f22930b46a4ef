"""How much a list of runs and one large run cost over HTTP, against the same bytes out of memory.

Run with `python -m tests.benchmarks.api_speed`. Two gunicorns with the workspace's own settings for it: one
serves Kroma, to a caller with a bearer token; the other one bare django-ninja routes that return the bytes of
the same answers from memory, once behind the workspace's middleware (without a token or a project to look up)
and once without any. Turn by turn a caller with a kept connection asks each. It prints medians of rounds and
the ratio, which is to be at most 3, and asserts nothing.
"""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django

N_RUNS, N_JOBS, N_CANDIDATES = 50, 40, 4
REQUESTS, ROUNDS = 200, 7  # of each turn, turns
TARGET = 3.0
BARE = "tests.benchmarks.bare_api"


@dataclass(frozen=True)
class Route:
    """One address of Kroma, and where the bare server has its bytes."""

    title: str
    path: str
    bare: str


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def served(application: str, **environ: str) -> Iterator[int]:
    """A gunicorn on loopback; its port."""
    port = free_port()
    environ = {**os.environ, **environ, "KROMA_BACKEND_BIND": f"127.0.0.1:{port}"}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:kroma_site.serving", application]
    process = subprocess.Popen(command, env=environ)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def fetched(port: int, path: str, headers: dict[str, str], *, times: int) -> tuple[float, bytes]:
    """Seconds a request over one kept connection, and the body of the last answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = b""
    start = time.perf_counter()
    for _ in range(times):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {body[:200]!r}")
    took = (time.perf_counter() - start) / times
    connection.close()
    return took, body


def prepared() -> tuple[list[Route], dict[str, str]]:
    """A universe with its runs; the addresses to ask, and the headers of one who may."""
    from kroma_site.prepare import prepare  # noqa: PLC0415 - after the settings
    from pipeline.models import Run  # noqa: PLC0415
    from pipeline.services import execution, planning  # noqa: PLC0415
    from pipeline.services.execution import execute_candidate  # noqa: PLC0415
    from projects.services.people import first_owner  # noqa: PLC0415
    from tests.benchmarks.provider_bound import drawing  # noqa: PLC0415
    from tests.benchmarks.ready import Ready, always, run_of  # noqa: PLC0415
    from tests.factories import make_token  # noqa: PLC0415

    prepare()
    pictures = [drawing(number, size=(96, 144)) for number in range(N_JOBS)]
    execution.provider_for = planning.provider_for = always(Ready(pictures))
    run = run_of(pictures, colour=False, candidates=N_CANDIDATES)
    for pk in run.candidates.values_list("pk", flat=True):
        execute_candidate(pk)
    run.refresh_from_db()
    assert run.status == "ok", run.status
    copies = []
    for number in range(1, N_RUNS):
        copy = Run.objects.get(pk=run.pk)
        copy.pk, copy._state.adding = None, True
        copy.id = Run._meta.pk.get_default()
        copy.run_log_path = f"runs/copy_{number}.json"
        copies.append(copy)
    Run.objects.bulk_create(copies)
    token = make_token(user=first_owner())
    base = f"/api/projects/{run.project.slug}/runs"
    routes = [
        Route(f"{N_RUNS} runs", base, "/api/bare/0"),
        Route(f"a run of {N_JOBS} jobs x {N_CANDIDATES}", f"{base}/{run.pk}", "/api/bare/1"),
    ]
    return routes, {"Authorization": f"Bearer {token}"}


def main(folder: Path) -> None:
    routes, headers = prepared()
    with served("kroma_site.wsgi:application") as kroma:
        for number, route in enumerate(routes):
            (folder / f"{number}.json").write_bytes(fetched(kroma, route.path, headers, times=1)[1])
        for middleware in ("all", "none"):
            environ = {"KROMA_BENCH_ANSWERS": str(folder), "KROMA_BENCH_MIDDLEWARE": middleware}
            with served(f"{BARE}:application", **environ) as bare:
                for route in routes:
                    measure(route, kroma, bare, headers, f"{middleware} middleware")


def measure(route: Route, kroma: int, bare: int, headers: dict[str, str], says: str) -> None:
    ours, theirs = [], []
    for number in range(ROUNDS + 1):
        plain, expected = fetched(bare, route.bare, headers, times=REQUESTS)
        took, body = fetched(kroma, route.path, headers, times=REQUESTS)
        assert body == expected
        if number:  # the first is to warm up
            ours.append(took)
            theirs.append(plain)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    kroma_ms, bare_ms = statistics.median(ours) * 1000, statistics.median(theirs) * 1000
    sys.stdout.write(
        f"{route.title:<26}{len(body) / 1024:>7.0f} KiB  bare, {says} {bare_ms:.2f} ms, "
        f"Kroma {kroma_ms:.2f} ms: {ratio:.2f} times (at most {TARGET:.0f})\n"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kroma-api-") as place:
        os.environ |= {"KROMA_DATA_DIR": place, "DJANGO_SETTINGS_MODULE": "kroma_site.settings"}
        os.environ.pop("KROMA_DATABASE_URL", None)
        django.setup()
        main(Path(place))
