"""Files that only their owner may read."""

import os
from pathlib import Path


def write_private(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a new file with mode 0600. Raises `FileExistsError` for one that is there, unless `replace`.

    A file is replaced as a whole: what is written into one with wider rights could be read meanwhile.
    """
    if path.exists() and not replace:
        raise FileExistsError(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
