"""Routes: tokens. An owner of a project finds and revokes those of others on its page, not here."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from django.utils import timezone
from ninja import Query, Router, Schema
from ninja.params.functions import Body
from pydantic import Field, StrictStr

from projects.access import Action, Role
from projects.api.base import Answer, ApiRequest, Bearer, answers, moment, row_of
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.errors import Invalid
from projects.expiry import expiry_of
from projects.models import ApiToken
from projects.services.tokens import issue_token, revoke_token
from projects.throttles import PerAddress

# Generous on purpose: a suite of automated tests makes and revokes many.
REQUESTS_PER_ADDRESS = "600/min"
NOT_FOUND = "Auth token not found"

throttle = PerAddress("auth", REQUESTS_PER_ADDRESS)
router = Router(tags=["tokens"], throttle=throttle)


class TokenIn(Schema):
    """A token that is to be made; every field may be left out."""

    label: StrictStr | None = Field(
        None, description="For people, to tell tokens apart; cut after 200 characters.", examples=["nightly"]
    )
    project_slug: StrictStr | None = Field(
        None, description="The one project that the token reaches; without it, all of the person's.",
        examples=["saltmarsh"],
    )  # fmt: skip
    expires_at: StrictStr | None = Field(
        None,
        description="RFC 3339 with an offset, or a date, whose end in UTC is meant; without it, never.",
        examples=["2031-01-02T03:04:05Z"],
    )
    role: StrictStr | None = Field(
        None,
        description="The highest role that the token acts with: owner, editor, reviewer or viewer. Without "
        "it, the highest that the caller can give.",
        examples=["editor"],
    )

    def checked(self) -> dict[str, Any]:
        """What `issue_token()` takes. Raises `Invalid`."""
        return {
            "label": self.label or "",
            "project_slug": self.project_slug or "",
            "expiry": expiry_of(self.expires_at),
            "role": _role(self.role),
        }


WITHOUT_BODY = Body(default_factory=TokenIn)


class CreatedToken(Schema):
    """A token that was just made, with its value: nothing will ever show it again."""

    id: str
    token: str = Field(description="What goes into the header `Authorization: Bearer …`.")
    token_prefix: str = Field(description="Its first 12 characters, by which lists name it.")
    label: str
    project_id: str | None = Field(description="The one project that it reaches; null: all of the person's.")
    created_at: str
    expires_at: str | None = Field(description="In UTC with a numeric offset; null: never.")
    role: str = Field(description="The highest role that it acts with.")


class ListedToken(Schema):
    """A token as it is kept, without its value."""

    id: str
    user_id: str
    project_id: str | None = Field(description="The one project that it reaches; null: all of the person's.")
    token_prefix: str
    label: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None = Field(description="To the minute.")
    created_at: str
    active: bool = Field(description="Neither revoked nor expired.")
    role: str = Field(description="The highest role that it acts with.")


class TokenAnswer(Answer):
    """A new token."""

    auth_token: CreatedToken


class TokenList(ListAnswer):
    """Tokens, those that were revoked or have expired among them."""

    auth_tokens: list[ListedToken]


class TokenRevoked(Answer):
    """The token lets nobody in any more."""

    deleted: Literal[True] = True
    token_id: str


@router.post(
    "/auth/token",
    auth=Bearer(Action.READ),
    response=answers(TokenAnswer, body=True),
    summary="Make a token",
)
def create_token(request: ApiRequest, payload: TokenIn = WITHOUT_BODY) -> dict[str, object]:
    """Make a bearer token of the caller's; its value is in this answer and nowhere else.

    While there is no active token, the first one can be made on the machine itself without any. A token of
    one project makes others for that project only, with a role and an end no higher than its own.
    """
    token, value = issue_token(**payload.checked(), by=request.principal)
    return {
        "auth_token": {
            "id": str(token.pk),
            "token": value,
            "token_prefix": token.token_prefix,
            "label": token.label,
            "project_id": str(token.project_id) if token.project_id else None,
            "created_at": moment(token.created_at),
            "expires_at": _expiry(token),
            "role": token.role,
        }
    }


@router.get(
    "/auth/tokens", auth=Bearer(Action.READ), response=answers(TokenList), summary="List the caller's tokens"
)
def list_tokens(request: ApiRequest, query: Query[ListQuery]) -> dict[str, object]:
    """The tokens of the caller's person, newest first; a token of one project sees itself only."""
    tokens = ApiToken.objects.visible_to(request.principal)
    return page_of(tokens, query, order=["-created_at", "-id"]).answer("auth_tokens", _shown(timezone.now()))


@router.delete(
    "/auth/tokens/{token_id}",
    auth=Bearer(Action.READ),
    response=answers(TokenRevoked),
    summary="Revoke a token",
)
def delete_token(request: ApiRequest, token_id: str) -> dict[str, object]:
    """Revoke a token, one's own included; repeating it changes nothing."""
    wanted = token_id.strip()
    if not wanted:
        raise Invalid("token_id is required")
    tokens = ApiToken.objects.visible_to(request.principal).select_related("project", "user")
    revoke_token(row_of(tokens, wanted, missing=NOT_FOUND), by=request.principal)
    return {"token_id": token_id}


def _role(text: str | None) -> Role | None:
    value = (text or "").strip().lower()
    if value and value not in set(Role):
        raise Invalid(f"Field 'role' must be one of: {', '.join(Role)}")
    return Role(value) if value else None


def _expiry(token: ApiToken) -> str | None:
    if token.expires_at is None:
        return None
    return token.expires_text or token.expires_at.isoformat()


def _shown(now: datetime) -> Callable[[ApiToken], dict[str, object]]:
    def shown(token: ApiToken) -> dict[str, object]:
        return {
            "id": str(token.pk),
            "user_id": str(token.user_id),
            "project_id": str(token.project_id) if token.project_id else None,
            "token_prefix": token.token_prefix,
            "label": token.label,
            "expires_at": _expiry(token),
            "revoked_at": moment(token.revoked_at) or None,
            "last_used_at": moment(token.last_used_at) or None,
            "created_at": moment(token.created_at),
            "active": token.is_active(now),
            "role": token.role,
        }

    return shown
