"""What a colour profile does to a picture of the universe, at a size that a page shows."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from django.db.models import QuerySet
from PIL import Image

from pipeline.engine.colour import ColourProfile
from pipeline.models import Asset
from pipeline.providers.images import ImageUnreadable, encode_png, read_image
from pipeline.services.labtools import tones
from pipeline.store import store_for
from pipeline.tools import registry
from pipeline.tools.base import Pixels
from projects.errors import NotFound
from projects.models import Project, ReferenceItem

LONGEST_SIDE = 960  # pixels
OFFERED = 8  # of each kind
CARD = "card"  # the picture of a universe that has none
KINDS = ("job_final_output", "candidate_output")
# Tones from dark to light, and colours that profiles shift most: skin, sky, leaves, brick.
_PATCHES = ((236, 196, 168), (120, 170, 220), (90, 130, 60), (170, 70, 50), (240, 235, 220), (40, 44, 60))


@dataclass(frozen=True)
class Offered:
    """A picture that the preview can be made of; `key` names it in addresses."""

    key: str
    label: str


@dataclass(frozen=True)
class Preview:
    """A picture before and after a profile, with the tones of both (`labtools.tones`)."""

    before: Pixels
    after: Pixels

    @property
    def tones(self) -> dict[str, dict[str, list[int]]]:
        """Those before and after."""
        return {"before": tones(self.before), "after": tones(self.after)}


def pictures(project: Project) -> list[Offered]:
    """The newest panels and references of a universe, and a card with patches of colour."""
    found = [Offered(f"asset-{asset.pk}", asset.rel_path) for asset in _assets(project)[:OFFERED]]
    found += [Offered(f"item-{item.pk}", item.label) for item in _items(project)[:OFFERED]]
    return [*found, Offered(CARD, "a card with patches of colour")]


def previewed(project: Project, key: str, name: str, profile: ColourProfile) -> Preview:
    """One picture with one profile. Raises `NotFound` for a picture that is not there."""
    before = _card() if key == CARD else _small(project, key)
    return Preview(before, registry.colourer(name, profile).apply(before.copy()))


def as_png(pixels: Pixels) -> bytes:
    """Encoded for a page."""
    return encode_png(Image.fromarray(pixels))


def _assets(project: Project) -> QuerySet[Asset]:
    return Asset.objects.filter(project=project, kind__in=KINDS)


def _items(project: Project) -> QuerySet[ReferenceItem]:
    found = ReferenceItem.objects.filter(project=project).exclude(content_uri="")
    return found.order_by("-created_at", "-pk")


def _small(project: Project, key: str) -> Pixels:
    kind, _, pk = key.partition("-")
    missing = NotFound("This picture is not there: choose another one")
    rows, field = {"asset": (_assets(project), "rel_path"), "item": (_items(project), "content_uri")}.get(
        kind, (None, "")
    )
    try:
        name = rows.filter(pk=UUID(pk)).values_list(field, flat=True).first() if rows is not None else None
    except ValueError:
        name = None
    if name is None:
        raise missing
    try:
        path = store_for(project).path(name)
        return np.asarray(read_image(path, longest_side=LONGEST_SIDE, background=None))
    except (ImageUnreadable, OSError) as error:
        raise missing from error


def _card() -> Pixels:
    """A ramp of grey over patches of colour from pale to full."""
    card = np.empty((480, 720, 3), np.uint8)
    card[:120] = np.linspace(0, 255, 720).astype(np.uint8)[None, :, None]
    pale = np.linspace(0.35, 1, 360, dtype=np.float32)[:, None, None]
    for n, patch in enumerate(_PATCHES):
        colour = np.array(patch, np.float32)
        card[120:, n * 120 : (n + 1) * 120] = (255 - (255 - colour) * pale).astype(np.uint8)
    return card
