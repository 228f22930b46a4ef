"""Finding the universe that a command names."""

from django.core.management import CommandError

from projects.models import Project
from projects.names import slugified

MOST_NAMED = 10  # universes in an error


def any_project_named(name: str) -> Project:
    """The universe of this name or slug, archived or not. Raises `CommandError`."""
    found = _found(name)
    if found is None:
        raise _none(name)
    return found


def existing_project(name: str) -> Project | None:
    """The active universe of this name or slug, None if there is none. Raises `CommandError`."""
    project = _found(name)
    if project is not None and project.status != Project.Status.ACTIVE:
        raise CommandError(f"The universe {project.slug} is archived: bring it back first")
    return project


def project_named(name: str) -> Project:
    """The active universe of this name or slug. Raises `CommandError`."""
    found = existing_project(name)
    if found is None:
        raise _none(name)
    return found


def _none(name: str) -> CommandError:
    slugs = list(Project.objects.order_by("slug").values_list("slug", flat=True)[: MOST_NAMED + 1])
    known = ", ".join(slugs[:MOST_NAMED]) + (" …" if len(slugs) > MOST_NAMED else "")
    return CommandError(
        f"There is no universe {name}: create it in the browser, or with its first run, as by "
        f"`pipeline dry --project {name} --input FOLDER`. There are: {known or 'none yet'}"
    )


def _found(name: str) -> Project | None:
    slug = slugified(name)
    if not slug:
        raise CommandError("The universe needs a name with letters or digits in it")
    return Project.objects.filter(slug=slug).select_related("storage").first()
