"""The drawings that the looks of the local renderer are tried on."""

from pathlib import Path

import pytest

from tests.unit.providers import drawings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("drawings")
    return {
        name: drawings.saved(folder, f"{name}.png", getattr(drawings, name)())
        for name in ("street", "hatched", "flat")
    }
