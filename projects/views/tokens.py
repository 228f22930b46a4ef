"""Bearer tokens for programs: a person's own, and those for one universe."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from projects.access import Action, PageRequest, Role, project_page
from projects.errors import KromaError
from projects.expiry import expiry_of
from projects.forms import TokenForm
from projects.models import ApiToken, Project
from projects.models.accounts import ApiTokenQuerySet
from projects.services.tokens import issue_token, revoke_token

N_ENDED = 50  # revoked and expired tokens that a page shows, the newest


@never_cache
@sensitive_variables("value")
@require_http_methods(["GET", "POST"])
def own_tokens(request: PageRequest) -> HttpResponse:
    """One's own tokens, and making one; the answer to that is the only place that ever shows it."""
    form = TokenForm(request.POST or None, by=request.principal)
    created, value = None, ""
    if request.method == "POST" and form.is_valid():
        try:
            created, value = _issued(request, form.cleaned_data)
        except KromaError as error:
            form.add_error(None, str(error))
        else:
            form = TokenForm(by=request.principal)
    tokens = ApiToken.objects.visible_to(request.principal).select_related("project")
    context = {
        "form": form,
        "created": created,
        "value": value,
        "revoke_url": "projects:token-revoke",
        **_listed(tokens, timezone.now()),
    }
    return render(request, "projects/tokens.html", context, status=422 if form.errors else 200)


@require_POST
def own_token_revoke(request: PageRequest, pk: UUID) -> HttpResponse:
    """End one of one's own tokens."""
    tokens = ApiToken.objects.visible_to(request.principal).select_related("project", "user")
    _revoked(request, get_object_or_404(tokens, pk=pk))
    return redirect("projects:tokens")


@require_safe
@project_page(Action.MANAGE_MEMBERS)
def project_tokens(request: PageRequest, project: Project) -> HttpResponse:
    """The tokens that reach this universe and no other, whoever made them."""
    tokens = ApiToken.objects.filter(project=project).select_related("user", "project")
    context = {"project": project, "section": "members", **_listed(tokens, timezone.now())}
    return render(request, "projects/project_tokens.html", context)


@require_POST
@project_page(Action.MANAGE_MEMBERS)
def project_token_revoke(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """End a token of this universe, whoever made it."""
    tokens = ApiToken.objects.filter(project=project).select_related("project", "user")
    _revoked(request, get_object_or_404(tokens, pk=pk))
    return redirect("projects:project-tokens", project.slug)


def _issued(request: PageRequest, wanted: dict[str, Any]) -> tuple[ApiToken, str]:
    expires = wanted["expires"]
    return issue_token(
        label=wanted["label"],
        role=Role(wanted["role"]),
        project_slug=wanted["project"].slug if wanted["project"] else "",
        expiry=expiry_of(expires.isoformat()) if expires else None,
        by=request.principal,
    )


def _listed(tokens: ApiTokenQuerySet, now: datetime) -> dict[str, object]:
    """The tokens that let in, and the newest of those that don't any more."""
    active = tokens.active(now)
    ended = tokens.exclude(pk__in=active.values("pk")).order_by("-created_at", "-id")
    return {"active": active.order_by("-created_at", "-id"), "ended": ended[:N_ENDED], "n_ended": N_ENDED}


def _revoked(request: PageRequest, token: ApiToken) -> None:
    revoke_token(token, by=request.principal)
    name = f"“{token.label}”" if token.label else f"{token.token_prefix}…"
    messages.success(request, f"The token {name} is revoked: it lets nobody in any more.")
