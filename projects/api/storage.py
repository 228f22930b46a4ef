"""Routes: storage."""

from ninja import Router

router = Router(tags=["storage"])
