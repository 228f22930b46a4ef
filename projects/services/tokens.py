"""Bearer tokens of people for programs: who is let in by one, and making and revoking them."""

import hashlib
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from projects.access import Principal, Role
from projects.errors import Unauthorized
from projects.models import ApiToken

MISSING = "Missing Authorization: Bearer token"
INVALID = "Invalid or expired token"
# A use is written down at most this often: each time would make a write of every read.
USE_NOTED = timedelta(minutes=1)


def principal_of(header: str, *, address: str, may_be_first: bool = False) -> Principal:
    """The caller that an `Authorization` header stands for. Raises `Unauthorized`.

    `may_be_first`: the request would make the first token; nobody has to show one while there is none.
    """
    value = bearer_of(header)
    if not value:
        if may_be_first and first_token_is_open():
            return Principal(address=address)
        raise Unauthorized(MISSING)
    now = timezone.now()
    token = ApiToken.objects.active(now).select_related("user").filter(token_hash=hashed(value)).first()
    if token is None or not token.user.is_active:
        raise Unauthorized(INVALID)
    if token.last_used_at is None or now - token.last_used_at >= USE_NOTED:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return Principal(
        token.user, address=address, token_id=token.pk, scope=token.project_id, most=Role(token.role)
    )


def bearer_of(header: str) -> str:
    """The token of an `Authorization` header, '' for anything else."""
    if not header.isascii():
        return ""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def first_token_is_open() -> bool:
    """Whether the first token may be made without one; the caller has looked at where the request is from."""
    if not settings.API_AUTH_FIRST_TOKEN:
        return False
    if settings.API_AUTH_FIRST_TOKEN_ONCE:
        return not ApiToken.objects.exists()
    return not ApiToken.objects.active(timezone.now()).exists()


def hashed(token: str) -> str:
    """What is stored of a token: the SHA-256 of the whole of it, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()
