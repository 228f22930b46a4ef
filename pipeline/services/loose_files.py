"""The steps and the guard on files outside of a run: what an operator does by command."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from django.db import transaction

from pipeline.engine.colour import profiles_from_document
from pipeline.engine.discovery import discover_images, is_image_name
from pipeline.engine.documents import parse_document
from pipeline.engine.errors import PlanningError
from pipeline.engine.guard import GuardReport, inspect_path
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.names import (
    ARCHIVE_BAD,
    BACKGROUND_REMOVED,
    COLOUR_CORRECTED,
    INTERNAL,
    OUTPUTS,
    UPSCALED,
    numbered,
)
from pipeline.engine.settings import SettingsLayer
from pipeline.models import Asset
from pipeline.providers.base import ProviderRefused
from pipeline.providers.images import ImageUnreadable
from pipeline.services import assets, calls, steps
from pipeline.services.chain import KINDS
from pipeline.services.configuration import Configuration, decided, load
from pipeline.services.judging import expected_of
from pipeline.services.planning import display_path
from pipeline.services.steps import Made, Picture, StepFailed
from pipeline.services.toolchain import COLOUR, CUT, REFINE, UPSCALE, Toolchain
from pipeline.store import INPUTS, REFERENCES, AssetStore, store_for
from pipeline.tools.base import LocalTool, PaidTool, ToolFailed
from pipeline.tools.pixels import MIME_TYPES
from projects import audit
from projects.access import Principal
from projects.errors import CallFailed, Invalid, PriceUnknown, ProviderUnusable, SpendNotConfirmed
from projects.models import Project

# Hands out images one by one, so that it sees how far the work is.
Watch = Callable[[list[Path]], Iterable[Path]]
# What is made of one picture, each file in place of the one before; the text is the extension wanted.
Make = Callable[[Picture, str], Iterable[tuple[str, Made]]]

FOLDERS = {CUT: BACKGROUND_REMOVED, UPSCALE: UPSCALED, COLOUR: COLOUR_CORRECTED}
# What is never archived by name: it is needed as it is, or lies in the archive.
NEVER_BAD = (INTERNAL, REFERENCES, INPUTS, PurePosixPath(ARCHIVE_BAD).parts[0])


@dataclass(frozen=True)
class Outcome:
    """What a step did to some files; paths are display paths, an entry of `results` is a record."""

    input: str
    output: str
    results: list[dict[str, object]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Work:
    """One step for the files of one project."""

    project: Project
    store: AssetStore
    step: str
    extension: Callable[[Path], str]

    def done(self, source: str, output: str, make: Make, watch: Watch) -> Outcome:
        """Make and publish a file of each image; one that fails does not hold up the others."""
        path = input_path(self.store, source)
        targets = self._targets(path, output)
        place = next(iter(targets.values())) if path.is_file() else output or FOLDERS[self.step]
        found = Outcome(display_path(path), display_path(self.store.root / place))
        for image in watch(list(targets)):
            try:
                found.results.append(self._one(image, targets[image], make))
            except (StepFailed, ImageUnreadable, OSError) as error:
                found.failures.append({"input": display_path(image), "error": str(error)})
        return found

    def _one(self, image: Path, name: str, make: Make) -> dict[str, object]:
        kind = MIME_TYPES.get(image.suffix[1:].lower(), "")
        picture = Picture(image.name, kind, load=image.read_bytes)
        root, found = self.store.root.resolve(), image.resolve()
        inside = found.relative_to(root).as_posix() if found.is_relative_to(root) else ""
        source = Asset.objects.filter(project=self.project, rel_path=inside).first() if inside else None
        record: dict[str, object] = {}
        for step, made in make(picture, PurePosixPath(name).suffix[1:].lower()):
            metadata = {**made.record, "step": step, "source_path": inside or image.as_posix()}
            new = assets.NewFile(
                name, KINDS[step], made.data, made.mime_type, made.size, metadata, source=source
            )
            source = assets.publish_loose(self.project, self.store, new)
            record |= {**made.record, "sha256": source.sha256}
        return {"input": display_path(image), "output": display_path(self.store.root / name), **record}

    def _targets(self, path: Path, output: str) -> dict[Path, str]:
        """Each image with the name of the file that is made of it, relative to the project root."""
        try:
            images = discover_images(path)
        except PlanningError as error:
            raise Invalid(str(error)) from error
        if not images:
            raise Invalid(f"There is no image in {path}: name a folder with images, or one image")
        output = output_name(self.store, output or FOLDERS[self.step])
        if path.is_file() and is_image_name(output):
            if PurePosixPath(output).suffix[1:].lower() not in MIME_TYPES:
                raise Invalid(f"{output} can't be written: end its name with .png, .jpg or .webp")
            return {path: output}
        taken: set[str] = set()
        targets = {}
        for image in images:
            relative = image.relative_to(path) if path.is_dir() else Path(image.name)
            wanted = f"{output}/{relative.with_suffix(f'.{self.extension(image)}').as_posix()}"
            targets[image] = numbered(wanted, taken.__contains__)
            taken.add(targets[image])
        return targets


def upscale_files(
    project: Project,
    *,
    source: str = "",
    output: str = "",
    backend: str = "",
    scale: int | None = None,
    watch: Watch = iter,
    by: Principal,
) -> tuple[Outcome, Toolchain]:
    """Enlarge a file or a folder. Raises `Invalid`, `PlanRefused`, `StorageFailed`."""
    only = SettingsLayer(upscale=True, upscale_backend=backend or None, color=False, bg_remove=False)
    configuration = load(project, request=only)
    if scale is not None:
        config = configuration.postprocess_config
        enlarged = replace(config, upscale=replace(config.upscale, scale=scale))
        configuration = decided(replace(configuration.files, postprocess_config=enlarged), only)
    chain = _chain(configuration, project)
    work = _Work(project, store_for(project), UPSCALE, lambda image: chain.plan.upscale_format)
    outcome = work.done(source, output, _changing(UPSCALE, chain.upscaler), watch)
    _told(project, "files.upscaled", outcome, by=by)
    return outcome, chain


def colour_files(
    project: Project,
    *,
    source: str = "",
    output: str = "",
    profile: str = "",
    settings_file: str = "",
    watch: Watch = iter,
    by: Principal,
) -> tuple[Outcome, Toolchain]:
    """Correct the colours of a file or a folder; a file keeps its format. Raises as `upscale_files`."""
    only = SettingsLayer(color=True, color_profile=profile or None, upscale=False, bg_remove=False)
    configuration = load(project, request=only)
    if settings_file:
        configuration = _with_profiles(configuration, settings_file, only)
    chain = _chain(configuration, project)
    work = _Work(project, store_for(project), COLOUR, _same_format)
    outcome = work.done(source, output, _changing(COLOUR, chain.colourer), watch)
    _told(project, "files.coloured", outcome, by=by)
    return outcome, chain


def cut_out_files(
    project: Project,
    *,
    source: str = "",
    output: str = "",
    backends: tuple[str, ...] = (),
    refine: bool | None = None,
    confirm_spend: bool = False,
    watch: Watch = iter,
    by: Principal,
) -> tuple[Outcome, Toolchain, tuple[str, ...]]:
    """Remove the background of a file or a folder; also what to warn of.

    Raises `SpendNotConfirmed` if a backend or the refine pass may cost money, and as `upscale_files`.
    """
    only = SettingsLayer(
        bg_remove=True,
        bg_remove_backends=backends or None,
        bg_refine_openai=refine,
        upscale=False,
        color=False,
    )
    configuration = load(project, request=only)
    configuration.refuse_errors()
    settled = configuration.settled(project)
    settled.refuse_problems()
    chain, store = settled.chain, store_for(project)
    costly = [tool.code for _, tool in chain.paid if not tool.missing()]
    if costly and not confirm_spend:
        raise SpendNotConfirmed(
            f"{' and '.join(costly)} may cost money: confirm it with --confirm-spend, or leave it out "
            "(--backends rembg, --refine false)"
        )

    def call(tool: PaidTool, step: str, png: bytes) -> calls.KeptAnswer:
        try:
            return calls.paid_call(project, tool, step=step, png=png, name=step, store=store, by=by)
        except (CallFailed, ProviderUnusable, PriceUnknown) as error:
            raise ProviderRefused(str(error), code=error.code) from error

    def make(picture: Picture, extension: str) -> Iterable[tuple[str, Made]]:
        cut = steps.cut_out(chain.cutters, picture, extension=extension, call=call)
        record = {**cut.record, "backend": cut.record["tool"], "refine_openai": False, "refine_error": None}
        if chain.refiner is None:
            yield CUT, replace(cut, record=record)
            return
        of_cut = Picture(picture.name, cut.mime_type, load=lambda: cut.data, pixels=cut.pixels)
        try:
            refined = steps.refine(chain.refiner, of_cut, call=call)
        except StepFailed as error:
            yield CUT, replace(cut, record={**record, "refine_error": str(error)})
            if chain.plan.bg_refine_openai_required:
                raise
        else:
            yield CUT, replace(cut, record=record)
            yield REFINE, replace(refined, record={**refined.record, "refine_openai": True})

    work = _Work(project, store, CUT, lambda image: chain.plan.bg_remove_format)
    outcome = work.done(source, output, make, watch)
    _told(project, "files.cut_out", outcome, by=by)
    return outcome, chain, settled.warnings


def guard_files(
    project: Project, *, source: str = "", settings: GuardSettings, watch: Watch = iter
) -> GuardReport:
    """Let the guard look at a file or a folder.

    Raises `PlanningError` for a folder that can't be read, `Invalid` where lettering is to be read and can't.
    """
    store = store_for(project)
    path = _somewhere(store, source) or Path(source)
    try:
        expected = expected_of(settings, None)
        return inspect_path(path, settings=settings, watch=watch, expected=expected)
    except ToolFailed as error:
        raise Invalid(error.message) from error


def archive_bad_files(
    project: Project, *, source: str, watch: Watch = iter, by: Principal
) -> list[tuple[str, str]]:
    """Move every image under a path to `archive/bad`, rows after them: `(from, to)`, from the project root.

    Raises `Invalid` for a path outside the project's folder, without images, or that holds what must stay.
    """
    store = store_for(project)
    root, path = store.root.resolve(), input_path(store, source).resolve()
    if not path.is_relative_to(root):
        raise Invalid(f"{source} is not in the folder of {project.name}: only its own files can be archived")
    inside = path.relative_to(root).parts
    if not inside or inside[0] in NEVER_BAD:
        raise Invalid(
            f"{source} holds files that must stay ({', '.join(NEVER_BAD)}): name a folder of results, "
            "such as outputs"
        )
    images = discover_images(path)
    if not images:
        raise Invalid(f"There is no image in {source}: nothing was archived")
    moved = []
    for image in watch(images):
        name = image.relative_to(root).as_posix()
        moved.append((name, assets.archive_loose(project, store, name)))
    with transaction.atomic():
        audit.record(project, "files.archived", by=by, n_files=len(moved))
    return moved


def input_path(store: AssetStore, source: str) -> Path:
    """What an operator names, from the working directory or else from the project root; `outputs` by default.

    Raises `Invalid` if it is in neither.
    """
    path = _somewhere(store, source)
    if path is None:
        raise Invalid(f"There is no {source or OUTPUTS}, neither here nor in {store.root}")
    return path


def output_name(store: AssetStore, output: str) -> str:
    """Where results go, relative to the project root. Raises `Invalid` outside of it."""
    root, path = store.root.resolve(), Path(output)
    if path.is_absolute() and path.resolve().is_relative_to(root):
        path = path.resolve().relative_to(root)
    if path.is_absolute():
        raise Invalid(f"{output} is not in {root}: results stay in the folder of their universe")
    name = PurePosixPath(path.as_posix()).as_posix()
    if name == "." or PurePosixPath(name).parts[0] in NEVER_BAD:
        raise Invalid(f"Results can't go to “{output}”: name another folder of the universe")
    store.path(name)
    return name


def _somewhere(store: AssetStore, source: str) -> Path | None:
    places = [Path(source).expanduser(), store.root / source] if source else [store.root / OUTPUTS]
    return next((place.absolute() for place in places if place.exists()), None)


def _chain(configuration: Configuration, project: Project) -> Toolchain:
    configuration.refuse_errors()
    settled = configuration.settled(project)
    settled.refuse_problems()
    return settled.chain


def _changing(step: str, tool: LocalTool | None) -> Make:
    if tool is None:
        raise Invalid(f"There is no tool for the step {step}")

    def make(picture: Picture, extension: str, tool: LocalTool = tool) -> Iterable[tuple[str, Made]]:
        yield step, steps.changed(tool, picture, extension=extension)

    return make


def _same_format(image: Path) -> str:
    extension = image.suffix[1:].lower()
    return extension if extension in MIME_TYPES else "png"


def _with_profiles(configuration: Configuration, settings_file: str, asked: SettingsLayer) -> Configuration:
    """The configuration with the profiles of this file. Raises `Invalid` for a file that can't be used."""
    try:
        document = parse_document(Path(settings_file).read_bytes(), source=settings_file)
        profiles = profiles_from_document(document, source=settings_file).profiles
    except OSError as error:
        raise Invalid(f"{settings_file} can't be read ({error.strerror})") from error
    except PlanningError as error:
        raise Invalid(str(error)) from error
    config = configuration.postprocess_config
    config = replace(config, color=replace(config.color, settings_file=settings_file))
    return decided(replace(configuration.files, profiles=profiles, postprocess_config=config), asked)


def _told(project: Project, event: str, outcome: Outcome, *, by: Principal) -> None:
    with transaction.atomic():
        audit.record(project, event, by=by, n_files=len(outcome.results), n_failed=len(outcome.failures))
