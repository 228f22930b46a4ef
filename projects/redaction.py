"""What looks like a credential where none belongs: in open JSON such as the configuration of an account."""

import re
from collections.abc import Iterator

_KEYS = re.compile(
    r"(^|[_\-.\s])(api[_\-]?keys?|apikey|secrets?|tokens?|passwords?|passwd|passphrase|authorization|bearer|"
    r"credentials?|private[_\-]?key|access[_\-]?key)$"
)
_VALUES = re.compile(r"^\s*(sk-[\w\-]{8,}|(?i:bearer)\s+\S{8,}|kroma_[0-9a-f]{64}|AKIA[0-9A-Z]{16})")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def credential_paths(value: object) -> list[str]:
    """Where a JSON value holds what looks like a credential, as `headers.authorization` or `keys[0]`."""
    return list(_found(value, "", is_named=False))


def redacted(value: object, marker: str) -> object:
    """The same JSON value with `marker` in the place of what looks like a credential."""
    return _replaced(value, marker, is_named=False)


def _found(value: object, path: str, *, is_named: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield from _found(inner, here, is_named=_is_name(str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _found(inner, f"{path}[{number}]", is_named=is_named)
    elif isinstance(value, str) and _is_credential(value, is_named=is_named):
        yield path or "value"


def _replaced(value: object, marker: str, *, is_named: bool) -> object:
    if isinstance(value, dict):
        return {key: _replaced(inner, marker, is_named=_is_name(str(key))) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, marker, is_named=is_named) for inner in value]
    if isinstance(value, str) and _is_credential(value, is_named=is_named):
        return marker
    return value


def _is_name(key: str) -> bool:
    return bool(_KEYS.search(_HUMP.sub("_", key).lower()))


def _is_credential(text: str, *, is_named: bool) -> bool:
    return bool(text.strip()) and (is_named or bool(_VALUES.match(text)))
