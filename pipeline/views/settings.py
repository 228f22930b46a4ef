"""What a universe is set to, and where each value comes from; what it may spend."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from pipeline.forms import BudgetForm
from pipeline.services.budgets import spending_of
from pipeline.services.configuration import load
from pipeline.services.settings_table import settings_table
from pipeline.services.toolstatus import tool_statuses
from projects.access import Action, PageRequest, project_page
from projects.models import Budget, Project
from projects.services.budgets import PERIODS, set_budget


@require_safe
@project_page(Action.READ)
def settings(request: PageRequest, project: Project) -> HttpResponse:
    """The settings of runs as the files are now, with all that is wrong or odd about them."""
    return _page(request, project, BudgetForm(initial=_limits(project)))


@require_safe
@project_page(Action.READ)
def tools(request: PageRequest, project: Project) -> HttpResponse:
    """The tools that a run can use after generation, and what some of them lack."""
    context = {
        "project": project,
        "section": "settings",
        "tools": tool_statuses(project, load(project)),
    }
    return render(request, "pipeline/tools.html", context)


@require_POST
@project_page(Action.MANAGE_SETTINGS)
def settings_budget(request: PageRequest, project: Project) -> HttpResponse:
    """Set how much the universe may spend."""
    form = BudgetForm(request.POST)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    set_budget(project, **form.cleaned_data, by=request.principal)
    messages.success(request, "The budget is saved. It holds for what is started from now on.")
    return redirect("pipeline:settings", project.slug)


def _page(request: PageRequest, project: Project, budget: BudgetForm, *, status: int = 200) -> HttpResponse:
    context = {
        "project": project,
        "section": "settings",
        "table": settings_table(project),
        "budget": budget,
        "limits": _limits(project),
        "spending": spending_of(project),
    }
    return render(request, "pipeline/settings.html", context, status=status)


def _limits(project: Project) -> dict[str, object]:
    found = Budget.objects.filter(project=project).first()
    return {period: getattr(found, f"{period}_usd", None) for period in PERIODS}
