"""From an order to a plan with its price: the same for a preview, a dry run and a paid run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path, PurePosixPath

from django.conf import settings

from pipeline.engine.discovery import is_image_name
from pipeline.engine.errors import PlanningError
from pipeline.engine.jobs import ReadyJob
from pipeline.engine.planning import PlannedJob, RunPlan, RunRequest, plan_hash, plan_run
from pipeline.providers.base import GenerateRequest, ImageProvider
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services.accounts import access_to
from pipeline.services.configuration import Configuration, load
from pipeline.services.judging import reader_lack
from pipeline.services.toolchain import Settled, Toolchain
from pipeline.store import AssetStore, store_for
from projects.errors import Invalid, PlanRefused, ProviderUnusable
from projects.models import Project, ReferenceItem, StyleGuide


@dataclass(frozen=True)
class InputImage:
    """One image that goes into a run.

    `path` is relative to the project root; `name` is the file name that people gave it (job ids and files are
    named after it); `label` is what pages call it; an unknown `sha256` is computed.
    """

    path: str
    name: str
    label: str
    sha256: str = ""

    @classmethod
    def from_item(cls, item: ReferenceItem) -> "InputImage":
        """The image of a reference set's item."""
        sha256 = str(item.facts.get("sha256", ""))
        label = PurePosixPath(item.label).stem if is_image_name(item.label) else item.label
        return cls(path=item.content_uri, name=item.label, label=label, sha256=sha256)


@dataclass(frozen=True)
class OrderedJob:
    """A job that somebody planned elsewhere; the scene is the first of the images."""

    id: str
    prompt: str
    images: tuple[InputImage, ...]


@dataclass(frozen=True)
class RunOrder:
    """What somebody wants made. None leaves the choice to the settings; `batch_limit` is for commands.

    With `jobs` there are no scenes and style references of their own.
    """

    mode: str
    scenes: tuple[InputImage, ...] = ()
    style_refs: tuple[InputImage, ...] = ()
    stage: str = "style"
    time: str | None = None
    weather: str | None = None
    candidates: int | None = None
    seed: int = 0
    style_guide: StyleGuide | None = None
    batch_limit: int | None = None
    jobs: tuple[OrderedJob, ...] = ()
    sync_s3: bool = False
    provider_options: Mapping[str, str] = field(default_factory=dict)  # instead of the account's

    @property
    def images(self) -> tuple[InputImage, ...]:
        """Every image that goes in."""
        return (*self.scenes, *self.style_refs, *(image for job in self.jobs for image in job.images))


@dataclass(frozen=True)
class PreparedRun:
    """A plan with all that is needed to confirm it. `price_usd` is None when it is not known."""

    project: Project
    order: RunOrder
    plan: RunPlan
    plan_hash: str
    image_prices_usd: tuple[Decimal | None, ...]  # of one candidate of each job
    provider: Mapping[str, object]
    configuration: Configuration
    inputs: Mapping[str, str]  # path -> sha256
    images: Mapping[str, InputImage]  # path -> image
    warnings: tuple[str, ...]
    chain: Toolchain  # the tools of the steps after generation

    @property
    def price_usd(self) -> Decimal | None:
        """The price of all calls together, at most."""
        known = [price for price in self.image_prices_usd if price is not None]
        return sum(known, Decimal(0)) * self.plan.n_candidates if len(known) == len(self.plan.jobs) else None

    @property
    def provider_code(self) -> str:
        """Who would make the images, as the settings say."""
        return str(self.provider["code"])

    @property
    def n_images(self) -> int:
        """How many images would be made."""
        return len(self.plan.jobs) * self.plan.n_candidates


def prepare_run(
    project: Project, order: RunOrder, *, configuration: Configuration | None = None
) -> PreparedRun:
    """Plan an order without changing anything.

    `configuration` is what was loaded for the same request, as files are read once; it is loaded if absent.
    Raises `PlanRefused` for everything that stands against the plan, `ProviderUnusable` for a provider that
    can't be called. A missing file stops a paid run; a dry
    run names it among the warnings.
    """
    configuration = configuration or load(project)
    provider, plan, settled = _planned(project, order, configuration)
    store = store_for(project)
    images = {image.path: image for image in order.images}
    inputs, missing = _hashes(store, images)
    if missing and order.mode == "run":
        raise PlanRefused(missing[0])
    description = {"code": provider.code, **provider.describe()}
    lacks = (provider.missing(), reader_lack(plan.guard))
    # A dry run is told what a paid one would be refused for.
    stands_against = (*settled.problems, *missing, *filter(None, lacks))
    warnings = [*map(str, configuration.warnings), *settled.warnings, *stands_against]
    if plan.n_candidates > plan.max_candidates:  # a paid run has been refused by now
        warnings.append(
            f"'candidates' is {plan.n_candidates}, more than 'generation.max_candidates' "
            f"({plan.max_candidates}): the same run would be refused if it were to make images"
        )
    if unused := sorted(set(order.provider_options) - set(description)):
        warnings.append(f"{provider.code} has no choice of {', '.join(unused)}: what is said is ignored")
    if order.style_guide and order.style_guide.instructions.strip() and provider.code == "local":
        warnings.append(
            "The local renderer looks at images only: it records the prompt and ignores its words"
        )
    return PreparedRun(
        project=project,
        order=order,
        plan=plan,
        plan_hash=plan_hash(plan, inputs=inputs, provider=description, tools=settled.chain.described()),
        image_prices_usd=_prices(provider, plan, store, settled.chain),
        provider=description,
        configuration=configuration,
        inputs=inputs,
        images=images,
        warnings=tuple(warnings),
        chain=settled.chain,
    )


