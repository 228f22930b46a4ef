"""What the base template knows on every page."""

from django.http import HttpRequest

from projects.access import Action, allows


def workspace(request: HttpRequest) -> dict[str, object]:
    """`may`: what one may do in the project of this page, by the action's name in lower case."""
    role = getattr(request, "project_role", "")
    return {"may": {action.name.lower(): allows(role, action) for action in Action}}
