"""Making universes and saying who belongs to them."""

from functools import cache
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, models, transaction
from django.db.models import QuerySet
from django.utils import timezone

from projects import audit
from projects.access import NOT_AUTHORIZED, Principal, Role
from projects.errors import Forbidden, Invalid
from projects.models import AuditEvent, Membership, Project, ProjectStorage, User
from projects.names import slugified
from projects.prepared import Prepared
from projects.texts import LONGEST_NAME, optional_text, required_text

SLUG_OF_ANOTHER = "Project slug is already used by another user. Choose a different slug."


class NameTaken(Invalid):
    """A universe with this slug exists."""


def project_for(principal: Principal, slug: str) -> Project | None:
    """The project of this slug with its storage and `role`, None if the principal has none there.

    Each call of the API asks for it, so it is one query that is written once for each kind of caller.
    """
    if principal.operator:
        found = _by_slug(True, False, principal.most).rows(slug=slug)
    elif principal.user is None:
        return None
    else:
        query = _by_slug(False, principal.scope is not None, principal.most)
        scope = {} if principal.scope is None else {"scope": principal.scope}
        found = query.rows(slug=slug, user=principal.user.pk, **scope)
    if not found:
        return None
    role, *columns = found[0]
    project = Project.from_db(connection.alias, PROJECT_COLUMNS, columns[: len(PROJECT_COLUMNS)])
    storage = columns[len(PROJECT_COLUMNS) :]
    project.role = role
    if storage[0] is not None:
        project.storage = ProjectStorage.from_db(connection.alias, STORAGE_COLUMNS, storage)
    return project


@cache
def _by_slug(operator: bool, scoped: bool, most: Role) -> Prepared:
    def build(slug: str, user: UUID | None = None, scope: UUID | None = None) -> QuerySet[Project, Any]:
        caller = Principal(None if operator else User(pk=user), operator=operator, scope=scope, most=most)
        return (
            Project.objects.visible_to(caller)
            .with_role(caller)
            .filter(slug=slug)
            .values_list("role", *PROJECT_COLUMNS, *(f"storage__{name}" for name in STORAGE_COLUMNS))
        )

    placeholders: dict[str, models.Field[Any, Any]] = {"slug": models.CharField()}
    if not operator:
        placeholders["user"] = models.UUIDField()
    if scoped:
        placeholders["scope"] = models.UUIDField()
    return Prepared(build, placeholders)


PROJECT_COLUMNS = [field.attname for field in Project._meta.concrete_fields]
STORAGE_COLUMNS = [field.attname for field in ProjectStorage._meta.concrete_fields]


def create_project(
    *, name: str, description: str = "", slug: str = "", owner: User, by: Principal
) -> Project:
    """Make a universe with its storage and first owner. Raises `Invalid` for a blank or taken name."""
    return _created(name=name, description=description, slug=slug, owner=owner, by=by)[0]


def upsert_project(
    *, name: str, description: str, slug: str, owner: User, by: Principal
) -> tuple[Project, AuditEvent]:
    """Make a universe, or write name and description of the one with this slug anew and bring it back.

    Raises `Invalid` for a blank name and for a slug that is another owner's, `Forbidden` where the caller's
    token reaches less.
    """
    name = required_text("name", name, longest=LONGEST_NAME)
    description = optional_text("description", description)
    slug = slugified(slug) or slugified(name) or "project"
    if not Project.objects.filter(slug=slug).exists():
        if by.scope or by.most != Role.OWNER:
            raise Forbidden(NOT_AUTHORIZED)
        try:
            return _created(name=name, description=description, slug=slug, owner=owner, by=by)
        except NameTaken:  # somebody else was first; it may have been ourselves
            pass
    with transaction.atomic():
        project = Project.objects.select_for_update().get(slug=slug)
        _check_owner(project, owner, by)
        before = {"name": project.name, "status": project.status}
        project.name, project.description = name, description
        project.status, project.updated_at = Project.Status.ACTIVE, timezone.now()
        project.save(update_fields=["name", "description", "status", "updated_at"])
        event = audit.record(
            project, "project.upsert", project, by=by, project_id=str(project.pk), slug=slug, before=before
        )
    return project, event


def _check_owner(project: Project, owner: User, by: Principal) -> None:
    held = Membership.objects.filter(project=project, user=owner).values_list("role", flat=True).first()
    if held is None:
        raise Invalid(SLUG_OF_ANOTHER)
    if by.scope and by.scope != project.pk:
        raise Forbidden(NOT_AUTHORIZED)
    if held != Role.OWNER or by.most != Role.OWNER:
        raise Forbidden(f"To change {project.name} one must be its owner, with a token that may act as owner")


def _created(
    *, name: str, description: str, slug: str, owner: User, by: Principal
) -> tuple[Project, AuditEvent]:
    name = name.strip()
    if not name:
        raise Invalid("A universe needs a name")
    slug = slugified(slug or name) or "project"
    # The slug names a folder, and file systems stop at 255 bytes.
    if len(name) > LONGEST_NAME or len(slug) > LONGEST_NAME:
        raise Invalid(f"The name has more than {LONGEST_NAME} characters: choose a shorter one")
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, slug=slug, description=description.strip())
            ProjectStorage.objects.create(project=project)
            Membership.objects.create(project=project, user=owner, role=Role.OWNER)
            event = audit.record(
                project, "project.upsert", project, by=by, project_id=str(project.pk), slug=slug
            )
    except IntegrityError as error:
        raise NameTaken(
            f"A universe with the address “{slug}” exists already: choose another name"
        ) from error
    return project, event


def set_member(project: Project, user: User, *, role: str, by: Principal) -> Membership:
    """Give somebody a role in a universe. Raises `Invalid` if no owner would be left."""
    if role not in set(Role):
        raise Invalid(f"“{role}” is no role: choose one of {', '.join(Role)}")
    with transaction.atomic():
        _keep_an_owner(project, user, role)
        member, _ = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
        audit.record(project, "member.set", user, by=by, username=user.username, role=role)
    return member


def remove_member(project: Project, user: User, *, by: Principal) -> None:
    """Take somebody out of a universe. Raises `Invalid` if no owner would be left."""
    with transaction.atomic():
        _keep_an_owner(project, user, "")
        if not Membership.objects.filter(project=project, user=user).delete()[0]:
            raise Invalid(f"{user.username} is not a member of {project.name}")
        audit.record(project, "member.removed", user, by=by, username=user.username)


def _keep_an_owner(project: Project, user: User, role: str) -> None:
    # Lock the project, so that two owners can't remove each other at once.
    Project.objects.select_for_update().get(pk=project.pk)
    owners = Membership.objects.filter(project=project, role=Role.OWNER)
    if role != Role.OWNER and not owners.exclude(user=user).exists() and owners.filter(user=user).exists():
        raise Invalid(f"{user.username} is the only owner of {project.name}: make somebody else owner first")
