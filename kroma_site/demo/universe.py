"""The example universe: a harbour town, its scenes, three hands to draw it in, and a finished run."""

from collections.abc import Callable, Sequence

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from kroma_site.demo.plates import PLATES
from kroma_site.demo.scenes import SCENES
from pipeline.engine.trigger import TriggerRequest
from pipeline.models import Run
from pipeline.providers.images import encode_png
from pipeline.services.health import check_account
from pipeline.services.planning import InputImage, PreparedRun
from pipeline.services.references import FoundInput, add_images
from pipeline.services.sources import Brought
from pipeline.services.trigger import Supplied, prepare
from projects.access import Principal
from projects.models import Project, ReferenceSet, StyleGuide
from projects.services.library import save_entry
from projects.services.people import first_owner
from projects.services.projects import create_project

SLUG = "demo"
NAME = "Saltmarsh"
GUIDE = "House style"
SCENE_SET = "Scenes"
STYLE_SET = "Ink plates"
N_CANDIDATES = 2

Drawing = tuple[str, Callable[[], Image.Image]]

SETS: tuple[tuple[str, str, Sequence[Drawing]], ...] = (
    (SCENE_SET, "Chapter one: the harbour, from the morning boat to market day.", SCENES),
    (STYLE_SET, "Black ink on white paper: spotted blacks, contours, hatching.", PLATES[:1]),
    ("Poster plates", "Flat warm colours with hard edges, no outline.", PLATES[1:2]),
    ("Wash plates", "Cool watercolour: soft edges, paper that shows through.", PLATES[2:]),
)
INSTRUCTIONS = (
    "Saltmarsh is told in black ink on white paper. Light comes from one side and is left as bare paper; "
    "shadows are solid black, half-tones are hatched in one direction. Contours swell and taper. Faces and "
    "buildings stay where the scene has them, and nothing is lettered."
)


def build() -> Project:
    """Make the universe, or what of it is missing, with `local` as its owner."""
    owner = first_owner()
    by = Principal(owner)
    project = Project.objects.filter(slug=SLUG).first() or create_project(
        name=NAME,
        slug=SLUG,
        description="The example universe: a harbour town between tide and railway.",
        owner=owner,
        by=by,
    )
    if not StyleGuide.objects.filter(project=project, name=GUIDE).exists():
        save_entry(project, StyleGuide(name=GUIDE, instructions=INSTRUCTIONS), by=by)
    check_account(project, "local", by=by)
    for name, description, drawings in SETS:
        found = ReferenceSet.objects.filter(project=project, name=name).first()
        reference_set = found or save_entry(project, ReferenceSet(name=name, description=description), by=by)
        if not reference_set.items.exists():
            add_images(reference_set, [_drawn(drawing) for drawing in drawings], by=by)
    return project


def plan(project: Project, *, scenes: Sequence[FoundInput] = ()) -> tuple[PreparedRun, TriggerRequest]:
    """The plan of a run of the universe: its own scenes, or the files that were named, in ink."""
    brought = Brought("scenes", tuple(scenes))
    images, styles = brought.images() or _images(project, SCENE_SET), _images(project, STYLE_SET)
    guide = StyleGuide.objects.filter(project=project, name=GUIDE).first()
    request = TriggerRequest(
        mode="run",
        confirm_spend=True,
        scene_refs=tuple(image.path for image in images),
        style_refs=tuple(image.path for image in styles),
        candidates=N_CANDIDATES,
        style_guide_id=str(guide.pk) if guide else "",
        batch_limit=max(20, len(images)),
    )
    known = {image.path: image for image in (*images, *styles)}
    supplied = Supplied(images=known, brought=(brought,) if scenes else (), by_operator=True)
    return prepare(project, request, supplied=supplied), request


def latest_run() -> Run | None:
    """The newest run of the universe that has ended well or is on its way."""
    runs = Run.objects.filter(project__slug=SLUG, run_mode=Run.Mode.RUN)
    return runs.filter(status__in=["ok", "queued", "running"]).order_by("-created_at").first()


def _images(project: Project, name: str) -> list[InputImage]:
    items = ReferenceSet.objects.get(project=project, name=name).items.all()
    return [InputImage.from_item(item) for item in items]


def _drawn(drawing: Drawing) -> SimpleUploadedFile:
    name, draw = drawing
    return SimpleUploadedFile(name, encode_png(draw()), "image/png")
