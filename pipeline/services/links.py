"""Writing links between files: what was made from what, and how else two belong together."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from pipeline.models import Asset, AssetLink
from projects import audit
from projects.access import Principal
from projects.errors import Invalid, NotFound
from projects.models import Project
from projects.names import exact_id
from projects.texts import LONGEST_NAME, required_text

LINK_TYPES = ("derived_from", "variant_of", "mask_for", "reference_of")
LINK_NOT_FOUND = "Asset link not found"
TAKEN = "Asset link already exists"
PARENT, CHILD = "parent_asset_id", "child_asset_id"


def checked_type(text: str | None) -> str:
    """A type of link as it is stored. Raises `Invalid`."""
    link_type = required_text("link_type", text).lower()
    if link_type not in LINK_TYPES:
        raise Invalid(f"Field 'link_type' must be one of: {', '.join(LINK_TYPES)}")
    return link_type


def checked_ends(parent: str | None, child: str | None) -> tuple[str, str]:
    """The ids of the two files, trimmed; whether there are such files is not known yet. Raises `Invalid`."""
    parent = required_text(PARENT, parent, longest=LONGEST_NAME)
    child = required_text(CHILD, child, longest=LONGEST_NAME)
    if parent == child:
        raise Invalid(f"{PARENT} and {CHILD} must differ")
    return parent, child


def create_link(project: Project, *, parent: str, child: str, link_type: str, by: Principal) -> AssetLink:
    """Link two files of the project, named by their ids. Raises `Invalid`."""
    parent, child = checked_ends(parent, child)
    link_type = checked_type(link_type)
    ends = _assets(project, parent, child)
    link = AssetLink(project=project, parent=ends[parent], child=ends[child], link_type=link_type)
    try:
        with transaction.atomic():
            link.save(force_insert=True)
            audit.record(project, "asset_link.created", link, by=by, **_described(link))
    except IntegrityError as error:
        raise Invalid(TAKEN) from error
    return link


def update_link(
    link: AssetLink,
    *,
    parent: str | None = None,
    child: str | None = None,
    link_type: str | None = None,
    by: Principal,
) -> AssetLink:
    """Change what is given; the rest stays. Raises `Invalid`, and `NotFound` if it is gone meanwhile."""
    before = _described(link)
    parent, child = checked_ends(
        before[PARENT] if parent is None else parent, before[CHILD] if child is None else child
    )
    link_type = checked_type(before["link_type"] if link_type is None else link_type)
    ends = _assets(link.project, parent, child)
    link.parent, link.child, link.link_type = ends[parent], ends[child], link_type
    link.updated_at = timezone.now()
    values = {name: getattr(link, name) for name in ("parent", "child", "link_type", "updated_at")}
    try:
        with transaction.atomic():
            if not AssetLink.objects.filter(pk=link.pk).update(**values):
                raise NotFound(LINK_NOT_FOUND)
            after = _described(link)
            audit.record(link.project, "asset_link.updated", link, by=by, before=before, after=after)
    except IntegrityError as error:
        raise Invalid(TAKEN) from error
    return link


def delete_link(link: AssetLink, *, by: Principal) -> None:
    """Remove a link; the files stay. Raises `NotFound` if it is gone already."""
    with transaction.atomic():
        n_deleted, _ = AssetLink.objects.filter(pk=link.pk).delete()
        if not n_deleted:
            raise NotFound(LINK_NOT_FOUND)
        audit.record(link.project, "asset_link.deleted", link, by=by, **_described(link))


def _described(link: AssetLink) -> dict[str, str]:
    return {PARENT: str(link.parent_id), CHILD: str(link.child_id), "link_type": link.link_type}


def _assets(project: Project, *ids: str) -> dict[str, Asset]:
    """The files of these ids, as they were given out. Raises `Invalid` for the first that there is not."""
    wanted = {text: pk for text in ids if (pk := exact_id(text))}
    found = {str(asset.pk): asset for asset in Asset.objects.filter(project=project, pk__in=wanted.values())}
    for text in ids:
        if text not in found:
            raise Invalid(f"Asset '{text}' was not found in this project")
    return found
