"""The one loader of settings files, manifest, post-process and colour files; each is read once."""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from django.conf import settings

from pipeline.engine.colour import (
    BUILTIN_PROFILES,
    ColourProfile,
    delta_on_grey,
    profile_named,
    read_profiles,
)
from pipeline.engine.documents import Findings, Problem, parse_document
from pipeline.engine.errors import PlanningError
from pipeline.engine.manifest import DEFAULT_MANIFEST, Manifest, read_manifest
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.postprocess_config import (
    DEFAULT_CONFIG,
    PostprocessConfig,
    effective_plan,
    read_config,
)
from pipeline.engine.settings import (
    APP,
    CONFIG,
    DEFAULT,
    KEYS,
    ORIGINS,
    PROJECT,
    REQUEST,
    Effective,
    SettingsLayer,
    merge,
    read_layer,
)
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services.toolchain import Settled, settle
from projects.errors import ConfigurationInvalid, PlanRefused
from projects.models import Project, ProjectStorage

LARGEST_FILE = 1024 * 1024  # bytes; such files are written by hand
PARTS = MappingProxyType({APP: "App settings", PROJECT: "Project settings"})
MANIFEST, POSTPROCESS, COLOUR = "Planning manifest", "Post-process config", "Colour settings"

Content = TypeVar("Content")


@dataclass(frozen=True)
class Places:
    """What paths count from, and where they may lead; `closed` folders are inside them and not open."""

    app_root: Path
    project_root: Path | None = None
    closed: tuple[Path, ...] = ()

    @classmethod
    def of(cls, project: Project) -> "Places":
        """Those of a project, which may be one that is not saved yet."""
        app_root = Path(settings.APP_ROOT)
        places = cls.at(app_root, project.storage.root(), base=app_root / project.storage.local_base_dir)
        others = ProjectStorage.objects.exclude(project=project.pk).exclude(local_project_root="")
        elsewhere = (app_root / root for root in others.values_list("local_project_root", flat=True))
        return replace(places, closed=(*places.closed, *elsewhere))

    @classmethod
    def at(cls, app_root: Path, project_root: Path | None, *, base: Path | None = None) -> "Places":
        """Those that an operator names. `base` holds the projects of others, and ours."""
        app_root = app_root.resolve()
        closed = (base or app_root / "var" / "projects", Path(settings.BACKEND_DIR))
        return cls(
            app_root,
            project_root.resolve() if project_root else None,
            # A base that holds the app root itself must not close it.
            tuple(folder for folder in closed if not app_root.is_relative_to(folder.resolve())),
        )

    def admits(self, path: Path) -> bool:
        """Whether a file of a project may be read there, links resolved."""
        if ".." in path.parts:
            return False
        resolved = path.resolve()
        own = [root.resolve() for root in (self.project_root, *settings.INPUT_ROOTS) if root]
        if any(resolved.is_relative_to(root) for root in own):
            return True
        closed = any(resolved.is_relative_to(folder.resolve()) for folder in self.closed)
        return resolved.is_relative_to(self.app_root.resolve()) and not closed


@dataclass(frozen=True)
class Named:
    """Files that are named for this one request instead of the usual ones; a blank one is not named.

    `by_operator` allows them to lie anywhere; whatever a file names in turn is held to the places.
    """

    app_settings: str = ""
    project_settings: str = ""
    manifest: str = ""
    postprocess_config: str = ""
    by_operator: bool = False


@dataclass(frozen=True)
class Note:
    """An error or a warning about one part of the configuration."""

    part: str
    problem: Problem

    def __str__(self) -> str:
        return f"{self.part}: {self.problem.message}"

    def as_dict(self) -> dict[str, str]:
        """As plain values."""
        return {
            "part": self.part,
            "file": self.problem.file,
            "key": self.problem.key,
            "message": self.problem.message,
        }


@dataclass(frozen=True)
class Looked:
    """A file that was looked for, whether it was there, and whose it is."""

    part: str
    path: str
    found: bool


@dataclass(frozen=True)
class Files:
    """What the files of one request say. What could not be read has its default, and an error."""

    manifest: Manifest
    postprocess_config: PostprocessConfig
    profiles: Mapping[str, ColourProfile]
    layers: Mapping[str, SettingsLayer]
    looked: tuple[Looked, ...]
    errors: tuple[Note, ...]
    warnings: tuple[Note, ...]


