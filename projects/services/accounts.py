"""Provider accounts: how a project reaches a provider, and how much it may ask of it. Keys are secrets."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from django.db import transaction

from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import Project, ProviderAccount
from projects.names import slugified

EDITABLE = (
    "display_name",
    "account_ref",
    "base_url",
    "enabled",
    "config",
    "max_concurrency",
    "requests_per_minute",
)


def save_account(
    project: Project, provider_code: str, *, changes: Mapping[str, object], by: Principal
) -> ProviderAccount:
    """Make a provider account or change these fields of it; the others stay as they are.

    `changes` holds fields of `EDITABLE`; a limit of None is no limit. Raises `Invalid`.
    """
    code = slugified(provider_code)
    if not code:
        raise Invalid("Field 'provider_code' is required")
    for name in ("max_concurrency", "requests_per_minute"):
        limit = changes.get(name)
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise Invalid(f"'{name}' is {limit}: use a whole number from 1, or none for no limit")
    _check_address(changes.get("base_url"))
    fields = {name: changes[name] for name in EDITABLE if name in changes}
    with transaction.atomic():
        account, created = ProviderAccount.objects.update_or_create(
            project=project,
            provider_code=code,
            defaults=fields,
            create_defaults={"display_name": code, **fields},
        )
        what = "provider_account.upsert" if created else "provider_account.update"
        audit.record(project, what, account, by=by, provider_code=code, fields=sorted(fields))
    return account


def _check_address(base_url: object) -> None:
    if not base_url:
        return
    try:
        parts = urlsplit(str(base_url))
    except ValueError as error:
        raise Invalid(f"'base_url' is no address: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid(f"'base_url' is {base_url}: use a whole address with https://")
    if parts.username or parts.password:
        raise Invalid("'base_url' holds a name or password: store it as a secret of the account instead")
