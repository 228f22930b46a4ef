"""Making universes and saying who belongs to them."""

from django.db import IntegrityError, transaction

from projects import audit
from projects.access import Principal, Role
from projects.errors import Invalid
from projects.models import Membership, Project, ProjectStorage, User
from projects.names import slugified

# Addresses that mean something else on our pages.
LONGEST_NAME = 200
RESERVED_SLUGS = frozenset({"new"})


def create_project(
    *, name: str, description: str = "", slug: str = "", owner: User, by: Principal
) -> Project:
    """Make a universe with its storage and first owner. Raises `Invalid` for a blank or taken name."""
    name = name.strip()
    if not name:
        raise Invalid("A universe needs a name")
    slug = slugified(slug or name) or "project"
    # The slug names a folder, and file systems stop at 255 bytes.
    if len(name) > LONGEST_NAME or len(slug) > LONGEST_NAME:
        raise Invalid(f"The name has more than {LONGEST_NAME} characters: choose a shorter one")
    if slug in RESERVED_SLUGS:
        raise Invalid(f"“{name}” can't be used as a name: choose another one")
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, slug=slug, description=description.strip())
            ProjectStorage.objects.create(project=project)
            Membership.objects.create(project=project, user=owner, role=Role.OWNER)
            audit.record(project, "project.upsert", project, by=by, slug=slug)
    except IntegrityError as error:
        raise Invalid(f"A universe with the address “{slug}” exists already: choose another name") from error
    return project


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
