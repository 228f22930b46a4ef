"""Lists: how many rows a caller gets, and where the next ones begin."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from ninja import Schema
from pydantic import BeforeValidator, Field

from projects.api.base import Answer
from projects.errors import Invalid

M = TypeVar("M", bound=Model)

MOST_WITHOUT_LIMIT = 2000  # of a list that has no limit of its own, when a caller asks for one


def _whole(text: object) -> object:
    digits = str(text).strip().removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("must be a whole number")
    return int(str(text)[:20])  # what is longer is clamped all the same


class ListQuery(Schema):
    """Which part of a list is wanted; both may be left out."""

    limit: Annotated[int | None, BeforeValidator(_whole)] = Field(
        None,
        description="How many rows at most. Clamped, never refused.",
        examples=[50],
    )
    cursor: str = Field("", description="`next_cursor` of the answer before: the rows that follow it.")


class ListAnswer(Answer):
    """What every list carries besides its rows."""

    count: int = Field(description="Rows in this answer, not in all.")
    next_cursor: str = Field("", description="Send it as `cursor` for the rows that follow; '' at the end.")


@dataclass(frozen=True)
class Page(Generic[M]):
    """Some rows of a list; `next_cursor` is '' if none follow."""

    rows: list[M]
    next_cursor: str

    def answer(self, key: str, shown: Callable[[M], object]) -> dict[str, object]:
        """The body of a list, its rows under `key`."""
        rows = [shown(row) for row in self.rows]
        return {"ok": True, "count": len(rows), key: rows, "next_cursor": self.next_cursor}


def page_of(
    rows: QuerySet[M],
    query: ListQuery,
    *,
    order: Sequence[str],
    default: int | None = None,
    most: int = MOST_WITHOUT_LIMIT,
) -> Page[M]:
    """One part of a list, in one query.

    `order` has field names as in `order_by()`, and must end with one that is unique. `default` and `most` are
    the contract's limits; without a default such a list is whole. Raises `Invalid` for a foreign cursor.
    """
    rows = rows.order_by(*order)
    if query.cursor:
        rows = rows.filter(_after(query.cursor, order, rows.model))
    limit = default if query.limit is None else min(max(query.limit, 1), most)
    if limit is None:
        return Page(list(rows), "")
    found = list(rows[: limit + 1])
    more = len(found) > limit
    return Page(found[:limit], cursor_behind(found[limit - 1], order) if more else "")


def cursor_behind(row: Model, order: Sequence[str]) -> str:
    """The cursor of the rows that follow this one."""
    values = [_text(getattr(row, name.removeprefix("-"))) for name in order]
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _after(cursor: str, order: Sequence[str], model: type[Model]) -> Q:
    """The rows behind the one that a cursor names, in this order."""
    behind, equal = Q(), Q()
    for name, value in zip(order, _values(cursor, order, model), strict=True):
        field = name.removeprefix("-")
        compared = Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
        behind |= equal & compared
        equal &= Q(**{field: value})
    return behind


def _values(cursor: str, order: Sequence[str], model: type[Model]) -> list[Any]:
    refused = Invalid("Field 'cursor' is not one that this list gave out: begin without a cursor")
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise refused from None
    if not isinstance(values, list) or len(values) != len(order):
        raise refused
    try:
        return [
            model._meta.get_field(name.removeprefix("-")).to_python(value)  # type: ignore[union-attr]
            for name, value in zip(order, values, strict=True)
        ]
    except (ValidationError, ValueError, TypeError):
        raise refused from None
