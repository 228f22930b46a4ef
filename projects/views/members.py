"""Who belongs to a universe."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from projects.access import Action, PageRequest, project_page
from projects.errors import KromaError
from projects.forms import MemberForm
from projects.models import ROLE_CHOICES, Project, User
from projects.services.projects import remove_member, set_member


@require_safe
@project_page(Action.READ)
def members(request: PageRequest, project: Project) -> HttpResponse:
    """Everybody and their role."""
    return _member_page(request, project, MemberForm())


@require_POST
@project_page(Action.MANAGE_MEMBERS)
def member_add(request: PageRequest, project: Project) -> HttpResponse:
    """Let somebody in who has an account."""
    form = MemberForm(request.POST)
    if form.is_valid():
        username, role = form.cleaned_data["username"], form.cleaned_data["role"]
        if project.memberships.filter(user__username=username).exists():
            form.add_error("username", f"{username} is a member already: change the role in the list")
        else:
            set_member(project, User.objects.get(username=username), role=role, by=request.principal)
            messages.success(request, f"{username} is now {role} of {project.name}.")
            return redirect("projects:members", project.slug)
    return _member_page(request, project, form)


@require_POST
@project_page(Action.MANAGE_MEMBERS)
def member_role(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Change what a member may do."""
    member = get_object_or_404(project.memberships.select_related("user"), pk=pk)
    role = request.POST.get("role", "")
    try:
        set_member(project, member.user, role=role, by=request.principal)
    except KromaError as error:
        return _member_page(request, project, MemberForm(), refusal=str(error))
    messages.success(request, f"{member.user} is now {role} of {project.name}.")
    return redirect("projects:members", project.slug)


@require_POST
@project_page(Action.MANAGE_MEMBERS)
def member_remove(request: PageRequest, project: Project, pk: UUID) -> HttpResponse:
    """Take somebody out; owners who remove themselves leave for the list of universes."""
    member = get_object_or_404(project.memberships.select_related("user"), pk=pk)
    try:
        remove_member(project, member.user, by=request.principal)
    except KromaError as error:
        return _member_page(request, project, MemberForm(), refusal=str(error))
    messages.success(request, f"{member.user} is no longer a member of {project.name}.")
    if member.user == request.user:
        return redirect("pipeline:project-list")
    return redirect("projects:members", project.slug)


def _member_page(request: PageRequest, project: Project, form: MemberForm, refusal: str = "") -> HttpResponse:
    context = {
        "project": project,
        "section": "members",
        "members": project.memberships.select_related("user"),
        "roles": [role for role, _ in ROLE_CHOICES],
        "form": form,
        "refusal": refusal,
    }
    status = 422 if form.errors or refusal else 200
    return render(request, "projects/members.html", context, status=status)
