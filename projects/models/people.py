"""People and how they come in."""

import uuid
from datetime import datetime
from typing import Self

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person with an account. Deactivated, never deleted: the audit trail and reviews name them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    display_name = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.display_name or self.username


class SigninLinkQuerySet(models.QuerySet["SigninLink"]):
    def usable(self, now: datetime) -> Self:
        """Links that were not used and have not expired."""
        # No join: an UPDATE that waited for another one is judged again by the row's own columns only.
        active = User.objects.filter(is_active=True)
        return self.filter(used_at__isnull=True, expires_at__gt=now, user__in=active)


class SigninLink(models.Model):
    """A link that signs one person in once. Only the hash of its token is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="signin_links")
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    objects = SigninLinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"sign-in link of {self.user_id}"
