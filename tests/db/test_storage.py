"""Storage settings, and what a sync looks at before it calls anybody; the rest is in services/test_s3.py."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from pipeline.bucket import Bucket, BucketUnusable, Place, S3Fault, StoredObject
from pipeline.services import s3
from pipeline.services.mirror import local_files
from pipeline.services.s3 import SyncGoingOn, sync_project
from pipeline.store import StorageFailed, store_for
from projects.access import OPERATOR
from projects.errors import Invalid
from projects.models import AuditEvent, Project
from projects.services.secrets import set_secret
from projects.services.storage import described, set_local_storage, set_s3_storage
from tests.factories import make_project

pytestmark = pytest.mark.django_db


class Called(BaseException):
    """Somebody wanted to talk to a server."""


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS settings of this machine, and no call to anybody."""

    def refuse(self: object, *args: object, **options: object) -> None:
        raise Called

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def switched_on(project: Project) -> Project:
    set_s3_storage(project, by=OPERATOR, enabled=True, bucket="shelf", endpoint_url="http://127.0.0.1:9")
    return project


def with_key(project: Project) -> Project:
    for name in ("access_key_id", "secret_access_key"):
        set_secret(project, "s3", name, value="canary-key", by=OPERATOR)
    return project


def sync(project: Project, **options: bool) -> s3.SyncResult:
    return sync_project(project, by=OPERATOR, **options)


@pytest.mark.acceptance("I-08", "I-09")
def test_the_checks_come_in_order_and_before_any_call(project: Project) -> None:
    root = store_for(project).root
    with pytest.raises(Invalid, match="S3 is switched off for Saltmarsh"):
        sync(project)
    set_s3_storage(project, by=OPERATOR, enabled=True)
    with pytest.raises(Invalid, match="Saltmarsh has no S3 bucket"):
        sync(project)
    switched_on(project)
    with pytest.raises(Invalid, match="does not exist: nothing can be sent"):
        sync(project)
    assert sync(project, allow_missing_local=True).as_dict() == {
        "ok": True,
        "skipped": True,
        "reason": "missing_local_project_root",
        "project_root": str(root),
        "destination": f"s3://shelf/iat-projects/{project.pk}/",
    }
    root.parent.mkdir(parents=True)
    root.write_bytes(b"")
    for options in ({}, {"allow_missing_local": True}):
        with pytest.raises(Invalid, match="is a file and not the project's folder"):
            sync(project, **options)
    root.unlink()
    root.mkdir()
    with pytest.raises(BucketUnusable, match="There are no S3 credentials"):
        sync(project)
    set_secret(project, "s3", "access_key_id", value="canary-key", by=OPERATOR)
    with pytest.raises(BucketUnusable, match="only half of its S3 key: store s3/secret_access_key, too"):
        sync(project)
    with pytest.raises(Called):
        sync(with_key(project))


def test_a_profile_that_is_not_there_is_named(project: Project) -> None:
    set_s3_storage(switched_on(project), by=OPERATOR, profile="studio")
    store_for(project).make_layout()
    with pytest.raises(BucketUnusable, match="has no AWS profile studio"):
        sync(project)


def test_an_endpoint_that_is_no_address_is_named(project: Project) -> None:
    set_s3_storage(with_key(switched_on(project)), by=OPERATOR, endpoint_url="nowhere")
    store_for(project).make_layout()
    with pytest.raises(BucketUnusable, match="look at the endpoint “nowhere”"):
        sync(project)


def test_a_key_shows_in_no_repr_of_a_place() -> None:
    assert "canary" not in repr(Place("shelf", access_key_id="canary-a", secret_access_key="canary-b"))


def test_one_sync_of_a_project_at_a_time(project: Project) -> None:
    store_for(project).make_layout()
    with (
        s3._alone(store_for(project), project),
        pytest.raises(SyncGoingOn, match="Another sync of Saltmarsh is going on"),
    ):
        sync(with_key(switched_on(project)))


