"""The model files for the tests of the tools that need them."""

import os
from pathlib import Path

import pytest

from pipeline.tools.weights import WEIGHTS, State, state_of
from tests.conftest import absent


@pytest.fixture(scope="session")
def models() -> Path:
    """A folder with all pinned model files: `KROMA_TEST_MODELS`, as `.ci/run` fetches them."""
    folder = os.environ.get("KROMA_TEST_MODELS", "")
    if not folder:
        absent("the model files: `manage.py models fetch`, then KROMA_TEST_MODELS=<the folder>")
    for weight in WEIGHTS.values():
        if state_of(weight, Path(folder)) is not State.OK:
            absent(f"{weight.name} in KROMA_TEST_MODELS ({folder})")
    return Path(folder)
