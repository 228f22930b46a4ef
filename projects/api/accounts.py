"""Routes: how a project reaches its providers."""

from typing import Any, Literal

from ninja import Query, Router, Schema
from ninja.params.functions import Body
from pydantic import Field, JsonValue, StrictBool, StrictInt, StrictStr

from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, answers, moment, project_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid, NotFound
from projects.models import ProviderAccount
from projects.services import accounts

router = Router(tags=["provider accounts"])

NOT_FOUND = "Provider account not found"
CONTRACT_FIELDS = ("display_name", "account_ref", "base_url", "enabled", "config_json")
LIMITS = ("max_concurrency", "requests_per_minute")


class ProviderAccountOut(Schema):
    """How a project reaches one provider. Keys are secrets and never stand here."""

    project_id: str
    provider_code: str = Field(examples=["openai"])
    display_name: str
    account_ref: str
    base_url: str = Field(description="Of a compatible server; '' for the provider's own.")
    enabled: bool = Field(description="Whether runs may call it.")
    config_json: JsonValue = Field(description="Model, size, quality, prices and the like.")
    max_concurrency: int = Field(description="Calls at once; 0: no limit.")
    requests_per_minute: int = Field(description="0: no limit.")
    created_at: str
    updated_at: str


class ProviderAccountPatch(Schema):
    """A change of an account; what is left out stays."""

    display_name: StrictStr | None = Field(None, examples=["Studio account"])
    account_ref: StrictStr | None = Field(None, description="What the provider calls it.")
    base_url: StrictStr | None = Field(None, examples=["https://images.example.org/v1"])
    enabled: StrictBool | None = Field(None, examples=[True])
    config_json: JsonValue = Field(None, description="Replaced whole.", examples=[{"model": "gpt-image-1"}])
    max_concurrency: StrictInt | None = Field(None, description="Calls at once; 0: no limit.", examples=[4])
    requests_per_minute: StrictInt | None = Field(None, description="0: no limit.", examples=[30])

    def given(self) -> dict[str, object]:
        """The fields that were sent, by the names of the row."""
        sent = {name: getattr(self, name) for name in (*CONTRACT_FIELDS, *LIMITS)}
        fields = {name: value for name, value in sent.items() if value is not None}
        for name in ("display_name", "account_ref", "base_url"):
            if name in fields:
                fields[name] = str(fields[name]).strip()
        for name in LIMITS:
            if fields.get(name) == 0:
                fields[name] = None
        if "config_json" in fields:
            fields["config"] = fields.pop("config_json")
        return fields

    def checked(self) -> dict[str, object]:
        """The fields to change. Raises `Invalid` if there are none."""
        fields = self.given()
        if not fields:
            raise Invalid(f"Provide at least one of: {', '.join(CONTRACT_FIELDS)}")
        return fields


class ProviderAccountIn(ProviderAccountPatch):
    """An account as a whole: what is left out falls back to its default, but for the limits."""

    provider_code: StrictStr = Field("", description="Required.", examples=["openai"])

    def checked(self) -> dict[str, object]:
        """The fields to write. Raises `Invalid`."""
        self.code()
        fields = self.given()
        if not fields.get("display_name"):
            fields.pop("display_name", None)  # the code is the default
        accounts.check_fields(fields)
        return fields

    def code(self) -> str:
        """The provider's code. Raises `Invalid`."""
        return accounts.code_of(self.provider_code)


PATCH = Body(default_factory=ProviderAccountPatch)


class ProviderAccountList(ListAnswer):
    """A project's provider accounts."""

    provider_accounts: list[ProviderAccountOut]


class ProviderAccountAnswer(Answer):
    """One provider account."""

    provider_account: ProviderAccountOut


class ProviderAccountSaved(ProviderAccountAnswer):
    """A provider account after a change."""

    audit_id: str = Field(description="The event in the audit trail.")


class ProviderAccountDeleted(Answer):
    """The account is gone; its secrets are still there."""

    deleted: Literal[True] = True
    provider_code: str
    audit_id: str = Field(description="The event in the audit trail.")


@router.get(
    "/api/projects/{slug}/provider-accounts",
    auth=Bearer(Action.READ),
    response=answers(ProviderAccountList),
    summary="List provider accounts",
)
def list_provider_accounts(request: ApiRequest, slug: str, query: Query[ListQuery]) -> dict[str, object]:
    """All accounts of a project, by code."""
    rows = ProviderAccount.objects.filter(project=project_of(request))
    return page_of(rows, query, order=["provider_code"]).answer("provider_accounts", _shown)


@router.post(
    "/api/projects/{slug}/provider-accounts",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(ProviderAccountSaved, body=True),
    summary="Write a provider account as a whole",
)
def save_provider_account(request: ApiRequest, slug: str, payload: ProviderAccountIn) -> dict[str, object]:
    """Make an account, or replace the one of this code."""
    fields = payload.checked()
    project = project_of(request)
    account, event = accounts.replace_account(project, payload.code(), fields=fields, by=request.principal)
    return {"provider_account": _shown(account), "audit_id": str(event.pk)}


@router.get(
    "/api/projects/{slug}/provider-accounts/{provider_code}",
    auth=Bearer(Action.READ),
    response=answers(ProviderAccountAnswer),
    summary="Read a provider account",
)
def read_provider_account(request: ApiRequest, slug: str, provider_code: str) -> dict[str, object]:
    """One account, however its code is written."""
    return {"provider_account": _shown(_account(request, provider_code))}


@router.put(
    "/api/projects/{slug}/provider-accounts/{provider_code}",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(ProviderAccountSaved, body=True),
    summary="Change a provider account",
)
def update_provider_account(
    request: ApiRequest, slug: str, provider_code: str, payload: ProviderAccountPatch = PATCH
) -> dict[str, object]:
    """Change what is given; a blank text clears."""
    changes = payload.checked()
    account = _account(request, provider_code)
    if changes.get("display_name") == "":
        raise Invalid("Field 'display_name' is required")
    saved, event = accounts.save_account(
        account.project, account.provider_code, changes=changes, by=request.principal
    )
    return {"provider_account": _shown(saved), "audit_id": str(event.pk)}


@router.delete(
    "/api/projects/{slug}/provider-accounts/{provider_code}",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(ProviderAccountDeleted),
    summary="Delete a provider account",
)
def delete_provider_account(request: ApiRequest, slug: str, provider_code: str) -> dict[str, object]:
    """Take an account away. Its secrets stay, and runs that used it keep what they recorded."""
    account = _account(request, provider_code)
    event = accounts.delete_account(account, named_as=provider_code, by=request.principal)
    return {"provider_code": provider_code, "audit_id": str(event.pk)}


def _account(request: ApiRequest, provider_code: str) -> ProviderAccount:
    code = accounts.code_of(provider_code)
    project = project_of(request, missing=NOT_FOUND)
    found = ProviderAccount.objects.filter(project=project, provider_code=code).first()
    if found is None:
        raise NotFound(NOT_FOUND)
    found.project = project
    return found


def _shown(account: ProviderAccount) -> dict[str, Any]:
    return {
        "project_id": str(account.project_id),
        "provider_code": account.provider_code,
        "display_name": account.display_name,
        "account_ref": account.account_ref,
        "base_url": account.base_url,
        "enabled": account.enabled,
        "config_json": account.config,
        "max_concurrency": account.max_concurrency or 0,
        "requests_per_minute": account.requests_per_minute or 0,
        "created_at": moment(account.created_at),
        "updated_at": moment(account.updated_at),
    }
