"""Routes: the bootstrap exchange."""

from ninja import Router

router = Router(tags=["bootstrap"])
