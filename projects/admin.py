"""The operator's window: everything can be found and read here; changes are made on the pages.

Only accounts of people, provider accounts and budgets are edited here. Nothing that carries money, files or
history can be deleted.
"""

from collections.abc import Callable
from typing import Any

from axes.admin import AccessAttemptAdmin
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from projects import audit
from projects.access import Principal
from projects.models import (
    ApiToken,
    AuditEvent,
    Budget,
    Character,
    Membership,
    Project,
    ProjectStorage,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    Secret,
    StyleGuide,
    User,
)

LONGEST_TOLD = 200  # characters of a value in an audit event

admin.site.site_header = "Kroma operations"
admin.site.site_title = "Kroma"
admin.site.unregister(Group)


class Window(admin.ModelAdmin[Any]):
    """Shows rows and lets nobody change them."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class WindowInline(admin.TabularInline[Any, Any]):
    """Rows inside another row's page, to be read."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class Edited(Window):
    """Rows that the operator edits; each change is audited, none is deleted."""

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: models.Model, form: ModelForm[Any], change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            record_admin_change(request, obj, form, change)


def record_admin_change(request: HttpRequest, obj: models.Model, form: ModelForm[Any], change: bool) -> None:
    """Write the audit event of a row saved in the admin: what its fields were and are, but for passwords."""
    project = getattr(obj, "project", None)
    code = f"admin.{obj._meta.model_name}.{'updated' if change else 'created'}"
    shown = [name for name in form.changed_data if "password" not in name and name != "config"]
    before = {name: _told(form.initial.get(name)) for name in shown} if change else {}
    after = {name: _told(form.cleaned_data.get(name)) for name in shown}
    audit.record(project, code, obj, by=_by(request), fields=form.changed_data, before=before, after=after)


def _by(request: HttpRequest) -> Principal:
    """Who works in the admin, as our middleware has found."""
    return request.principal  # type: ignore[attr-defined, no-any-return]


def _told(value: object) -> object:
    return value if value is None or isinstance(value, bool | int) else str(value)[:LONGEST_TOLD]


@admin.register(User)
class PersonAdmin(UserAdmin[User]):
    list_display = ["username", "display_name", "is_active", "is_superuser", "last_login"]
    search_fields = ["username", "display_name", "email"]
    list_filter = ["is_active", "is_superuser"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": ["display_name", "email"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        # Deactivate instead: the audit trail and reviews name people.
        return False

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[Any], change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            record_admin_change(request, obj, form, change)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - as the base class calls it
        form_url: str = "",
    ) -> HttpResponse:
        """Set somebody's password; that it was set is audited, never what it is."""
        with transaction.atomic():
            before = User.objects.filter(pk=id).values_list("password", flat=True).first()
            response = super().user_change_password(request, id, form_url)
            user = User.objects.filter(pk=id).first()
            if user is not None and user.password != before:
                audit.record(None, "user.password_set", user, by=_by(request), username=user.username)
        return response


class MembershipInline(WindowInline):
    model = Membership
    fields = ["user", "role", "created_at"]
    readonly_fields = ["created_at"]


class StorageInline(WindowInline):
    model = ProjectStorage


class BudgetInline(WindowInline):
    model = Budget


class AccountInline(WindowInline):
    model = ProviderAccount
    fields = ["provider_code", "display_name", "enabled", "max_concurrency", "requests_per_minute"]


@admin.register(Project)
class ProjectAdmin(Window):
    list_display = ["name", "slug", "status", "created_at", "updated_at"]
    list_filter = ["status", "created_at"]
    search_fields = ["name", "slug", "description"]
    inlines = [MembershipInline, StorageInline, BudgetInline, AccountInline]


class LibraryAdmin(Window):
    list_display = ["name", "project", "updated_at"]
    list_filter = ["project"]
    search_fields = ["name", "project__name", "project__slug"]
    list_select_related = ["project"]


for entry in (StyleGuide, Character, PromptTemplate):
    admin.site.register(entry, LibraryAdmin)


class ItemInline(WindowInline):
    model = ReferenceItem
    fields = ["label", "content_uri", "sort_order"]


@admin.register(ReferenceSet)
class ReferenceSetAdmin(LibraryAdmin):
    inlines = [ItemInline]


@admin.register(AccessAttempt)
class SigninLockAdmin(AccessAttemptAdmin):  # type: ignore[misc]  # the package has no types
    """Wrong passwords; deleting the rows of a name lets that person try again at once."""

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        """Take away one row."""
        self._unlock(request, [obj], lambda: super(SigninLockAdmin, self).delete_model(request, obj))

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Take away the rows that were ticked."""
        rows = list(queryset)
        self._unlock(request, rows, lambda: super(SigninLockAdmin, self).delete_queryset(request, queryset))

    def _unlock(self, request: HttpRequest, rows: list[Any], delete: Callable[[], None]) -> None:
        names = sorted({row.username or "" for row in rows})
        with transaction.atomic():
            delete()
            audit.record(None, "admin.signin_lock.deleted", by=_by(request), usernames=names)


@admin.register(ProviderAccount)
class ProviderAccountAdmin(Edited):
    list_display = ["provider_code", "project", "display_name", "enabled", "updated_at"]
    list_filter = ["provider_code", "enabled"]
    search_fields = ["provider_code", "display_name", "project__name"]
    list_select_related = ["project"]


@admin.register(Budget)
class BudgetAdmin(Edited):
    list_display = ["project", "per_run_usd", "per_day_usd", "per_month_usd", "updated_at"]
    search_fields = ["project__name", "project__slug"]
    list_select_related = ["project"]


@admin.register(Secret)
class SecretAdmin(Window):
    """That a secret exists, and which key encrypts it; never its value."""

    list_display = ["provider_code", "secret_name", "project", "has_value", "updated_at"]
    list_filter = ["provider_code"]
    search_fields = ["provider_code", "secret_name", "project__name"]
    list_select_related = ["project"]
    fields = ["project", "provider_code", "secret_name", "has_value", "key_ref", "created_at", "updated_at"]

    @admin.display(boolean=True)
    def has_value(self, secret: Secret) -> bool:
        return bool(secret.value_encrypted)


@admin.register(ApiToken)
class ApiTokenAdmin(Window):
    """Who holds tokens; never a token or its hash."""

    list_display = ["token_prefix", "label", "user", "project", "expires_at", "revoked_at", "last_used_at"]
    list_filter = ["revoked_at", "expires_at"]
    search_fields = ["token_prefix", "label", "user__username", "project__name"]
    list_select_related = ["user", "project"]
    exclude = ["token_hash"]


@admin.register(AuditEvent)
class AuditEventAdmin(Window):
    list_display = ["sequence", "created_at", "event_code", "project_slug", "actor", "address"]
    list_filter = ["event_code", "created_at"]
    search_fields = ["event_code", "project_slug", "actor", "subject_id"]
    ordering = ["-sequence"]
