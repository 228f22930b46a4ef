"""Models are loaded once, and let go of after a while without use."""

import threading
import weakref

import pytest

from pipeline.tools.loaded import Loaded


class Model:
    pass


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_model_is_loaded_once_for_its_key() -> None:
    made: list[Model] = []

    def load() -> Model:
        made.append(Model())
        return made[-1]

    models = Loaded()
    assert models.get("a", load) is models.get("a", load)
    assert models.get("b", load) is not models.get("a", load)
    assert len(made) == 2


def test_what_is_not_used_for_long_is_let_go_of_and_loaded_anew() -> None:
    clock = Clock()
    models = Loaded(idle=10, clock=clock)
    first = weakref.ref(models.get("a", Model))
    models.get("b", Model)
    clock.now = 6
    models.get("b", Model)
    clock.now = 12
    assert models.release_idle() == 1
    assert first() is None
    assert len(models) == 1
    assert isinstance(models.get("a", Model), Model)


def test_whoever_works_with_a_model_keeps_it() -> None:
    clock = Clock()
    models = Loaded(idle=10, clock=clock)
    mine = models.get("a", Model)
    clock.now = 100
    assert models.release_idle() == 1
    assert isinstance(mine, Model)


def test_it_lets_go_by_itself() -> None:
    models = Loaded(idle=0.01)
    gone = threading.Event()
    weakref.finalize(models.get("a", Model), gone.set)
    assert gone.wait(30)
    assert len(models) == 0


def test_of_a_model_that_can_t_be_loaded_nothing_is_held() -> None:
    models = Loaded()
    with pytest.raises(ZeroDivisionError):
        models.get("a", lambda: 1 / 0)
    assert len(models) == 0
    assert models.get("a", Model)
