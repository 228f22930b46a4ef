"""The team profile for real: PostgreSQL, Redis, several worker processes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings

from tests.conftest import absent
from tests.factories import png

POSTGRES = os.environ.get("KROMA_TEST_POSTGRES", "")
REDIS = os.environ.get("KROMA_TEST_REDIS", "")

pytestmark = pytest.mark.services


@pytest.fixture
def queue() -> Iterator[str]:
    """The address of an emptied Redis database."""
    if not REDIS:
        absent("KROMA_TEST_REDIS names no Redis server")
    with redis.Redis.from_url(REDIS) as client:
        client.delete("django_q:kroma:q")
        yield REDIS
        client.delete("django_q:kroma:q")


@pytest.fixture
def environ(tmp_path: Path, database: str, queue: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KROMA_", "DJANGO_"))}
    return own | {
        "KROMA_DATA_DIR": str(tmp_path / "data"),
        "KROMA_DATABASE_URL": database,
        "KROMA_REDIS_URL": queue,
        "KROMA_LEASE_SECONDS": "5",
    }


def manage(environ: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *words],
        env=environ, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip


def test_a_run_on_postgresql_and_redis_gives_each_panel_one_winner(
    tmp_path: Path, environ: dict[str, str], database: str
) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for number in range(5):
        (scenes / f"scene {number}.png").write_bytes(png(number=number))
    done = manage(
        environ, "pipeline", "run", "--project", "team", "--input", str(scenes), "--candidates", "2",
        "--workers", "3", "--confirm-spend", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["winners"]) == 5
    with psycopg.connect(database) as connection:
        counts = connection.execute("SELECT status, count(*) FROM pipeline_attempt GROUP BY 1").fetchall()
    assert counts == [("stored", 10)], "each candidate was made once"


def test_the_audit_chain_holds_with_many_writers(environ: dict[str, str], database: str) -> None:
    assert manage(environ, "migrate", "-v", "0").returncode == 0
    script = (
        "from projects.services.projects import create_project;"
        "from projects.services.people import first_owner;"
        "from projects.access import OPERATOR;"
        "import os;"
        "[create_project(name=f'{os.getpid()} {n}', owner=first_owner(), by=OPERATOR) for n in range(10)]"
    )
    results: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda: results.append(manage(environ, "shell", "-v", "0", "-c", script)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.stderr for result in results if result.returncode] == []
    with psycopg.connect(database) as connection:
        (events,) = connection.execute("SELECT count(*) FROM projects_auditevent").fetchone() or (0,)
    assert events == 31, "30 universes and the first owner"
    verdict = manage(environ, "audit", "verify")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
