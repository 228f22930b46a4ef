"""A small HTTP server on loopback in the place of somebody else's service; each request is scripted.

    with standing_in() as service:
        service.script(Answer(status=429, headers={"Retry-After": "7"}), Answer(body=png()))
        ...call service.url + "/v1/segment"...
        assert service.requests[0].fields["size"] == "hd"

The last answer of a script is given again for every further request.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, TypeVar

HANG_LIMIT = 60  # seconds after which a hanging answer gives up, so that no test waits for ever


@dataclass(frozen=True)
class Answer:
    """What one request gets.

    `hang` keeps it waiting until the server is closed: before the answer, or in the middle of its body.
    `cut` closes the connection there instead.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "image/png"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: Literal["", "before", "half"] = ""
    cut: Literal["", "before", "half"] = ""


def as_json(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(document).encode(), "application/json", headers or {})


@dataclass(frozen=True)
class Part:
    """A file of a form."""

    name: str
    filename: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The plain fields of a multipart form."""
        return {name: data.decode() for name, filename, _, data in self._parts() if not filename}

    @property
    def files(self) -> list[Part]:
        """The files of a multipart form, in their order."""
        return [Part(*part) for part in self._parts() if part[1]]

    def json(self) -> object:
        return json.loads(self.body)

    def _parts(self) -> Iterator[tuple[str, str, str, bytes]]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = BytesParser(policy=HTTP).parsebytes(head + self.body)
        for part in form.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            yield name, part.get_filename() or "", part.get_content_type(), data


class StandIn:
    """A running server; `requests` grows with each one that arrived whole."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.closing = threading.Event()
        self._script: list[Answer] = [Answer(status=500)]
        self._lock = threading.Lock()
        self._server = _server(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, *answers: Answer) -> None:
        """Answer the next requests so, one after the other."""
        self._script = list(answers)

    def take(self, request: Received) -> Answer:
        with self._lock:
            self.requests.append(request)
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def standing_in() -> Iterator[StandIn]:
    with running(StandIn()) as service:
        yield service


S = TypeVar("S", bound="StandIn")


@contextmanager
def running(service: S) -> Iterator[S]:
    """Let a stand-in answer until the end."""
    thread = threading.Thread(target=service.serve, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.close()
        thread.join()


def _server(service: StandIn) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # whoever asked has died
                self.close_connection = True
                return
            answer = service.take(Received(self.command, self.path, self.headers, body))
            with suppress(ConnectionError):  # whoever asked may have been killed
                self._give(answer)

        def do_GET(self) -> None:
            self.do_POST()

        def _give(self, answer: Answer) -> None:
            self.close_connection = True
            if answer.hang == "before":
                service.closing.wait(HANG_LIMIT)
            if "before" in {answer.hang, answer.cut}:
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if "half" not in {answer.hang, answer.cut}:
                self.wfile.write(answer.body)
                return
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.wfile.flush()
            if answer.hang == "half":
                service.closing.wait(HANG_LIMIT)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
