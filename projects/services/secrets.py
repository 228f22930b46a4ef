"""A project's secrets: written and used, never shown. Values are seen here and in `crypto.py` only."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils import timezone

from projects import audit, crypto
from projects.access import Principal
from projects.crypto import KeyUnusable
from projects.errors import Invalid, NotFound
from projects.models import AuditEvent, Project, Secret
from projects.names import slugified
from projects.texts import LONGEST_NAME, required_text

# Annotates `has_value`: where the text is not read, not even encrypted.
HAS_VALUE = ExpressionWrapper(~Q(value_encrypted=""), output_field=BooleanField())
LONGEST_CODE = 100
LONGEST_VALUE = 20_000


@dataclass(frozen=True)
class SecretInfo:
    """What may be told about a secret."""

    provider_code: str
    secret_name: str
    has_value: bool
    updated_at: datetime


@dataclass(frozen=True)
class RotationStatus:
    """How the values of a project are stored; `key_refs` counts rows by the label of their key."""

    total: int
    encrypted: int
    plaintext: int
    empty: int
    key_refs: Mapping[str, int]


@dataclass(frozen=True)
class Rotation:
    """What one rotation did, in numbers of secrets."""

    scanned: int = 0
    rotated: int = 0
    skipped_empty: int = 0
    skipped_current_key_ref: int = 0
    plaintext_reencrypted: int = 0


def set_secret(
    project: Project, provider_code: str, secret_name: str, *, value: str, by: Principal
) -> tuple[SecretInfo, AuditEvent]:
    """Store a value, in place of an earlier one. Raises `Invalid` for a blank field, `KeyUnusable`."""
    code, name = named(provider_code, secret_name)
    value = checked_value(value)
    stored = crypto.encrypt(value)
    with transaction.atomic():
        secret, _ = Secret.objects.update_or_create(
            project=project,
            provider_code=code,
            secret_name=name,
            defaults={"value_encrypted": stored, "key_ref": settings.MASTER_KEY_REF},
        )
        event = audit.record(project, "secret.upsert", secret, by=by, provider_code=code, secret_name=name)
    return _info(secret), event


def delete_secret(project: Project, provider_code: str, secret_name: str, *, by: Principal) -> AuditEvent:
    """Forget a secret. Raises `NotFound`, `Invalid` for a blank field."""
    code, name = named(provider_code, secret_name)
    with transaction.atomic():
        secret = Secret.objects.filter(project=project, provider_code=code, secret_name=name).first()
        if secret is None:
            raise NotFound(f"{project.name} has no secret {code}/{name}")
        pk = secret.pk
        secret.delete()
        secret.pk = pk
        as_sent = {"provider_code": provider_code, "secret_name": secret_name}
        return audit.record(project, "secret.delete", secret, by=by, **as_sent)


def secret_value(project: Project, provider_code: str, secret_name: str) -> str:
    """The value, for the adapter that hands it to its provider; "" when there is none.

    Raises `KeyUnusable`.
    """
    stored = (
        Secret.objects.filter(project=project, provider_code=provider_code, secret_name=secret_name)
        .values_list("value_encrypted", flat=True)
        .first()
    )
    try:
        return crypto.decrypt(stored or "")
    except KeyUnusable as error:
        raise KeyUnusable(f"{provider_code}/{secret_name} can't be used. {error}") from None


def list_secrets(project: Project) -> list[SecretInfo]:
    """Which secrets there are, by provider and name."""
    rows = Secret.objects.filter(project=project).order_by("provider_code", "secret_name")
    return [_info(row) for row in rows]


def rotation_status(project: Project) -> RotationStatus:
    """How the project's values are stored. Needs no key."""
    rows = list(Secret.objects.filter(project=project).values_list("value_encrypted", "key_ref"))
    n_empty = sum(not stored for stored, _ in rows)
    n_encrypted = sum(crypto.is_encrypted(stored) for stored, _ in rows)
    refs = Counter(ref for _, ref in rows)
    return RotationStatus(
        total=len(rows),
        encrypted=n_encrypted,
        plaintext=len(rows) - n_empty - n_encrypted,
        empty=n_empty,
        key_refs=dict(sorted(refs.items())),
    )


def rotate_secrets(
    project: Project, *, by: Principal, from_key_ref: str = "", force: bool = False
) -> tuple[Rotation, AuditEvent]:
    """Encrypt the project's values anew with the current key, all of them or none.

    `from_key_ref` takes only those of one key; `force` also those that carry the current label. A value that
    was stored in the clear is always encrypted. Raises `KeyUnusable` for one that can't be read.
    """
    from_key_ref = from_key_ref.strip()
    current, now = settings.MASTER_KEY_REF, timezone.now()
    with transaction.atomic():
        rows = Secret.objects.select_for_update().filter(project=project)
        if from_key_ref:
            rows = rows.filter(key_ref=from_key_ref)
        taken = list(rows)
        filled = [row for row in taken if row.value_encrypted]
        due = [
            row
            for row in filled
            if force or row.key_ref != current or not crypto.is_encrypted(row.value_encrypted)
        ]
        n_plain = sum(not crypto.is_encrypted(row.value_encrypted) for row in due)
        for row in due:
            try:
                row.value_encrypted = crypto.encrypt(crypto.decrypt(row.value_encrypted))
            except KeyUnusable as error:
                raise KeyUnusable(
                    f"Nothing was rotated: {row.provider_code}/{row.secret_name} can't be read. {error}"
                ) from None
            row.key_ref, row.updated_at = current, now
        Secret.objects.bulk_update(due, ["value_encrypted", "key_ref", "updated_at"])
        event = audit.record(
            project, "secret.rotate", by=by, from_key_ref=from_key_ref, force=force, rotated=len(due)
        )
    rotation = Rotation(
        scanned=len(taken),
        rotated=len(due),
        skipped_empty=len(taken) - len(filled),
        skipped_current_key_ref=len(filled) - len(due),
        plaintext_reencrypted=n_plain,
    )
    return rotation, event


def _info(row: Secret) -> SecretInfo:
    return SecretInfo(row.provider_code, row.secret_name, bool(row.value_encrypted), row.updated_at)


def checked_value(value: str) -> str:
    """A value as it is stored. Raises `Invalid` for a blank or an endless one."""
    return required_text("secret_value", value, longest=LONGEST_VALUE)


def named(provider_code: str, secret_name: str) -> tuple[str, str]:
    """A secret's code and name as they are stored. Raises `Invalid` for a blank or an endless one."""
    code, name = slugified(provider_code), secret_name.strip()
    if not code:
        raise Invalid("Field 'provider_code' is required")
    if not name:
        raise Invalid("Field 'secret_name' is required")
    if "\x00" in name:  # no database keeps it, so nothing has that name
        raise Invalid("Field 'secret_name' holds a character that can't be stored")
    if len(code) > LONGEST_CODE or len(name) > LONGEST_NAME:
        raise Invalid(
            f"A provider's code has at most {LONGEST_CODE} characters, a secret's name {LONGEST_NAME}"
        )
    return code, name
