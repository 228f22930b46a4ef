"""One image outside of a run: one call, its file in the universe's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.settings import SettingsLayer
from pipeline.models import Asset
from pipeline.providers.base import GenerateRequest, ImageProvider
from pipeline.providers.images import ImageUnreadable, probe_image
from pipeline.providers.registry import UnknownProvider, provider_for
from pipeline.services import assets, calls
from pipeline.services.accounts import access_to
from pipeline.services.attempts import GENERATE, Call
from pipeline.services.configuration import load
from pipeline.services.loose_files import input_path, output_name
from pipeline.store import store_for
from projects.access import Principal
from projects.errors import CallFailed, Invalid, PriceUnknown, ProviderUnusable, SpendNotConfirmed
from projects.models import Project


@dataclass(frozen=True)
class Wanted:
    """One image to be made: the first of `images` is the scene, the others show the style.

    A blank provider, model, size or quality is that of the settings and the account.
    """

    prompt: str
    images: Sequence[str]
    output: str
    provider_code: str = ""
    model: str = ""
    size: str = ""
    quality: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Generated:
    """What was made. `n_bytes` is the size of its file."""

    asset: Asset
    images: tuple[Path, ...]
    model: str
    size: str
    quality: str
    n_bytes: int


def generate_one(project: Project, wanted: Wanted, *, confirm_spend: bool, by: Principal) -> Generated:
    """Make one image and put it at `output`; what stands there goes to the archive.

    Raises `Invalid`, `ProviderUnusable`, `PriceUnknown`, `SpendNotConfirmed`, `BudgetExceeded` before
    anything is called, `CallFailed` when the call brought nothing, `StorageFailed`.
    """
    store = store_for(project)
    name = output_name(store, wanted.output)
    if not name.lower().endswith(".png"):
        raise Invalid(f"{wanted.output} can't be written: providers answer with PNG, end its name with .png")
    if not wanted.prompt.strip():
        raise Invalid("The prompt is blank: say what the image is to be")
    if not wanted.images:
        raise Invalid("There is no image to start from: name at least one")
    paths = tuple(input_path(store, image) for image in wanted.images)
    _check_images(paths)
    provider = _provider(project, wanted.provider_code)
    request = GenerateRequest(
        prompt=wanted.prompt.strip(),
        images=paths,
        seed=wanted.seed,
        stage="style",
        time="day",
        weather="clear",
        model=wanted.model,
        size=wanted.size,
        quality=wanted.quality,
    )
    price = provider.estimate(request)
    if price is None:
        raise PriceUnknown(f"No price is known for this call of {provider.code}: set one in its account")
    if provider.billed and not confirm_spend:
        raise SpendNotConfirmed(f"The call costs up to {price} USD: confirm it with --confirm-spend")
    call = Call(GENERATE, provider.code, billed=provider.billed, price=price)
    result, kept = calls.call_alone(project, call, lambda: provider.generate(request), store=store, by=by)
    try:
        info = probe_image(kept.data, name="The answer")
    except ImageUnreadable as error:
        raise CallFailed(f"{error} It was kept as {kept.path}") from error
    metadata = {"step": GENERATE, "tool": provider.code, "model": result.model, "seed": wanted.seed}
    new = assets.NewFile(
        name, "generated", kept.data, info.mime_type, (info.width, info.height), metadata, sha256=kept.sha256
    )
    asset = assets.publish_loose(project, store, new)
    return Generated(asset, paths, result.model, result.size, result.quality, len(kept.data))


def _check_images(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            probe_image(path)
        except (ImageUnreadable, OSError) as error:
            raise Invalid(str(error)) from error


def _provider(project: Project, code: str) -> ImageProvider:
    configuration = load(project, request=SettingsLayer(provider_code=code or None))
    configuration.refuse_errors()
    code = configuration.provider_code
    try:
        provider = provider_for(code, access_to(project, code))
    except UnknownProvider as error:
        raise Invalid(str(error)) from error
    if lack := provider.missing():
        raise ProviderUnusable(lack)
    return provider