@dataclass(frozen=True)
class Configuration:
    """All that files and a request say together."""

    files: Files
    layers: Mapping[str, SettingsLayer]
    effective: Effective
    plan: PostprocessPlan
    errors: tuple[Note, ...]
    warnings: tuple[Note, ...]

    @property
    def manifest(self) -> Manifest:
        """The manifest, or the default one."""
        return self.files.manifest

    @property
    def postprocess_config(self) -> PostprocessConfig:
        """How each step works."""
        return self.files.postprocess_config

    @property
    def profiles(self) -> Mapping[str, ColourProfile]:
        """The colour profiles that there are, by name."""
        return self.files.profiles

    def asking(self, request: SettingsLayer) -> "Configuration":
        """The same files under another request, which must name none of them."""
        return decided(self.files, request)

    @property
    def provider_code(self) -> str:
        """The provider of runs that name none themselves."""
        return str(self.effective.values.provider_code)

    def refuse_errors(self) -> None:
        """Raise `PlanRefused` if anything is wrong."""
        if self.errors:
            raise PlanRefused(". ".join(map(str, self.errors)))

    def settled(self, project: Project | None) -> Settled:
        """The tools of the steps that are on, and what stands against them for this project."""
        return settle(
            self.plan,
            self.postprocess_config,
            self.profiles.get(self.plan.color_profile or ""),
            project,
            origin=self.effective.origin,
        )


@dataclass(frozen=True)
class Report:
    """The answer to “would a run be planned with this?”."""

    configuration: Configuration
    errors: tuple[Note, ...]
    warnings: tuple[Note, ...]

    def summary(self) -> dict[str, object]:
        """The four keys of the contract, and what we add to them."""
        found = self.configuration
        return {
            "app_settings_loaded": not found.layers[APP].is_empty,
            "project_settings_loaded": not found.layers[PROJECT].is_empty,
            "resolved_manifest_path": found.effective.values.manifest_path,
            "resolved_postprocess_config_path": found.effective.values.postprocess_config_path,
            "warnings": [note.as_dict() for note in self.warnings],
            "errors": [note.as_dict() for note in self.errors],
            "effective": found.effective.as_dict(),
        }

    def refuse(self) -> None:
        """Raise `ConfigurationInvalid` with every error, a line each, if there is one."""
        if self.errors:
            raise ConfigurationInvalid("\n".join(map(str, self.errors)))


NOTHING_ASKED = SettingsLayer()
NOTHING_NAMED = Named()


def load(
    project: Project, *, request: SettingsLayer = NOTHING_ASKED, named: Named = NOTHING_NAMED
) -> Configuration:
    """The configuration of a project as its files are now. Reads them, raises nothing, writes nothing."""
    return _Loader(Places.of(project), named).load(request)


def validate(places: Places, *, named: Named = NOTHING_NAMED, project: Project | None = None) -> Report:
    """Look for everything that is wrong or odd. Without `project` the database is not needed.

    Keys are then looked for in the environment only.
    """
    found = _Loader(places, named).load(NOTHING_ASKED)
    file, errors = found.effective.values.manifest_path or "the default manifest", list(found.errors)
    for name in ("scene_refs", "style_refs"):
        for index, reference in enumerate(getattr(found.manifest, name)):
            if not _is_there(reference, places):
                key = f"{name}[{index}]"
                message = (
                    f"'{key}' in {file} is '{reference}', which is no file of the project or the app root"
                )
                errors.append(Note(MANIFEST, Problem(file, key, message)))
    if found.manifest.candidates > found.manifest.max_candidates:
        key = "generation.candidates"
        message = (
            f"'{key}' in {file} is {found.manifest.candidates}, more than 'generation.max_candidates' "
            f"({found.manifest.max_candidates})"
        )
        errors.append(Note(MANIFEST, Problem(file, key, message)))
    try:
        provider_for(found.provider_code)
    except UnknownProvider as error:
        origin = found.effective.origin["provider_code"]
        message = f"'provider_code' of {ORIGINS[origin]} can't be used: {error}"
        errors.append(Note(PARTS.get(origin, "Request"), Problem("", "provider_code", message)))
    settled = found.settled(project)
    errors += [Note(POSTPROCESS, Problem("", "", sentence)) for sentence in settled.problems]
    odd = [Note(POSTPROCESS, Problem("", "", sentence)) for sentence in settled.warnings]
    return Report(found, tuple(errors), (*found.warnings, *odd))


