"""Models that stay loaded in their process while they are in use, and give their memory back afterwards."""

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

IDLE_SECONDS = 300.0  # without any use: longer than the pause between two panels of a run, shorter than lunch


@dataclass
class _Held:
    model: Any
    used_at: float


class Loaded:
    """Models by a key of whoever loads them; each is loaded once, on its first use.

    What was not used for `idle` seconds is dropped by a thread that lives while something is held. Whoever
    works with a model at that moment keeps it until the work is done.
    """

    def __init__(self, *, idle: float = IDLE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle
        self._clock = clock
        self._held: dict[Hashable, _Held] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def get(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """The model of this key. Raises what `load` raises, and then holds nothing of it."""
        with self._lock:
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Held(load(), 0.0)
            held.used_at = self._clock()
            self._look_later()
            return held.model

    def release_idle(self) -> int:
        """Drop what was not used for long; how many models that were."""
        with self._lock:
            now = self._clock()
            idle = [key for key, held in self._held.items() if now - held.used_at >= self._idle]
            for key in idle:
                del self._held[key]
        if idle:
            _give_back()
        return len(idle)

    def __len__(self) -> int:
        return len(self._held)

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._idle, self._look)
            self._timer.daemon = True  # a process that ends must not wait for it
            self._timer.start()

    def _look(self) -> None:
        self.release_idle()
        with self._lock:
            self._timer = None
            if self._held:
                self._look_later()


def _give_back() -> None:
    """Let the system have the memory again: the C library would keep it for later."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)


models = Loaded()
