"""What all routes share: who asks, which project is meant, what an error looks like."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Schema
from ninja.security.http import HttpAuthBase
from pydantic import Field

from projects.access import LEAST_ROLE, Action, Principal, allows
from projects.errors import Forbidden, NotFound
from projects.models import Project
from projects.names import exact_id

M = TypeVar("M", bound=Model)

PROJECT_NOT_FOUND = "Project not found"


class ApiRequest(HttpRequest):
    """A request as the edge hands it to a route: judged, with the project that its address names.

    `project` is None where the address names none, or one that does not exist for the caller. It carries its
    storage and `role`, the caller's.
    """

    principal: Principal
    project: Project | None
    request_id: str


class Bearer(HttpAuthBase):
    """A bearer token whose user and own limit allow an action; the edge has looked at the token already."""

    openapi_scheme = "bearer"

    def __init__(self, action: Action) -> None:
        super().__init__()
        self.action = action

    def __call__(self, request: ApiRequest) -> Principal:  # type: ignore[override]
        """The caller. Raises `Forbidden` if the role in the addressed project is too low."""
        require(request, self.action)
        return request.principal


def require(request: ApiRequest, action: Action) -> None:
    """Raise `Forbidden` if the caller's role in the addressed project is too low; none addressed: nothing."""
    project = request.project
    if project is not None and not allows(project.role, action):
        raise Forbidden(
            f"To {action} in this project a role of {LEAST_ROLE[action]} or higher is needed; the token has "
            f"{project.role}"
        )


def project_of(request: ApiRequest, *, missing: str = PROJECT_NOT_FOUND) -> Project:
    """The project that the address names. Raises `NotFound` with the text of the route's family.

    Call it after the payload has been judged: a bad payload for an unknown project is 400, not 404.
    """
    if request.project is None:
        raise NotFound(missing)
    return request.project


def row_of(rows: QuerySet[M], text: str, *, missing: str) -> M:
    """The one of these rows that an id of an address names. Raises `NotFound`."""
    pk = exact_id(text)
    found = rows.filter(pk=pk).first() if pk else None
    if found is None:
        raise NotFound(missing)
    return found


def moment(at: datetime | None) -> str:
    """A moment as the contract writes it: UTC, whole seconds; '' for none."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


class Answer(Schema):
    """What every success begins with."""

    ok: Literal[True] = True


class ProjectRef(Schema):
    """A project, named."""

    id: str
    slug: str = Field(description="How addresses name it.", examples=["saltmarsh"])
    name: str = Field(examples=["Saltmarsh"])


def project_ref(project: Project) -> dict[str, str]:
    """A project's names."""
    return {"id": str(project.pk), "slug": project.slug, "name": project.name}


class ErrorAnswer(Schema):
    """What every error looks like."""

    ok: Literal[False] = False
    error: str = Field(description="One sentence for people; stable for the errors of the contract.")
    error_kind: Literal["validation", "provider", "infra", "policy", "unknown"]
    error_code: str = Field(examples=["validation_error"])
    request_id: str = Field("", description="Names the request in the server's log; also in X-Request-ID.")


class Deleted(Answer):
    """The row is gone."""

    deleted: Literal[True] = True
    id: str = Field(description="The id as it stood in the address.")


# What the edge and the checks before a route may answer to anybody.
ALWAYS = (400, 401, 403, 404, 405, 429, 500)
WITH_BODY = (413, 415, 422)


def answers(success: Any, *, body: bool = False, open_to_all: bool = False) -> dict[int, Any]:
    """The `response=` of a route: its success, and the errors that it can give.

    `body`: it takes a JSON body. `open_to_all`: nobody has to show a token.
    """
    statuses: Iterable[int] = (*ALWAYS, *(WITH_BODY if body else ()))
    if open_to_all:
        statuses = (405, 500)
    return {200: success, **dict.fromkeys(statuses, ErrorAnswer)}


# Marks a route that the contract does not have, for the count that `/health` tells.
ADDITIVE: dict[str, Any] = {"x-kroma-additive": True}
