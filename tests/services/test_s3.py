"""The S3 sync against a real server: what goes up, what is sent again, and what a death half-way leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.config import Config
from django.conf import settings as configured

from pipeline.bucket import CONNECTIONS, BucketUnusable
from pipeline.engine.mirror import parts_of
from pipeline.services.s3 import SyncResult, sync_project
from pipeline.store import store_for
from projects.access import OPERATOR
from projects.errors import Invalid
from projects.models import AuditEvent, Project
from projects.services.secrets import set_secret
from projects.services.storage import set_local_storage, set_s3_storage
from tests.conftest import absent
from tests.factories import make_project, png
from tests.services.swift import ACCESS_KEY, SECRET_KEY, Recorder, Swift, missing_programs, recorded

pytestmark = [pytest.mark.services, pytest.mark.django_db]

LARGE = 20 * 1024 * 1024  # three parts


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    if missing_programs():
        absent(f"OpenStack Swift: {', '.join(missing_programs())}")
    server = Swift(tmp_path_factory.mktemp("swift"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def door(swift: Swift) -> Iterator[Recorder]:
    with recorded(swift.url) as recorder:
        yield recorder


@pytest.fixture
def client(swift: Swift) -> Iterator[Any]:
    config = Config(
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )  # fmt: skip
    found = boto3.client(
        "s3", endpoint_url=swift.url, region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, config=config,
    )  # fmt: skip
    yield found
    found.close()


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"kroma-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def universe(project: Project, bucket: str, door: Recorder) -> Project:
    """A project with S3 switched on, its key among its secrets, and a few files."""
    set_s3_storage(
        project, by=OPERATOR, enabled=True, bucket=bucket, region="us-east-1", endpoint_url=door.url
    )
    set_secret(project, "s3", "access_key_id", value=ACCESS_KEY, by=OPERATOR)
    set_secret(project, "s3", "secret_access_key", value=SECRET_KEY, by=OPERATOR)
    for number in range(4):
        put(project, f"outputs/panel {number} é.png", b"picture %d" % number)
    put(project, "runs/run_2026.json", b"{}")
    return project


def put(project: Project, name: str, data: bytes) -> None:
    store_for(project).write(name, data)


def prefix(project: Project) -> str:
    return f"iat-projects/{project.pk}/"


def keys(client: Any, bucket: str, project: Project) -> set[str]:
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix(project)).get("Contents", [])
    return {entry["Key"].removeprefix(prefix(project)) for entry in listed}


def sync(project: Project, **options: bool) -> SyncResult:
    project.refresh_from_db()
    return sync_project(project, by=OPERATOR, **options)


@pytest.mark.acceptance("I-09", "W-32")
def test_the_first_sync_sends_all_and_the_second_nothing(
    universe: Project, client: Any, bucket: str, door: Recorder
) -> None:
    put(universe, ".kroma/originals/abc.png", b"kept here")
    put(universe, "outputs/cut_openai_tmp_1.png", b"on its way")
    (store_for(universe).root / "outputs/.draft-1").write_bytes(b"on its way")
    (store_for(universe).root / "outputs/link.png").symlink_to("/etc/hostname")
    (store_for(universe).root / "exports").symlink_to("/etc")
    put(universe, "notes/private.txt", b"not ours")
    first = sync(universe)
    assert first.ok, first.failed
    names = {f"outputs/panel {number} é.png" for number in range(4)} | {"runs/run_2026.json"}
    assert set(first.uploaded) == names == keys(client, bucket, universe)
    answer = first.as_dict()
    assert (answer["uploaded"], answer["skipped"], answer["deleted"], answer["bytes"]) == (5, 0, 0, 38)
    assert answer["destination"] == f"s3://{bucket}/iat-projects/{universe.pk}/"
    head = client.head_object(Bucket=bucket, Key=f"{prefix(universe)}outputs/panel 1 é.png")
    assert head["ContentType"] == "image/png"
    assert head["Metadata"]["sha256"] == store_for(universe).sha256("outputs/panel 1 é.png")
    assert AuditEvent.objects.get(event_code="storage.s3.sync").payload["uploaded"] == 5

    door.seen.clear()
    second = sync(universe)
    assert (second.uploaded, second.skipped) == ((), 5)
    assert [method for method, _ in door.seen] == ["GET"], "one listing, whatever there is"
    assert AuditEvent.objects.filter(event_code="storage.s3.sync").count() == 1


def test_a_changed_file_is_sent_alone_also_when_its_size_and_time_stay(
    universe: Project, client: Any, bucket: str, door: Recorder
) -> None:
    sync(universe)
    path = store_for(universe).path("outputs/panel 2 é.png")
    before = path.stat()
    put(universe, "outputs/panel 2 é.png", b"pictures2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    door.seen.clear()
    assert sync(universe).uploaded == ("outputs/panel 2 é.png",)
    assert len(door.sent()) == 1
    got = client.get_object(Bucket=bucket, Key=f"{prefix(universe)}outputs/panel 2 é.png")
    assert got["Body"].read() == b"pictures2"


def test_what_was_sent_is_known_again_without_a_memory_of_it(universe: Project, door: Recorder) -> None:
    put(universe, "exports/large.zip", os.urandom(LARGE))
    sync(universe)
    store_for(universe).path(".kroma/s3-sync.json").unlink()
    door.seen.clear()
    assert sync(universe).skipped == 6
    assert door.sent() == []


def test_objects_are_deleted_on_demand_only_and_below_the_own_prefix_only(
    universe: Project, client: Any, bucket: str
) -> None:
    other = make_project(name="Other")
    foreign = [f"iat-projects/{other.pk}/outputs/a.png", f"iat-projects/{universe.pk}x/a.png", "a.png"]
    for key in foreign:
        client.put_object(Bucket=bucket, Key=key, Body=b"theirs")
    sync(universe)
    store_for(universe).path("outputs/panel 0 é.png").unlink()
    store_for(universe).path("outputs/panel 1 é.png").unlink()
    kept = sync(universe)
    assert (kept.uploaded, kept.n_deleted) == ((), 0)
    assert "outputs/panel 0 é.png" in keys(client, bucket, universe)
    shown = sync(universe, delete=True, dry_run=True)
    assert shown.as_dict()["deleted"] == 2
    assert "outputs/panel 0 é.png" in keys(client, bucket, universe)
    assert sync(universe, delete=True).n_deleted == 2
    assert keys(client, bucket, universe) == {
        "outputs/panel 2 é.png", "outputs/panel 3 é.png", "runs/run_2026.json",
    }  # fmt: skip
    there = {entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert set(foreign) <= there


def test_a_dry_run_sends_nothing(universe: Project, client: Any, bucket: str, door: Recorder) -> None:
    shown = sync(universe, dry_run=True).as_dict()
    assert (shown["uploaded"], shown["bytes"]) == (5, 38)
    assert "runs/run_2026.json" in str(shown["to_upload"])
    assert [method for method, _ in door.seen] == ["GET"]
    assert keys(client, bucket, universe) == set()
    assert not store_for(universe).exists(".kroma/s3-sync.json")


def test_a_wrong_key_is_one_sentence_without_the_key(universe: Project) -> None:
    set_secret(universe, "s3", "secret_access_key", value="wrong-canary", by=OPERATOR)
    with pytest.raises(BucketUnusable, match="refused the key for the bucket kroma-") as caught:
        sync(universe)
    assert "wrong-canary" not in str(caught.value)
    assert ACCESS_KEY not in str(caught.value)


def test_a_bucket_that_is_missing_is_named(universe: Project) -> None:
    set_s3_storage(universe, by=OPERATOR, bucket="nowhere")
    with pytest.raises(BucketUnusable, match="has no bucket nowhere: make it there"):
        sync(universe)


def test_a_server_that_does_not_answer_is_named(universe: Project) -> None:
    set_s3_storage(universe, by=OPERATOR, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(BucketUnusable, match=r"server http://127\.0\.0\.1:9 can't be reached"):
        sync(universe)


@pytest.mark.acceptance("I-08")
def test_a_file_in_place_of_the_folder_is_refused_before_anybody_is_called(
    universe: Project, door: Recorder, tmp_path: Path
) -> None:
    file = tmp_path / "a file"
    file.write_bytes(b"")
    set_local_storage(universe, by=OPERATOR, project_root=str(file))
    with pytest.raises(Invalid, match="is a file and not the project's folder"):
        sync(universe)
    assert door.seen == []


def test_a_server_that_dies_half_way_has_what_was_told_and_gets_the_rest_later(
    universe: Project, client: Any, bucket: str, door: Recorder, swift: Swift
) -> None:
    for number in range(40):
        put(universe, f"outputs/more {number}.png", b"more %d" % number)

    def die(method: str, path: str) -> None:
        if len(door.sent()) == 20 and "proxy" in swift.processes:
            swift.kill("proxy")

    door.after = die
    result = sync(universe, delete=True)
    swift.start_proxy()
    assert not result.ok
    assert 20 <= len(result.uploaded) < 45
    assert any("can't be reached" in fault for fault in result.failed)
    missing = 45 - len(result.uploaded)
    assert any(f"{missing} files were not sent" in fault for fault in result.failed)
    assert set(result.uploaded) <= keys(client, bucket, universe)
    door.after = lambda method, path: None
    door.seen.clear()
    rest = sync(universe)
    assert rest.ok, rest.failed
    # One whose answer was lost may have arrived: it is not sent again.
    assert 0 < len(rest.uploaded) == len(door.sent()) <= missing
    assert len(keys(client, bucket, universe)) == 45


def manage(folder: Path, *words: str, entered: str = "") -> "subprocess.Popen[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KROMA_", "DJANGO_"))}
    process = subprocess.Popen(
        [sys.executable, str(configured.BASE_DIR / "manage.py"), *words],
        env=own | {"KROMA_DATA_DIR": str(folder), "KROMA_LEASE_SECONDS": "3"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    if entered:
        process.communicate(entered, timeout=60)
    return process


def managed(folder: Path, *words: str, entered: str = "") -> str:
    process = manage(folder, *words, entered=entered)
    if entered:
        assert process.returncode == 0
        return ""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def harbour(tmp_path: Path, prepared: Path, bucket: str, door: Recorder) -> tuple[Path, Path]:
    """An installation of its own with one universe that has S3; its data folder and the universe's folder."""
    folder = shutil.copytree(prepared, tmp_path / "own")
    script = (
        "from projects.services.projects import create_project;"
        "from projects.services.people import first_owner; from projects.access import OPERATOR;"
        "print(create_project(name='Harbour', owner=first_owner(), by=OPERATOR).storage.root())"
    )
    root = Path(managed(folder, "shell", "-v", "0", "-c", script).strip())
    named = ("--project", "harbour", "--provider", "s3", "--name")
    managed(folder, "secret", "set", *named, "access_key_id", entered=ACCESS_KEY)
    managed(folder, "secret", "set", *named, "secret_access_key", entered=SECRET_KEY)
    managed(
        folder, "storage", "s3", "harbour", "--enable", "--bucket", bucket, "--prefix", "p", "--region",
        "us-east-1", "--endpoint-url", door.url,
    )  # fmt: skip
    return folder, root


