"""Queries that are written once a process: Django takes longer to write them than databases to answer.

For the few that every call of the API makes, and for its largest answers; anywhere else a QuerySet is right.
"""

import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models
from django.db.models import QuerySet

Converters = Mapping[int, Any]


@dataclass(frozen=True)
class _Written:
    """SQL for one database, and of each of its parameters the name of a placeholder, or the value it has."""

    sql: str
    parameters: tuple[tuple[str, object], ...]
    converters: Converters
    compiler: Any


class Prepared:
    """A query with placeholders, which `rows()` fills with values. Values are bound, never written into SQL.

    `build` makes a `values_list()` from one value for each placeholder, and must not look at the values; a
    placeholder is declared by the field that its value is compared with. With `as_stored` the values come as
    the database's driver hands them out, which is right for those that need no conversion.
    """

    def __init__(
        self,
        build: Callable[..., QuerySet[Any, Any]],
        placeholders: Mapping[str, models.Field[Any, Any]],
        *,
        as_stored: bool = False,
    ) -> None:
        self._build = build
        self._as_stored = as_stored
        self._placeholders = placeholders
        self._written: dict[str, _Written] = {}

    def rows(self, **values: object) -> list[tuple[Any, ...]]:
        """What the `values_list()` would give for these values, or the same as it is stored."""
        written = self._written.get(connection.vendor) or self._write()
        bound = {
            name: field.get_db_prep_value(values[name], connection)
            for name, field in self._placeholders.items()
        }
        with connection.cursor() as cursor:
            parameters: list[Any] = [bound[name] if name else value for name, value in written.parameters]
            cursor.execute(written.sql, parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        if not written.converters:
            return found
        return list(map(tuple, written.compiler.apply_converters(found, written.converters)))

    def _write(self) -> _Written:
        markers = {name: _marker(field) for name, field in self._placeholders.items()}
        compiler = self._build(**markers).query.get_compiler(using=connection.alias)
        sql, parameters = compiler.as_sql()
        found = [
            (field.get_db_prep_value(markers[name], connection), name)
            for name, field in self._placeholders.items()
        ]
        named = tuple(
            (next((name for stored, name in found if stored == value), ""), value) for value in parameters
        )
        if missing := set(self._placeholders) - {name for name, _ in named}:
            raise ValueError(f"The query does not use {', '.join(sorted(missing))}")
        selected = [] if self._as_stored else [expression for expression, _, _ in compiler.select]
        converters = compiler.get_converters(selected)
        written = _Written(sql, named, converters, compiler)
        self._written[connection.vendor] = written
        return written


def _marker(field: models.Field[Any, Any]) -> object:
    """A value that nothing else in a query has."""
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(field, models.DateTimeField):
        return datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=secrets.randbelow(10**15))
    return secrets.token_hex(8)
