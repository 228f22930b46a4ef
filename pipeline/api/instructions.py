"""Routes: agent instructions."""

from ninja import Router

router = Router(tags=["agent instructions"])
