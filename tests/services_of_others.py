"""Each paid or foreign service as a stand-in on loopback, as whole runs meet it."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.comfy import WORKFLOW, comfy
from tests.fakes import cleared_png
from tests.pictures import png
from tests.standin import Answer, Received, StandIn, as_json, running

KEYS = {
    "openai": "sk-a-key-that-nobody-may-see",
    "comfyui": "comfy-key-that-nobody-may-see",
    "photoroom": "photoroom-key-that-nobody-may-see",
    "removebg": "removebg-key-that-nobody-may-see",
}
WRONG_KEY = "sk-a-wrong-key-that-nobody-may-see"
CUTTERS = ("photoroom", "removebg")
MODEL = as_json({"id": "gpt-image-1", "object": "model", "created": 1, "owned_by": "openai"})


@dataclass
class Service:
    """A running service: its code, the server, and the changes of an account that reaches it."""

    code: str
    server: StandIn
    account: dict[str, object]

    @property
    def is_cutter(self) -> bool:
        """Whether it cuts out instead of making images."""
        return self.code in CUTTERS


class OpenAI(StandIn):
    """Answers image edits and questions about the model, to the right key only."""

    def take(self, request: Received) -> Answer:
        self.requests.append(request)
        if request.headers["Authorization"] != f"Bearer {KEYS['openai']}":
            return as_json({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, status=401)
        if request.method == "GET":
            return MODEL
        picture = base64.b64encode(png(number=len(self.requests), size=(96, 128))).decode()
        tokens = {"text_tokens": 40, "image_tokens": 600}
        usage = {
            "input_tokens": 640,
            "input_tokens_details": tokens,
            "output_tokens": 1000,
            "total_tokens": 1640,
        }
        return as_json(
            {"created": 1, "data": [{"b64_json": picture}], "usage": {**usage, "total_tokens": 1640}},
            headers={"x-request-id": f"req_{len(self.requests)}"},
        )


class Cutter(StandIn):
    """Sends a cut-out for each picture, and tells what is left of the account."""

    def take(self, request: Received) -> Answer:
        self.requests.append(request)
        if request.method == "GET":
            return as_json({"images": {"available": 100}, "data": {"credits": {"total": 100}}})
        return Answer(body=cleared_png(png(number=7)))


@contextmanager
def service_of(code: str) -> Iterator[Service]:
    """The service of this code, up while it is used."""
    if code == "comfyui":
        with comfy() as server:
            yield Service(code, server, {"base_url": server.url, "config": {"workflow": WORKFLOW}})
        return
    paths = {"openai": "/v1", "photoroom": "/v1/segment", "removebg": "/v1.0/removebg"}
    with running(OpenAI() if code == "openai" else Cutter()) as server:
        config = {"prices": {"per_image": "0.04"}}
        yield Service(code, server, {"base_url": server.url + paths[code], "config": config})
