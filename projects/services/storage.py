"""Where a project's files lie, and where they are copied to."""

from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import CharField

from projects import audit
from projects.access import Principal
from projects.errors import Invalid
from projects.models import AuditEvent, Project, ProjectStorage

DEFAULT_BASE = "var/projects"
DEFAULT_PREFIX = "iat-projects"
CODE = (
    "kroma_site", "projects", "bootstrap", "pipeline", "templates", "static", "tests", ".ci", ".git", ".venv"
)  # fmt: skip


def described(project: Project) -> dict[str, dict[str, object]]:
    """The storage settings as programs read them."""
    storage = project.storage
    return {
        "local": {"base_dir": storage.local_base_dir, "project_root": str(storage.root())},
        "s3": {
            "enabled": storage.s3_enabled,
            "bucket": storage.s3_bucket,
            "prefix": storage.s3_prefix or DEFAULT_PREFIX,
            "region": storage.s3_region,
            "profile": storage.s3_profile,
            "endpoint_url": storage.s3_endpoint_url,
        },
    }


def set_local_storage(
    project: Project, *, by: Principal, base_dir: str | None = None, project_root: str | None = None
) -> AuditEvent:
    """Name another folder for the project; None keeps a value, a blank root goes back to base and slug.

    The files themselves are not moved. Raises `Invalid` for a folder that belongs to something else.
    """
    if base_dir is None and project_root is None:
        raise Invalid("Provide at least one of: base_dir, project_root")
    if base_dir is not None and not base_dir.strip():
        raise Invalid("Field 'base_dir' must not be empty")
    for field, place in (("base_dir", base_dir), ("project_root", project_root)):
        if place and ".." in Path(place.strip()).parts:
            raise Invalid(f"Field '{field}' must not contain '..': name the folder itself")
    with transaction.atomic():
        storage = ProjectStorage.objects.select_for_update().get(project=project)
        storage.project = project
        if base_dir is not None:
            storage.local_base_dir = base_dir.strip()
        if project_root is not None:
            storage.local_project_root = project_root.strip()
        _check_lengths(storage, "local_base_dir", "local_project_root")
        _check_place(storage)
        storage.save()
        event = audit.record(project, "storage.local.update", storage, by=by, updated="local")
    project.storage = storage
    return event


def set_s3_storage(
    project: Project,
    *,
    by: Principal,
    enabled: bool | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
) -> AuditEvent:
    """Change what is given of the S3 settings; None keeps a value, a blank text clears it.

    Raises `Invalid`.
    """
    values = {
        "s3_bucket": bucket,
        "s3_prefix": prefix,
        "s3_region": region,
        "s3_profile": profile,
        "s3_endpoint_url": endpoint_url,
    }
    if endpoint_url and _names_somebody(endpoint_url):
        raise Invalid("The endpoint holds a name or a password: store keys among the project's secrets")
    with transaction.atomic():
        storage = ProjectStorage.objects.select_for_update().get(project=project)
        storage.project = project
        for field, value in values.items():
            if value is not None:
                setattr(storage, field, value.strip())
        if enabled is not None:
            storage.s3_enabled = enabled
        _check_lengths(storage, *values)
        storage.save()
        event = audit.record(project, "storage.s3.update", storage, by=by, updated="s3")
    project.storage = storage
    return event


def _check_place(storage: ProjectStorage) -> None:
    """Refuse a root that equals, contains or lies inside what is not the project's own.

    The app root may be the checkout or the data folder: a folder of the project's own in it is fine.
    """
    try:
        root = storage.root().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
        raise Invalid(f"{storage.root()} can't be a project's folder: {error}") from error
    base = (Path(settings.APP_ROOT) / DEFAULT_BASE).resolve()
    around = {
        "the code of Kroma": settings.BASE_DIR,
        "Kroma's data folder": settings.DATA_DIR,
        "the app root": settings.APP_ROOT,
        "the folder of all projects": base,
        "the database": settings.DATABASE_FILE,
    }
    within = {
        **{f"the code of Kroma, {name}": settings.BASE_DIR / name for name in CODE},
        "Kroma's own state": settings.BACKEND_DIR,
        "the model files": settings.MODELS_DIR,
    }
    for name, place in around.items():
        if Path(place).resolve().is_relative_to(root):
            raise Invalid(f"{root} can't be a project's folder: it overlaps with {name}, {place}")
    for name, place in within.items():
        if _overlap(root, Path(place).resolve()):
            raise Invalid(f"{root} can't be a project's folder: it overlaps with {name}, {place}")
    if root.is_relative_to(base) and root != base / storage.project.slug:
        raise Invalid(f"{root} can't be this project's folder: it is kept for a project of that name")
    others = ProjectStorage.objects.exclude(project=storage.project).select_related("project")
    for other in others:
        if _overlap(root, other.root().resolve()):
            raise Invalid(
                f"{root} can't be this project's folder: it overlaps with that of {other.project.name}"
            )


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _check_lengths(storage: ProjectStorage, *fields: str) -> None:
    for field in fields:
        column = ProjectStorage._meta.get_field(field)
        if isinstance(column, CharField) and len(getattr(storage, field)) > (column.max_length or 0):
            what = field.replace("_", " ")
            raise Invalid(f"The {what} has more than {column.max_length} characters: choose a shorter one")


def _names_somebody(address: str) -> bool:
    try:
        return "@" in urlsplit(address).netloc
    except ValueError:
        return "@" in address
