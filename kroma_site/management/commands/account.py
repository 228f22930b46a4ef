import json as json_format
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management import CommandError

from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.universes import any_project_named
from pipeline.models import AccountHealth, Run
from pipeline.providers.comfyworkflow import workflow_faults
from pipeline.services.accounts import config_faults
from pipeline.services.health import check_account, codes_in_use, known_codes, last_checks
from projects.access import OPERATOR
from projects.models import Project, ProviderAccount
from projects.services.accounts import save_account

NO_LIMIT = "none"
NOT_CHECKED = "not checked yet: --check asks"


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
        parser.add_argument(
            "--workflow", metavar="FILE", help="comfyui: what its “Export (API)” wrote, with places"
        )
        parser.add_argument("--check", action="store_true", help="ask the providers now; costs nothing")
        parser.add_argument("--json", action="store_true", help="one object on standard output")

    def handle(self, *, project: str, provider: str, check: bool, json: bool, **options: Any) -> None:
        prepare()
        universe = any_project_named(project)
        changes = _changes(options)
        if options["workflow"] is not None:
            said = changes.get("config") or _stored(universe, provider)
            changes["config"] = {**said, "workflow": _workflow(options["workflow"])}  # type: ignore[dict-item]
        if changes and not provider:
            raise CommandError("--provider says whose account this is")
        if provider and provider not in known_codes():
            raise CommandError(f"There is no provider {provider}: use one of {', '.join(known_codes())}")
        if changes:
            save_account(universe, provider, changes=changes, by=OPERATOR)
        going_on: list[Run] = []
        if check:
            for code in [provider] if provider else codes_in_use(universe):
                going_on += check_account(universe, code, by=OPERATOR).going_on
        checks = last_checks(universe)
        rows = [_row(account, checks) for account in universe.provider_accounts.order_by("provider_code")]
        written = {row["provider_code"] for row in rows}
        rows += [_unwritten(check) for code, check in checks.items() if code not in written]
        if json:
            self.print_json(
                {
                    "ok": True,
                    "project_slug": universe.slug,
                    "provider_accounts": rows,
                    "runs_going_on": [str(run.pk) for run in going_on],
                }
            )
            return
        for run in going_on:
            self.stdout.write(f"Run {run.pk} goes on")
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


def _stored(project: Project, code: str) -> dict[str, object]:
    account = project.provider_accounts.filter(provider_code=code).first()
    return dict(account.config) if account and isinstance(account.config, dict) else {}


def _workflow(name: str) -> object:
    """Raises `CommandError` for what ComfyUI could not be given."""
    try:
        workflow: object = json_format.loads(Path(name).read_bytes())
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"{name} is no JSON: {error}") from error
    if faults := workflow_faults(workflow):
        raise CommandError(f"{name} can't be used: {'; '.join(faults)}")
    return workflow


def _limit(name: str, text: str) -> int | None:
    if text == NO_LIMIT:
        return None
    if not text.isdecimal():
        raise CommandError(f"--{name.replace('_', '-')} is {text}: use a whole number, or {NO_LIMIT}")
    return int(text)


def _row(account: ProviderAccount, checks: Mapping[str, AccountHealth]) -> dict[str, object]:
    return {
        "provider_code": account.provider_code,
        "base_url": account.base_url,
        "enabled": account.enabled,
        "max_concurrency": account.max_concurrency,
        "requests_per_minute": account.requests_per_minute,
        "config_json": account.config,
        **_health(checks.get(account.provider_code)),
    }


def _unwritten(check: AccountHealth) -> dict[str, object]:
    """A provider that was checked without an account's row: by a key alone, or the local renderer."""
    return {"provider_code": check.provider_code, **_health(check)}


def _health(check: AccountHealth | None) -> dict[str, object]:
    if check is None:
        return {"health": NOT_CHECKED, "ok": None, "checked_at": None}
    return {"health": check.message, "ok": check.ok, "checked_at": check.checked_at.isoformat()}
