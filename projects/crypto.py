"""Encryption of secrets at rest. Nothing else in Kroma sees a key, or turns a stored text into a value.

A value is stored as `enc:v1:` and a Fernet token (AES-128-CBC with HMAC-SHA256, `cryptography`).
"""

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from projects.errors import KromaError

PREFIX = "enc:v1:"


class KeyUnusable(KromaError):
    """The master key is not there, or it is not the one that a value was encrypted with."""

    status = 500
    kind = "infra"
    code = "master_key_unusable"


def is_encrypted(stored: str) -> bool:
    """Whether a stored text is one of ours; another one is a value from before values were encrypted."""
    return stored.startswith(PREFIX)


def encrypt(value: str) -> str:
    """The text to store for a value, another one each time. Raises `KeyUnusable`."""
    return PREFIX + _keys().encrypt(value.encode()).decode("ascii")


def decrypt(stored: str) -> str:
    """The value of a stored text, by the current key or an earlier one. Raises `KeyUnusable`."""
    if not is_encrypted(stored):
        return stored
    try:
        return _keys().decrypt(stored.removeprefix(PREFIX).encode()).decode()
    except InvalidToken:
        # Not chained: a traceback must hold nothing of the token.
        raise KeyUnusable(
            "A stored secret was encrypted with another master key: name that one in IAT_MASTER_KEY or "
            "IAT_MASTER_KEY_PREVIOUS, or set the secret anew"
        ) from None


def is_key(text: str) -> bool:
    """Whether a text can be a master key: 32 bytes as URL-safe base64."""
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def _keys() -> MultiFernet:
    # Read each time: a worker that goes on for weeks takes a rotated key without a restart.
    return MultiFernet([Fernet(key) for key in (_current_key(), *settings.MASTER_KEYS_PREVIOUS)])


def _current_key() -> str:
    if settings.MASTER_KEY:
        return str(settings.MASTER_KEY)
    file = Path(settings.MASTER_KEY_FILE)
    try:
        key = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise KeyUnusable(
            f"The master key {file} is missing: restore it from a backup, or name another one in "
            "IAT_MASTER_KEY_FILE; a new installation gets one when it is started"
        ) from None
    except (OSError, UnicodeDecodeError):
        raise KeyUnusable(f"The master key {file} can't be read: look at the rights of the file") from None
    if not is_key(key):
        raise KeyUnusable(f"{file} holds no master key: restore it from a backup")
    return key
