"""Keys that an installation makes for itself on its first start: the default needs no configuration."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured


def read_or_create(path: Path) -> str:
    """The key in `path`; made (64 URL-safe characters, mode 0600, fsynced) if the file does not exist.

    Two processes that start at once agree: the file appears whole or not at all, and the first one wins.
    Raises `ImproperlyConfigured` naming the path when it can't be read or written.
    """
    try:
        if not path.exists():
            _create(path, secrets.token_urlsafe(48))
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold a key"
        raise ImproperlyConfigured(
            f"{path}: {reason}. Make the folder writable or name another one in KROMA_DATA_DIR"
        ) from error
    if len(key) < 32:
        raise ImproperlyConfigured(f"{path} holds no usable key: restore it from a backup")
    return key


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user only. Raises `OSError`."""
    if not folder.exists():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def checked_master_key(key: str, variable: str) -> str:
    """The key from this variable, or "" if there is none. Raises `ImproperlyConfigured`."""
    if key:
        try:
            Fernet(key)
        except ValueError:
            # The message does not repeat the value: it may be a key with one letter missing.
            raise ImproperlyConfigured(
                f"{variable} must be 32 random bytes as URL-safe base64 (44 characters)"
            ) from None
    return key


def create_master_key(path: Path) -> None:
    """Make the file with the key that encrypts secrets, unless it is there. Raises `OSError`."""
    _create(path, Fernet.generate_key().decode("ascii"))


def _create(path: Path, key: str) -> None:
    make_private(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails if another process was first: its key counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the name, too, must survive a power cut
    finally:
        os.close(folder)
