"""What looks like a credential in a JSON value. Prompts, exports and answers never show it."""

import re
from collections.abc import Iterator
from typing import Any

KEYS = re.compile(
    r"(?:^|_)(?:api_?keys?|access_?key|secret_?key|private_?key|key_?secret|token|secret|password|passwd"
    r"|passphrase|authorization|credentials?|client_?secret|bearer)$"
)
VALUES = re.compile(r"(?:sk-[\w-]{8,}|(?i:bearer|basic)\s+\S{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----)")
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")

Path = tuple[str | int, ...]


def credential_paths(value: object) -> list[str]:
    """Where obvious credentials stand, as in `headers.authorization` or `keys[0]`; '' is the value itself."""
    return [told(path) for path in found(value)]


def redacted(value: Any, marker: str) -> Any:
    """The same JSON value with `marker` in place of each obvious credential."""
    return _redacted(value, marker, secret=False)


def found(value: object, *, secret: bool = False) -> Iterator[Path]:
    """The path of each obvious credential, key by key; `secret`: the key above says that it is one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ((key, *path) for path in found(inner, secret=secret or _is_secret(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from ((number, *path) for path in found(inner, secret=secret))
    elif _is_credential(value, secret=secret):
        yield ()


def told(path: Path) -> str:
    """A path in words."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _redacted(value: Any, marker: str, *, secret: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _redacted(inner, marker, secret=secret or _is_secret(key)) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_redacted(inner, marker, secret=secret) for inner in value]
    return marker if _is_credential(value, secret=secret) else value


def _is_secret(key: str) -> bool:
    """Whether a key names a credential, in any spelling: `apiKey`, `X-Api-Key`, `client_secret`."""
    return KEYS.search(WORDS.sub("_", key).strip("_").lower()) is not None


def _is_credential(value: object, *, secret: bool) -> bool:
    if not isinstance(value, str) or not value.strip():
        return False
    return secret or VALUES.match(value.strip()) is not None
