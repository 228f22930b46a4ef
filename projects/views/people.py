"""Coming in and going out."""

from typing import cast

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from projects.access import PageRequest
from projects.forms import SigninForm, password_form
from projects.models import User
from projects.services import people

BACKEND = "django.contrib.auth.backends.ModelBackend"


@login_not_required
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def signin(request: PageRequest) -> HttpResponse:
    """For people who have a password; the others come by a link."""
    wanted = request.POST.get("next", request.GET.get("next", ""))
    # Only back to ourselves: `next` comes from the address, which anybody can make up.
    ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    target = wanted if ours else "pipeline:project-list"
    if request.user.is_authenticated:
        return redirect(target)
    form = SigninForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.get_user(), backend=BACKEND)
        return redirect(target)
    context = {"form": form, "next": wanted if ours else ""}
    return render(request, "projects/signin.html", context, status=422 if form.errors else 200)


@login_not_required
@never_cache
@sensitive_variables("token")
@require_GET
def signin_link(request: PageRequest, token: str) -> HttpResponse:
    """Let in whoever holds a fresh link, once."""
    user = people.use_signin_link(token)
    if user is None:
        return render(request, "projects/signin_link_used.html", status=410)
    login(request, user, backend=BACKEND)
    request.session["by_link"] = True
    return redirect("pipeline:project-list")


@require_POST
def signout(request: PageRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    messages.info(request, "You are signed out.")
    return redirect("projects:signin")


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def password(request: PageRequest) -> HttpResponse:
    """Set a password, so that one can come back without a link."""
    user = cast(User, request.user)
    form = password_form(user, request.POST or None, by_link=request.session.get("by_link", False))
    if request.method == "POST" and form.is_valid():
        people.set_password(user, form.cleaned_data["new_password1"], by=request.principal)
        update_session_auth_hash(request, user)  # else this session would end with the old password
        messages.success(request, "Your password is set. You can sign in with it from now on.")
        return redirect("pipeline:project-list")
    return render(request, "projects/password.html", {"form": form}, status=422 if form.errors else 200)
