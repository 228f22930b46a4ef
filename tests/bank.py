"""A stand-in for a provider of images that bills: it keeps the books that Kroma's are compared with."""

import base64
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.pictures import png
from tests.standin import Answer, Received, StandIn, as_json, running

EDIT = "/images/edits"
# Faults by name: what the provider does, and whether it has made and billed the image then.
REFUSALS = {
    "500": as_json({"error": {"message": "boom"}}, status=500),
    "429": as_json({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "1"}),
}


@dataclass
class Books:
    """What was asked and billed, by the name of the scene."""

    asked: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0


class Bank(StandIn):
    """Answers image edits after `delay` seconds, by the scene's file name as `faults` says, else rightly."""

    def __init__(self, *, delay: float = 0.0, size: tuple[int, int] = (96, 128)) -> None:
        super().__init__()
        self.delay = delay
        self.books = Books()
        self.faults: dict[str, list[str]] = defaultdict(list)
        self._size = size
        self._at_once = 0
        self._counting = threading.Lock()

    def take(self, request: Received) -> Answer:
        scene = request.files[0].filename if request.path.endswith(EDIT) else ""
        with self._counting:
            self.books.asked[scene] += 1
            self._at_once += 1
            self.books.most_at_once = max(self.books.most_at_once, self._at_once)
            fault = self.faults[scene].pop(0) if self.faults[scene] else ""
            if fault not in REFUSALS:
                self.books.billed[scene] += 1
            number = sum(self.books.billed.values())
        try:
            self.closing.wait(self.delay)
        finally:
            with self._counting:
                self._at_once -= 1
        if fault in REFUSALS:
            return REFUSALS[fault]
        picture = png(number=number, size=self._size)
        if fault == "half an image":
            picture = picture[: len(picture) // 2]
        if fault == "text":
            return Answer(body=b"<html>Welcome to the hotel's network</html>", content_type="text/html")
        right = as_json({"created": 1, "data": [{"b64_json": base64.b64encode(picture).decode()}]})
        return {
            "hang": Answer(hang="before"),
            "cut": Answer(cut="before"),
            "cut half": Answer(body=right.body, content_type=right.content_type, cut="half"),
        }.get(fault, right)


@contextmanager
def opened(*, delay: float = 0.0, size: tuple[int, int] = (96, 128)) -> Iterator[Bank]:
    with running(Bank(delay=delay, size=size)) as bank:
        yield bank
