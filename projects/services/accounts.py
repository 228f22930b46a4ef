"""Provider accounts: how a project reaches a provider, and how much it may ask of it. Keys are secrets."""

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.db import transaction

from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import AuditEvent, Project, ProviderAccount
from projects.names import slugified
from projects.redaction import credential_paths

EDITABLE = (
    "display_name",
    "account_ref",
    "base_url",
    "enabled",
    "config",
    "max_concurrency",
    "requests_per_minute",
)


LONGEST = {"provider_code": 100, "display_name": 200, "account_ref": 200, "base_url": 500}  # characters
LARGEST_LIMIT = 2**31 - 1
LARGEST_CONFIG = 64 * 1024  # bytes as JSON


def save_account(
    project: Project, provider_code: str, *, changes: Mapping[str, object], by: Principal
) -> tuple[ProviderAccount, AuditEvent]:
    """Make a provider account or change these fields of it; the others stay as they are.

    `changes` holds fields of `EDITABLE`; a limit of None is no limit. Raises `Invalid`.
    """
    code = code_of(provider_code)
    check_fields(changes)
    with transaction.atomic():
        account, created = _written(project, code, changes)
        what = "provider_account.upsert" if created else "provider_account.update"
        event = audit.record(
            project, what, account, by=by, provider_code=code, fields=sorted(set(changes) & set(EDITABLE))
        )
    return account, event


def replace_account(
    project: Project, provider_code: str, *, fields: Mapping[str, object], by: Principal
) -> tuple[ProviderAccount, AuditEvent]:
    """Write an account as a whole: what is left out falls back to its default, but for the limits.

    Those are an operator's, and programs that know nothing of them must not lift them. Raises `Invalid`.
    """
    code = code_of(provider_code)
    whole = {
        "display_name": code, "account_ref": "", "base_url": "", "enabled": True, "config": {}, **fields
    }  # fmt: skip
    check_fields(whole)
    with transaction.atomic():
        account, _ = _written(project, code, whole)
        event = audit.record(
            project, "provider_account.upsert", account, by=by, provider_code=code, fields=sorted(fields)
        )
    return account, event


def delete_account(account: ProviderAccount, *, named_as: str, by: Principal) -> AuditEvent:
    """Take an account away; its secrets stay. `named_as` is the code as the caller wrote it."""
    with transaction.atomic():
        project, pk = account.project, account.pk
        account.delete()
        account.pk = pk
        return audit.record(project, "provider_account.delete", account, by=by, provider_code=named_as)


def code_of(text: str) -> str:
    """A provider's code as it is stored. Raises `Invalid` for what normalises to nothing."""
    code = slugified(text)
    if not code:
        raise Invalid("Field 'provider_code' is required")
    if len(code) > LONGEST["provider_code"]:
        raise Invalid(f"Field 'provider_code' has more than {LONGEST['provider_code']} characters")
    return code


def check_fields(changes: Mapping[str, object]) -> None:
    """Refuse what no account can have. Raises `Invalid`."""
    for name, longest in LONGEST.items():
        if len(str(changes.get(name) or "")) > longest:
            raise Invalid(f"Field '{name}' has more than {longest} characters")
    for name in ("max_concurrency", "requests_per_minute"):
        limit = changes.get(name)
        if limit is not None and not (isinstance(limit, int) and 1 <= limit <= LARGEST_LIMIT):
            raise Invalid(f"'{name}' is {limit}: use a whole number from 1, or none for no limit")
    check_address(changes.get("base_url"))
    config = changes.get("config")
    check_size(config)
    if paths := credential_paths(config):
        named = ", ".join(path or "its value" for path in paths)
        raise Invalid(
            f"Field 'config_json' holds what looks like a credential ({named}): make it a secret instead"
        )


def _written(project: Project, code: str, changes: Mapping[str, object]) -> tuple[ProviderAccount, bool]:
    fields = {name: changes[name] for name in EDITABLE if name in changes}
    return ProviderAccount.objects.update_or_create(
        project=project,
        provider_code=code,
        defaults=fields,
        create_defaults={"display_name": code, **fields},
    )


def check_size(config: object) -> None:
    """Refuse a configuration that is endless. Raises `Invalid`."""
    if config and len(json.dumps(config)) > LARGEST_CONFIG:
        raise Invalid(f"Field 'config_json' has more than {LARGEST_CONFIG // 1024} KiB")


def check_address(base_url: object) -> None:
    """Refuse what is no address of a server, or holds a password. Raises `Invalid`."""
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
