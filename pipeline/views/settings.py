"""What a universe is set to, and where each value comes from."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from pipeline.services.settings_table import settings_table
from projects.access import Action, PageRequest, project_page
from projects.models import Project


@require_safe
@project_page(Action.READ)
def settings(request: PageRequest, project: Project) -> HttpResponse:
    """The settings of runs as the files are now, with all that is wrong or odd about them."""
    context = {"project": project, "section": "settings", "table": settings_table(project)}
    return render(request, "pipeline/settings.html", context)
