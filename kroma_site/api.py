"""The JSON API: its routers, its way to read a body, and the one place that makes answers of errors."""

import json
import logging
import math
from functools import cache
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import HttpError, Throttled, ValidationError
from ninja.operation import Operation
from ninja.parser import Parser

from bootstrap.api.exchange import router as bootstrap
from bootstrap.api.snapshots import router as snapshots
from kroma_site.edge import INTERNAL, envelope, error_response
from kroma_site.health import router as health
from kroma_site.openapi import Document, document_of
from pipeline.api.analytics import router as analytics
from pipeline.api.assets import router as assets
from pipeline.api.chat import router as chat
from pipeline.api.exports import router as exports
from pipeline.api.instructions import router as instructions
from pipeline.api.runs import router as runs
from projects import strictjson
from projects.api.accounts import router as accounts
from projects.api.base import ADDITIVE
from projects.api.library import router as library
from projects.api.projects import router as projects
from projects.api.references import router as references
from projects.api.secrets import router as secrets
from projects.api.storage import router as storage
from projects.api.tokens import router as tokens
from projects.errors import KromaError

DEEPEST = 64  # levels of a body; what is made of it later goes through code that recurses

logger = logging.getLogger(__name__)


class MalformedBody(KromaError):
    """A body that is no JSON, or that no database can hold."""


class WrongMediaType(KromaError):
    """A body that does not say that it is JSON."""

    status = 415
    code = "unsupported_media_type"


class WrongShape(KromaError):
    """A body, or a field of it, has another JSON type than the contract says."""

    status = 422


class StrictJson(Parser):
    """Reads bodies as the contract has them: declared as JSON, an object, of a depth that can be handled."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """The object of a body. Raises `WrongMediaType`, `MalformedBody`, `WrongShape`."""
        check_media_type(request)
        try:
            body = strictjson.parsed(request.body.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise MalformedBody(f"The body is not JSON: {_told(error)}") from None
        _check_values(body)
        if not isinstance(body, dict):
            raise WrongShape("The body must be a JSON object")
        return body


class KromaAPI(NinjaAPI):
    """Names each operation by its function alone, and leaves the address `/` to the pages."""

    def get_root_path(self, path_params: dict[str, Any]) -> str:
        return "/"

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> Document:
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        return document_of(self, operations(), path_prefix=prefix)


def check_media_type(request: HttpRequest) -> None:
    """Raise `WrongMediaType` unless a request says that its body is JSON."""
    media_type = (request.content_type or "").lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise WrongMediaType("Send a JSON body with the header Content-Type: application/json")


def _told(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _check_values(body: object) -> None:
    """Refuse what is nested too deeply, and texts that no database can hold."""
    level, depth = [body], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise MalformedBody(f"The body is nested too deeply: use at most {DEEPEST} levels")
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not strictjson.is_storable(value):
                raise MalformedBody("A text of the body holds a character that can't be stored: leave it out")
        level = inner


api = KromaAPI(
    title="Kroma",
    version="1",
    description="The JSON API of a Kroma workspace. Every path under a project needs a bearer token.",
    parser=StrictJson(),
    docs_url="/api/docs",
    openapi_url="/api/openapi.json",
    urls_namespace="api",
)
for _router in (
    health, tokens, projects, bootstrap, snapshots, storage, runs, assets, analytics, exports, library,
    accounts, references, chat, instructions, secrets,
):  # fmt: skip
    api.add_router("", _router)


@api.exception_handler(KromaError)
def on_kroma_error(request: HttpRequest, error: KromaError) -> HttpResponse:
    """Every error of the domain, by the status, kind and code of its class."""
    return envelope(request, error)


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """A body that could not be read; ninja hides the reason behind an error of its own."""
    if isinstance(error.__cause__, KromaError):
        return envelope(request, error.__cause__)
    return error_response(request, error.status_code, str(error), "validation", "validation_error")


@api.exception_handler(Throttled)
def on_throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    """A caller who asks too often; ninja adds when to come back."""
    wait = math.ceil(error.wait or 1)
    return error_response(request, 429, f"Too many requests: try again in {wait} s", "policy", "rate_limited")


@api.exception_handler(ValidationError)
def on_wrong_types(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """A field of another type than the contract says: 422 in a body, 400 in an address."""
    first = error.errors[0]
    where, *path = first["loc"]
    if where == "body":
        path = path[1:]  # after the name of the parameter
        if not request.body:
            try:
                check_media_type(request)
            except WrongMediaType as wrong:
                return envelope(request, wrong)
            return envelope(request, MalformedBody("The body is empty: send a JSON object, at least {}"))
    else:
        path = path[-1:]
    field = ".".join(str(part) for part in path)
    reason = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    reason = reason if reason.startswith("must") else f"must be {reason}"
    told = f"Field '{field}' {reason}" if field else f"The body {reason}"
    return error_response(request, 422 if where == "body" else 400, told, "validation", "validation_error")


@api.exception_handler(Exception)
def on_unexpected(request: HttpRequest, error: Exception) -> HttpResponse:
    """Anything else: the details go to the log, under the id that the answer names."""
    request_id = getattr(request, "request_id", "")
    logger.error("Request %s failed: %s %s", request_id, request.method, request.path, exc_info=error)
    return error_response(request, 500, *INTERNAL)


def operations() -> list[tuple[str, str, Operation]]:
    """Every mounted route: method, path as documented, and the operation."""
    return [
        (method, f"{bound.prefix}{path}", operation)
        for bound in api._get_bound_routers()
        for path, view in bound.path_operations.items()
        for operation in view.operations
        for method in operation.methods
    ]


@cache
def contract_routes() -> list[tuple[str, str]]:
    """Method and path of the routes of the contract, without those that we added."""
    return [
        (method, path)
        for method, path, operation in operations()
        if not ADDITIVE.items() <= (operation.openapi_extra or {}).items()
    ]


def _addresses(patterns: list[URLPattern | URLResolver]) -> list[URLPattern]:
    """The addresses of the routes. The edge has judged their callers; the documentation is for people."""
    kept = [pattern for pattern in patterns if isinstance(pattern, URLPattern) and pattern.name != "api-root"]
    for pattern in kept:
        if pattern.name not in ("openapi-json", "openapi-view"):
            cast(Any, pattern.callback).login_required = False
    return kept


_patterns, _app, _namespace = api.urls
urls = (_addresses(_patterns), _app, _namespace)
