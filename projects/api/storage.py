"""Routes: where a project's files lie, and where they are copied to."""

from typing import Any, Literal

from ninja import Router, Schema
from ninja.params.functions import Body
from pydantic import Field, StrictBool, StrictStr

from projects.access import Action
from projects.api.base import Answer, ApiRequest, Bearer, ProjectRef, answers, project_of, project_ref
from projects.errors import Invalid
from projects.models import AuditEvent, Project
from projects.services import storage

router = Router(tags=["storage"])


class LocalStorage(Schema):
    """The folder on this machine."""

    base_dir: str = Field(description="As it was set.", examples=["var/projects"])
    project_root: str = Field(description="The project's own folder, absolute.")


class S3Storage(Schema):
    """The copy in an S3 bucket."""

    enabled: bool
    bucket: str
    prefix: str = Field(examples=["iat-projects"])
    region: str
    profile: str
    endpoint_url: str = Field(description="Of a server other than Amazon's; '' for that one.")


class Storage(Schema):
    """Where a project's files lie."""

    local: LocalStorage
    s3: S3Storage


class StorageAnswer(Answer):
    """A project's storage."""

    project: ProjectRef
    storage: Storage


class StorageSaved(StorageAnswer):
    """A project's storage after a change."""

    updated: Literal["local", "s3"] = Field(description="Which part was written.")
    audit_id: str = Field(description="The event in the audit trail.")


class LocalStorageIn(Schema):
    """A change of the local folder; what is left out stays."""

    base_dir: StrictStr | None = Field(
        None,
        description="Where the project's folder lies; relative to the app root.",
        examples=["var/projects"],
    )
    project_root: StrictStr | None = Field(
        None, description="The project's own folder; blank: base and slug again.", examples=["/srv/saltmarsh"]
    )

    def checked(self) -> dict[str, str | None]:
        """What is to be written. Raises `Invalid` if nothing is."""
        if self.base_dir is None and self.project_root is None:
            raise Invalid("Provide at least one of: base_dir, project_root")
        return {"base_dir": self.base_dir, "project_root": self.project_root}


class S3StorageIn(Schema):
    """A change of the copy in S3; what is left out stays, a blank text is cleared."""

    enabled: StrictBool | None = Field(
        None, description="Whether runs may send files there.", examples=[True]
    )
    bucket: StrictStr | None = Field(None, examples=["studio-archive"])
    prefix: StrictStr | None = Field(None, description="Before the project's id in the key.")
    region: StrictStr | None = None
    profile: StrictStr | None = Field(None, description="Of the AWS configuration on the server.")
    endpoint_url: StrictStr | None = Field(None, examples=["https://s3.example.org"])


LOCAL_BODY = Body(default_factory=LocalStorageIn)
S3_BODY = Body(default_factory=S3StorageIn)


@router.get(
    "/api/projects/{slug}/storage",
    auth=Bearer(Action.READ),
    response=answers(StorageAnswer),
    summary="Read a project's storage",
)
def read_storage(request: ApiRequest, slug: str) -> dict[str, object]:
    """Where the files lie; keys are secrets and stand elsewhere."""
    return _shown(project_of(request))


@router.put(
    "/api/projects/{slug}/storage/local",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(StorageSaved, body=True),
    summary="Change the project's folder",
)
def update_local_storage(
    request: ApiRequest, slug: str, payload: LocalStorageIn = LOCAL_BODY
) -> dict[str, object]:
    """Name another folder. Files are not moved; a folder of something else is refused."""
    changes = payload.checked()
    project = project_of(request)
    event = storage.set_local_storage(project, by=request.principal, **changes)
    return _saved(project, "local", event)


@router.put(
    "/api/projects/{slug}/storage/s3",
    auth=Bearer(Action.MANAGE_SETTINGS),
    response=answers(StorageSaved, body=True),
    summary="Change the copy in S3",
)
def update_s3_storage(request: ApiRequest, slug: str, payload: S3StorageIn = S3_BODY) -> dict[str, object]:
    """Change what is given. Whether a bucket is named is looked at when files are sent."""
    project = project_of(request)
    event = storage.set_s3_storage(project, by=request.principal, **payload.dict())
    return _saved(project, "s3", event)


def _shown(project: Project) -> dict[str, Any]:
    return {"project": project_ref(project), "storage": storage.described(project)}


def _saved(project: Project, what: str, event: AuditEvent) -> dict[str, object]:
    return {**_shown(project), "updated": what, "audit_id": str(event.pk)}
