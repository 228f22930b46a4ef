"""A copy of a project's folders as objects of a bucket: where it lies, what belongs to it, its parts."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.engine.names import BACKGROUND_REMOVED, COLOUR_CORRECTED, EXPORTS, OUTPUTS, RUNS, UPSCALED

# What Kroma keeps for people, with what it was made from. `.kroma` stays here: it can be made again, or holds
# originals that may carry a provider's signed credentials.
FOLDERS = (
    "archive", BACKGROUND_REMOVED, COLOUR_CORRECTED, EXPORTS, "inputs", OUTPUTS, "references", RUNS, UPSCALED,
)  # fmt: skip

MIB = 1024 * 1024
# S3 takes parts from 5 MiB on, and at most 10,000 of them.
SMALLEST_PART = 8 * MIB
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a large file; `number` counts from 1, `offset` and `size` are bytes."""

    number: int
    offset: int
    size: int


def object_prefix(prefix: str, project_id: str) -> str:
    """What the names of a project's objects begin with, up to the last `/`."""
    parts = (prefix.strip().strip("/"), project_id)
    return "".join(f"{part}/" for part in parts if part)


def is_temporary(name: str) -> bool:
    """Whether a file is only on its way: a draft of ours, or what an earlier version left behind."""
    base = PurePosixPath(name).name
    return base.startswith(".") or "_openai_tmp_" in base


def parts_of(size: int) -> tuple[Part, ...]:
    """How a file of `size` bytes is cut; one part is sent in one piece, without an upload in parts.

    Depends on the size alone, so that an upload that was cut short is continued with the same parts.
    """
    per_part = SMALLEST_PART
    while size > per_part * MOST_PARTS:
        per_part += MIB
    offsets = range(0, size, per_part) or range(1)
    return tuple(
        Part(number, offset, min(per_part, size - offset)) for number, offset in enumerate(offsets, start=1)
    )


def etag_of(digests: Sequence[bytes]) -> str:
    """The entity tag that S3 gives to an object, from the MD5 digests of its parts."""
    if len(digests) == 1:
        return digests[0].hex()
    joined = hashlib.md5(b"".join(digests), usedforsecurity=False)
    return f"{joined.hexdigest()}-{len(digests)}"


def batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Pieces of a list, none longer than `size`."""
    for start in range(0, len(names), size):
        yield names[start : start + size]