def decided(files: Files, request: SettingsLayer) -> Configuration:
    """What files and a request come to. Reads nothing."""
    layers = {REQUEST: request, **files.layers}
    effective = merge(layers.items())
    errors, warnings = list(files.errors), list(files.warnings)
    try:
        plan = effective_plan(effective, files.postprocess_config)
    except PlanningError as error:
        plan = PostprocessPlan.off()
        # A file that is wrong by itself has said so already.
        if not any(note.part == POSTPROCESS for note in errors):
            errors.append(Note(POSTPROCESS, Problem("", "", str(error))))
    if not any(note.part == COLOUR for note in errors):
        wrong, odd = _look_at_colour(effective, plan, files)
        errors += wrong
        warnings += odd
    return Configuration(
        files=files,
        layers=MappingProxyType(layers),
        effective=effective,
        plan=plan,
        errors=tuple(errors),
        warnings=tuple(warnings),
    )


def _look_at_colour(
    effective: Effective, plan: PostprocessPlan, files: Files
) -> tuple[list[Note], list[Note]]:
    """`(errors, warnings)` about the colour profile."""
    name, origin = str(effective.values.color_profile), ORIGINS[effective.origin["color_profile"]]
    try:
        profile = profile_named(name, files.profiles)
    except PlanningError as error:
        message = f"'postprocess.color_profile' of {origin}: {error}"
        note = Note(COLOUR, Problem("", KEYS["color_profile"], message))
        named = effective.origin["color_profile"] != DEFAULT
        return ([note], []) if plan.color else ([], [note] if named else [])
    guard, delta = files.manifest.guard, delta_on_grey(profile) if plan.color else 0.0
    if not guard.enabled or delta <= guard.max_chroma_delta:
        return [], []
    message = (
        f"Colour profile '{name}' of {origin} alone gives plain grey a chroma delta of {delta:.2f}, "
        f"more than 'output_guard.max_chroma_delta' ({guard.max_chroma_delta:g}): the guard will warn of "
        "every panel"
    )
    return [], [Note(COLOUR, Problem("", "output_guard.max_chroma_delta", message))]