def test_only_the_folders_of_the_layout_are_mirrored_and_links_are_not_followed(project: Project) -> None:
    store, root = store_for(project), store_for(project).root
    sent = ["archive/bad/b.png", "inputs/scenes/s.png", "outputs/a.png", "outputs/z.png", "references/r.png"]
    kept = [".kroma/originals/o.png", "notes/n.txt", "outputs/.draft-1", "outputs/a_openai_tmp_2.png"]
    for name in reversed(sent + kept):
        store.write(name, b"data")
    (root / "outputs/link.png").symlink_to("a.png")
    (root / "outputs/folder").symlink_to(root / "notes")
    (root / "runs").symlink_to(root / "notes")
    assert [file.name for file in local_files(root)] == sent


def test_a_folder_that_can_not_be_read_stops_all_as_its_files_would_look_deleted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    store_for(project).make_layout()
    monkeypatch.setattr("pipeline.services.mirror.os.scandir", refuse)
    with pytest.raises(StorageFailed, match=r"archive can't be read \(Permission denied\)"):
        list(local_files(store_for(project).root))


class Shelf(Bucket):
    """A bucket that takes all but what is called bad. It proves nothing about a server."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def close(self) -> None:
        """Nothing to let go of."""

    def objects(self, prefix: str) -> dict[str, StoredObject]:
        return {f"{prefix}outputs/old.png": StoredObject(4, "tag")}

    def put(self, name: str, data: bytes, *, sha256: str) -> str:
        if "bad" in name:
            raise S3Fault(f"{name}: refused")
        return "tag"

    def delete(self, names: Sequence[str]) -> list[str]:
        raise Called


def test_one_file_that_is_refused_does_not_stop_the_others_but_the_deleting(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "Bucket", Shelf)
    for name in ("a.png", "bad.png", "c.png"):
        store_for(project).write(f"outputs/{name}", b"data")
    result = sync(switched_on(project), delete=True)
    assert result.uploaded == ("outputs/a.png", "outputs/c.png")
    assert result.failed == (
        f"iat-projects/{project.pk}/outputs/bad.png: refused", "Nothing was deleted, as not all files are up",
    )  # fmt: skip
    event = AuditEvent.objects.get(event_code="storage.s3.sync")
    assert (event.payload["uploaded"], event.payload["failed"]) == (2, 2)


@pytest.mark.acceptance("U-11")
def test_settings_are_kept_cleared_and_audited(project: Project, tmp_path: Path) -> None:
    set_s3_storage(project, by=OPERATOR, enabled=True, bucket=" shelf ", prefix="p", region="eu-west-1")
    set_s3_storage(project, by=OPERATOR, prefix="")
    project.refresh_from_db()
    assert described(project)["s3"] == {
        "enabled": True, "bucket": "shelf", "prefix": "iat-projects", "region": "eu-west-1", "profile": "",
        "endpoint_url": "",
    }  # fmt: skip
    set_local_storage(project, by=OPERATOR, project_root=str(tmp_path / "own"))
    assert project.storage.root() == tmp_path / "own"
    set_local_storage(project, by=OPERATOR, project_root="")
    assert project.storage.root().parts[-3:] == ("var", "projects", project.slug)
    codes = AuditEvent.objects.filter(event_code__startswith="storage.").order_by("sequence")
    assert list(codes.values_list("event_code", "payload")) == [
        ("storage.s3.update", {"updated": "s3"}),
        ("storage.s3.update", {"updated": "s3"}),
        ("storage.local.update", {"updated": "local"}),
        ("storage.local.update", {"updated": "local"}),
    ]


def test_a_root_that_is_not_the_projects_own_is_refused(
    project: Project, settings: Settings, tmp_path: Path
) -> None:
    other = make_project(name="Other")
    theirs = tmp_path / "theirs"
    set_local_storage(other, by=OPERATOR, project_root=str(theirs))
    link = tmp_path / "link"
    link.symlink_to(theirs)
    for root, reason in (
        (theirs, "overlaps with that of Other"),
        (theirs / "inside", "overlaps with that of Other"),
        (link / "inside", "overlaps with that of Other"),
        (settings.BASE_DIR / "pipeline", "overlaps with the code of Kroma"),
        (Path("/"), "overlaps with the code of Kroma"),
        (settings.DATA_DIR, "overlaps with Kroma's data folder"),
        (settings.DATA_DIR / "backend" / "mine", "overlaps with Kroma's own state"),
        (settings.DATA_DIR / "models", "overlaps with the model files"),
        (settings.DATA_DIR / "var/projects", "overlaps with the folder of all projects"),
        (settings.DATA_DIR / "var/projects/another", "kept for a project of that name"),
        (settings.DATABASE_FILE.parent, "overlaps with"),
    ):
        with pytest.raises(Invalid, match=reason):
            set_local_storage(project, by=OPERATOR, project_root=str(root))
    with pytest.raises(Invalid, match="Field 'base_dir' must not be empty"):
        set_local_storage(project, by=OPERATOR, base_dir=" ")
    with pytest.raises(Invalid, match="Provide at least one of: base_dir, project_root"):
        set_local_storage(project, by=OPERATOR)
    for field in ("base_dir", "project_root"):
        with pytest.raises(Invalid, match=f"Field '{field}' must not contain"):
            set_local_storage(project, by=OPERATOR, **{field: str(tmp_path / "own" / ".." / "other")})
    project.refresh_from_db()
    assert project.storage.local_project_root == ""


@pytest.mark.parametrize("checkout", [True, False])
def test_a_folder_of_its_own_below_the_app_root_is_fine(
    project: Project, settings: Settings, tmp_path: Path, checkout: bool
) -> None:
    """The app root is the checkout, with the data folder in it, or the data folder itself."""
    if checkout:
        settings.BASE_DIR = settings.APP_ROOT = tmp_path
        settings.DATA_DIR = tmp_path / "var"
    set_local_storage(project, by=OPERATOR, base_dir="var/comics")
    assert project.storage.root() == settings.APP_ROOT / "var/comics" / project.slug
    set_local_storage(project, by=OPERATOR, project_root="studio/saltmarsh")
    assert project.storage.root() == settings.APP_ROOT / "studio/saltmarsh"
    set_local_storage(project, by=OPERATOR, project_root="", base_dir="var/projects")


def test_an_endpoint_takes_no_password_and_no_value_is_too_long(project: Project) -> None:
    with pytest.raises(Invalid, match="holds a name or a password") as caught:
        set_s3_storage(project, by=OPERATOR, endpoint_url="http://me:canary@127.0.0.1")
    assert "canary" not in str(caught.value)
    with pytest.raises(Invalid, match="s3 bucket has more than 200 characters"):
        set_s3_storage(project, by=OPERATOR, bucket="b" * 201)


def called(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_command_shows_and_changes_the_settings(project: Project, tmp_path: Path) -> None:
    shown = called("storage", "s3", project.slug, "--enable", "--bucket", "shelf")
    assert "s3.enabled: True" in shown
    assert "s3.bucket: shelf" in shown
    called("storage", "local", project.slug, "--project-root", str(tmp_path / "own"))
    document = json.loads(called("storage", "show", project.slug, "--json"))
    assert document["storage"]["local"]["project_root"] == str(tmp_path / "own")
    assert "s3.enabled: False" in called("storage", "s3", project.slug, "--disable")
    with pytest.raises(CommandError, match="There is no universe nowhere"):
        called("storage", "show", "nowhere")


def test_the_sync_command_tells_what_stands_against_it(project: Project) -> None:
    with pytest.raises(CommandError, match="S3 is switched off for Saltmarsh"):
        called("sync-project-s3", project.slug)
    switched_on(project)
    assert "there is nothing to send" in called("sync-project-s3", project.slug, "--allow-missing-local")
    with pytest.raises(CommandError, match="There is no universe nowhere"):
        called("sync-project-s3", "nowhere")
