"""Routes: secrets. Values come in and never go out."""

from dataclasses import asdict
from typing import Literal

from ninja import Query, Router, Schema
from pydantic import Field, StrictBool, StrictStr

from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, answers, moment, project_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import NotFound
from projects.models import Secret
from projects.services import secrets

router = Router(tags=["secrets"])

NOT_FOUND = "Secret not found"


class SecretOut(Schema):
    """That a secret exists."""

    project_id: str
    provider_code: str = Field(examples=["openai"])
    secret_name: str = Field(examples=["api_key"])
    has_value: bool
    updated_at: str


class SecretIn(Schema):
    """A value that is to be stored, in place of an earlier one."""

    provider_code: StrictStr = Field("", description="Required.", examples=["openai"])
    secret_name: StrictStr = Field("", description="Required.", examples=["api_key"])
    secret_value: StrictStr = Field("", description="Required; nothing shows it again.", examples=["…"])

    def checked(self) -> tuple[str, str, str]:
        """Code, name and value. Raises `Invalid`."""
        return *secrets.named(self.provider_code, self.secret_name), secrets.checked_value(self.secret_value)


class RotateIn(Schema):
    """Which values are to be encrypted anew."""

    from_key_ref: StrictStr | None = Field(
        None, description="Only those of this key.", examples=["local-master"]
    )
    force: StrictBool = Field(False, description="Also those that carry the current key's label.")


class KeyRef(Schema):
    """How many secrets carry a key's label."""

    key_ref: str
    count: int


class SecretStatus(Schema):
    """How the values of a project are stored."""

    total: int
    encrypted: int
    plaintext: int = Field(description="From before values were encrypted.")
    empty: int = Field(description="Named, without a value.")
    key_refs: list[KeyRef]


class RotationOut(Schema):
    """What a rotation did, in numbers of secrets."""

    scanned: int
    rotated: int
    skipped_empty: int
    skipped_current_key_ref: int
    plaintext_reencrypted: int


class SecretList(ListAnswer):
    """Which secrets there are."""

    secrets: list[SecretOut]


class SecretStatusAnswer(Answer):
    """How the values of a project are stored."""

    status: SecretStatus


class SecretSaved(Answer):
    """A secret after a change."""

    secret: SecretOut
    audit_id: str = Field(description="The event in the audit trail.")


class RotationAnswer(Answer):
    """A rotation that is done."""

    rotation: RotationOut
    audit_id: str = Field(description="The event in the audit trail.")


class SecretDeleted(Answer):
    """The secret is gone."""

    deleted: Literal[True] = True
    audit_id: str = Field(description="The event in the audit trail.")


@router.get(
    "/api/projects/{slug}/secrets",
    auth=Bearer(Action.READ),
    response=answers(SecretList),
    summary="List secrets",
)
def list_secrets(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """Which secrets a project has, never what they are."""
    stored = Secret.objects.filter(project=project_of(request)).defer("value_encrypted")
    rows = stored.annotate(has_value=secrets.HAS_VALUE)
    return page_of(rows, query, order=["provider_code", "secret_name"]).answer(
        "secrets",
        lambda row: {
            "project_id": str(row.project_id),
            "provider_code": row.provider_code,
            "secret_name": row.secret_name,
            "has_value": row.has_value,  # type: ignore[attr-defined]  # annotated above
            "updated_at": moment(row.updated_at),
        },
    )


@router.get(
    "/api/projects/{slug}/secrets/rotation-status",
    auth=Bearer(Action.READ),
    response=answers(SecretStatusAnswer),
    summary="See how secrets are stored",
)
def read_rotation_status(request: ApiRequest, slug: str) -> dict[str, object]:
    """How many values are encrypted, and with which keys."""
    status = asdict(secrets.rotation_status(project_of(request)))
    status["key_refs"] = [{"key_ref": ref, "count": count} for ref, count in status["key_refs"].items()]
    return {"status": status}


@router.post(
    "/api/projects/{slug}/secrets",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(SecretSaved, body=True),
    summary="Store a secret",
)
def save_secret(request: ApiRequest, slug: str, payload: SecretIn) -> dict[str, object]:
    """Store a value, encrypted, in place of an earlier one."""
    code, name, value = payload.checked()
    project = project_of(request)
    info, event = secrets.set_secret(project, code, name, value=value, by=request.principal)
    told = {"project_id": str(project.pk), "updated_at": moment(info.updated_at)}
    return {"secret": {**asdict(info), **told}, "audit_id": str(event.pk)}


@router.post(
    "/api/projects/{slug}/secrets/rotate",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(RotationAnswer, body=True),
    summary="Encrypt secrets anew",
)
def rotate_secrets(request: ApiRequest, slug: str, payload: RotateIn) -> dict[str, object]:
    """Encrypt values with the current master key, all that are due or none."""
    project = project_of(request)
    rotation, event = secrets.rotate_secrets(
        project, by=request.principal, from_key_ref=payload.from_key_ref or "", force=payload.force
    )
    return {"rotation": asdict(rotation), "audit_id": str(event.pk)}


@router.delete(
    "/api/projects/{slug}/secrets/{provider_code}/{secret_name}",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(SecretDeleted),
    summary="Delete a secret",
)
def delete_secret(request: ApiRequest, slug: str, provider_code: str, secret_name: str) -> dict[str, object]:
    """Forget a secret."""
    secrets.named(provider_code, secret_name)
    project = project_of(request, missing=NOT_FOUND)
    try:
        event = secrets.delete_secret(project, provider_code, secret_name, by=request.principal)
    except NotFound:
        raise NotFound(NOT_FOUND) from None
    return {"audit_id": str(event.pk)}
