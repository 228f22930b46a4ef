"""The tools of the steps after generation: put together in one place for plans, workers and commands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from pipeline.engine.colour import ColourProfile
from pipeline.engine.postprocess import PostprocessPlan
from pipeline.engine.postprocess_config import HttpBackend, PostprocessConfig
from pipeline.engine.settings import DEFAULT, KEYS, ORIGINS
from pipeline.models import Run
from pipeline.providers.base import NO_ACCESS, Access
from pipeline.services.accounts import access_to, environment
from pipeline.tools import registry
from pipeline.tools.base import LocalTool, PaidTool
from pipeline.tools.registry import ToolUnknown
from projects.errors import PlanRefused, ProviderUnusable
from projects.models import Project

CUT, REFINE, UPSCALE, COLOUR = "bg_remove", "bg_refine_openai", "upscale", "color"
GUARD = "output_guard"
STEPS = (CUT, REFINE, UPSCALE, COLOUR)

Tool = LocalTool | PaidTool


@dataclass(frozen=True)
class Toolchain:
    """The tools of the steps that are on, in their order; of `cutters` the first that succeeds counts."""

    plan: PostprocessPlan
    config: PostprocessConfig
    profile: ColourProfile | None = None
    cutters: tuple[Tool, ...] = ()
    refiner: PaidTool | None = None
    upscaler: LocalTool | None = None
    colourer: LocalTool | None = None

    @property
    def tools(self) -> tuple[tuple[str, Tool], ...]:
        """Each tool with its step, in the order of the chain."""
        rest = ((REFINE, self.refiner), (UPSCALE, self.upscaler), (COLOUR, self.colourer))
        return (*((CUT, tool) for tool in self.cutters), *((step, tool) for step, tool in rest if tool))

    @property
    def paid(self) -> tuple[tuple[str, PaidTool], ...]:
        """Those that cost money, with their steps."""
        return tuple((step, cast(PaidTool, tool)) for step, tool in self.tools if is_paid(tool))

    def described(self) -> list[dict[str, object]]:
        """What makes the files what they are: recorded with the run and hashed into the plan."""
        return [{"step": step, **description(tool)} for step, tool in self.tools]

    @property
    def upscale_model(self) -> str:
        """The model that enlarges; the tool knows better where it stands in for the one asked for."""
        said = self.upscaler.parameters().get("model") if self.upscaler else None
        return str(said or self.config.upscale_model(self.plan.upscale_backend or ""))

    def price_usd(self) -> Decimal | None:
        """What the steps of one candidate cost at most, in USD; None when one of them has no known price."""
        prices = self.step_prices_usd()
        return None if prices is None else sum(prices.values(), Decimal(0))

    def step_prices_usd(self) -> Mapping[str, Decimal] | None:
        """What each paid step costs at most, in USD; None when one of them has no known price.

        One backend cuts a picture out, so that the dearest of the list counts, and those that can't be
        called count nothing.
        """
        prices: dict[str, Decimal] = {}
        for step, tool in self.paid:
            if tool.missing():
                continue
            price = tool.price()
            if price is None:
                return None
            prices[step] = max(price, prices.get(step, Decimal(0)))
        return prices


@dataclass(frozen=True)
class Settled:
    """The tools that a configuration asks for, and what stands against them, a sentence each."""

    chain: Toolchain
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def plan(self) -> PostprocessPlan:
        """The steps that are planned."""
        return self.chain.plan

    def refuse_problems(self) -> None:
        """Raise `PlanRefused` if a step has no tool that can run."""
        if self.problems:
            raise PlanRefused(". ".join(self.problems))


class Absent:
    """Stands for a tool that does not exist here, so that a plan can be looked at all the same."""

    version = "absent"

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason

    def missing(self) -> str:
        """Why it does not exist."""
        return self.reason

    def parameters(self) -> Mapping[str, object]:
        """None, as it does nothing."""
        return {}

    def apply(self, pixels: Any) -> Any:
        """Never called: what is missing is passed over. Raises `RuntimeError`."""
        raise RuntimeError(self.reason)


def is_paid(tool: Tool) -> bool:
    """Whether calls of it cost money."""
    return hasattr(tool, "call")


def description(tool: Tool) -> dict[str, object]:
    """Name, version and parameters of a tool."""
    return {"tool": tool.code, "version": tool.version, "parameters": dict(tool.parameters())}


def assemble(
    plan: PostprocessPlan,
    config: PostprocessConfig,
    profile: ColourProfile | None,
    project: Project | None,
) -> Toolchain:
    """The tools of a plan. One that does not exist is among them and says so when asked what is missing.

    `profile` may be None when no colour step is on; without a project keys come from the environment only.
    """
    colour = plan.color_profile or ""
    return Toolchain(
        plan,
        config,
        profile if plan.color else None,
        cutters=tuple(_cutter(backend, config, project) for backend in plan.bg_remove_backends),
        refiner=_refiner(config, project) if REFINE in plan.pipeline_order else None,
        upscaler=_upscaler(plan.upscale_backend or "", config) if plan.upscale else None,
        colourer=registry.colourer(colour, profile) if plan.color and profile else None,
    )


def settle(
    plan: PostprocessPlan,
    config: PostprocessConfig,
    profile: ColourProfile | None,
    project: Project | None,
    *,
    origin: Mapping[str, str],
) -> Settled:
    """The tools of a plan, and which of its steps can't run here; `origin` says which layer set what.

    A refine pass that nobody asked for and that can't be called is dropped with a warning.
    """
    chain = assemble(plan, config, profile, project)
    problems, warnings = _cut_faults(chain, ORIGINS[origin[CUT]])
    if chain.refiner is not None and (lack := chain.refiner.missing()):
        if origin[REFINE] == DEFAULT:
            plan = replace(plan, bg_refine_openai=False)
            chain = replace(chain, plan=plan, refiner=None)
            warnings.append(
                f"The refine pass is left out, as nothing asks for it and it can't run: {_bare(lack)}"
            )
        else:
            problems.append(_problem(REFINE, ORIGINS[origin[REFINE]], lack))
    for step, tool in ((UPSCALE, chain.upscaler), (COLOUR, chain.colourer)):
        if tool is not None and (lack := tool.missing()):
            problems.append(_problem(step, ORIGINS[origin[step]], lack))
    return Settled(chain, tuple(problems), tuple(warnings))


def of_run(run: Run) -> Toolchain:
    """The tools of a run as it was planned, whatever the files say by now."""
    profile = ColourProfile(**run.settings_snapshot.get("color_profile_values", {}))
    return assemble(plan_of(run), config_of(run), profile, run.project)


def plan_of(run: Run) -> PostprocessPlan:
    """The steps of a run as it was planned; runs from before there were settings have no names of files."""
    snapshot = run.settings_snapshot
    return PostprocessPlan.from_dicts(snapshot["postprocess"], snapshot.get("postprocess_files", {}))


def config_of(run: Run) -> PostprocessConfig:
    """How the steps of a run work; runs from before there were steps have the defaults."""
    return PostprocessConfig.from_dict(run.settings_snapshot.get("postprocess_config", {}))


def snapshot_of(chain: Toolchain) -> dict[str, object]:
    """What `of_run()` needs beside the plan, for the record of a run."""
    return {
        "postprocess_config": chain.config.as_dict(),
        "color_profile_values": chain.profile.as_dict() if chain.profile else {},
        "tools": chain.described(),
    }


def recorded_steps(snapshot: Mapping[str, Any]) -> dict[str, object]:
    """What `snapshot_of()` put into the record of a run; runs from before there were steps have none."""
    keys = ("postprocess_config", "color_profile_values", "tools")
    return {key: snapshot[key] for key in keys if key in snapshot}


def _cutter(backend: str, config: PostprocessConfig, project: Project | None) -> Tool:
    account = getattr(config.bg_remove, backend, None)
    key_env = account.api_key_env if isinstance(account, HttpBackend) else ""
    return _found(
        backend, lambda: registry.background_remover(backend, config, _access(project, backend, key_env))
    )


def _refiner(config: PostprocessConfig, project: Project | None) -> PaidTool:
    key_env = config.bg_remove.openai.api_key_env
    made = _found("openai", lambda: registry.refiner(config, _access(project, "openai", key_env)))
    return cast(PaidTool, made)


def _upscaler(backend: str, config: PostprocessConfig) -> LocalTool:
    return cast(LocalTool, _found(backend, lambda: registry.upscaler(backend, config)))


def _found(code: str, make: Callable[[], Tool]) -> Tool:
    try:
        return make()
    except (ToolUnknown, ProviderUnusable) as error:
        return Absent(code, str(error))


def _access(project: Project | None, provider_code: str, key_env: str) -> Access:
    """Raises `ProviderUnusable` for an account that is switched off."""
    if not key_env:
        return NO_ACCESS  # it runs here
    if project is None:
        return Access(api_key=environment(key_env))
    return access_to(project, provider_code, key_env=key_env)


def _cut_faults(chain: Toolchain, origin: str) -> tuple[list[str], list[str]]:
    """`(problems, warnings)`: it is enough that one backend can run; the others are named."""
    lacks = [f"{tool.code}: {_bare(lack)}" for tool in chain.cutters if (lack := tool.missing())]
    if not lacks:
        return [], []
    if len(lacks) == len(chain.cutters):
        return [_problem(CUT, origin, " | ".join(lacks))], []
    return [], [f"Backends of the cut-out that can't run are passed over: {' | '.join(lacks)}"]


def _problem(step: str, origin: str, lack: str) -> str:
    return f"'{KEYS[step]}' is switched on by {origin}, and it can't run here: {_bare(lack)}"


def _bare(sentence: str) -> str:
    return sentence.strip().rstrip(".")
