"""Combinations of settings that must not run. Found by `manage.py check` and before anything is started."""

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

TAG = "kroma"
SHORTEST_KEY = 32  # characters


@register(TAG)
def check_exposure(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """An address that others can reach needs keys and names of its own."""
    return exposure_faults(settings.BIND)


@register(TAG)
def check_places(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """All state lies below the data folder, so it must take files."""
    return place_faults()


def exposure_faults(bind: str) -> list[CheckMessage]:
    """What stands against listening at `bind`, an address such as 127.0.0.1:8788."""
    try:
        host, _ = split_bind(bind)
    except ValueError as error:
        return [Error(str(error), hint="Use ADDRESS:PORT, as 127.0.0.1:8788.", id="kroma.E001")]
    if is_loopback(host):
        return []
    faults: list[CheckMessage] = []
    if settings.DEBUG:
        faults.append(
            Error(
                f"{bind} can be reached by others, and KROMA_DEBUG shows them the inside",
                hint="Unset KROMA_DEBUG, or bind to 127.0.0.1.",
                id="kroma.E002",
            )
        )
    if settings.API_AUTH_DEV_BYPASS:
        faults.append(
            Error(
                f"{bind} can be reached by others, and KROMA_API_AUTH_DEV_BYPASS lets everybody in",
                hint="Unset KROMA_API_AUTH_DEV_BYPASS, or bind to 127.0.0.1.",
                id="kroma.E006",
            )
        )
    if not settings.OWN_SECRET_KEY or len(settings.SECRET_KEY) < SHORTEST_KEY:
        faults.append(
            Error(
                f"{bind} can be reached by others, but KROMA_SECRET_KEY is not set or too short",
                hint=f"Set it to at least {SHORTEST_KEY} random characters, or bind to 127.0.0.1.",
                id="kroma.E003",
            )
        )
    if not settings.OWN_ALLOWED_HOSTS:
        faults.append(
            Error(
                f"{bind} can be reached by others, but KROMA_ALLOWED_HOSTS is not set",
                hint="Set it to the names people type into the browser, or bind to 127.0.0.1.",
                id="kroma.E004",
            )
        )
    return faults


def place_faults() -> list[CheckMessage]:
    """What stands against keeping state in the data folder."""
    wanted = {"KROMA_DATA_DIR": settings.DATA_DIR}
    if not settings.DATABASE_URL:
        wanted["KROMA_BACKEND_DB"] = settings.DATABASE_FILE.parent
    faults: list[CheckMessage] = []
    for variable, folder in wanted.items():
        place = nearest_existing(folder)
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            what = "is not a folder" if not place.is_dir() else "may not be written to"
            faults.append(
                Error(
                    f"{folder} can't hold Kroma's data: {place} {what}",
                    hint=f"Change that, or name another place in {variable}.",
                    id="kroma.E005",
                )
            )
    return faults


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def split_bind(bind: str) -> tuple[str, int]:
    """Host and port of `ADDRESS:PORT`, without the brackets of an IPv6 address. Raises `ValueError`."""
    host, colon, port = bind.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"“{bind}” is not an address to listen at")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
