"""What every request passes: who asks, and how a refusal is shown."""

from collections.abc import Callable

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from projects.access import NOBODY, Principal
from projects.errors import KromaError

Next = Callable[[HttpRequest], HttpResponse]


def principal(get_response: Next) -> Next:
    """Set `request.principal` from the session's user, unless the API's edge has set it from a token."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if hasattr(request, "principal"):
            return get_response(request)
        who = NOBODY
        if not isinstance(request.user, AnonymousUser):
            who = Principal(request.user, address=request.META.get("REMOTE_ADDR", ""))
        request.principal = who  # type: ignore[attr-defined]
        return get_response(request)

    return middleware


class refusals:  # noqa: N801 - named like the function middlewares beside it
    """Show a `KromaError` that a view did not handle as a page that says what to do."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, KromaError):
            return None
        return render(request, "refused.html", {"reason": str(exception)}, status=exception.status)
