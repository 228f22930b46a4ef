"""Routes: provider accounts."""

from ninja import Router

router = Router(tags=["provider accounts"])
