"""Routes: reference sets and their items."""

import json
from typing import Any

from ninja import Query, Router, Schema
from ninja.params.functions import Body
from pydantic import Field, JsonValue, StrictInt, StrictStr

from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, Deleted, answers, moment, project_of, row_of
from projects.api.entries import ORDER, EntryShown, complete, entry_of, given, rows_of, shown, some_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid
from projects.models import ReferenceItem, ReferenceSet
from projects.names import exact_id
from projects.services.library import (
    CONTENT_MISSING,
    PLACES,
    bounded,
    create_entry,
    create_item,
    delete_entry,
    judged,
    missing,
    remove_item,
    update_entry,
    update_item,
)
from projects.texts import LONGEST_TEXT

router = Router(tags=["reference sets"])

ITEM_ORDER = ("sort_order", "position", "id")


class ReferenceSetIn(Schema):
    """A new reference set."""

    name: StrictStr = Field(
        "", description="Required. Unique in the project, capital letters count.", examples=["Chapter 1"]
    )
    description: StrictStr | None = Field(None, description="What the set is for.", examples=["The scenes"])

    def checked(self) -> dict[str, str]:
        """The fields to write, trimmed. Raises `Invalid`."""
        return complete(self, ReferenceSet)


class ReferenceSetPatch(Schema):
    """What is to change of a reference set; what is left out, or null, stays as it is."""

    name: StrictStr | None = Field(
        None, description="Another name; it can't be cleared.", examples=["Chapter 2"]
    )
    description: StrictStr | None = Field(
        None, description="What the set is for. Blank clears it.", examples=["The scenes"]
    )

    def checked(self) -> dict[str, str]:
        """The fields that are given, trimmed. Raises `Invalid`."""
        return given(self, ReferenceSet)


SAME_SET: Any = Body(default_factory=ReferenceSetPatch)  # an empty body is {}


class ReferenceSetShown(EntryShown):
    """Images and texts that belong together."""

    description: str = Field(description="What the set is for; '' if there is nothing.")


class ReferenceSetAnswer(Answer):
    """One reference set, without its items."""

    reference_set: ReferenceSetShown


class ReferenceSetList(ListAnswer):
    """The reference sets of a project, the last changed first."""

    reference_sets: list[ReferenceSetShown]


class ItemFields(Schema):
    """What an item holds besides its label."""

    content_uri: StrictStr | None = Field(
        None,
        description="Where the image lies: a path relative to the project's folder. Only kept here; whoever "
        "uses the item judges where it leads.",
        examples=["references/quay.png"],
    )
    content_text: StrictStr | None = Field(None, description="A text.", examples=["Low tide, fog"])
    sort_order: StrictInt | None = Field(
        None,
        description="Its place; items with the same one keep the order in which they came.",
        examples=[0],
    )
    metadata_json: JsonValue = Field(None, description="Any JSON.", examples=[{"source": "scan"}])

    def bounded(self) -> dict[str, Any]:
        """What is given, under the contract's names; null counts as absent. Raises `Invalid` for too much."""
        place = self.sort_order
        if place is not None and not PLACES[0] <= place <= PLACES[1]:
            raise Invalid(f"Field 'sort_order' must lie between {PLACES[0]} and {PLACES[1]}")
        length = len(json.dumps(self.metadata_json, ensure_ascii=False))
        if length > LONGEST_TEXT:
            raise Invalid(f"Field 'metadata_json' has {length} characters: use at most {LONGEST_TEXT}")
        texts = {"content_uri": self.content_uri, "content_text": self.content_text}
        return {
            **{field: None if text is None else bounded(field, text) for field, text in texts.items()},
            "sort_order": place,
            "metadata_json": self.metadata_json,
        }