class _Loader:
    """Reads the files of one request and notes what is wrong with them."""

    def __init__(self, places: Places, named: Named) -> None:
        self.places = places
        self.named = named
        self.looked: list[Looked] = []
        self.errors: list[Note] = []
        self.warnings: list[Note] = []

    def load(self, request: SettingsLayer) -> Configuration:
        request = replace(
            request,
            manifest_path=self.named.manifest.strip() or request.manifest_path,
            postprocess_config_path=self.named.postprocess_config.strip() or request.postprocess_config_path,
        )
        app, own = self._app_layer(), self._project_layer()
        layers = {PROJECT: own, APP: app}
        named = merge([(REQUEST, request), *layers.items()])
        manifest = self._named_file(MANIFEST, "manifest_path", named, read_manifest, DEFAULT_MANIFEST)
        config = self._named_file(POSTPROCESS, "postprocess_config_path", named, read_config, DEFAULT_CONFIG)
        profiles = BUILTIN_PROFILES
        if config.color.settings_file:
            path = self.places.app_root / config.color.settings_file
            self.looked.append(Looked(COLOUR, config.color.settings_file, _stands(path)))
            profiles = self._read(COLOUR, path, read_profiles, profiles, "'color.settings_file'")
        files = Files(
            manifest=manifest,
            postprocess_config=config,
            profiles=profiles,
            layers=MappingProxyType({**layers, CONFIG: config.written}),
            looked=tuple(self.looked),
            errors=tuple(self.errors),
            warnings=tuple(self.warnings),
        )
        return decided(files, request)

    def _app_layer(self) -> SettingsLayer:
        text = self.named.app_settings.strip()
        if text:
            return self._layer(APP, self.places.app_root / text)
        return self._usual_layer(APP, self.places.app_root / "config")

    def _project_layer(self) -> SettingsLayer:
        text, root = self.named.project_settings.strip(), self.places.project_root
        if text and root is None and not Path(text).is_absolute():
            self._note(
                self.errors,
                PARTS[PROJECT],
                text,
                f"the path {text} is relative and no project root is known; name the project too",
            )
        elif text:
            return self._layer(PROJECT, (root or Path()) / text)
        elif root is not None:
            return self._usual_layer(PROJECT, root / ".kroma")
        return SettingsLayer()

    def _usual_layer(self, layer: str, folder: Path) -> SettingsLayer:
        """The TOML file, or else the JSON file, or else nothing."""
        toml, json = folder / "pipeline.settings.toml", folder / "pipeline.settings.json"
        self.looked += [Looked(PARTS[layer], self._shown(path), _stands(path)) for path in (toml, json)]
        if _stands(toml):
            if _stands(json):
                shadowed = self._shown(json)
                self._note(
                    self.warnings, PARTS[layer], shadowed, f"{shadowed} is ignored beside the TOML file"
                )
            return self._layer(layer, toml, usual=True)
        return self._layer(layer, json, usual=True) if _stands(json) else SettingsLayer()

    def _layer(self, layer: str, path: Path, *, usual: bool = False) -> SettingsLayer:
        what = f"the {layer} settings file"
        anywhere = self.named.by_operator and not usual
        if not usual:
            self.looked.append(Looked(PARTS[layer], self._shown(path), _stands(path)))
        return self._read(PARTS[layer], path, read_layer, SettingsLayer(), what, anywhere=anywhere)

    def _named_file(
        self,
        part: str,
        field: str,
        effective: Effective,
        reader: Callable[[object, Findings], Content],
        default: Content,
    ) -> Content:
        """The file that a layer names; the default if none does."""
        text, origin = getattr(effective.values, field), effective.origin[field]
        if text is None:
            return default
        anywhere = self.named.by_operator and origin == REQUEST
        what = f"'{field}' of {ORIGINS[origin]}"
        self.looked.append(Looked(part, text, _stands(self.places.app_root / text)))
        return self._read(part, self.places.app_root / text, reader, default, what, anywhere=anywhere)

    def _read(
        self,
        part: str,
        path: Path,
        reader: Callable[[object, Findings], Content],
        default: Content,
        what: str,
        *,
        anywhere: bool = False,
    ) -> Content:
        """Read one file, and note what is wrong in it. `what` says who named it."""
        findings = Findings(self._shown(path))
        content = default
        try:
            document = parse_document(self._fetched(path, what, anywhere), source=findings.source)
        except PlanningError as error:
            findings.error("", str(error))
        else:
            content = reader(document, findings)
        self.errors += [Note(part, problem) for problem in findings.errors]
        self.warnings += [Note(part, problem) for problem in findings.warnings]
        return content

    def _fetched(self, path: Path, what: str, anywhere: bool) -> bytes:
        try:
            if anywhere or self.places.admits(path):
                return _bytes(path, what)
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, PlanningError):
                raise
            # A null byte in a path, links that go in a circle.
            raise PlanningError(f"{what} is no usable path ({error})") from error
        raise PlanningError(
            f"{what} leads to {path}, which is neither in the app root nor in the project's folder"
        )

    def _note(self, notes: list[Note], part: str, file: str, message: str, key: str = "") -> None:
        notes.append(Note(part, Problem(file, key, message)))

    def _shown(self, path: Path) -> str:
        root = self.places.app_root
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _bytes(path: Path, what: str) -> bytes:
    """Raises `PlanningError` for what is no readable file; `what` begins the sentence."""
    try:
        # Looked at first, as opening a named pipe waits for somebody to write.
        if not stat.S_ISREG(path.stat().st_mode):
            raise PlanningError(f"{what} leads to {path}, which is not a file")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise PlanningError(f"{what} leads to {path}, which does not exist") from error
    except OSError as error:
        raise PlanningError(f"{what} leads to {path}, which can't be read ({error.strerror})") from error
    if len(data) > LARGEST_FILE:
        raise PlanningError(f"{what} leads to {path}, which is larger than {LARGEST_FILE // 1024} KiB")
    return data


def _stands(path: Path) -> bool:
    """Whether something has that name, be it a file or not."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False  # ValueError: a null byte in the path
    except OSError:
        return True  # reading it will say why it can't be read
    return True


def _is_there(reference: str, places: Places) -> bool:
    roots = [root for root in (places.project_root, places.app_root) if root]
    try:
        return any(places.admits(root / reference) and (root / reference).is_file() for root in roots)
    except (OSError, ValueError, RuntimeError):
        return False
