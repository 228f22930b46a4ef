"""The readers of the environment: each fault is one line that names the variable."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from kroma_site import env, keys
from kroma_site.addresses import base_url
from kroma_site.checks import is_loopback, split_bind

NAME = "KROMA_TEST_VALUE"


def test_a_blank_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "  ")
    assert env.text(NAME) is None
    assert env.text(NAME, "other") == "other"
    assert env.words(NAME) == []


def test_a_value_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "value").write_text(" secret \n", encoding="utf-8")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "value"))
    assert env.text(NAME) == "secret"
    monkeypatch.setenv(NAME, "nearer")
    assert env.text(NAME) == "nearer"


def test_a_file_that_can_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE: can't read .*nowhere"):
        env.text(NAME)


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("YES", True), ("off", False), ("False", False)])
def test_a_switch_takes_the_usual_words(monkeypatch: pytest.MonkeyPatch, value: str, meant: bool) -> None:
    monkeypatch.setenv(NAME, value)
    assert env.flag(NAME, not meant) is meant


def test_a_switch_refuses_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "perhaps")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be one of .* not 'perhaps'"):
        env.flag(NAME, False)


@pytest.mark.parametrize("value", ["0", "65", "two", "1.5"])
def test_a_number_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(NAME, value)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be .*1 to 64; not"):
        env.integer(NAME, 2, minimum=1, maximum=64)


@pytest.mark.parametrize("value", ["https://a.example/x/?y=1", "http://127.0.0.1:8788", "http://[::1]:80/"])
def test_an_address_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert env.web_address(NAME, "http://other") == "http://other"
    monkeypatch.setenv(NAME, value)
    assert env.web_address(NAME) == value


@pytest.mark.parametrize(
    "value",
    [
        "a.example",
        "ftp://a",
        "http://",
        "http://u:secret@a",
        "http://a b",
        "http://a:secret",
        "http://[secret",
        "//a",
    ],
)
def test_an_odd_address_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(NAME, value)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME} must be an address") as refused:
        env.web_address(NAME)
    assert "secret" not in str(refused.value)


def test_a_list_is_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, " a.example , ,b.example,")
    assert env.words(NAME) == ["a.example", "b.example"]


def test_a_folder_counts_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(NAME, "data")
    assert env.folder(NAME, Path("/elsewhere")) == tmp_path / "data"


def test_a_key_is_made_once_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing.key"
    key = keys.read_or_create(path)
    assert len(key) == 64
    assert keys.read_or_create(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.key"]


def test_a_key_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_text("short\n", encoding="ascii")
    with pytest.raises(ImproperlyConfigured, match="holds no usable key"):
        keys.read_or_create(path)
    with pytest.raises(ImproperlyConfigured, match="KROMA_DATA_DIR"):
        keys.read_or_create(path / "below a file" / "signing.key")


@given(st.integers(1, 65535))
def test_an_address_comes_apart_and_together(port: int) -> None:
    assert split_bind(f"127.0.0.1:{port}") == ("127.0.0.1", port)
    assert split_bind(f"[::1]:{port}") == ("::1", port)
    assert base_url(f"[::1]:{port}") == f"http://[::1]:{port}"


@pytest.mark.parametrize(
    "bind", ["", ":", "8788", "127.0.0.1", "127.0.0.1:", ":8788", "a:0", "a:65536", "a:²"]
)
def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        split_bind(bind)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("10.0.0.7", False), ("comics.example", False), ("::", False)),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
