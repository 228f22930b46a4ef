"""The edge of the JSON API: who asks, for which project, and one form for every error.

Here because it must hold for paths that match no route, too: the caller is judged first, then the project
that the address names, then the route. Nothing of a session is looked at.
"""

import logging
import re
import secrets
from collections.abc import Callable, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from kroma_site.checks import is_loopback, split_bind
from projects.access import NOBODY, NOT_AUTHORIZED, Principal
from projects.errors import Forbidden, KromaError
from projects.models import Project
from projects.names import slugified
from projects.services.projects import project_for
from projects.services.tokens import principal_of

Next = Callable[[HttpRequest], HttpResponseBase]

PROJECTS = "/api/projects"
TOKENS = "/auth/"
FIRST_TOKEN = ("POST", "/auth/token")
# An agent reports with a secret of its own, which the route looks at; it has no token and no project.
CALLBACK = re.compile(rf"{PROJECTS}/[^/]+/agent/instructions/[^/]+/callback")
DOCS = ("/api/docs", "/api/openapi.json")  # for people who are signed in
SAFE = ("GET", "HEAD", "OPTIONS")
CHECK_FAILED = "Project access check failed"

# What an error says that was raised before or beside a route.
ROUTE_ERRORS = {
    400: ("The request can't be read: look at its address and headers", "validation", "validation_error"),
    404: ("There is no such route", "validation", "not_found"),
    405: ("This route takes other methods: look at the header Allow", "validation", "method_not_allowed"),
}
INTERNAL = ("Internal server error", "infra", "internal_error")

logger = logging.getLogger(__name__)


class BodyTooLarge(KromaError):
    """A body over the limit; it is refused before it is read."""

    status = 413
    code = "payload_too_large"


def api_edge(get_response: Next) -> Callable[[HttpRequest], HttpResponseBase]:
    """Handle what the API's paths share; other paths pass untouched."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not is_api(request.path_info):
            return get_response(request)
        request_id = secrets.token_hex(8)
        request.request_id = request_id  # type: ignore[attr-defined]
        is_head = request.method == "HEAD"
        if is_head:
            request.method = "GET"
        try:
            response = _answered(request, get_response)
        except KromaError as error:
            response = envelope(request, error)
        except Exception:
            logger.exception("Request %s failed: %s %s", request_id, request.method, request.path)
            response = error_response(request, 500, *INTERNAL)
        response = _enveloped(request, response)
        response["X-Request-ID"] = request_id
        response.headers.setdefault("Cache-Control", "no-store")  # files say it themselves
        return _without_body(response) if is_head else response

    return middleware


def is_api(path: str) -> bool:
    """Whether a path belongs to the JSON API (its documentation is a page like others)."""
    if path in DOCS:
        return False
    return path == "/health" or path.startswith(("/api/", TOKENS))


def envelope(request: HttpRequest, error: KromaError) -> HttpResponse:
    """The answer to an error that a person may see; what went wrong inside stays in the log."""
    if error.status >= 500:
        request_id = getattr(request, "request_id", "")
        logger.error("Request %s failed: %s: %s", request_id, type(error).__name__, error)
        return error_response(request, 500, *INTERNAL)
    response = error_response(request, error.status, str(error), error.kind, error.code, extra=error.extra)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def error_response(
    request: HttpRequest,
    status: int,
    error: str,
    kind: str,
    code: str,
    *,
    extra: Mapping[str, object] | None = None,
) -> HttpResponse:
    """One error in the envelope of the contract, with further facts beside it."""
    body = {**(extra or {}), "ok": False, "error": error, "error_kind": kind, "error_code": code}
    if status >= 500:
        body["request_id"] = getattr(request, "request_id", "")
    return JsonResponse(body, status=status)


def without_token(request: HttpRequest) -> Principal | None:
    """The owner of everything, where the development bypass is on and the caller sits at this machine."""
    if settings.API_AUTH_DEV_BYPASS and is_local(request):
        return Principal(operator=True, address=_address(request))
    return None


def is_local(request: HttpRequest) -> bool:
    """Whether a request comes from this machine itself, directly, for a service that only it can reach."""
    try:
        bound, _ = split_bind(settings.BIND)
        host = _host(request)
    except ValueError:
        return False
    forwarded = any(name == "HTTP_FORWARDED" or name.startswith("HTTP_X_FORWARDED_") for name in request.META)
    return not forwarded and is_loopback(bound) and is_loopback(_address(request)) and is_loopback(host)


def _host(request: HttpRequest) -> str:
    named = str(request.META.get("HTTP_HOST", ""))
    if named.startswith("["):
        return named[1:].partition("]")[0]
    return named.partition(":")[0]


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def _answered(request: HttpRequest, get_response: Next) -> HttpResponseBase:
    if request.method == "POST" and CALLBACK.fullmatch(request.path_info):
        principal, project = Principal(address=_address(request), called="agent"), None
    else:
        principal = _caller(request)
        project = _addressed(request, principal)
    request.principal, request.project = principal, project  # type: ignore[attr-defined]
    _check_length(request)
    return get_response(request)


def _check_length(request: HttpRequest) -> None:
    """Refuse a body over the limit before it is taken in. Raises `BodyTooLarge`."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    too_large = length.isdigit() and int(length) > most
    if request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        # Django takes a body without a length for an empty one.
        body = request.META["wsgi.input"].read(most + 1)
        request._body = body
        too_large = len(body) > most
    if too_large:
        raise BodyTooLarge(f"The body has more than {most} bytes: send less at once")