def test_a_large_file_cut_short_by_sigkill_goes_on_with_the_parts_that_are_missing(
    harbour: tuple[Path, Path], client: Any, bucket: str, door: Recorder
) -> None:
    folder, root = harbour
    data = os.urandom(LARGE)
    (root / "exports").mkdir(parents=True)
    (root / "exports/book.zip").write_bytes(data)
    assert len(parts_of(LARGE)) == 3

    process = manage(folder, "sync-project-s3", "harbour")

    def kill(method: str, path: str) -> None:
        if method == "PUT" and "partNumber=2" in path:
            process.kill()
            process.wait()

    door.after = kill
    process.communicate(timeout=120)
    assert process.returncode == -9
    (upload,) = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    before = client.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])["Parts"]
    assert [part["PartNumber"] for part in before] == [1, 2]

    door.after = lambda method, path: None
    door.seen.clear()
    answer = json.loads(managed(folder, "sync-project-s3", "harbour", "--json"))
    assert answer["ok"]
    assert answer["bytes"] == parts_of(LARGE)[2].size
    assert len(door.sent("partNumber=")) == len(door.sent("partNumber=3")) == 1
    assert client.get_object(Bucket=bucket, Key=upload["Key"])["Body"].read() == data
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    again = json.loads(managed(folder, "sync-project-s3", "harbour", "--json"))
    assert (again["uploaded"], again["skipped"], again["bytes"]) == (0, 1, 0)


