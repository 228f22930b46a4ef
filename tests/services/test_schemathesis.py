"""The API described by its own document, called with what a machine makes up of it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.machine import Machine, free_port

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 8  # an operation
PROJECT = "/api/projects/made-up"


def objects(base_url: str) -> dict[str, str]:
    """Something that is there for each name in an address, so that calls get past 404."""
    with httpx.Client(base_url=base_url, timeout=30) as client:

        def made(path: str, body: dict[str, Any]) -> Any:
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        made("/api/projects", {"name": "made-up"})
        found = {"slug": "made-up", "provider_code": "openai"}
        made(f"{PROJECT}/provider-accounts", {"provider_code": "openai"})
        for plural, noun, parameter, body in (
            ("prompt-templates", "prompt_template", "template_id", {"name": "a", "template_text": "a"}),
            ("style-guides", "style_guide", "style_guide_id", {"name": "a", "instructions": "a"}),
            ("characters", "character", "character_id", {"name": "a"}),
            ("reference-sets", "reference_set", "reference_set_id", {"name": "a"}),
            ("chat/sessions", "session", "session_id", {}),
            ("agent/instructions", "instruction", "instruction_id", {"instruction_text": "a"}),
        ):
            found[parameter] = made(f"{PROJECT}/{plural}", body)[noun]["id"]
        items = f"{PROJECT}/reference-sets/{found['reference_set_id']}/items"
        found["item_id"] = made(items, {"label": "a", "content_text": "a"})["item"]["id"]
        found["run_id"] = made(f"{PROJECT}/runs/trigger", {"scene_refs": ["a.png"]})["run_id"]
        return found


def filled(document: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The document with those names in its addresses; what would delete them is left out."""
    paths = {}
    for path, operations in document["paths"].items():
        used = set(re.findall(r"{(\w+)}", path)) & set(names)
        address = re.sub(r"{(\w+)}", lambda match: names.get(match[1], match[0]), path)
        kept = {
            method: {
                **operation,
                "parameters": [one for one in operation["parameters"] if one["name"] not in used],
            }
            for method, operation in operations.items()
            if method != "delete" or not used - {"slug"}
        }
        if kept:
            paths[address] = kept
    return {**document, "paths": paths}


@pytest.mark.timeout(400)
@pytest.mark.acceptance("A-03", "A-11")
def test_no_call_breaks_the_server_or_its_description(ready_machine: Machine, tmp_path: Path) -> None:
    port = free_port()
    up = ready_machine.start("up", "--bind", f"127.0.0.1:{port}", KROMA_API_AUTH_DEV_BYPASS="1")
    up.says("Ctrl-C stops the workspace")
    base_url = f"http://127.0.0.1:{port}"
    printed = ready_machine.run("openapi")
    assert printed.returncode == 0, printed.stderr
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(filled(json.loads(printed.stdout), objects(base_url))))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", str(file), "--url", base_url,
            "--phases", "examples,coverage,fuzzing", "--checks", CHECKS, "--max-examples", str(EXAMPLES),
            "--seed", "1", "--no-shrink", "--continue-on-failure", "--generation-database",
            "none", "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    n_passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert n_passed is not None
    assert int(n_passed[2]) == int(n_passed[1]) > 1000
    assert "failed: " not in up.said
