"""Routes: quality and costs."""

from ninja import Router

router = Router(tags=["quality and costs"])