class ItemIn(ItemFields):
    """A new item: a label, and at least one of the contents."""

    label: StrictStr = Field(
        "", description="Required. What people call it; need not be unique.", examples=["quay.png"]
    )

    def checked(self) -> dict[str, Any]:
        """The columns to write. Raises `Invalid`."""
        label = judged("label", self.label)
        fields = {field: value for field, value in self.bounded().items() if value is not None}
        if not fields.get("content_uri") and not fields.get("content_text"):
            raise Invalid(CONTENT_MISSING)
        return {"label": label, **_columns(fields)}


class ItemPatch(ItemFields):
    """What is to change of an item; what is left out, or null, stays. Some content must remain."""

    label: StrictStr | None = Field(
        None, description="Another label; it can't be cleared.", examples=["quay"]
    )

    def checked(self) -> dict[str, Any]:
        """The columns that are given. Raises `Invalid`."""
        label = None if self.label is None else bounded("label", self.label)
        return _columns(some_of({"label": label, **self.bounded()}))


SAME_ITEM: Any = Body(default_factory=ItemPatch)  # an empty body is {}


class ItemShown(Schema):
    """One image or text of a reference set."""

    id: str
    project_id: str
    reference_set_id: str
    label: str
    content_uri: str = Field(description="Where the image lies; '' for an item without one.")
    content_text: str = Field(description="The text; '' for an item without one.")
    sort_order: int
    metadata_json: JsonValue = Field(description="Any JSON; of an uploaded image its hash, type and size.")
    created_at: str = Field(examples=["2026-03-01T09:30:00Z"])
    updated_at: str = Field(examples=["2026-03-01T09:30:00Z"])


class ItemAnswer(Answer):
    """One item of a reference set."""

    item: ItemShown


class ItemList(ListAnswer):
    """The items of a reference set, in their order."""

    reference_set_id: str
    items: list[ItemShown]


