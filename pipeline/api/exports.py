"""Routes: exports."""

from ninja import Router

router = Router(tags=["exports"])
