"""The use cases around a run: universes, people, references, plans, reviews, winners."""

import io
import os
import zipfile
import zlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from PIL import Image

from pipeline.models import Run
from pipeline.services import references, reviews, runs, winners
from pipeline.services.planning import InputImage, RunOrder, prepare_run
from pipeline.store import AssetStore, store_for
from projects.access import OPERATOR, Action, Principal, Role, allows
from projects.errors import Invalid, NotFound, PlanChanged, PlanRefused, SpendNotConfirmed
from projects.models import AuditEvent, Project, ReferenceItem, SigninLink, StyleGuide, User
from projects.names import slugified
from projects.services import people
from projects.services.library import save_entry
from projects.services.projects import create_project, remove_member, set_member
from tests.factories import (
    make_finished_run,
    make_plan,
    make_project,
    make_run,
    make_set,
    make_user,
    png,
    put_scene,
    upload,
)

pytestmark = pytest.mark.django_db


# --- Universes and people ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Fancy Project", "my_fancy_project"),
        ("  A & B!! ", "a_b"),
        ("Café Noir", "caf_noir"),
        ("-x-", "-x-"),
        ("hero-01", "hero-01"),
        ("a__b", "a__b"),
        ("a_ b", "a__b"),
        ("___", ""),
        ("日本", ""),
    ],
)
def test_slugs_are_as_the_contract_says(name: str, slug: str) -> None:
    assert slugified(name) == slug


def test_a_taken_name_is_refused_and_leaves_nothing(project: Project, alice: User) -> None:
    before = Project.objects.count()
    with pytest.raises(Invalid, match="exists already"):
        create_project(name="Saltmarsh", owner=alice, by=Principal(alice))
    assert Project.objects.count() == before


def test_the_last_owner_stays(project: Project, alice: User) -> None:
    with pytest.raises(Invalid, match="only owner"):
        remove_member(project, alice, by=Principal(alice))
    with pytest.raises(Invalid, match="only owner"):
        set_member(project, alice, role=Role.VIEWER, by=Principal(alice))
    set_member(project, User.objects.get(username="erin"), role=Role.OWNER, by=Principal(alice))
    remove_member(project, alice, by=Principal(alice))
    assert not Project.objects.visible_to(Principal(alice)).exists()


def test_roles_allow_what_the_table_says() -> None:
    allowed = {role: [action for action in Action if allows(role, action)] for role in Role}
    assert allowed[Role.OWNER] == list(Action)
    assert allowed[Role.EDITOR] == [
        Action.READ, Action.REVIEW, Action.EDIT_LIBRARY, Action.RUN, Action.INSTRUCT
    ]  # fmt: skip
    assert allowed[Role.REVIEWER] == [Action.READ, Action.REVIEW]
    assert allowed[Role.VIEWER] == [Action.READ]
    assert not any(allows(role, action) for role in ("", "king") for action in Action)


def test_a_signin_link_works_once() -> None:
    people.first_owner()
    token = people.make_signin_link("local", by=OPERATOR)
    user = people.use_signin_link(token)
    assert user is not None
    assert user.username == "local"
    assert people.use_signin_link(token) is None
    assert token not in str(list(SigninLink.objects.values())), "only its hash is kept"


def test_a_signin_link_expires() -> None:
    people.first_owner()
    token = people.make_signin_link("local", by=OPERATOR)
    SigninLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert people.use_signin_link(token) is None


def test_nobody_gets_a_link_for_a_stranger_or_a_deactivated_person() -> None:
    with pytest.raises(NotFound, match="nobody-here"):
        people.make_signin_link("nobody-here", by=OPERATOR)
    user = make_user()
    token = people.make_signin_link(user.username, by=OPERATOR)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert people.use_signin_link(token) is None


def test_the_first_owner_is_made_once_without_a_password() -> None:
    assert people.first_owner().pk == people.first_owner().pk
    assert not people.first_owner().has_usable_password()


def test_library_names_are_unique_in_words(project: Project) -> None:
    save_entry(project, StyleGuide(name=" Ink ", instructions="Lines"), by=OPERATOR)
    with pytest.raises(Invalid, match="Style guide name already exists"):
        save_entry(project, StyleGuide(name="Ink", instructions="Lines"), by=OPERATOR)
    for missing in ({"name": "  ", "instructions": "Lines"}, {"name": "Wash", "instructions": " "}):
        with pytest.raises(Invalid, match="is required"):
            save_entry(project, StyleGuide(**missing), by=OPERATOR)


# --- Files that people bring ------------------------------------------------------------------------


