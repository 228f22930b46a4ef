"""Accounts of people and the links that let them in."""

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from projects import audit
from projects.access import OPERATOR, Principal
from projects.errors import Invalid, NotFound
from projects.models import SigninLink, User

FIRST_OWNER = "local"
LINK_LIFETIME = timedelta(minutes=15)


def first_owner(*, by: Principal = OPERATOR) -> User:
    """The account `local` of an installation; made, without a password, if nobody has one yet.

    It manages users and models in the admin besides owning its universes.
    """
    with transaction.atomic():
        return _account(FIRST_OWNER, by=by, is_staff=True, is_superuser=True)


def named_user(username: str, *, display_name: str, by: Principal) -> User:
    """The account of this name, made without a password if there is none; a display name is written anew.

    For callers who own the installation. Raises `Invalid` for a name that is too long.
    """
    if username == FIRST_OWNER:
        user = first_owner(by=by)
    else:
        longest = User._meta.get_field("username").max_length or 0
        if len(username) > longest:
            raise Invalid(f"Field 'username' has more than {longest} characters")
        with transaction.atomic():
            user = _account(username, by=by)
    if display_name and display_name != user.display_name:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(display_name=display_name)
            audit.record(None, "user.renamed", user, by=by, before=user.display_name, after=display_name)
        user.display_name = display_name
    return user


def make_signin_link(username: str, *, by: Principal) -> str:
    """A token that signs this person in once within 15 minutes. Raises `NotFound`."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise NotFound(f"There is no active account named {username}")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        SigninLink.objects.create(
            user=user, token_hash=_hashed(token), expires_at=timezone.now() + LINK_LIFETIME
        )
        audit.record(None, "signin_link.created", user, by=by, username=username)
    return token


def use_signin_link(token: str) -> User | None:
    """The person this token signs in, once; None for a token that is unknown, used or expired."""
    now = timezone.now()
    with transaction.atomic():
        if not SigninLink.objects.usable(now).filter(token_hash=_hashed(token)).update(used_at=now):
            return None
        user = SigninLink.objects.select_related("user").get(token_hash=_hashed(token)).user
        audit.record(None, "signin_link.used", user, by=Principal(user), username=user.username)
    return user


def note_signin(user: User, *, address: str) -> None:
    """Write down that somebody came in with a password."""
    with transaction.atomic():
        audit.record(
            None, "user.signed_in", user, by=Principal(user, address=address), username=user.username
        )


def set_password(user: User, password: str, *, by: Principal) -> None:
    """Give somebody a password; that it was set is audited, never what it is."""
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        audit.record(None, "user.password_set", user, by=by, username=user.username)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _account(username: str, *, by: Principal, **rights: bool) -> User:
    """The account of this name; made, with these rights and without a password, if there is none."""
    user, created = User.objects.get_or_create(
        username=username, defaults={"display_name": "Local User", **rights}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        audit.record(None, "user.created", user, by=by, username=username)
    return user