@pytest.mark.acceptance("I-02", "I-03", "I-09")
def test_a_run_sends_its_files_although_the_worker_is_killed_while_it_does(
    harbour: tuple[Path, Path], tmp_path: Path, client: Any, bucket: str, door: Recorder
) -> None:
    folder, _ = harbour
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for number in range(2):
        (scenes / f"scene {number}.png").write_bytes(png(number=number))
    process = manage(
        folder, "pipeline", "run", "--project", "harbour", "--input", str(scenes), "--candidates", "1",
        "--workers", "1", "--confirm-spend", "--sync-s3", "--json",
    )  # fmt: skip
    killed: list[int] = []

    def kill_the_worker(method: str, path: str) -> None:
        if method == "PUT" and not killed:
            killed.extend(descendants(process.pid))
            for pid in killed:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    door.after = kill_the_worker
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert killed
    answer = json.loads(out)
    assert (answer["status"], answer["warnings"]) == ("ok", [])
    assert "The files are being sent to S3." in err
    there = {entry["Key"].split("/", 2)[2] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert {"outputs/style_1_scene_0.png", "outputs/style_2_scene_1.png"} <= there
    assert Path(answer["run_log_path"]).name in {name.removeprefix("runs/") for name in there}
    assert not any(".kroma" in name for name in there)
    names = [unquote(path) for path in door.sent() if path.startswith(f"/{bucket}/p/")]
    assert len(names) <= len(there) + CONNECTIONS, "what had arrived was not sent again"
    events = managed(folder, "shell", "-v", "0", "-c", COUNT)
    assert events.split() == ["1"], "the step was done once"


COUNT = (
    "from pipeline.models import Run;"
    "print(Run.objects.filter(post_run_at__isnull=False, post_run_until__isnull=True, sync_s3=True).count())"
)


def descendants(pid: int) -> list[int]:
    """The processes below one that we started."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return children + [below for child in children for below in descendants(child)]
