"""A stand-in that follows ComfyUI's public protocol, and a workflow for it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.pictures import png
from tests.standin import Answer, Received, StandIn, as_json, running

WORKFLOW: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "{scene}"}},
    "2": {"class_type": "LoadImage", "inputs": {"image": "{reference_1}"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "{prompt}", "clip": ["4", 1]}},
    "5": {"class_type": "KSampler", "inputs": {"seed": "{seed}", "steps": 20, "latent_image": ["1", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "kroma"}},
}


class Comfy(StandIn):
    """Takes images and workflows, and has the image of each ready after `looks` looks at its history.

    `faults` maps a path's beginning to the answer that it gets instead, once each unless `for_good`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.looks = 1
        self.faults: dict[str, Answer] = {}
        self.for_good = False
        self.workflows: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.history: dict[str, object] | None = None
        self.picture = png(number=5)
        self._looked = 0

    def take(self, request: Received) -> Answer:
        self.requests.append(request)
        path = urlsplit(request.path).path
        for start, answer in list(self.faults.items()):
            if path.startswith(start):
                if not self.for_good:
                    del self.faults[start]
                return answer
        if path.startswith("/history/"):
            return self._history(path.rpartition("/")[2])
        routes: dict[str, Callable[[Received], Answer]] = {
            "/upload/image": self._upload,
            "/prompt": self._prompt,
            "/view": self._view,
            "/system_stats": lambda request: as_json({"system": {"comfyui_version": "0.3.40"}}),
            "/queue": lambda request: as_json({"queue_running": [[0]], "queue_pending": [[1], [2]]}),
        }
        return routes[path](request) if path in routes else Answer(status=404)

    def _upload(self, request: Received) -> Answer:
        (file,) = request.files
        self.uploads[file.filename] = file.data
        return as_json({"name": file.filename, "subfolder": request.fields["subfolder"], "type": "input"})

    def _prompt(self, request: Received) -> Answer:
        self.workflows.append(json.loads(request.body)["prompt"])
        self._looked = 0
        return as_json({"prompt_id": f"p{len(self.workflows)}", "number": 1, "node_errors": {}})

    def _view(self, request: Received) -> Answer:
        wanted = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        assert wanted["filename"] == "kroma_1.png", wanted
        return Answer(body=self.picture)

    def _history(self, prompt_id: str) -> Answer:
        if self.history is not None:
            return as_json({prompt_id: self.history})
        self._looked += 1
        if self._looked < self.looks:
            return as_json({})
        images = [
            {"filename": "preview.png", "subfolder": "", "type": "temp"},
            {"filename": "kroma_1.png", "subfolder": "", "type": "output"},
        ]
        status = {"status_str": "success", "completed": True, "messages": []}
        return as_json({prompt_id: {"outputs": {"9": {"images": images}}, "status": status}})


@contextmanager
def comfy() -> Iterator[Comfy]:
    with running(Comfy()) as service:
        yield service
