"""What stands behind `runs/validate-config`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pipeline.engine.settings import APP, PROJECT
from pipeline.services.configuration import MANIFEST, PARTS, Named, Note, Places, Report, validate
from pipeline.services.trigger import WrongType, project_named
from projects.access import Principal
from projects.errors import ConfigurationInvalid, KromaError

FIELDS = (
    "project_root",
    "app_settings_path",
    "project_settings_path",
    "manifest_path",
    "postprocess_config_path",
)


class RootManaged(KromaError):
    """The caller tried to choose the project's folder."""

    code = "project_root_managed"


@dataclass(frozen=True)
class ConfigRequest:
    """The body of the route; a blank text is absent."""

    project_root: str = ""
    app_settings_path: str = ""
    project_settings_path: str = ""
    manifest_path: str = ""
    postprocess_config_path: str = ""

    @classmethod
    def of(cls, body: object) -> Self:
        """What a JSON body says, no body being an empty one. Raises `WrongType`."""
        if body is None:
            return cls()
        if not isinstance(body, Mapping):
            raise WrongType("The body must be an object", field="body")
        texts = {}
        for name in FIELDS:
            value = body.get(name)
            if not isinstance(value, str | None):
                raise WrongType(f"Field '{name}' must be a text", field=name)
            texts[name] = (value or "").strip()
        return cls(**texts)


def validate_config(slug: str, body: object, *, by: Principal) -> Report:
    """Judge the settings that runs of a project would have, with the files that `body` names.

    Raises, in this order, `WrongType`, `NotFound`, `RootManaged`, and `ConfigurationInvalid` with all that is
    wrong; its text begins with the part that failed first.
    """
    asked = ConfigRequest.of(body)
    project = project_named(slug, by=by)
    if asked.project_root:
        raise RootManaged("Field 'project_root' is managed by project storage and cannot be overridden")
    named = Named(
        app_settings=asked.app_settings_path,
        project_settings=asked.project_settings_path,
        manifest=asked.manifest_path,
        postprocess_config=asked.postprocess_config_path,
    )
    report = validate(Places.of(project), named=named, project=project)
    if report.errors:
        told = "; ".join(map(str, report.errors))
        raise ConfigurationInvalid(f"{_part(report.errors[0])} validation failed: {told}")
    return report


def _part(note: Note) -> str:
    if note.part in (PARTS[APP], PARTS[PROJECT], "Request"):
        return "settings layer"
    return "planning manifest" if note.part == MANIFEST else "postprocess config"
