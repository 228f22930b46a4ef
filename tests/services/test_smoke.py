"""`manage.py smoke` against a real server with a fresh database."""

import json

import pytest

from tests.machine import Machine, free_port


@pytest.mark.acceptance("A-02", "A-13")
def test_the_walk_passes_on_a_fresh_server_and_again(machine: Machine) -> None:
    port = free_port()
    scene = machine.scenes(1) / "scene 00.png"
    up = machine.start("up", "--bind", f"127.0.0.1:{port}", KROMA_INPUT_ROOTS=str(scene.parent))
    up.says("Ctrl-C stops the workspace")
    base_url = f"http://127.0.0.1:{port}"
    refused = machine.run("smoke", "--base-url", base_url, "--token", "kroma_nothing")
    assert refused.returncode == 1
    assert "FAILED  token" in refused.stderr
    first = machine.run("smoke", "--base-url", base_url, "--scene", str(scene), "--json")
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout)
    assert answer["ok"]
    assert len(answer["steps"]) == 14
    # The first token is taken now: without one there is no way in any more.
    again = machine.run("smoke", "--base-url", base_url)
    assert again.returncode == 1
    assert "Traceback" not in again.stderr


def test_an_address_that_is_none_is_one_clear_line(machine: Machine) -> None:
    assert "--base-url is nonsense" in machine.refused("smoke", "--base-url", "nonsense")
