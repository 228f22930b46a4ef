"""Jobs that somebody planned elsewhere, and whether what was executed is what was planned."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.engine.documents import parse_document, shown
from pipeline.engine.errors import PlanningError
from pipeline.engine.names import STAGES, TIMES, WEATHERS, sanitised

_ID = re.compile(r"[A-Za-z0-9_-]+")
_LIGHT = {"mode": ("style", STAGES), "time": ("day", TIMES), "weather": ("clear", WEATHERS)}
IDS_NAMED = 3


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A job as a jobs file has it; `input_images` are paths as written, the scene first."""

    id: str
    prompt: str
    input_images: tuple[str, ...]
    mode: str = "style"
    time: str = "day"
    weather: str = "clear"


def read_jobs(data: bytes, *, source: str) -> tuple[ReadyJob, ...]:
    """The jobs of the JSON file `source`. Raises `PlanningError` naming the 1-based entry and its field.

    All jobs share mode, time and weather, as a run has one of each.
    """
    document = parse_document(data, source=source)
    if not isinstance(document, list) or not document:
        raise PlanningError(f"{source} must be a list of jobs that is not empty, not {shown(document)}")
    jobs: list[ReadyJob] = []
    entry_of: dict[str, int] = {}
    for number, entry in enumerate(document, start=1):
        place = f"Entry {number} of {source}"
        if not isinstance(entry, Mapping):
            raise PlanningError(f"{place} must be an object, not {shown(entry)}")
        job = _job(entry, place)
        # The steps after generation name their files after it, cleaned: `A_` and `a` would share one.
        taken = entry_of.setdefault(sanitised(job.id), number)
        if taken != number:
            raise PlanningError(
                f"{place}: 'id' is '{job.id}', whose files would have the names of those of entry {taken}; "
                "ids must differ"
            )
        if jobs:
            _check_light(job, jobs[0], place)
        jobs.append(job)
    return tuple(jobs)


def parity_warning(planned_ids: Sequence[str], n_executed: int | None) -> str:
    """A sentence if another number of jobs was executed than planned; '' if not, or if nobody counted."""
    if n_executed is None or n_executed == len(planned_ids):
        return ""
    named = ", ".join(planned_ids[:IDS_NAMED]) + (", …" if len(planned_ids) > IDS_NAMED else "")
    return (
        f"{len(planned_ids)} jobs were planned and {n_executed} were executed"
        + (f" (planned: {named})" if planned_ids else "")
        + ": compare the run log with the plan"
    )


def _job(entry: Mapping[object, object], place: str) -> ReadyJob:
    images = entry.get("input_images")
    if not isinstance(images, list) or not images:
        raise PlanningError(
            f"{place}: 'input_images' must be a list of paths that is not empty, not {shown(images)}"
        )
    key = _text(entry, "id", place)
    if not _ID.fullmatch(key):
        raise PlanningError(
            f"{place}: 'id' is {shown(key)}; use letters, digits, - and _ only, as files are named after it"
        )
    light = {name: _word(entry, name, place) for name in _LIGHT}
    return ReadyJob(
        id=key,
        prompt=_text(entry, "prompt", place),
        input_images=tuple(_path(image, place) for image in images),
        **light,
    )


def _text(entry: Mapping[object, object], name: str, place: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise PlanningError(f"{place}: '{name}' must be a text that is not blank, not {shown(value)}")
    return value.strip()


def _path(image: object, place: str) -> str:
    if not isinstance(image, str) or not image.strip():
        raise PlanningError(f"{place}: each of 'input_images' must be a path, not {shown(image)}")
    return image.strip()


def _word(entry: Mapping[object, object], name: str, place: str) -> str:
    default, allowed = _LIGHT[name]
    value = entry.get(name)
    word = default if value is None else value.strip().lower() if isinstance(value, str) else ""
    if word not in allowed:
        raise PlanningError(f"{place}: '{name}' must be one of {', '.join(allowed)}, not {shown(value)}")
    return word


def _check_light(job: ReadyJob, first: ReadyJob, place: str) -> None:
    for name in _LIGHT:
        value, wanted = getattr(job, name), getattr(first, name)
        if value != wanted:
            raise PlanningError(
                f"{place}: '{name}' is '{value}' and the first entry has '{wanted}'; put them into two files"
            )
