"""The adapter for a studio's own ComfyUI, against a stand-in that follows its protocol."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.providers import comfyui
from pipeline.providers.base import (
    Access,
    AccountRefused,
    GenerateRequest,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.providers.comfyui import ComfyUIProvider
from pipeline.providers.comfyworkflow import filled, workflow_faults
from tests.comfy import WORKFLOW, Comfy, comfy
from tests.pictures import png
from tests.standin import Answer, as_json

KEY = "studio-key-that-must-never-be-seen"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    monkeypatch.setattr(comfyui, "FIRST_LOOK", 0.01)
    with comfy() as running:
        yield running


def provider(service: Comfy | None, *, key: str = KEY, **config: Any) -> ComfyUIProvider:
    url = service.url if service else "http://127.0.0.1:9"
    return ComfyUIProvider(Access(api_key=key, base_url=url, config={"workflow": WORKFLOW, **config}))


@pytest.fixture
def request_(tmp_path: Path) -> GenerateRequest:
    paths = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(number=number))
        paths.append(path)
    return GenerateRequest(
        prompt="A quay in the rain",
        images=tuple(paths),
        seed=2**64 - 1,
        stage="style",
        time="day",
        weather="clear",
    )


def test_an_image_is_made_of_the_workflow_with_its_places_filled(
    service: Comfy, request_: GenerateRequest
) -> None:
    service.looks = 3
    result = provider(service).generate(request_)
    assert (result.data, result.extension, result.size) == (service.picture, "png", "96x128")
    assert result.cost_usd == 0
    (workflow,) = service.workflows
    scene, reference = (workflow[node]["inputs"]["image"] for node in ("1", "2"))
    assert scene.startswith("kroma/")
    assert scene != reference
    assert service.uploads[scene.removeprefix("kroma/")] == png(number=0)
    assert service.uploads[reference.removeprefix("kroma/")] == png(number=1)
    assert workflow["5"]["inputs"] == {"seed": 2**64 - 1, "steps": 20, "latent_image": ["1", 0]}
    assert workflow["3"]["inputs"]["text"] == "A quay in the rain"
    assert {one.headers["Authorization"] for one in service.requests} == {f"Bearer {KEY}"}
    assert sum(one.path.startswith("/history") for one in service.requests) == 3


def test_without_a_key_none_is_sent(service: Comfy, request_: GenerateRequest) -> None:
    provider(service, key="").generate(request_)
    assert all(one.headers["Authorization"] is None for one in service.requests)


NODE_ERRORS = {
    "4": {"class_type": "CheckpointLoader", "errors": [{"message": "Value not in list", "details": "x.ckpt"}]}
}
BROKE: dict[str, object] = {
    "status": {
        "status_str": "error",
        "completed": False,
        "messages": [
            [
                "execution_error",
                {"node_type": "KSampler", "node_id": "5", "exception_message": "out of memory"},
            ]
        ],
    },
    "outputs": {},
}


@pytest.mark.parametrize(
    ("path", "answer", "kind", "told"),
    [
        ("/upload", Answer(status=401, body=KEY.encode()), AccountRefused, "does not accept the key"),
        ("/upload", Answer(status=413), ProviderRefused, "too large"),
        ("/prompt", as_json({"node_errors": NODE_ERRORS}, status=400), ProviderRefused, "node 4 Checkpoint"),
        ("/prompt", as_json({"prompt_id": "p", "node_errors": NODE_ERRORS}), ProviderRefused, "x.ckpt"),
        ("/prompt", as_json({}), ProviderUnavailable, "without a name"),
        ("/prompt", Answer(body=b"<html>"), ProviderUnavailable, "is no ComfyUI"),
        ("/prompt", as_json([1]), ProviderUnavailable, "is no ComfyUI"),
        ("/history", Answer(status=500), ProviderUnavailable, "fault of its own"),
        ("/history", Answer(cut="before"), ProviderUnavailable, "did not answer in time or in full"),
        ("/view", Answer(body=b"no image"), ProviderRefused, "not an image"),
        ("/view", Answer(status=404), ProviderRefused, "HTTP 404"),
        ("/view", Answer(cut="half", body=png()), ProviderUnavailable, "in time or in full"),
        ("/view", Answer(status=302, headers={"Location": "http://x.example/"}), ProviderRefused, "HTTP 302"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_by_its_kind(  # noqa: PLR0917 - the columns of a table
    service: Comfy, request_: GenerateRequest, path: str, answer: Answer, kind: type[ProviderError], told: str
) -> None:
    service.faults[path] = answer
    with pytest.raises(ProviderError, match=told) as caught:
        provider(service).generate(request_)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    assert "billed" not in str(caught.value)


def test_a_workflow_that_breaks_names_its_node(service: Comfy, request_: GenerateRequest) -> None:
    service.history = BROKE
    with pytest.raises(ProviderRefused, match="KSampler 5, saying “out of memory”"):
        provider(service).generate(request_)
    service.history = {"status": {"status_str": "success", "completed": True}, "outputs": {}}
    with pytest.raises(ProviderRefused, match="finished without an image"):
        provider(service).generate(request_)


def test_what_takes_too_long_may_be_tried_again(service: Comfy, request_: GenerateRequest) -> None:
    service.history = {"status": {"status_str": "", "completed": False}, "outputs": {}}
    with pytest.raises(ProviderUnavailable, match="did not finish in time"):
        provider(service, timeout=0.05).generate(request_)


def test_a_server_that_is_not_there_is_told(request_: GenerateRequest) -> None:
    with pytest.raises(ProviderUnavailable, match="can't be reached"):
        provider(None).generate(request_)
    assert not provider(None).health().ok


def test_the_check_tells_version_and_queue(service: Comfy) -> None:
    assert provider(service).health().message == "ComfyUI 0.3.40 answers; 3 works are in its queue"
    service.faults["/system_stats"] = Answer(status=403, body=KEY.encode())
    found = provider(service).health()
    assert (found.ok, KEY in found.message) == (False, False)


def test_what_is_missing_is_told_before_any_call() -> None:
    nowhere = ComfyUIProvider(Access(config={"workflow": WORKFLOW}))
    assert "no address" in nowhere.missing()
    assert "no workflow" in ComfyUIProvider(Access(base_url="http://127.0.0.1:9")).missing()
    assert provider(None).missing() == ""
    described = provider(None).describe()
    assert (described["references"], described["uses_prompt"]) == (1, True)


def changed(**nodes: Any) -> dict[str, Any]:
    workflow = copy.deepcopy(WORKFLOW)
    workflow.update(nodes)
    return workflow


@pytest.mark.parametrize(
    ("workflow", "told"),
    [
        ([], "JSON object"),
        ({}, "JSON object"),
        ({"nodes": [], "links": []}, "format of ComfyUI's pages"),
        (changed(x=3), "'workflow.x' is no node"),
        (changed(x={"class_type": "A"}), "'workflow.x' is no node"),
        (changed(x={"class_type": "A", "inputs": {"a": "{scen}"}}), "place {scen}"),
        (changed(**{"1": {"class_type": "A", "inputs": {}}}), "no place {scene}"),
        (changed(**{"5": {"class_type": "A", "inputs": {}}}), "no place {seed}"),
    ],
)
def test_a_workflow_that_can_t_be_used_is_told(workflow: object, told: str) -> None:
    assert told in " ".join(workflow_faults(workflow))


def test_places_without_a_reference_of_their_own_get_the_last_one() -> None:
    workflow = {
        "1": {"class_type": "A", "inputs": {"a": "{reference_1}", "b": "{reference_3}", "c": "no {seed}"}}
    }
    got = filled(workflow, prompt="", seed=1, scene="s", references=["x", "y"])["1"]["inputs"]
    assert got == {"a": "x", "b": "y", "c": "no {seed}"}
    got = filled(workflow, prompt="", seed=1, scene="s", references=[])["1"]["inputs"]
    assert (got["a"], got["b"]) == ("s", "s")
