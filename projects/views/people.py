"""Coming in and going out."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from axes.helpers import get_client_ip_address
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from projects.access import PageRequest
from projects.errors import TooManyRequests
from projects.forms import SigninForm, password_form
from projects.models import User
from projects.services import people
from projects.throttles import PerAddress

# Links are long enough not to be guessed; this is against the noise of those who try.
LINKS_PER_ADDRESS = "30/min"
link_throttle = PerAddress("signin-link", LINKS_PER_ADDRESS)
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
        user = form.get_user()
        people.note_signin(user, address=request.META.get("REMOTE_ADDR", ""))
        login(request, user, backend=BACKEND)
        return redirect(target)
    context = {"form": form, "next": wanted if ours else ""}
    return render(request, "projects/signin.html", context, status=422 if form.errors else 200)


@login_not_required
@never_cache
@sensitive_variables("token")
@require_GET
def signin_link(request: PageRequest, token: str) -> HttpResponse:
    """Let in whoever holds a fresh link, once."""
    if not link_throttle.allow_request(request):
        raise TooManyRequests("Too many sign-in links were tried from this address: wait a minute")
    user = people.use_signin_link(token)
    if user is None:
        return render(request, "projects/signin_link_used.html", status=410)
    login(request, user, backend=BACKEND)
    request.session["by_link"] = True
    return redirect("pipeline:project-list")


def locked_out(request: HttpRequest, response: object, credentials: Mapping[str, str] | None) -> HttpResponse:
    """Say when somebody who gave too many wrong passwords may come back."""
    now = timezone.now()
    tried = AccessAttempt.objects.filter(
        username=(credentials or {}).get("username"), ip_address=get_client_ip_address(request)
    )
    latest = tried.aggregate(latest=Max("attempt_time"))["latest"] or now
    until = latest + settings.AXES_COOLOFF_TIME
    wait = max(1, math.ceil((until - now) / timedelta(minutes=1)))
    answer = render(request, "projects/locked_out.html", {"wait": wait, "until": until}, status=429)
    answer["Retry-After"] = str(max(1, math.ceil((until - now).total_seconds())))
    return answer


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
