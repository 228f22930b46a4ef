"""The provider `comfyui`: a studio's own ComfyUI server, with a workflow of its own in the account.

Its public protocol: images are uploaded, the workflow is queued, its history is asked for until it has
outputs, and the first image of these is fetched. Nothing of it costs money, so an outcome that nobody knows
is only a call that may be made again.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from pipeline.engine.names import STAGES, TIMES, WEATHERS
from pipeline.providers.asking import asked, broken
from pipeline.providers.base import (
    Access,
    GenerateRequest,
    Health,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderResult,
    ProviderUnavailable,
)
from pipeline.providers.comfyworkflow import PROMPT, filled, n_references, places_of, workflow_faults
from pipeline.providers.http_errors import error_of_answer, error_of_transport
from pipeline.providers.images import MAX_IMAGE_BYTES, ImageUnreadable, probe_image

NAME = "ComfyUI"
FOLDER = "kroma"  # of the server's inputs
CONNECT_SECONDS, TOTAL_SECONDS = 10.0, 180.0
FIRST_LOOK, LONGEST_LOOK = 0.2, 2.0  # seconds between two looks at the history; each is longer than the last
MOST_JSON = 4 * 1024 * 1024  # bytes; a history holds the workflow
QUOTED = 200  # characters of what the server says

Json = dict[str, Any]


class ComfyUIProvider:
    """One run of the account's workflow a call: free. Whether it draws the same again is the workflow's."""

    code = "comfyui"
    repeatable = False
    billed = False

    def __init__(self, access: Access) -> None:
        self._access = access
        self._workflow = access.config.get("workflow")

    def missing(self) -> str:
        if not self._access.base_url:
            return f"{NAME} has no address here: write that of your server into the account comfyui"
        if self._workflow is None:
            return (
                f"{NAME} has no workflow here: put one that was exported with “Export (API)” into the account"
            )
        return "; ".join(workflow_faults(self._workflow))

    def about(self) -> str:
        return (
            f"sends scene and references to {NAME} at {self._access.base_url or 'no address yet'}, free; "
            "what becomes of them is the workflow's doing"
        )

    def health(self) -> Health:
        if lack := self.missing():
            return Health(ok=False, message=lack)
        try:
            stats = asked(NAME, self._url("/system_stats"), headers=self._headers(), key=self._access.api_key)
            queue = asked(NAME, self._url("/queue"), headers=self._headers(), key=self._access.api_key)
        except ProviderError as error:
            return broken(NAME, error)
        return Health(ok=True, message=f"{NAME}{_version(stats)} answers{_waiting(queue)}")

    def describe(self) -> Mapping[str, object]:
        usable = not self.missing()
        workflow: Any = self._workflow if usable else {}
        text = json.dumps(self._workflow, sort_keys=True)
        return {
            "provider": self.code,
            "base_url": self._access.base_url,
            "workflow_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "references": n_references(workflow),
            "uses_prompt": PROMPT in set(places_of(workflow)),
            "uses_network": True,
            "stages": list(STAGES),
            "times": list(TIMES),
            "weathers": list(WEATHERS),
        }

    def estimate(self, request: GenerateRequest) -> Decimal | None:
        return Decimal(0)

    def generate(self, request: GenerateRequest) -> ProviderResult:
        if lack := self.missing():
            raise ProviderRefused(lack, code="provider_bad_request")
        if not request.images:
            raise ProviderRefused(f"{NAME} needs a scene image", code="input_missing")
        said = self._access.config.get("timeout")
        patience = float(said) if isinstance(said, int | float) else TOTAL_SECONDS
        timeout = httpx.Timeout(patience, connect=CONNECT_SECONDS)
        try:
            with httpx.Client(timeout=timeout, headers=self._headers()) as client:
                data = self._made(client, request, deadline=time.monotonic() + patience)
        except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL, UnicodeEncodeError) as error:
            # Without its cause: the client's own text may hold the key.
            raise _again(error_of_transport(NAME, error)) from None
        except ProviderError as error:
            raise _again(error) from None
        try:
            info = probe_image(data, name=f"What {NAME} sent")
        except ImageUnreadable as error:
            raise ProviderRefused(
                f"{error}: look at the workflow's last node", code="unexpected_answer"
            ) from error
        return ProviderResult(
            data=data,
            mime_type=info.mime_type,
            extension=info.extension,
            model="workflow",
            size=f"{info.width}x{info.height}",
            quality="",
            cost_usd=Decimal(0),
        )

    def _made(self, client: httpx.Client, request: GenerateRequest, *, deadline: float) -> bytes:
        scene, *references = [self._uploaded(client, path) for path in request.images]
        workflow = filled(
            self._workflow,  # type: ignore[arg-type]  # it has no faults by now
            prompt=request.prompt,
            seed=request.seed,
            scene=scene,
            references=references,
        )
        queued = self._json(
            client, "POST", "/prompt", json={"prompt": workflow, "client_id": uuid.uuid4().hex}
        )
        if errors := queued.get("node_errors"):
            raise _refused_by_nodes(errors)
        prompt_id = queued.get("prompt_id")
        if not isinstance(prompt_id, str):
            raise ProviderUnavailable(
                f"{NAME} took the workflow without a name for it", code="unexpected_answer"
            )
        image = self._finished(client, prompt_id, deadline=deadline)
        fields = {name: str(image.get(name, "")) for name in ("filename", "subfolder", "type")}
        return self._body(client, "GET", "/view", most=MAX_IMAGE_BYTES, params=fields)

    def _uploaded(self, client: httpx.Client, path: Path) -> str:
        """Under which name the server now has an image; the same file again has the same name."""
        try:
            info = probe_image(path)
            data = path.read_bytes()
        except (ImageUnreadable, OSError) as error:
            raise ProviderRefused(str(error), code="input_unreadable") from error
        name = f"{hashlib.sha256(data).hexdigest()}.{info.extension}"
        there = self._json(
            client,
            "POST",
            "/upload/image",
            files={"image": (name, data, info.mime_type)},
            data={"subfolder": FOLDER, "overwrite": "true", "type": "input"},
        )
        folder = str(there.get("subfolder") or "")
        return f"{folder}/{there.get('name') or name}".removeprefix("/")

    def _finished(self, client: httpx.Client, prompt_id: str, *, deadline: float) -> Json:
        """The first image of a prompt's outputs, once there are any."""
        pause = FIRST_LOOK
        while True:
            entry = self._json(client, "GET", f"/history/{prompt_id}").get(prompt_id)
            if isinstance(entry, dict):
                status = entry.get("status")
                if isinstance(status, dict) and status.get("status_str") == "error":
                    raise _failed_in(status)
                if image := _first_image(entry.get("outputs")):
                    return image
                if isinstance(status, dict) and status.get("completed"):
                    raise ProviderRefused(
                        f"{NAME} finished without an image: end the workflow with a node that saves one",
                        code="unexpected_answer",
                    )
            if time.monotonic() + pause > deadline:
                raise ProviderUnavailable(
                    f"{NAME} did not finish in time; it may still be at it: raise 'timeout' in the account",
                    code="provider_timeout",
                )
            time.sleep(pause)
            pause = min(LONGEST_LOOK, pause * 1.5)

    def _json(self, client: httpx.Client, method: str, path: str, **more: Any) -> Json:
        body = self._body(client, method, path, most=MOST_JSON, **more)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ProviderUnavailable(
                f"What answers at {self._access.base_url} is no {NAME}: check the address in the account",
                code="unexpected_answer",
            )
        return found

    def _body(self, client: httpx.Client, method: str, path: str, *, most: int, **more: Any) -> bytes:
        with client.stream(method, self._url(path), **more) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > most:
                    raise ProviderRefused(f"{NAME} sent more than {most} bytes", code="unexpected_answer")
            if response.is_success:
                return bytes(body)
            if errors := _node_errors(bytes(body)):
                raise _refused_by_nodes(errors)
            raise error_of_answer(
                NAME,
                status=response.status_code,
                headers=response.headers,
                body=bytes(body),
                key=self._access.api_key,
                now=datetime.now(UTC),
            )

    def _url(self, path: str) -> str:
        return f"{self._access.base_url.rstrip('/')}{path}"

    def _headers(self) -> dict[str, str]:
        """A key is for what stands in front of the server: it has none of its own."""
        return {"Authorization": f"Bearer {self._access.api_key}"} if self._access.api_key else {}