def _caller(request: HttpRequest) -> Principal:
    """Who asks. Raises `Unauthorized` where a token is needed and none that is valid is shown."""
    path = request.path_info
    if request.method in SAFE and not path.startswith((TOKENS, PROJECTS)):
        return NOBODY
    bypass = without_token(request)
    if bypass is not None:
        return bypass
    return principal_of(
        request.META.get("HTTP_AUTHORIZATION", ""),
        address=_address(request),
        may_be_first=(request.method, path) == FIRST_TOKEN and is_local(request),
    )


def _addressed(request: HttpRequest, principal: Principal) -> Project | None:
    """The project in the address, None if there is none. Raises `Forbidden` if it is not the caller's.

    Under the bypass, what does not exist is left to the route: it judges the payload first.
    """
    parts = request.path_info.split("/")  # "", "api", "projects", slug, ...
    if not request.path_info.startswith(f"{PROJECTS}/") or not parts[3]:
        return None
    slug = slugified(parts[3])
    if not slug:
        if principal.operator:
            return None
        raise Forbidden(CHECK_FAILED)
    found = project_for(principal, slug)
    if found is None and not principal.operator:
        raise Forbidden(NOT_AUTHORIZED)
    return found


def _without_body(response: HttpResponseBase) -> HttpResponseBase:
    """The same head: what HEAD gets where GET is answered."""
    head = HttpResponse(status=response.status_code, headers=dict(response.headers))
    if isinstance(response, HttpResponse):
        head["Content-Length"] = str(len(response.content))
    else:
        response.close()  # the file that would have been streamed
    return head


def _enveloped(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """An error that was made as a page or a plain text, in the envelope and with its status."""
    status = response.status_code
    if status < 400 or response.get("Content-Type", "").startswith("application/json"):
        return response
    if status >= 500:
        logger.error("Request %s failed: %s %s", request.request_id, request.method, request.path)  # type: ignore[attr-defined]
        return error_response(request, 500, *INTERNAL)
    made = error_response(request, status, *ROUTE_ERRORS.get(status, ROUTE_ERRORS[400]))
    if response.has_header("Allow"):
        made["Allow"] = response["Allow"].replace("GET", "GET, HEAD")
    return made
