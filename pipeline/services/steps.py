"""What each step after generation does to one picture; where its file goes is the caller's concern."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import cast

from pipeline.engine.names import CandidateNames
from pipeline.providers.base import ProviderError
from pipeline.providers.images import ImageUnreadable
from pipeline.services.calls import KeptAnswer
from pipeline.services.toolchain import COLOUR, CUT, REFINE, UPSCALE, Tool, Toolchain, description, is_paid
from pipeline.tools.base import LocalTool, PaidTool, Pixels, ToolFailed
from pipeline.tools.pixels import MIME_TYPES, decoded, encoded

# How a paid tool is called for the bytes of a PNG, of which step it is.
PaidCall = Callable[[PaidTool, str, bytes], KeptAnswer]


class StepFailed(Exception):
    """A step brought nothing for this picture; the message is one sentence, fit to show."""

    def __init__(self, kind: str, code: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.http_status = http_status


class Picture:
    """One picture: its file and its pixels. Whichever is not there yet is read or made when it is needed."""

    def __init__(
        self, name: str, mime_type: str, *, load: Callable[[], bytes], pixels: Pixels | None = None
    ) -> None:
        self.name = name
        self.mime_type = mime_type
        self._load = load
        self._pixels = pixels
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The encoded file. Raises what loading it raises."""
        if self._data is None:
            self._data = self._load()
        return self._data

    @property
    def pixels(self) -> Pixels:
        """The decoded file. Raises `ImageUnreadable` beside what loading it raises."""
        if self._pixels is None:
            self._pixels = decoded(self.data, name=self.name)
        return self._pixels

    @property
    def png(self) -> bytes:
        """The picture as PNG, which is the file itself where it is one."""
        return self.data if self.mime_type == MIME_TYPES["png"] else encoded(self.pixels, "png")


@dataclass(frozen=True)
class Made:
    """What a step made: the bytes of its file, pixels that equal them, and the record of how.

    `extension` says what the bytes are, which for the answer of a paid tool need not be what was asked for.
    """

    data: bytes
    pixels: Pixels
    record: Mapping[str, object]
    extension: str

    @property
    def mime_type(self) -> str:
        """The type of the bytes."""
        return MIME_TYPES.get(self.extension, "")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class Stage:
    """One step of a chain: the name of its file and its tools, of which the first that succeeds counts."""

    step: str
    name: str
    tools: tuple[Tool, ...]

    def made_from(self, picture: Picture, *, call: PaidCall) -> Made:
        """What the step makes of a picture. Raises `StepFailed`."""
        if self.step == CUT:
            extension = PurePosixPath(self.name).suffix[1:]
            return cut_out(self.tools, picture, extension=extension, call=call)
        [tool] = self.tools
        if self.step == REFINE:
            return refine(cast(PaidTool, tool), picture, call=call)
        return changed(cast(LocalTool, tool), picture, extension=PurePosixPath(self.name).suffix[1:])


def stages(chain: Toolchain, names: CandidateNames) -> list[Stage]:
    """The steps of a chain that are on, in their order; the refined cut-out has the name of the cut-out."""
    planned = (
        (CUT, names.background_removed, chain.cutters),
        (REFINE, names.background_removed, (chain.refiner,)),
        (UPSCALE, names.upscaled, (chain.upscaler,)),
        (COLOUR, names.colour_corrected, (chain.colourer,)),
    )
    found = ((step, name, tuple(tool for tool in tools if tool)) for step, name, tools in planned)
    return [Stage(step, name, tools) for step, name, tools in found if name and tools]


def as_generated(original: Picture) -> Picture:
    """The first file of every chain: the original as PNG, which is the original itself where it is one.

    Raises `ImageUnreadable` and what loading the original raises.
    """
    return Picture(original.name, MIME_TYPES["png"], load=lambda: original.png, pixels=original.pixels)


def cut_out(tools: Sequence[Tool], picture: Picture, *, extension: str, call: PaidCall) -> Made:
    """Remove the background by the first backend that succeeds; the record names those that did not.

    Raises `StepFailed` with every backend and its reason.
    """
    failures: list[dict[str, object]] = []
    kind = "infra"
    for tool in tools:
        try:
            made = _paid(tool, CUT, picture, call) if is_paid(tool) else _local(tool, picture, extension)
        except StepFailed as error:
            failures.append({"backend": tool.code, "error": str(error)})
            kind = "provider" if error.kind == "provider" else kind
        else:
            return replace(made, record={**made.record, "backend_failures": failures})
    reasons = " | ".join(f"{failure['backend']}: {failure['error']}" for failure in failures)
    raise StepFailed(kind, "bg_remove_failed", f"No backend could remove the background: {reasons}")


def refine(tool: PaidTool, picture: Picture, *, call: PaidCall) -> Made:
    """Let the refine pass clean a cut-out. Raises `StepFailed`."""
    return _paid(tool, REFINE, picture, call)


def changed(tool: LocalTool, picture: Picture, *, extension: str) -> Made:
    """The picture as a tool on this machine changes it. Raises `StepFailed`."""
    return _local(tool, picture, extension)


def _local(tool: Tool, picture: Picture, extension: str) -> Made:
    _refuse_missing(tool, kind="infra")
    began = time.perf_counter()
    try:
        pixels = tool.apply(picture.pixels)  # type: ignore[union-attr]
    except ToolFailed as error:
        raise StepFailed("infra", error.code, error.message) from error
    record = {**description(tool), "seconds": _seconds_since(began)}
    data = encoded(pixels, extension)
    # What a lossy format made of it is what the next step gets, now as well as after a repeat.
    return Made(data, pixels if extension == "png" else decoded(data, name=picture.name), record, extension)


def _paid(tool: Tool, step: str, picture: Picture, call: PaidCall) -> Made:
    _refuse_missing(tool, kind="provider")
    began = time.perf_counter()
    try:
        answer = call(tool, step, picture.png)  # type: ignore[arg-type]
    except ProviderError as error:
        raise StepFailed(error.kind, error.code, error.message, error.http_status) from error
    try:
        pixels = decoded(answer.data, name=f"The answer of {tool.code}")
    except ImageUnreadable as error:
        raise StepFailed("provider", "answer_unreadable", str(error)) from error
    record = {
        **description(tool),
        "seconds": _seconds_since(began),
        "answer_sha256": answer.sha256,
    }
    return Made(answer.data, pixels, record, answer.extension)


def _refuse_missing(tool: Tool, *, kind: str) -> None:
    if lack := tool.missing():
        raise StepFailed(kind, "tool_missing", lack.strip().rstrip("."))


def _seconds_since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