def _again(error: ProviderError) -> ProviderError:
    """An outcome that nobody knows costs nothing here: the call may be made again."""
    if not isinstance(error, OutcomeUnknown):
        return error
    return ProviderUnavailable(
        f"{NAME} did not answer in time or in full: look whether the server still runs",
        code=error.code,
        http_status=error.http_status,
        retry_after=error.retry_after,
    )


def _first_image(outputs: object) -> Json | None:
    """The first image in the outputs, saved ones before previews."""
    if not isinstance(outputs, dict):
        return None
    images = [
        image
        for node in outputs.values()
        if isinstance(node, dict) and isinstance(node.get("images"), list)
        for image in node["images"]
        if isinstance(image, dict) and image.get("filename")
    ]
    return next((one for one in images if one.get("type") == "output"), images[0] if images else None)


def _node_errors(body: bytes) -> object:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found.get("node_errors") if isinstance(found, dict) else None


def _refused_by_nodes(errors: object) -> ProviderRefused:
    """The workflow does not fit the server: the first node that says so, in words."""
    told = "a node"
    if isinstance(errors, dict) and errors:
        node, said = next(iter(errors.items()))
        kind = said.get("class_type", "") if isinstance(said, dict) else ""
        rows = said.get("errors") if isinstance(said, dict) else None
        first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        words = " ".join(str(first.get(name, "")) for name in ("message", "details")).strip()
        told = f"node {node} {kind} ({words[:QUOTED]})".replace(" ()", "")
    return ProviderRefused(
        f"{NAME} refused the workflow at {told}: mend the workflow, or install what it needs on the server",
        code="provider_bad_request",
    )


def _failed_in(status: Json) -> ProviderRefused:
    """The workflow broke while it ran."""
    messages = status.get("messages")
    facts: Json = next(
        (
            row[1]
            for row in (messages if isinstance(messages, list) else [])
            if isinstance(row, list)
            and len(row) == 2
            and row[0] == "execution_error"
            and isinstance(row[1], dict)
        ),
        {},
    )
    where = " ".join(str(facts[name]) for name in ("node_type", "node_id") if facts.get(name) is not None)
    words = str(facts.get("exception_message", "")).strip()[:QUOTED]
    return ProviderRefused(
        f"{NAME} could not finish the workflow{f' at {where}' if where else ''}"
        f"{f', saying “{words}”' if words else ''}: look at its own log",
        code="provider_failed",
    )


def _version(stats: object) -> str:
    system = stats.get("system") if isinstance(stats, dict) else None
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    return f" {version}" if isinstance(version, str) and version else ""


def _waiting(queue: object) -> str:
    if not isinstance(queue, dict):
        return ""
    rows = [queue.get(name) for name in ("queue_running", "queue_pending")]
    n = sum(len(one) for one in rows if isinstance(one, list))
    return f"; {n} works are in its queue" if n else "; nothing is in its queue"
