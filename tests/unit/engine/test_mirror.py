"""Where a project's objects lie, what belongs to them, and how a large file is cut."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.mirror import (
    FOLDERS,
    MIB,
    MOST_PARTS,
    SMALLEST_PART,
    batches,
    etag_of,
    is_temporary,
    object_prefix,
    parts_of,
)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("iat-projects", "iat-projects/7/"), (" /a/b/ ", "a/b/7/"), ("/", "7/"), ("", "7/")],
)
def test_objects_lie_below_the_prefix_and_the_project(prefix: str, expected: str) -> None:
    assert object_prefix(prefix, "7") == expected


def test_drafts_are_temporary_and_the_internal_folder_is_not_mirrored() -> None:
    assert is_temporary("outputs/.draft-1")
    assert is_temporary("outputs/a_openai_tmp_1.png")
    assert not is_temporary("outputs/draft.png")
    assert not any(folder.startswith(".") for folder in FOLDERS)


@given(size=st.integers(0, 5 * 10**12))
def test_the_parts_are_the_file_and_within_the_limits_of_s3(size: int) -> None:
    parts = parts_of(size)
    assert 1 <= len(parts) <= MOST_PARTS
    assert sum(part.size for part in parts) == size
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert all(one.offset + one.size == other.offset for one, other in pairwise(parts))
    assert all(part.size >= 5 * MIB for part in parts[:-1])


def test_a_file_of_one_part_is_sent_in_one_piece() -> None:
    assert len(parts_of(SMALLEST_PART)) == 1
    assert len(parts_of(SMALLEST_PART + 1)) == 2


def test_the_entity_tag_of_parts_is_that_of_s3() -> None:
    digests = [hashlib.md5(text, usedforsecurity=False).digest() for text in (b"a", b"b")]
    assert etag_of(digests[:1]) == "0cc175b9c0f1b6a831c399e269772661"
    joined = hashlib.md5(digests[0] + digests[1], usedforsecurity=False).hexdigest()
    assert etag_of(digests) == f"{joined}-2"


@given(names=st.lists(st.text(), max_size=30), size=st.integers(1, 7))
def test_batches_lose_nothing(names: list[str], size: int) -> None:
    pieces = list(batches(names, size))
    assert [name for piece in pieces for name in piece] == names
    assert all(1 <= len(piece) <= size for piece in pieces)
