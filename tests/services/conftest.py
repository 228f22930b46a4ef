"""What tests with real processes share."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import absent
from tests.machine import Machine

POSTGRES = os.environ.get("KROMA_TEST_POSTGRES", "")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which nothing was started yet."""
    machine = Machine(tmp_path)
    yield machine
    machine.end()


@pytest.fixture
def ready_machine(machine: Machine, prepared: Path) -> Machine:
    """A machine after its first start: with a database, a master key and the first owner."""
    shutil.copytree(prepared, machine.data)
    return machine


@pytest.fixture
def database() -> Iterator[str]:
    """The address of an empty PostgreSQL database of this test's own."""
    if not POSTGRES:
        absent("KROMA_TEST_POSTGRES names no PostgreSQL server")
    name = f"kroma_{uuid.uuid4().hex}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield f"{POSTGRES.rpartition('/')[0]}/{name}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
