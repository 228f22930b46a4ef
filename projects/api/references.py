"""Routes: reference sets."""

from ninja import Router

router = Router(tags=["reference sets"])
