"""Routes: projects."""

from typing import Any

from django.db.models import OuterRef, Q, Subquery
from ninja import Query, Router, Schema
from pydantic import Field, StrictStr

from projects.access import Action, Role
from projects.api.base import (
    Answer,
    ApiRequest,
    Bearer,
    ProjectRef,
    answers,
    moment,
    project_of,
    project_ref,
)
from projects.api.lists import ListAnswer, ListQuery, page_of
from projects.api.storage import Storage
from projects.models import Membership, Project
from projects.names import slugified
from projects.services import people
from projects.services.projects import upsert_project
from projects.services.storage import described
from projects.texts import LONGEST_NAME, optional_text, required_text

router = Router(tags=["projects"])


class ProjectOut(ProjectRef):
    """A project: one story universe."""

    description: str
    status: str = Field(description="`active` or `archived`.", examples=["active"])
    created_at: str
    updated_at: str = Field(description="When it was written anew, or its settings were imported.")


class ProjectListItem(ProjectOut):
    """A project in a list."""

    username: str = Field(description="Its first owner.", examples=["local"])


class Counts(Schema):
    """How much a project holds."""

    runs: int
    jobs: int
    assets: int


class ProjectIn(Schema):
    """A project that is to be made, or written anew."""

    name: StrictStr = Field("", description="Required.", examples=["Saltmarsh"])
    slug: StrictStr | None = Field(None, description="Left out: made from the name.", examples=["saltmarsh"])
    description: StrictStr | None = Field(None, description="Left out, an earlier one is cleared.")
    username: StrictStr | None = Field(
        None, description="The owner, under the development bypass; a token's project belongs to its person."
    )
    user_display_name: StrictStr | None = Field(None, description="Of that owner, under the bypass.")

    def checked(self) -> dict[str, str]:
        """What is to be written. Raises `Invalid`."""
        return {
            "name": required_text("name", self.name, longest=LONGEST_NAME),
            "slug": self.slug or "",
            "description": optional_text("description", self.description),
        }


class ProjectList(ListAnswer):
    """The caller's projects."""

    projects: list[ProjectListItem]


class ProjectSaved(Answer):
    """A project that was made or written anew."""

    project: ProjectRef
    storage: Storage
    audit_id: str = Field(description="The event in the audit trail.")


class ProjectAnswer(Answer):
    """One project."""

    project: ProjectOut
    counts: Counts
    storage: Storage


class ProjectQuery(ListQuery):
    """Which projects are wanted."""

    username: str = Field("", description="Only those of this first owner; blank: all.")


@router.get(
    "/api/projects",
    auth=Bearer(Action.READ),
    response=answers(ProjectList),
    summary="List the caller's projects",
)
def list_projects(request: ApiRequest, query: Query[ProjectQuery]) -> dict[str, object]:
    """The projects that the caller is a member of and the token reaches, the last written first."""
    owners = Membership.objects.filter(project=OuterRef("pk"), role=Role.OWNER).order_by("created_at", "pk")
    mine = Project.objects.visible_to(request.principal)
    rows = mine.annotate(username=Subquery(owners.values("user__username")[:1]))
    if wanted := slugified(query.username):
        rows = rows.filter(Q(username=wanted))
    page = page_of(rows, query, order=["-updated_at", "-created_at", "-id"])
    return page.answer("projects", lambda row: {**project_out(row), "username": row.username or ""})  # type: ignore[attr-defined]


@router.post(
    "/api/projects",
    auth=Bearer(Action.READ),
    response=answers(ProjectSaved, body=True),
    summary="Make a project, or write it anew",
)
def save_project(request: ApiRequest, payload: ProjectIn) -> dict[str, object]:
    """Make a project of the caller's; one with the same slug gets this name and description instead."""
    fields = payload.checked()
    by = request.principal
    if by.user is None:
        username = slugified(payload.username or "") or people.FIRST_OWNER
        display_name = optional_text("user_display_name", payload.user_display_name, longest=LONGEST_NAME)
        owner = people.named_user(username, display_name=display_name, by=by)
    else:
        owner = by.user
    project, event = upsert_project(**fields, owner=owner, by=by)
    return {"project": project_ref(project), "storage": described(project), "audit_id": str(event.pk)}


@router.get(
    "/api/projects/{slug}",
    auth=Bearer(Action.READ),
    response=answers(ProjectAnswer),
    summary="Read a project",
)
def read_project(request: ApiRequest, slug: str) -> dict[str, object]:
    """One project, how much it holds, and where its files lie."""
    project = project_of(request)
    counts = {
        "runs": project.runs.count(),
        "jobs": project.runs.filter(jobs__isnull=False).count(),  # a row of the join for each job
        "assets": project.assets.count(),
    }
    return {"project": project_out(project), "counts": counts, "storage": described(project)}


def project_out(project: Project) -> dict[str, Any]:
    """A project's own fields."""
    return {
        **project_ref(project),
        "description": project.description,
        "status": project.status,
        "created_at": moment(project.created_at),
        "updated_at": moment(project.updated_at),
    }
