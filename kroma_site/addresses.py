"""The addresses that the command line prints."""

from django.conf import settings
from django.urls import reverse

from kroma_site.checks import is_loopback, split_bind
from projects.access import OPERATOR
from projects.services.people import make_signin_link

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened at


def base_url(bind: str) -> str:
    """Where a browser finds the workspace that listens at `bind`, without a slash at the end."""
    host, port = split_bind(bind)
    name = public_name(bind)
    if settings.BEHIND_TLS and not is_loopback(host):
        return f"https://{name}"
    return f"http://{name}:{port}"


def public_name(bind: str) -> str:
    """The host name that requests to `bind` should carry."""
    host, _ = split_bind(bind)
    if not is_loopback(host):
        named = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name != "*"]
        if named:
            return named[0]
        host = "127.0.0.1" if host in WILDCARDS else host
    return f"[{host}]" if ":" in host else host


def new_signin_url(username: str, *, bind: str) -> str:
    """A link that signs this person in once within 15 minutes. Raises `NotFound`."""
    token = make_signin_link(username, by=OPERATOR)
    return base_url(bind) + reverse("projects:signin-link", args=[token])
