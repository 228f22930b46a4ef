"""Making a universe. The list of them and its dashboard show runs, so they are in `pipeline`."""

from typing import cast

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from projects.access import PageRequest
from projects.errors import KromaError
from projects.forms import ProjectForm
from projects.models import User
from projects.services.projects import create_project


@require_http_methods(["GET", "POST"])
def project_new(request: PageRequest) -> HttpResponse:
    """Whoever makes a universe is its first owner."""
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        owner = cast(User, request.principal.user)
        try:
            return redirect(create_project(**form.cleaned_data, owner=owner, by=request.principal))
        except KromaError as error:
            form.add_error("name", str(error))
    return render(request, "projects/project_new.html", {"form": form}, status=422 if form.errors else 200)