def test_uploads_are_kept_under_their_hash_in_the_order_given(project: Project) -> None:
    scenes = make_set(project=project)
    data = [png(number=n) for n in range(3)]
    names = ["b.png", "a.png", "c.png"]
    items = references.add_images(
        scenes, [upload(name=name, data=each) for name, each in zip(names, data, strict=True)], by=OPERATOR
    )
    assert [item.label for item in scenes.items.all()] == names
    store = store_for(project)
    assert [store.read(item.content_uri) for item in items] == data
    assert items[0].content_uri == f"references/{items[0].metadata['sha256']}.png"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.txt", b"not an image at all"),
        ("empty.png", b""),
        ("cut.png", png()[:-200]),
        ("cut.jpg", png(format="JPEG", size=(400, 400))[:900]),
    ],
)
def test_one_bad_upload_is_named_and_nothing_is_added(project: Project, name: str, data: bytes) -> None:
    scenes = make_set(project=project)
    with pytest.raises(Invalid, match=name.replace(".", r"\.")):
        references.add_images(scenes, [upload(name="good.png"), upload(name=name, data=data)], by=OPERATOR)
    assert not ReferenceItem.objects.exists()
    assert not store_for(project).path("references").exists()


def test_an_absurdly_large_picture_is_refused_by_its_header(project: Project) -> None:
    scenes = make_set(project=project)
    header = bytearray(png(size=(48, 48)))
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(Invalid, match="bomb"):
        references.add_images(scenes, [upload(name="bomb.png", data=bytes(header))], by=OPERATOR)


def copied(project: Project, source: Path) -> list[InputImage]:
    return references.copy_found(project, references.find_inputs([source]), place="scenes")


def test_commands_copy_what_they_are_pointed_at(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "my pictures"
    (folder / "chapter 2").mkdir(parents=True)
    (folder / "chapter 2" / "屋上 (dusk).PNG").write_bytes(png(number=1))
    (folder / "a.jpeg").write_bytes(png(number=2, format="JPEG"))
    (folder / "notes.txt").write_text("not me")
    images = copied(project, folder)
    assert [image.name for image in images] == ["a.jpeg", "屋上 (dusk).PNG"]
    assert [image.label for image in images] == ["a", "chapter 2/屋上 (dusk)"]
    assert all(store_for(project).sha256(image.path) == image.sha256 for image in images)
    assert copied(project, folder) == images


def test_names_that_are_no_text_are_copied_all_the_same(project: Project, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_bytes(png())
    (image,) = copied(project, tmp_path)
    assert image.name == "caf\ufffd.png"


@pytest.mark.parametrize("content", [None, b"GIF89a"])
def test_a_folder_without_usable_images_is_refused(
    project: Project, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(Invalid, match="no image" if content is None else r"broken\.png"):
        copied(project, tmp_path)
    assert not store_for(project).path("inputs").exists()


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../b.png", "", "a\0.png"])
def test_no_path_leaves_the_root(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid):
        AssetStore(tmp_path).path(name)


def test_a_link_that_leads_out_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "root/link").symlink_to(tmp_path / "secret")
    with pytest.raises(Invalid, match="leads out"):
        AssetStore(tmp_path / "root").read("link")


# --- Plans ------------------------------------------------------------------------------------------


def test_a_paid_run_needs_confirmation_and_leaves_nothing_without(project: Project) -> None:
    plan = make_plan(project)
    with pytest.raises(SpendNotConfirmed):
        runs.start_run(plan, by=OPERATOR, confirm_spend=False)
    assert not Run.objects.exists()


def test_a_plan_that_changed_is_refused(project: Project) -> None:
    plan = make_plan(project)
    put_scene(project, "scene 0.png", number=99)
    with pytest.raises(PlanChanged, match="look at it again"):
        runs.start_run(plan, by=OPERATOR, confirm_spend=True)
    assert not Run.objects.exists()


def test_a_scene_that_vanished_stops_a_run_but_only_warns_a_dry_one(project: Project) -> None:
    plan, dry = make_plan(project), make_plan(project, mode="dry")
    store_for(project).path("scenes/scene 0.png").unlink()
    with pytest.raises(PlanRefused, match="scene 0"):
        runs.start_run(plan, by=OPERATOR, confirm_spend=True)
    again = prepare_run(project, dry.order)
    assert "scene 0" in again.warnings[0]


def test_more_scenes_than_the_batch_limit_are_refused(project: Project) -> None:
    scenes = tuple(put_scene(project, f"{n}.png") for n in range(21))
    with pytest.raises(PlanRefused, match="batch limit of 20"):
        prepare_run(project, RunOrder(mode="run", scenes=scenes))


def test_a_path_outside_the_project_is_refused(project: Project) -> None:
    plan = make_plan(project)
    scene = plan.order.scenes[0]
    outside = RunOrder(mode="run", scenes=(type(scene)(path="../../x.png", name="x.png", label="x"),))
    with pytest.raises(PlanRefused, match="inside the project"):
        prepare_run(project, outside)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stage": "dream"}, "stage"),
        ({"candidates": 7}, "max_candidates"),
        ({"candidates": 0}, "candidates"),
    ],
)
def test_contradictions_are_refused_in_words(project: Project, fields: dict[str, object], words: str) -> None:
    scene = put_scene(project)
    with pytest.raises(PlanRefused, match=words):
        prepare_run(project, RunOrder(mode="run", scenes=(scene,), **fields))


