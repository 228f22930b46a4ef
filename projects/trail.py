"""What an audit event says, in a form that people read."""

import json
from collections.abc import Mapping

LONGEST = 300  # characters of one value; the whole of it stays in the event


def told(payload: object) -> list[tuple[str, str]]:
    """The values of a payload, each with its name; what was before and after stands in one line."""
    if not isinstance(payload, Mapping):
        return [("", _text(payload))] if payload else []
    rest = dict(payload)
    lines: list[tuple[str, str]] = []
    if {"before", "after"} <= rest.keys():
        lines = _changes(rest.pop("before"), rest.pop("after"))
    for name, value in rest.items():
        if isinstance(value, Mapping) and value.keys() == {"before", "after"}:
            lines.append((_word(name), f"{_text(value['before'])} → {_text(value['after'])}"))
        else:
            lines.append((_word(name), _text(value)))
    return lines


def _changes(before: object, after: object) -> list[tuple[str, str]]:
    """Field by field where both sides have fields, and only those that differ."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return [("changed", f"{_text(before)} → {_text(after)}")]
    names = [*before, *(name for name in after if name not in before)]
    return [
        (_word(name), f"{_text(before.get(name))} → {_text(after.get(name))}")
        for name in names
        if before.get(name) != after.get(name)
    ]


def _word(name: object) -> str:
    return str(name).replace("_", " ")


def _text(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        text = ", ".join(str(one) for one in value)
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
