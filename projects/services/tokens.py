"""Bearer tokens of people for programs: who is let in by one, and making and revoking them."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone

from projects import audit
from projects.access import Principal, Role
from projects.errors import Invalid, NotFound, Unauthorized
from projects.expiry import Expiry
from projects.models import ApiToken, Project, User
from projects.names import slugified
from projects.prepared import Prepared
from projects.services.people import first_owner

MISSING = "Missing Authorization: Bearer token"
INVALID = "Invalid or expired token"
NOT_THE_FIRST = "Bootstrap token already initialized"
# A use is written down at most this often: each time would make a write of every read.
USE_NOTED = timedelta(minutes=1)
N_PREFIX = 12  # characters of a token that are kept, so that people can tell one from another
LONGEST_LABEL = 200


_READ = ("id", "project_id", "role", "last_used_at")
USER_COLUMNS = [field.attname for field in User._meta.concrete_fields]
_OF_HASH = Prepared(
    lambda token_hash, now: (
        ApiToken.objects.active(now)
        .filter(token_hash=token_hash)
        .values_list(*_READ, *(f"user__{name}" for name in USER_COLUMNS))
    ),
    {"token_hash": models.CharField(), "now": models.DateTimeField()},
)


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
    found = _OF_HASH.rows(token_hash=hashed(value), now=now)
    if not found:
        raise Unauthorized(INVALID)
    (token_id, scope, role, last_used_at), of_user = found[0][: len(_READ)], found[0][len(_READ) :]
    user = User.from_db(connection.alias, USER_COLUMNS, of_user)
    if not user.is_active:
        raise Unauthorized(INVALID)
    if last_used_at is None or now - last_used_at >= USE_NOTED:
        ApiToken.objects.filter(pk=token_id).update(last_used_at=now)
    return Principal(user, address=address, token_id=token_id, scope=scope, most=Role(role))


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


def issue_token(
    *,
    label: str = "",
    role: Role | None = None,
    project_slug: str = "",
    expiry: Expiry | None = None,
    by: Principal,
) -> tuple[ApiToken, str]:
    """Make a token; the second value is the token itself, which nothing keeps.

    It belongs to the person who asks, else (development bypass, first token) to the first owner. Without a
    `role` it gets the highest that the caller can give. Raises `Invalid`, `NotFound`.
    """
    value = f"kroma_{secrets.token_hex(32)}"
    is_first = by.user is None and not by.operator
    with transaction.atomic():
        user = by.user or first_owner()
        if is_first:
            _be_the_first(user, expiry)
        project = _project_for(user, project_slug, by=by)
        expiry = _expiry_within(expiry, by=by)
        token = ApiToken.objects.create(
            user=user,
            project=project,
            label=label.strip()[:LONGEST_LABEL],
            role=_role_within(role, project, by=by),
            token_prefix=value[:N_PREFIX],
            token_hash=hashed(value),
            expires_at=expiry.at if expiry else None,
            expires_text=expiry.text if expiry else "",
        )
        audit.record(
            project, "token.created", token, by=by, label=token.label, role=token.role,
            scope=project.slug if project else "", token_prefix=token.token_prefix, username=user.username,
            expires_at=token.expires_text, **({"first": True} if is_first else {}),
        )  # fmt: skip
    return token, value


def revoke_token(token: ApiToken, *, by: Principal) -> None:
    """Let nobody in with this token any more; one that is revoked already stays as it is."""
    with transaction.atomic():
        standing = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
        if standing.update(revoked_at=timezone.now()):
            audit.record(
                token.project, "token.revoked", token, by=by, label=token.label, role=token.role,
                scope=token.project.slug if token.project else "", token_prefix=token.token_prefix,
                username=token.user.username,
            )  # fmt: skip


def hashed(token: str) -> str:
    """What is stored of a token: the SHA-256 of the whole of it, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def _be_the_first(user: User, expiry: Expiry | None) -> None:
    """Judge again, while nobody else can: of several first tokens that are asked for at once one is made."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if not first_token_is_open():
        raise Invalid(NOT_THE_FIRST)
    if expiry and expiry.at <= timezone.now():
        raise Invalid("Field 'expires_at' has passed already: the first token would let nobody in")


def _project_for(user: User, slug: str, *, by: Principal) -> Project | None:
    """The project that a token is to be for, with the `role` of its person there; None for all of them."""
    theirs = Principal(user, scope=by.scope, most=by.most)
    projects = Project.objects.visible_to(theirs).with_role(theirs)
    if slug.strip():
        project = projects.filter(slug=slugified(slug)).first()
    elif by.scope:
        project = projects.first()
    else:
        return None
    if project is None:
        raise NotFound("Project not found")
    return project


def _role_within(role: Role | None, project: Project | None, *, by: Principal) -> Role:
    """The role of a new token: never more than its maker can do. Raises `Invalid`."""
    most = Role(project.role) if project else by.most
    if role is None:
        return most
    if role.rank < most.rank:
        where = f" in {project.slug}" if project else ""
        raise Invalid(f"Field 'role' can't be {role}: your own role{where} is {most}")
    return role


def _expiry_within(expiry: Expiry | None, *, by: Principal) -> Expiry | None:
    """The end of a new token: one made with a project's token never outlives it. Raises `Invalid`."""
    if by.scope is None or by.token_id is None:
        return expiry
    own = ApiToken.objects.get(pk=by.token_id)
    if own.expires_at is None:
        return expiry
    if expiry is None:
        return Expiry(own.expires_at, own.expires_text or own.expires_at.isoformat())
    if expiry.at > own.expires_at:
        latest = own.expires_text or own.expires_at.isoformat()
        raise Invalid(f"Field 'expires_at' can't be later than that of your own token, {latest}")
    return expiry
