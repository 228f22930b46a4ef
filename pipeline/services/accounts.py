"""How a project reaches providers and paid tools: its account, and the key for it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from django.conf import settings
from dotenv import dotenv_values

from pipeline.engine.names import FIDELITIES
from pipeline.models import Run
from pipeline.providers.base import NO_ACCESS, Access
from pipeline.providers.comfyworkflow import workflow_faults
from pipeline.providers.local.provider import AUTO, LOOKS
from pipeline.providers.openai_prices import amount
from projects.errors import ProviderUnusable
from projects.models import Project, ProviderAccount
from projects.services.secrets import secret_value

# Where a key is looked for when the project has no secret for it.
KEY_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "comfyui": "COMFYUI_API_KEY",  # for what stands in front of it
        "openai": "OPENAI_API_KEY",
        "photoroom": "PHOTOROOM_API_KEY",
        "removebg": "REMOVE_BG_API_KEY",
    }
)
# The studio's defaults for an account that says nothing else.
CONFIG_VARIABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "openai": {
            "model": "OPENAI_IMAGE_MODEL",
            "size": "OPENAI_IMAGE_SIZE",
            "quality": "OPENAI_IMAGE_QUALITY",
        }
    }
)
LEAST_TIMEOUT = 1  # seconds
# What of a configuration makes the pictures, so that a run keeps it from its plan on.
PLANNED = frozenset({"look", "input_fidelity", "longest_side"})
LEAST_SENT = 256  # pixels of the longer side of an input image; smaller ones show no face
FLAT_PRICES = frozenset({"per_image"})
MODEL_PRICES = FLAT_PRICES | {"text", "image", "output"}
PRICE_EXAMPLE = '{"per_image": "0.05"} or {"a-model": {"per_image": "0.05"}}'
API_KEY = "api_key"  # the name of the secret
FREE = frozenset({"local"})
CALLS_OF_A_TASK = 3  # the image, its refine pass, and room for what happens around them


def access_to(project: Project, provider_code: str, *, key_env: str = "") -> Access:
    """The address, key, prices and configuration with which a project calls a provider.

    The key is the project's secret, or else the environment's, or else that of the `.env` file of the app
    root; a blank one counts as none. `key_env` names another variable than the usual one. Raises
    `ProviderUnusable` for an account that is switched off, or whose calls would outlast their task.
    """
    account = ProviderAccount.objects.filter(project=project, provider_code=provider_code).first()
    if account is not None and not account.enabled:
        raise ProviderUnusable(
            f"The account {account} of {project.name} is switched off: switch it on or choose another one"
        )
    if provider_code in FREE and account is None:
        return NO_ACCESS
    said = account.config if account is not None and isinstance(account.config, dict) else {}
    if faults := config_faults(said):
        raise ProviderUnusable(f"The configuration of {account} can't be used: {'; '.join(faults)}")
    variables = CONFIG_VARIABLES.get(provider_code, {})
    config = {name: value for name, variable in variables.items() if (value := environment(variable))}
    config |= {name: value for name, value in said.items() if value not in ("", None)}
    prices = config.pop("prices", None)
    _check_patience(provider_code, config.get("timeout"))
    return Access(
        api_key=_key(project, provider_code, key_env or KEY_VARIABLES.get(provider_code, "")),
        base_url=account.base_url if account else "",
        prices=prices if isinstance(prices, dict) else {},
        config=config,
    )


def access_of_run(run: Run) -> Access:
    """As `access_to` for the provider of a run, with what was planned of its configuration. Raises as it."""
    access = access_to(run.project, run.provider_code)
    planned = run.settings_snapshot.get("provider", {})
    kept = {name: planned[name] for name in PLANNED & set(planned)}
    return replace(access, config={**access.config, **kept})


def _check_patience(provider_code: str, seconds: object) -> None:
    """A task that takes too long is killed, and the call that it was in would be in doubt each time."""
    longest = settings.TASK_TIMEOUT // CALLS_OF_A_TASK
    if isinstance(seconds, int | float) and seconds > longest:
        raise ProviderUnusable(
            f"The account of {provider_code} waits {seconds} s for an answer, and a task of "
            f"{settings.TASK_TIMEOUT} s bears {longest}: lower 'timeout', or raise KROMA_TASK_TIMEOUT"
        )


def config_faults(config: Mapping[str, object]) -> list[str]:
    """What can't be used of an account's configuration, a sentence each that names the key.

    Keys that nobody reads are left alone; a slip in a price is not, as it would cost money.
    """
    faults = [
        f"'{name}' is {config[name]!r}, use a text"
        for name in ("model", "size", "quality")
        if not isinstance(config.get(name, ""), str)
    ]
    timeout = config.get("timeout", LEAST_TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= LEAST_TIMEOUT:
        faults.append(f"'timeout' is {timeout!r}, use a number of seconds from {LEAST_TIMEOUT}")
    look = config.get("look", AUTO)
    if not isinstance(look, str) or look not in LOOKS:
        faults.append(f"'look' is {look!r}, use one of {', '.join(LOOKS)}")
    if config.get("input_fidelity", FIDELITIES[0]) not in FIDELITIES:
        faults.append(f"'input_fidelity' is {config['input_fidelity']!r}, use one of {', '.join(FIDELITIES)}")
    side = config.get("longest_side", LEAST_SENT)
    if isinstance(side, bool) or not isinstance(side, int) or side < LEAST_SENT:
        faults.append(f"'longest_side' is {side!r}, use a whole number of pixels from {LEAST_SENT}")
    if "workflow" in config:
        faults += workflow_faults(config["workflow"])
    prices = config.get("prices", {})
    if not isinstance(prices, dict):
        return [*faults, f"'prices' is {prices!r}, use an object such as {PRICE_EXAMPLE}"]
    for name, price in prices.items():
        of_model = isinstance(price, dict)
        for key, value in price.items() if of_model else ((name, price),):
            dotted = f"prices.{name}.{key}" if of_model else f"prices.{name}"
            if key not in (MODEL_PRICES if of_model else FLAT_PRICES):
                faults.append(f"'{dotted}' is no price, use {PRICE_EXAMPLE}")
            elif amount(value) is None:
                faults.append(f"'{dotted}' is {value!r}, use an amount in USD from 0")
    return faults


def environment(name: str) -> str:
    """A variable of the process, or else of the `.env` file of the app root; '' for a blank one."""
    if value := os.environ.get(name, "").strip():
        return value
    return str(dotenv_values(Path(settings.APP_ROOT) / ".env").get(name) or "").strip()


def _key(project: Project, provider_code: str, variable: str) -> str:
    return secret_value(project, provider_code, API_KEY) or (environment(variable) if variable else "")