def check_order(project: Project, order: RunOrder, *, configuration: Configuration) -> None:
    """Refuse what no plan can be made of, before any file is touched. Raises as `prepare_run`."""
    _planned(project, order, configuration)


def generate_request(job: PlannedJob, seed: int, store: AssetStore) -> GenerateRequest:
    """What the provider is asked for one candidate of a planned job."""
    return GenerateRequest(
        prompt=job.prompt,
        images=tuple(store.path(path) for path in job.input_images),
        seed=seed,
        stage=job.mode,
        time=job.time,
        weather=job.weather,
    )


def display_path(path: Path) -> str:
    """How a path is written into logs: relative to the app root when it lies under it, else absolute."""
    resolved, root = path.resolve(), Path(settings.APP_ROOT).resolve()
    return (resolved.relative_to(root) if resolved.is_relative_to(root) else resolved).as_posix()


def display_name(store: AssetStore, name: str) -> str:
    """How a file of a project is written into logs, from its name relative to the project root.

    Says nothing about the file itself, which may have been moved or replaced since.
    """
    return f"{display_path(store.root)}/{name}"


def _planned(
    project: Project, order: RunOrder, configuration: Configuration
) -> tuple[ImageProvider, RunPlan, Settled]:
    configuration.refuse_errors()
    settled = configuration.settled(project)
    if order.mode == "run":
        settled.refuse_problems()
    request = RunRequest(
        mode=order.mode,
        scenes=tuple(image.path for image in order.scenes),
        scene_names=tuple(image.name for image in order.scenes),
        style_refs=tuple(image.path for image in order.style_refs),
        stage=order.stage,
        time=order.time or "day",
        weather=order.weather or "clear",
        candidates=order.candidates,
        seed=order.seed,
        style_guide=order.style_guide.instructions if order.style_guide else "",
        batch_limit=order.batch_limit,
        jobs=tuple(
            ReadyJob(
                job.id,
                job.prompt,
                tuple(image.path for image in job.images),
                mode=order.stage,
                time=order.time or "day",
                weather=order.weather or "clear",
            )
            for job in order.jobs
        ),
    )
    try:
        code = configuration.provider_code
        access = access_to(project, code)
        if order.provider_options:
            access = replace(access, config={**access.config, **order.provider_options})
        provider = provider_for(code, access)
        plan = plan_run(request, configuration.manifest, settled.plan)
    except (PlanningError, UnknownProvider) as error:
        raise PlanRefused(str(error)) from error
    if order.mode == "run" and (lack := provider.missing()):
        raise ProviderUnusable(lack)
    if order.mode == "run" and (lack := reader_lack(plan.guard)):
        raise PlanRefused(lack)
    return provider, plan, settled


def _hashes(store: AssetStore, images: Mapping[str, InputImage]) -> tuple[dict[str, str], list[str]]:
    """`(path -> sha256, sentences about missing files)`."""
    hashes: dict[str, str] = {}
    missing = []
    for path, image in images.items():
        try:
            if not store.exists(path):
                missing.append(
                    f"The image {image.label} is not there ({path}): upload it again or put it back"
                )
            else:
                hashes[path] = image.sha256 or store.sha256(path)
        except Invalid as error:
            raise PlanRefused(str(error)) from error
        except OSError as error:
            missing.append(f"The image {image.label} can't be read ({path}): {error.strerror}")
    return hashes, missing


def _prices(
    provider: ImageProvider, plan: RunPlan, store: AssetStore, chain: Toolchain
) -> tuple[Decimal | None, ...]:
    """What one candidate of each job costs at most, with its steps; None where a price is not known."""
    steps = chain.price_usd()
    images = [provider.estimate(generate_request(job, 0, store)) for job in plan.jobs]
    return tuple(None if price is None or steps is None else price + steps for price in images)
