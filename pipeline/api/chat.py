"""Routes: chat."""

from ninja import Router

router = Router(tags=["chat"])
