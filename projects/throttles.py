"""How often one address may ask; counted by each process for itself, so these are rough figures."""

import threading

from django.http import HttpRequest
from ninja.throttling import SimpleRateThrottle


class PerAddress(SimpleRateThrottle, threading.local):
    """So many requests in a time from one address.

    One object a thread: ninja keeps the request that it judges on the object.
    """

    def __init__(self, scope: str, rate: str) -> None:
        super().__init__(rate)
        self.scope = scope

    def get_cache_key(self, request: HttpRequest) -> str:
        # Not ninja's own: that one believes X-Forwarded-For, which anybody can send.
        ident = request.META.get("REMOTE_ADDR", "")
        return self.cache_format % {"scope": self.scope, "ident": ident}
