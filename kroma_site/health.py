"""Whether this installation answers and reaches its database."""

import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from django.db import connection
from ninja import Router
from pydantic import Field

from projects.api.base import Answer, ApiRequest, answers

SERVICE = "kroma-backend-core"
STARTED_UNIX_MS = int(time.time() * 1000)

router = Router(tags=["health"])


class Health(Answer):
    """This installation, from outside."""

    status: Literal["ok"] = Field("ok", description="Always `ok`: what is not well is an error.")
    service: str = Field(description="Which program answers.", examples=[SERVICE])
    version: str = Field(description="Of the program.", examples=["0.1.0"])
    started_unix_ms: int = Field(description="When this process began, in milliseconds since 1970.")
    route_count: int = Field(description="Routes of the contract that are mounted.", examples=[74])


@router.get("/health", auth=None, response=answers(Health, open_to_all=True))
def health(request: ApiRequest) -> dict[str, object]:
    """Say that the service answers and reaches its database; an error if it does not."""
    from kroma_site.api import contract_routes  # noqa: PLC0415 - the API is made of this router

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {
        "service": SERVICE,
        "version": _version(),
        "started_unix_ms": STARTED_UNIX_MS,
        "route_count": len(contract_routes()),
    }


@cache
def _version() -> str:
    try:
        return version("kroma")
    except PackageNotFoundError:  # run from a checkout that nobody installed
        return "0"
