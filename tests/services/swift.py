"""A real S3 server for tests: OpenStack Swift with its S3 interface, in a scratch folder, on loopback."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

PROGRAMS = ("memcached", "swift-ring-builder", "swift-proxy-server", "swift-object-server")
ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
LIMIT = 120  # seconds until it must answer

STORAGE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {conf}
devices = {devices}
mount_check = false
log_level = WARNING
log_address = /dev/null
fallocate_reserve = 0
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {conf}
log_level = WARNING
log_address = /dev/null
[pipeline:main]
pipeline = catch_errors healthcheck cache listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
allow_multipart_uploads = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def missing_programs() -> list[str]:
    """What of Swift this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class Swift:
    """The servers of one Swift; its S3 address is `url`."""

    def __init__(self, folder: Path) -> None:
        self.conf, devices = folder / "conf", folder / "devices"
        self.conf.mkdir(parents=True)
        (devices / "d1").mkdir(parents=True)
        names = ("object", "container", "account", "proxy", "memcached")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.url = f"http://127.0.0.1:{self.ports['proxy']}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("object", "container", "account"):
            port = self.ports[name]
            text = STORAGE.format(name=name, port=port, user=user, conf=self.conf, devices=devices)
            (self.conf / f"{name}-server.conf").write_text(text)
            builder = f"{name}.builder"
            for words in (
                ["create", "4", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"],
            ):  # fmt: skip
                subprocess.run(
                    ["swift-ring-builder", builder, *words], cwd=self.conf, check=True, capture_output=True
                )
        text = PROXY.format(
            port=self.ports["proxy"], memcached=self.ports["memcached"], user=user, conf=self.conf
        )
        (self.conf / "proxy-server.conf").write_text(text)

    def start(self) -> None:
        """Start all servers, each in a session of its own, and wait until they answer."""
        self._spawn(
            "memcached", "memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(self.ports["memcached"])
        )
        for name in ("object", "container", "account"):
            self._spawn(name, f"swift-{name}-server", str(self.conf / f"{name}-server.conf"))
        self.start_proxy()

    def start_proxy(self) -> None:
        """Start what speaks S3, and wait until it and all behind it answer."""
        self._spawn("proxy", "swift-proxy-server", str(self.conf / "proxy-server.conf"))
        wait_for(lambda: _answers(self.ports["proxy"], "/healthcheck"))
        wait_for(lambda: all(_listens(port) for port in self.ports.values()))

    def kill(self, name: str) -> None:
        """End one server at once, as a power cut would."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all servers."""
        for name in list(self.processes):
            self.kill(name)

    def _spawn(self, name: str, *words: str) -> None:
        with (self.conf / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )


Seen = tuple[str, str]  # method, path with its query


class Recorder:
    """A door in front of a server: notes each request, and calls `after` before the answer is passed on."""

    def __init__(self, target: str) -> None:
        self.seen: list[Seen] = []
        self.after: Callable[[str, str], None] = lambda method, path: None
        recorder, address = self, urlsplit(target).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                behind = http.client.HTTPConnection(address, timeout=30)
                try:
                    behind.request(self.command, self.path, body, headers)
                    answer = behind.getresponse()
                    data = answer.read()
                except OSError:  # it is dead: so are we
                    self.close_connection = True
                    return
                finally:
                    behind.close()
                recorder.seen.append((self.command, self.path))
                recorder.after(self.command, self.path)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else data)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that was killed is what these tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def sent(self, word: str = "") -> list[str]:
        """The PUT requests whose path or query holds this word."""
        return [path for method, path in self.seen if method == "PUT" and word in path]


@contextmanager
def recorded(target: str) -> Iterator[Recorder]:
    """A recorder that serves until the block ends."""
    recorder = Recorder(target)
    thread = Thread(target=recorder.server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.server.shutdown()
        recorder.server.server_close()
        thread.join()


def free_ports(n: int) -> list[int]:
    """Ports of loopback that nobody listens at."""
    sockets = [socket.socket() for _ in range(n)]
    for found in sockets:
        found.bind(("127.0.0.1", 0))
    ports = [int(found.getsockname()[1]) for found in sockets]
    for found in sockets:
        found.close()
    return ports


def wait_for(condition: Callable[[], bool]) -> None:
    """Look until the condition holds. Raises `TimeoutError`."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the server does not answer")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
