"""Who may do what: the principal of a request, the roles, and the one table action -> least role."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING
from uuid import UUID

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from projects.errors import Forbidden

if TYPE_CHECKING:
    from projects.models import User


class Role(StrEnum):
    """What a member is in one project, from most to least."""

    OWNER = "owner"
    EDITOR = "editor"
    REVIEWER = "reviewer"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        """0 for the owner; a higher number may do less."""
        return list(Role).index(self)


class Action(StrEnum):
    """Everything that is guarded inside a project, named for what a person does."""

    READ = "read"
    REVIEW = "review"
    EDIT_LIBRARY = "edit library"
    RUN = "run"
    INSTRUCT = "talk to the copilot"
    MANAGE_MEMBERS = "manage members"
    SEE_AUDIT = "see the audit trail"
    MANAGE_SETTINGS = "manage settings"
    DECIDE_DOUBT = "decide about calls in doubt"


LEAST_ROLE: dict[Action, Role] = {
    Action.READ: Role.VIEWER,
    Action.REVIEW: Role.REVIEWER,
    Action.EDIT_LIBRARY: Role.EDITOR,
    Action.RUN: Role.EDITOR,
    Action.INSTRUCT: Role.EDITOR,
    Action.MANAGE_MEMBERS: Role.OWNER,
    Action.SEE_AUDIT: Role.OWNER,
    Action.MANAGE_SETTINGS: Role.OWNER,
    Action.DECIDE_DOUBT: Role.OWNER,
}


@dataclass(frozen=True)
class Principal:
    """The one who acts: a person, by a session or a token, or the operator (no user, sees all).

    A token may hold less than its person: `most` is the highest role it acts with, `scope` the one project it
    reaches (None: all of the person's). `called` is what the audit trail calls somebody without an account.
    """

    user: "User | None" = None
    operator: bool = False
    address: str = ""
    token_id: UUID | None = None
    scope: UUID | None = None
    most: Role = Role.OWNER
    called: str = ""

    @property
    def name(self) -> str:
        """For the audit trail."""
        return self.user.username if self.user else self.called


NOT_AUTHORIZED = "Token is not authorized for this project"
OPERATOR = Principal(operator=True, called="operator")
NOBODY = Principal()


def allows(role: str, action: Action) -> bool:
    """Whether a member of this role may do it; an unknown role may nothing."""
    return role in set(Role) and Role(role).rank <= LEAST_ROLE[action].rank


class PageRequest(HttpRequest):
    """A request as our middleware hands it to a view."""

    principal: Principal
    htmx: object
    project_role: str


# A view of a page: (request, project, **what the route names), and what the route calls: (request, **names).
ProjectView = Callable[..., HttpResponseBase]
RoutedView = Callable[..., HttpResponseBase]


def project_page(action: Action) -> Callable[[ProjectView], RoutedView]:
    """Hand the view its project instead of a slug.

    Not a member: 404, as what is not yours does not exist. A member whose role is too low: `Forbidden`.
    """

    def decorate(view: ProjectView) -> RoutedView:
        @wraps(view)
        def guarded(request: PageRequest, /, **kwargs: object) -> HttpResponseBase:
            from projects.models import Project  # noqa: PLC0415 - models need access.Role at import

            project = (
                Project.objects.visible_to(request.principal)
                .with_role(request.principal)
                .filter(slug=kwargs.pop("slug"))  # the route's name for it
                .first()
            )
            if project is None:
                raise Http404("No such universe")
            if not request.principal.operator and not allows(project.role, action):
                needed = LEAST_ROLE[action]
                raise Forbidden(
                    f"To {action} in {project.name} one must be {needed} or higher; you are {project.role}"
                )
            request.project_role = project.role
            return view(request, project, **kwargs)

        guarded.action = action  # type: ignore[attr-defined]  # read by the test that walks all routes
        return guarded

    return decorate
