import json as json_format
from argparse import ArgumentParser, BooleanOptionalAction
from typing import Any

from django.core.management import CommandError

from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.universes import any_project_named
from pipeline.providers.registry import UnknownProvider, provider_codes, provider_for
from pipeline.services.accounts import KEY_VARIABLES, access_to, config_faults
from projects.access import OPERATOR
from projects.errors import KromaError
from projects.models import ProviderAccount
from projects.services.accounts import save_account

NO_LIMIT = "none"


class Command(OperatorCommand):
    help = "Show the provider accounts of a universe; with a provider and options, set one up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--provider", default="", metavar="CODE", help="such as openai")
        parser.add_argument("--base-url", metavar="URL", help="of a compatible server; blank for its own")
        parser.add_argument("--enabled", action=BooleanOptionalAction, help="whether it may be called")
        parser.add_argument("--max-concurrency", metavar="N", help=f"calls at once, or {NO_LIMIT}")
        parser.add_argument("--requests-per-minute", metavar="N", help=f"calls a minute, or {NO_LIMIT}")
        parser.add_argument(
            "--config", metavar="JSON", help='model, size, quality, prices: {"prices": {"per_image": "0.05"}}'
        )
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, project: str, provider: str, json: bool, **options: Any) -> None:
        prepare()
        universe = any_project_named(project)
        changes = _changes(options)
        if changes and not provider:
            raise CommandError("--provider says whose account this is")
        if provider and provider not in KEY_VARIABLES and provider not in provider_codes():
            known = ", ".join(sorted({*KEY_VARIABLES, *provider_codes()}))
            raise CommandError(f"There is no provider {provider}: use one of {known}")
        if changes:
            save_account(universe, provider, changes=changes, by=OPERATOR)
        rows = [_row(account) for account in universe.provider_accounts.order_by("provider_code")]
        if json:
            self.print_json({"ok": True, "project_slug": universe.slug, "provider_accounts": rows})
            return
        for row in rows:
            self.stdout.write(f"{row['provider_code']}: {row['health']}")
        if not rows:
            self.stdout.write("No account: only the local renderer can be called")


def _changes(options: dict[str, Any]) -> dict[str, object]:
    changes: dict[str, object] = {
        name: options[name] for name in ("base_url", "enabled") if options[name] is not None
    }
    for name in ("max_concurrency", "requests_per_minute"):
        text = options[name]
        if text is not None:
            changes[name] = _limit(name, text)
    if options["config"] is not None:
        try:
            changes["config"] = json_format.loads(options["config"])
        except ValueError as error:
            raise CommandError(f"--config is no JSON: {error}") from error
        if not isinstance(changes["config"], dict):
            raise CommandError("--config must be a JSON object")
        if faults := config_faults(changes["config"]):
            raise CommandError(f"--config can't be used: {'; '.join(faults)}")
    return changes


def _limit(name: str, text: str) -> int | None:
    if text == NO_LIMIT:
        return None
    if not text.isdecimal():
        raise CommandError(f"--{name.replace('_', '-')} is {text}: use a whole number, or {NO_LIMIT}")
    return int(text)


def _row(account: ProviderAccount) -> dict[str, object]:
    try:
        code = account.provider_code
        health = provider_for(code, access_to(account.project, code)).health().message
    except (UnknownProvider, KromaError) as error:
        health = str(error)
    return {
        "provider_code": account.provider_code,
        "base_url": account.base_url,
        "enabled": account.enabled,
        "max_concurrency": account.max_concurrency,
        "requests_per_minute": account.requests_per_minute,
        "config_json": account.config,
        "health": health,
    }
