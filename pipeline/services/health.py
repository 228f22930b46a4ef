"""Whether a project's accounts work: asked for nothing, kept with its time, said in words."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef

from pipeline.models import AccountHealth, Run
from pipeline.providers.base import Health
from pipeline.providers.registry import provider_codes, provider_for
from pipeline.services import mended
from pipeline.services.accounts import FREE, KEY_VARIABLES, access_to, environment
from pipeline.tools.http_cutout import SERVICES, account_health
from projects import audit
from projects.access import Principal
from projects.errors import Invalid, KromaError
from projects.models import Project, ProviderAccount, Secret


def known_codes() -> tuple[str, ...]:
    """All providers and paid tools that a project can have an account with."""
    return tuple(sorted({*provider_codes(), *SERVICES}))


def codes_in_use(project: Project) -> list[str]:
    """Those that the project can call or means to: with an account, or a key of its own or the server's."""
    rows = set(project.provider_accounts.values_list("provider_code", flat=True))
    secrets = set(Secret.objects.filter(project=project).values_list("provider_code", flat=True))
    keys = {code for code, variable in KEY_VARIABLES.items() if environment(variable)}
    return sorted({*FREE, *rows, *(secrets | keys) & set(known_codes())})


@dataclass(frozen=True)
class Check:
    """What one check found, in words, and the runs that go on because of it."""

    provider_code: str
    ok: bool
    message: str
    going_on: tuple[Run, ...] = ()


def check_account(project: Project, code: str, *, by: Principal) -> Check:
    """Ask the provider whether the account works, keep what it said, let the runs that it had stopped go on.

    The call is made outside of any transaction; it costs nothing. Raises `Invalid` for an unknown code.
    """
    if code not in known_codes():
        raise Invalid(f"There is no provider {code}: use one of {', '.join(known_codes())}")
    found = _asked(project, code)
    with transaction.atomic():
        row = AccountHealth.objects.note(project, code, ok=found.ok, message=found.message)
        audit.record(project, "provider_account.checked", row, by=by, provider_code=code, ok=found.ok)
    going_on = mended.go_on(project, code, by=by) if found.ok else []
    return Check(code, found.ok, found.message, tuple(going_on))


def check_changed() -> int:
    """Ask again about broken accounts that somebody changed since, by whatever way; how many."""
    newer = {"project": OuterRef("project"), "provider_code": OuterRef("provider_code")}
    account = ProviderAccount.objects.filter(**newer, updated_at__gt=OuterRef("checked_at"))
    secret = Secret.objects.filter(**newer, updated_at__gt=OuterRef("checked_at"))
    changed = AccountHealth.objects.filter(Exists(account) | Exists(secret), ok=False)
    rows = list(changed.select_related("project"))
    for row in rows:
        check_account(row.project, row.provider_code, by=Principal())
    return len(rows)


def last_checks(project: Project) -> dict[str, AccountHealth]:
    """What the last check of each account found, by its code."""
    return {row.provider_code: row for row in AccountHealth.objects.filter(project=project)}


def _asked(project: Project, code: str) -> Health:
    try:
        access = access_to(project, code)
    except KromaError as error:
        return Health(ok=False, message=str(error))
    if code in SERVICES:
        return account_health(SERVICES[code], access)
    return provider_for(code, access).health()
