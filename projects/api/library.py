"""Routes: library."""

from ninja import Router

router = Router(tags=["library"])
