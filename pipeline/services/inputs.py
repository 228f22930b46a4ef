"""What a planned job asks of its provider, and whether its images are still what they were."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.models import Run, RunJob
from pipeline.providers.base import GenerateRequest
from pipeline.store import AssetStore, sha256_of
from projects.errors import Invalid, PlanRefused


class InputFault(PlanRefused):
    """An input that is not what was planned; `fault` is the word that a failed candidate keeps."""

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def checked_input(image: Mapping[str, str], store: AssetStore) -> Path:
    """The file of one entry of `RunJob.inputs`. Raises `InputFault`."""
    name, label = image["path"], image["label"]
    try:
        path = store.path(name)
        found = sha256_of(path)
    except FileNotFoundError as error:
        raise InputFault(
            "input_missing", f"{label} has vanished since the plan was made ({name}): put it back"
        ) from error
    except (Invalid, OSError) as error:
        raise InputFault("input_unreadable", f"{label} can't be read: {error}") from error
    if found != image["sha256"]:
        raise InputFault(
            "input_changed", f"{label} is not the image that was planned ({name}): plan the run anew"
        )
    return path


def planned_request(run: Run, job: RunJob, paths: Iterable[Path], *, seed: int) -> GenerateRequest:
    """The call of one candidate of a job, as it was planned; `paths` are its images, the scene first."""
    planned = run.settings_snapshot.get("provider", {})
    return GenerateRequest(
        prompt=job.prompt_text,
        images=tuple(paths),
        seed=seed,
        stage=run.stage,
        time=run.time_of_day,
        weather=run.weather,
        model=planned.get("model", ""),
        size=planned.get("size", ""),
        quality=planned.get("quality", ""),
    )
