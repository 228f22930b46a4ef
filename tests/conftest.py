"""What all tests share: a data folder of their own, and the personas."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from pytest_django.fixtures import Settings

from pipeline.tools import registry
from pipeline.tools.weights import WEIGHTS, State, state_of
from projects.access import Role
from projects.models import Project, User
from tests.factories import make_member, make_project, make_user
from tests.fakes import FakePaidTool, FakeProvider, FakeTool, Tool, Use, UseTools
from tests.machine import Machine
from tests.standin import StandIn, standing_in

# Races between connections: SQLite lets one writer in at a time, so they say something on PostgreSQL only.
collect_ignore = [] if os.environ.get("KROMA_DATABASE_URL") else ["db/test_races.py"]
IN_CI = os.environ.get("CI", "").lower() == "true"


def absent(reason: str) -> None:
    """Skip for something that this machine lacks; where CI must have it, fail."""
    if IN_CI:
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> Path:
    """Nothing that a test writes lands outside its own folder."""
    settings.DATA_DIR = settings.APP_ROOT = tmp_path / "data"
    settings.BACKEND_DIR = settings.DATA_DIR / "backend"
    settings.MASTER_KEY = "dGVzdGluZy10ZXN0aW5nLXRlc3RpbmctdGVzdGluZy0="
    settings.MASTER_KEY_FILE = settings.BACKEND_DIR / "master.key"
    settings.INPUT_ROOTS = []
    settings.MODELS_DIR = settings.DATA_DIR / "models"
    return Path(settings.DATA_DIR)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files, of real processes, first, so that none is left to one test process at the end.

    Browsers last: playwright's loop stays in its process, and Django refuses the database where one runs.
    """
    items.sort(key=lambda item: {"services": 0, "browser": 2}.get(item.path.parent.name, 1))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as a first start leaves it, to be copied: migrating an empty database takes seconds."""
    machine = Machine(tmp_path_factory.mktemp("prepared"))
    done = machine.run("doubt", "list")
    assert done.returncode == 0, done.stderr
    return machine.data


@pytest.fixture(scope="session")
def models() -> Path:
    """A folder with all pinned model files: `KROMA_TEST_MODELS`, as `.ci/run` fetches them."""
    folder = os.environ.get("KROMA_TEST_MODELS", "")
    if not folder:
        absent("the model files: `manage.py models fetch`, then KROMA_TEST_MODELS=<the folder>")
    for weight in WEIGHTS.values():
        if state_of(weight, Path(folder)) is not State.OK:
            absent(f"{weight.name} in KROMA_TEST_MODELS ({folder})")
    return Path(folder)


@pytest.fixture(autouse=True)
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A streamed file's end would close the connection that holds the test's own transaction."""
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: None)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Let this provider be the one that everything calls."""

    def install(provider: FakeProvider) -> FakeProvider:
        def provided(code: str, access: object = None) -> FakeProvider:
            return provider

        for module in ("execution", "planning", "control"):
            monkeypatch.setattr(f"pipeline.services.{module}.provider_for", provided)
        return provider

    return install


@pytest.fixture
def use_tools(monkeypatch: pytest.MonkeyPatch) -> UseTools:
    """Let these be the tools that everything calls: backends of the cut-out, the refine pass, upscalers."""

    def install(
        *cutters: Tool, refiner: FakePaidTool | None = None, upscaler: FakeTool | None = None
    ) -> None:
        by_code = {tool.code: tool for tool in cutters}

        def one_of(code: str) -> Tool:
            if code not in by_code:
                raise registry.ToolUnknown(f"Unknown backend '{code}'")
            return by_code[code]

        def refining() -> FakePaidTool:
            if refiner is None:
                raise registry.ToolUnknown("No refine pass")
            return refiner

        monkeypatch.setattr(registry, "background_remover", lambda code, config, access: one_of(code))
        monkeypatch.setattr(registry, "refiner", lambda config, access: refining())
        if upscaler is not None:
            monkeypatch.setattr(registry, "upscaler", lambda code, config: upscaler)

    return install


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A server on loopback that answers as the test scripts it."""
    with standing_in() as service:
        yield service


@pytest.fixture
def alice(db: None) -> User:
    return make_user(username="alice")


@pytest.fixture
def project(alice: User) -> Project:
    """A universe of alice's, with erin the editor, rita the reviewer and vic the viewer."""
    project = make_project(owner=alice)
    for username, role in (("erin", Role.EDITOR), ("rita", Role.REVIEWER), ("vic", Role.VIEWER)):
        make_member(project=project, role=role, username=username)
    return project


def _client(username: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=username))
    return client


@pytest.fixture
def alice_client(project: Project) -> Client:
    return _client("alice")


@pytest.fixture
def erin_client(project: Project) -> Client:
    return _client("erin")


@pytest.fixture
def rita_client(project: Project) -> Client:
    return _client("rita")


@pytest.fixture
def vic_client(project: Project) -> Client:
    return _client("vic")


@pytest.fixture
def mallory_client(project: Project) -> Client:
    """A signed-in person for whom nothing exists."""
    make_user(username="mallory")
    return _client("mallory")
