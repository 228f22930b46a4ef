"""The settings of a project as a table: for every key its value, and the layer and the file it comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.engine.manifest import DEFAULT_MANIFEST, Manifest
from pipeline.engine.settings import APP, CONFIG, DEFAULT, KEYS, ORIGINS, PROJECT
from pipeline.services.configuration import (
    MANIFEST,
    PARTS,
    POSTPROCESS,
    Configuration,
    Looked,
    Note,
    Places,
    validate,
)
from projects.models import Project

# Layer -> the part that its file is.
FILES = {PROJECT: PARTS[PROJECT], APP: PARTS[APP], CONFIG: POSTPROCESS}


@dataclass(frozen=True)
class SettingRow:
    """One key; `value` is as people read it, `file` the file that sets it or ''."""

    key: str
    value: str
    origin: str
    file: str
    is_default: bool


@dataclass(frozen=True)
class SettingsTable:
    """All that the settings page shows; none of it is a secret."""

    rows: tuple[SettingRow, ...]
    files: tuple[Looked, ...]
    errors: tuple[Note, ...]
    warnings: tuple[Note, ...]
    batch_limit: int


def settings_table(project: Project) -> SettingsTable:
    """The settings as the files of a project are now. Reads each once, changes nothing."""
    report = validate(Places.of(project), project=project)
    found = report.configuration
    return SettingsTable(
        rows=(*_layered(found), *_of_manifest(found)),
        files=found.files.looked,
        errors=report.errors,
        warnings=report.warnings,
        batch_limit=found.manifest.safe_batch_limit,
    )


def _layered(found: Configuration) -> Iterator[SettingRow]:
    for field, key in KEYS.items():
        origin = found.effective.origin[field]
        file = _file(found.files.looked, FILES.get(origin, ""))
        value = _shown(getattr(found.effective.values, field))
        yield SettingRow(key, value, ORIGINS[origin], file, origin == DEFAULT)


def _of_manifest(found: Configuration) -> Iterator[SettingRow]:
    """The keys of the manifest. One that says what the default says has no more to tell than the default."""
    file, usual = _file(found.files.looked, MANIFEST), _manifest_values(DEFAULT_MANIFEST)
    for key, value in _manifest_values(found.manifest).items():
        is_default = value == usual[key]
        origin = ORIGINS[DEFAULT] if is_default else "the manifest"
        yield SettingRow(key, _shown(value), origin, "" if is_default else file, is_default)


def _manifest_values(manifest: Manifest) -> dict[str, object]:
    return {
        "safe_batch_limit": manifest.safe_batch_limit,
        "generation.candidates": manifest.candidates,
        "generation.max_candidates": manifest.max_candidates,
        "scene_refs": manifest.scene_refs,
        "style_refs": manifest.style_refs,
        "policy.default_no_invention": manifest.default_no_invention,
        **{f"output_guard.{key}": value for key, value in manifest.guard.as_dict().items()},
        **{f"prompts.{key}": text for key, text in manifest.prompts.items()},
    }


def _file(looked: Sequence[Looked], part: str) -> str:
    return next((file.path for file in looked if file.found and file.part == part), "")


def _shown(value: object) -> str:
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "on" if value else "off"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
