"""How gunicorn serves the workspace; read by gunicorn itself (`-c python:kroma_site.serving`)."""

import gc
import os
from pathlib import Path
from typing import Any

from kroma_site.processes import die_with

bind = os.environ.get("KROMA_BACKEND_BIND", "127.0.0.1:8788")
workers = 2
threads = 8
worker_class = "gthread"
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a heartbeat, no content
control_socket_disable = True
loglevel = "warning"
timeout = 120  # seconds without a sign of life
graceful_timeout = 4  # seconds for open requests at the end
keepalive = 5


def post_fork(server: Any, worker: Any) -> None:
    """No web process outlives the one that started it."""
    die_with(server.pid)


def post_worker_init(worker: Any) -> None:
    """Leave what was loaded for good out of every search for garbage: it would be most of the search."""
    from django.urls import get_resolver  # noqa: PLC0415 - after the settings

    _ = get_resolver().url_patterns
    gc.collect()
    gc.freeze()