@pytest.mark.acceptance("X-01", "P-08")
def test_a_dry_run_writes_a_log_and_makes_nothing(project: Project) -> None:
    run = runs.record_dry_run(make_plan(project, mode="dry", candidates=2), by=OPERATOR)
    store = store_for(project)
    assert run.display_status == "planned"
    assert run.candidates.filter(status="planned").count() == 2
    assert store.exists(run.run_log_path)
    assert {path.name for path in store.root.iterdir()} >= {"outputs", "runs", "archive"}
    assert not list((store.root / "outputs").iterdir())
    assert runs.ring_again(timezone.now() + timedelta(days=1)) == 0, "nobody works on it"


def test_uploads_are_planned_under_the_names_people_gave_them(project: Project) -> None:
    (item,) = references.add_images(make_set(project=project), [upload(name="Quay Wide 01.png")], by=OPERATOR)
    image = InputImage.from_item(item)
    plan = prepare_run(project, RunOrder(mode="run", scenes=(image,)))
    assert plan.plan.jobs[0].id == "style_1_quay_wide_01"
    assert image.label == "Quay Wide 01"


@pytest.mark.acceptance("W-08")
def test_two_runs_of_one_moment_get_two_logs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr("pipeline.services.runs.timezone.now", lambda: now)
    first, second = make_run(project), make_run(project)
    assert second.run_log_path == first.run_log_path.replace(".json", "-2.json")


# --- What people say, and what they carry away ------------------------------------------------------


@pytest.mark.acceptance("W-38")
def test_another_candidate_can_be_picked(project: Project) -> None:
    job = make_finished_run(project, candidates=2).jobs.get()
    other = 2 if job.selected_candidate_index == 1 else 1
    rita = User.objects.get(username="rita")
    reviews.pick(job, other, by=Principal(rita))
    job.refresh_from_db()
    assert job.selected_candidate_index == other
    reasons = {row.candidate_index: row.rank_reason for row in job.candidates.all()}
    assert "Picked by rita" in reasons[other]
    assert not reasons[3 - other].startswith("Chosen")
    assert [row.filename for row in winners.winners_of(job.run)] == ["001_scene_0.png"]
    assert job.candidates.get(candidate_index=other).final_asset.kind == "job_final_output"


def test_a_rejection_needs_a_reason(project: Project) -> None:
    job = make_finished_run(project, candidates=2).jobs.get()
    with pytest.raises(Invalid, match="needs a reason"):
        reviews.reject(job, by=OPERATOR, note="  ")
    reviews.reject(job, by=OPERATOR, note="Off model")
    job.refresh_from_db()
    assert job.verdict == "rejected"
    reviews.reopen(job, by=OPERATOR)
    job.refresh_from_db()
    assert job.verdict == ""
    assert AuditEvent.objects.filter(event_code__startswith="review.").count() == 2


def test_a_job_without_a_winner_can_not_be_approved(project: Project) -> None:
    job = make_run(project).jobs.get()
    with pytest.raises(Invalid, match="no winner"):
        reviews.approve(job, by=OPERATOR)


def test_the_zip_holds_the_winners_unchanged_and_the_log(project: Project) -> None:
    run = make_finished_run(project, n_scenes=2, candidates=2)
    buffer = io.BytesIO()
    assert winners.write_zip(run, buffer) == 2
    with zipfile.ZipFile(buffer) as package:
        assert package.testzip() is None
        assert package.namelist() == ["001_scene_0.png", "002_scene_1.png", Path(run.run_log_path).name]
        asset = winners.winners_of(run)[0].asset
        assert package.read("001_scene_0.png") == store_for(project).read(asset.rel_path)


def test_only_the_approved_go_into_the_zip_if_one_says_so(project: Project) -> None:
    run = make_finished_run(project, n_scenes=2, candidates=2)
    reviews.approve(run.jobs.get(position=2), by=OPERATOR)
    assert [row.filename for row in winners.winners_of(run, approved_only=True)] == ["002_scene_1.png"]


def test_published_winners_come_with_a_contact_sheet(project: Project) -> None:
    run = make_finished_run(project, n_scenes=2, candidates=2)
    published = winners.publish_winners(run)
    assert [path.name for _, path in published.files] == ["001_scene_0.png", "002_scene_1.png"]
    with Image.open(published.contact_sheet) as sheet:
        assert sheet.size[0] > 600


def test_a_universe_sees_nothing_of_another(project: Project) -> None:
    stranger = make_user()
    other = make_project(name="Elsewhere", owner=stranger)
    run = make_run(project)
    assert not Run.objects.visible_to(Principal(stranger)).exists()
    assert Run.objects.visible_to(Principal(User.objects.get(username="vic"))).get() == run
    assert [row.slug for row in Project.objects.visible_to(Principal(stranger))] == [other.slug]
    assert not Run.objects.visible_to(Principal()).exists()
