"""What the paths of a request stand for: images of the project, or files to be copied into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from django.conf import settings

from pipeline.engine.discovery import discover_images
from pipeline.engine.errors import PlanningError
from pipeline.services.configuration import Places
from pipeline.services.planning import InputImage
from pipeline.services.references import FoundInput, as_inputs, find_inputs
from pipeline.store import INPUTS
from projects.errors import Invalid, PlanRefused
from projects.models import Project


@dataclass(frozen=True)
class Brought:
    """Files from outside the project, to be copied into it before they are planned with (`copy_found`)."""

    place: str
    found: tuple[FoundInput, ...]

    def images(self) -> list[InputImage]:
        """What they will be in the project."""
        return as_inputs(self.found, place=self.place)


@dataclass
class Sources:
    """Resolves the paths of one request under one rule.

    A path counts from the project root, or else from the app root. It must lie, links resolved, in the
    project root or in a folder of `KROMA_INPUT_ROOTS`; one that the operator wrote into the manifest may
    also lie in the app root. `known` references are images already. A missing image stands for itself,
    which is for the plan to judge, or is refused if it `must_exist`.
    """

    project: Project
    known: Mapping[str, InputImage] = field(default_factory=dict)
    must_exist: bool = False
    brought: list[Brought] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._app_root = Path(settings.APP_ROOT).resolve()
        self._root = self.project.storage.root().resolve()
        self._roots = [self._root, *(Path(root).resolve() for root in settings.INPUT_ROOTS)]

    def images(
        self, references: Sequence[str], *, place: str, of_manifest: bool = False
    ) -> tuple[InputImage, ...]:
        """One image for each reference, in order. `place` names the purpose. Raises `PlanRefused`."""
        found: list[InputImage | Path] = [
            self.known[reference] if reference in self.known else self._found(reference, of_manifest)
            for reference in references
        ]
        outside = [item for item in found if isinstance(item, Path)]
        copies = iter(self._copied(outside, place))
        return tuple(next(copies) if isinstance(item, Path) else item for item in found)

    def expanded(self, path: str) -> tuple[InputImage, ...]:
        """The images that `input` stands for, a file or a folder. Raises `PlanRefused`."""
        source = self._place(path, of_manifest=False)
        if not source.exists():
            raise PlanRefused(f"input not found: {path}")
        try:
            images = discover_images(source)
        except PlanningError as error:
            raise PlanRefused(str(error)) from error
        if not images:
            raise PlanRefused(f"There are no scene references: '{path}' holds no image")
        if source.is_relative_to(self._root):
            return tuple(self._inside(image) for image in images)
        return tuple(self._copied([source], "scenes"))

    def _found(self, reference: str, of_manifest: bool) -> InputImage | Path:
        """An image of the project, or the file outside it that must be copied first."""
        path = self._place(reference, of_manifest=of_manifest)
        is_there = path.is_file()
        if self.must_exist and not is_there:
            raise PlanRefused(f"The image {reference} is not there: look for a slip in its name")
        if path.is_relative_to(self._root):
            return self._inside(path, name=PurePosixPath(reference).name)
        if is_there:
            return path
        # Where its copy would lie; a paid run is refused for it, a dry one names it.
        return InputImage(path=f"{INPUTS}/{path.name}", name=path.name, label=reference)

    def _place(self, reference: str, *, of_manifest: bool) -> Path:
        """The resolved path of a reference. Raises `PlanRefused` if it may not be read."""
        if ".." in PurePosixPath(reference).parts:
            raise PlanRefused(f"The path '{reference}' has '..' in it: name the place itself")
        try:
            places = [(root / reference).resolve() for root in (self._root, self._app_root)]
            allowed = [path for path in places if self._admits(path, of_manifest)]
            if allowed:
                # What is not there at all is named as it was meant: most clients count from the app root.
                return next((path for path in allowed if path.exists()), allowed[-1])
        except (OSError, ValueError, RuntimeError) as error:
            raise PlanRefused(f"'{reference[:200]}' is no usable path ({error})") from error
        raise PlanRefused(
            f"'{reference}' lies neither in the project's folder nor in one of KROMA_INPUT_ROOTS: upload the "
            "image to a reference set, or ask the operator to allow its folder"
        )

    def _admits(self, path: Path, of_manifest: bool) -> bool:
        if any(path.is_relative_to(root) for root in self._roots):
            return True
        return of_manifest and Places.of(self.project).admits(path)

    def _inside(self, path: Path, *, name: str = "") -> InputImage:
        name, inside = name or path.name, path.relative_to(self._root).as_posix()
        if not inside.isprintable():
            raise PlanRefused(f"The file name {inside!a} can't be written down: rename the file")
        return InputImage(path=inside, name=name, label=PurePosixPath(name).stem or name)

    def _copied(self, files: Sequence[Path], place: str) -> list[InputImage]:
        if not files:
            return []
        try:
            brought = Brought(place, tuple(find_inputs(files)))
        except Invalid as error:
            raise PlanRefused(str(error)) from error
        self.brought.append(brought)
        return brought.images()