@router.get(
    "/api/projects/{slug}/reference-sets",
    auth=Bearer(Action.READ),
    response=answers(ReferenceSetList),
    summary="List reference sets",
)
def list_reference_sets(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """The reference sets of a project, the last changed first; all of them unless `limit` is given."""
    rows = rows_of(project_of(request), ReferenceSet)
    return page_of(rows, query, order=ORDER).answer("reference_sets", shown)


@router.post(
    "/api/projects/{slug}/reference-sets",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(ReferenceSetAnswer, body=True),
    summary="Create a reference set",
)
def create_reference_set(request: ApiRequest, slug: str, payload: ReferenceSetIn) -> dict[str, object]:
    """Add a reference set to the library. Its name must be free."""
    fields = payload.checked()
    entry = create_entry(project_of(request), ReferenceSet, by=request.principal, **fields)
    return {"reference_set": shown(entry)}


@router.get(
    "/api/projects/{slug}/reference-sets/{reference_set_id}",
    auth=Bearer(Action.READ),
    response=answers(ReferenceSetAnswer),
    summary="Show a reference set",
)
def get_reference_set(request: ApiRequest, slug: str, reference_set_id: str) -> dict[str, object]:
    """One reference set."""
    return {"reference_set": shown(entry_of(request, ReferenceSet, reference_set_id))}


@router.put(
    "/api/projects/{slug}/reference-sets/{reference_set_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(ReferenceSetAnswer, body=True),
    summary="Change a reference set",
)
def update_reference_set(
    request: ApiRequest,
    slug: str,
    reference_set_id: str,
    payload: ReferenceSetPatch = SAME_SET,
) -> dict[str, object]:
    """Change the fields that are given; the others stay as they are."""
    fields = payload.checked()
    entry = entry_of(request, ReferenceSet, reference_set_id)
    return {"reference_set": shown(update_entry(entry, by=request.principal, **fields))}


@router.delete(
    "/api/projects/{slug}/reference-sets/{reference_set_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(Deleted),
    summary="Delete a reference set",
)
def delete_reference_set(request: ApiRequest, slug: str, reference_set_id: str) -> dict[str, object]:
    """Take a reference set and its items out of the library. The image files stay on disk."""
    delete_entry(entry_of(request, ReferenceSet, reference_set_id), by=request.principal)
    return {"deleted": True, "id": reference_set_id}


@router.get(
    "/api/projects/{slug}/reference-sets/{reference_set_id}/items",
    auth=Bearer(Action.READ),
    response=answers(ItemList),
    summary="List the items of a reference set",
)
def list_reference_items(
    request: ApiRequest, slug: str, reference_set_id: str, query: Query[ListQuery]
) -> dict[str, object]:
    """The items by `sort_order`, those with the same one in the order in which they came."""
    reference_set = entry_of(request, ReferenceSet, reference_set_id)
    page = page_of(reference_set.items.all(), query, order=ITEM_ORDER)
    return {"reference_set_id": reference_set_id, **page.answer("items", _shown_item)}


@router.post(
    "/api/projects/{slug}/reference-sets/{reference_set_id}/items",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(ItemAnswer, body=True),
    summary="Add an item to a reference set",
)
def create_reference_item(
    request: ApiRequest, slug: str, reference_set_id: str, payload: ItemIn
) -> dict[str, object]:
    """Add an item; it is always a new one, whatever its label. The set's `updated_at` stays."""
    fields = payload.checked()
    reference_set = entry_of(request, ReferenceSet, reference_set_id)
    return {"item": _shown_item(create_item(reference_set, by=request.principal, **fields))}


@router.get(
    "/api/projects/{slug}/reference-sets/{reference_set_id}/items/{item_id}",
    auth=Bearer(Action.READ),
    response=answers(ItemAnswer),
    summary="Show an item of a reference set",
)
def get_reference_item(
    request: ApiRequest, slug: str, reference_set_id: str, item_id: str
) -> dict[str, object]:
    """One item; an item of another set is not found."""
    return {"item": _shown_item(_item_of(request, reference_set_id, item_id))}


@router.put(
    "/api/projects/{slug}/reference-sets/{reference_set_id}/items/{item_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(ItemAnswer, body=True),
    summary="Change an item of a reference set",
)
def update_reference_item(
    request: ApiRequest,
    slug: str,
    reference_set_id: str,
    item_id: str,
    payload: ItemPatch = SAME_ITEM,
) -> dict[str, object]:
    """Change the fields that are given. One content may be cleared while the other remains."""
    fields = payload.checked()
    item = _item_of(request, reference_set_id, item_id)
    return {"item": _shown_item(update_item(item, by=request.principal, **fields))}


@router.delete(
    "/api/projects/{slug}/reference-sets/{reference_set_id}/items/{item_id}",
    auth=Bearer(Action.EDIT_LIBRARY),
    response=answers(Deleted),
    summary="Remove an item from a reference set",
)
def delete_reference_item(
    request: ApiRequest, slug: str, reference_set_id: str, item_id: str
) -> dict[str, object]:
    """Take an item out of its set. Its file stays on disk, as runs may have been made from it."""
    remove_item(_item_of(request, reference_set_id, item_id), by=request.principal)
    return {"deleted": True, "id": item_id}


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    return {"metadata" if field == "metadata_json" else field: value for field, value in fields.items()}


def _item_of(request: ApiRequest, reference_set_id: str, item_id: str) -> ReferenceItem:
    words = missing(ReferenceItem)
    project = project_of(request, missing=words)
    items = ReferenceItem.objects.filter(project=project, reference_set=exact_id(reference_set_id))
    return row_of(items, item_id, missing=words)


def _shown_item(item: ReferenceItem) -> dict[str, object]:
    return {
        "id": str(item.pk),
        "project_id": str(item.project_id),
        "reference_set_id": str(item.reference_set_id),
        "label": item.label,
        "content_uri": item.content_uri,
        "content_text": item.content_text,
        "sort_order": item.sort_order,
        "metadata_json": {} if item.metadata is None else item.metadata,
        "created_at": moment(item.created_at),
        "updated_at": moment(item.updated_at),
    }
