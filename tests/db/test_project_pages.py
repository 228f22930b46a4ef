"""Sign-in, universes, library, members and the two overviews, as each persona meets them."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from pipeline.models import Asset, Candidate, CostEvent, Run, RunJob
from projects.access import OPERATOR, Role
from projects.models import (
    AuditEvent,
    Character,
    Membership,
    Project,
    PromptTemplate,
    ReferenceItem,
    ReferenceSet,
    StyleGuide,
    User,
)
from projects.services.people import make_signin_link
from tests.factories import make_run, make_set, make_user

PASSWORD = "wet ink on newsprint"


@pytest.fixture
def visitor(db: None) -> Client:
    return Client()


def finish(run: Run, *, verdict: str = "") -> Run:
    """Bring a planned run to its end by hand: every job has a winner."""
    for job in run.jobs.all():
        asset = Asset.objects.create(
            project=run.project,
            kind="job_final_output",
            rel_path=f"outputs/{job.pk}.png",
            width=96,
            height=128,
        )
        job.candidates.update(
            status=Candidate.Status.DONE, output_asset=asset, final_asset=asset, finished_at=timezone.now()
        )
    run.jobs.update(
        status=RunJob.Status.DONE, selected_candidate_index=1, verdict=verdict, finished_at=timezone.now()
    )
    Run.objects.filter(pk=run.pk).update(status=Run.Status.OK, finished_at=timezone.now())
    return run


TEXTS = {"instructions": "Thin lines.", "template_text": "Wide shot."}  # what a form may not leave blank


def entry_urls(project: Project) -> Iterator[tuple[str, str]]:
    """Each page that changes the library, with the name a form there gets."""
    guide = StyleGuide.objects.create(project=project, name="Ink")
    character = Character.objects.create(project=project, name="Ines")
    template = PromptTemplate.objects.create(project=project, name="Opening")
    found = make_set(project=project)
    for noun, pk in (
        ("style-guide", guide.pk),
        ("character", character.pk),
        ("prompt-template", template.pk),
        ("reference-set", found.pk),
    ):
        yield reverse(f"projects:{noun}-new", args=[project.slug]), f"new {noun}"
        yield reverse(f"projects:{noun}-edit", args=[project.slug, pk]), f"other {noun}"
        yield reverse(f"projects:{noun}-delete", args=[project.slug, pk]), ""


# --- Coming in --------------------------------------------------------------------------------------


def test_a_password_lets_in_and_leads_back(visitor: Client, project: Project, alice: User) -> None:
    alice.set_password(PASSWORD)
    alice.save()
    library = reverse("projects:library", args=[project.slug])
    asked = visitor.get(library)
    assert asked.status_code == 302
    sent = visitor.post(asked["Location"], {"username": "alice", "password": PASSWORD, "next": library})
    assert sent.status_code == 302
    assert sent["Location"] == library
    assert visitor.get(library).status_code == 200


def test_a_wrong_password_is_refused_with_422(visitor: Client, alice: User) -> None:
    answer = visitor.post(reverse("projects:signin"), {"username": "alice", "password": "guess"})
    assert answer.status_code == 422
    assert "do not belong together" in answer.content.decode()


@pytest.mark.parametrize("target", ["https://example.com/", "//example.com", "javascript:alert(1)"])
def test_signing_in_never_leads_elsewhere(visitor: Client, alice: User, target: str) -> None:
    alice.set_password(PASSWORD)
    alice.save()
    form = {"username": "alice", "password": PASSWORD, "next": target}
    assert visitor.post(reverse("projects:signin"), form)["Location"] == "/"


def test_a_link_signs_in_once(visitor: Client, alice: User) -> None:
    url = reverse("projects:signin-link", args=[make_signin_link("alice", by=OPERATOR)])
    assert visitor.get(url)["Location"] == "/"
    assert "one-time link" in visitor.get("/").content.decode()
    again = Client().get(url)
    assert again.status_code == 410
    assert "signin-link NAME" in again.content.decode()


def test_a_link_is_not_used_up_by_looking_at_its_head(visitor: Client, alice: User) -> None:
    url = reverse("projects:signin-link", args=[make_signin_link("alice", by=OPERATOR)])
    assert visitor.head(url).status_code == 405
    assert visitor.get(url).status_code == 302


def test_signing_out_is_a_post(alice_client: Client) -> None:
    url = reverse("projects:signout")
    assert alice_client.get(url).status_code == 405
    assert alice_client.post(url)["Location"] == reverse("projects:signin")
    assert alice_client.get("/").status_code == 302


def test_a_password_can_be_set_and_the_session_goes_on(alice_client: Client, alice: User) -> None:
    url = reverse("projects:password")
    weak = alice_client.post(url, {"new_password1": "alice", "new_password2": "alice"})
    assert weak.status_code == 422
    sent = alice_client.post(url, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert sent.status_code == 302
    assert alice_client.get("/").status_code == 200
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_changing_a_password_takes_the_old_one(alice_client: Client, alice: User) -> None:
    alice.set_password(PASSWORD)
    alice.save()
    alice_client.force_login(alice)
    other = {"new_password1": "another wet ink", "new_password2": "another wet ink"}
    assert alice_client.post(reverse("projects:password"), other).status_code == 422
    sent = alice_client.post(reverse("projects:password"), {**other, "old_password": PASSWORD})
    assert sent.status_code == 302


# --- Universes --------------------------------------------------------------------------------------


def test_whoever_creates_a_universe_owns_it(alice_client: Client, alice: User) -> None:
    form = {"name": "Ashes of Meridian", "description": "Rain."}
    answer = alice_client.post(reverse("projects:project-new"), form)
    created = Project.objects.get(slug="ashes_of_meridian")
    assert answer["Location"] == reverse("pipeline:dashboard", args=[created.slug])
    assert Membership.objects.get(project=created).user == alice
    assert alice_client.get(answer["Location"]).status_code == 200


@pytest.mark.parametrize("name", ["", "   ", "Saltmarsh"])
def test_a_blank_or_taken_name_comes_back_with_its_fault(
    alice_client: Client, project: Project, name: str
) -> None:
    answer = alice_client.post(reverse("projects:project-new"), {"name": name})
    assert answer.status_code == 422
    assert 'id="id_name_error"' in answer.content.decode()
    assert Project.objects.count() == 1


def test_the_list_shows_only_what_is_mine(
    alice_client: Client, mallory_client: Client, project: Project
) -> None:
    assert project.name in alice_client.get("/").content.decode()
    stranger = mallory_client.get("/").content.decode()
    assert project.name not in stranger
    assert "Make your first universe" in stranger


def test_the_list_counts_runs_panels_and_money(alice_client: Client, project: Project) -> None:
    make_set(project=project)
    run = finish(make_run(project, n_scenes=3))
    assert "free so far" in alice_client.get("/").content.decode()
    CostEvent.objects.create(
        project=project, run=run, provider_code="openai", event_type="image", total_cost_usd=Decimal("1.25")
    )
    [(card, covers)] = alice_client.get("/").context["cards"]
    assert (card.n_runs, card.n_panels, card.n_passed, card.n_judged) == (1, 3, 3, 3)
    assert len(covers) == 3
    assert "$1.25" in alice_client.get("/").content.decode()


def test_the_list_costs_the_same_for_any_number_of_universes(
    alice_client: Client, alice: User, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    finish(make_run(project))
    with CaptureQueriesContext(connection) as few:
        alice_client.get("/")
    for n in range(4):
        other = Project.objects.create(name=f"Other {n}", slug=f"other-{n}")
        Membership.objects.create(project=other, user=alice, role=Role.OWNER)
        asset = Asset.objects.create(project=other, kind="job_final_output", rel_path="a.png")
        now = timezone.now()
        run = Run.objects.create(
            project=other, run_mode="run", stage="style", status="ok", run_log_path="a.json", finished_at=now
        )
        job = RunJob.objects.create(
            run=run, position=1, job_key="a", label="a", status="done", selected_candidate_index=1
        )
        Candidate.objects.create(run=run, job=job, candidate_index=1, status="done", final_asset=asset)
    with django_assert_num_queries(len(few)):
        cards = alice_client.get("/").context["cards"]
    assert all(len(covers) == 1 for _, covers in cards)


# --- Dashboard --------------------------------------------------------------------------------------


def next_step(client: Client, project: Project) -> str:
    steps = client.get(reverse("pipeline:dashboard", args=[project.slug])).context["steps"]
    return ", ".join(step.title for step in steps if step.is_next)


def test_the_journey_goes_on_from_what_exists(alice_client: Client, project: Project) -> None:
    assert next_step(alice_client, project) == "Provider"
    page = alice_client.get(reverse("pipeline:dashboard", args=[project.slug])).content.decode()
    assert "Check local" in page
    check = reverse("pipeline:account-check", args=[project.slug, "local"])
    told = alice_client.post(check, {"back": "dashboard"}, follow=True)
    assert told.redirect_chain[-1][0] == reverse("pipeline:dashboard", args=[project.slug])
    assert "runs on this machine, free" in told.content.decode()
    assert "Check local" not in told.content.decode()
    assert next_step(alice_client, project) == "References and style"
    scenes = make_set(project=project)
    ReferenceItem.objects.create(project=project, reference_set=scenes, label="quay", content_uri="a.png")
    assert next_step(alice_client, project) == "Style baseline"
    run = finish(make_run(project, n_scenes=2))
    assert next_step(alice_client, project) == "Review and export"
    run.jobs.update(verdict="approved")
    assert next_step(alice_client, project) == "Time of day"


def test_the_dashboard_shows_runs_newest_first_and_what_waits(alice_client: Client, project: Project) -> None:
    older, newer = finish(make_run(project, n_scenes=6)), finish(make_run(project), verdict="approved")
    context = alice_client.get(reverse("pipeline:dashboard", args=[project.slug])).context
    assert [(run.pk, len(winners)) for run, winners in context["runs"]] == [(newer.pk, 1), (older.pk, 4)]
    assert context["totals"].n_waiting == 6
    assert {winner.run_id for winner in context["waiting"]} == {older.pk}


def test_the_dashboard_costs_the_same_for_any_amount_of_work(
    alice_client: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    url = reverse("pipeline:dashboard", args=[project.slug])
    finish(make_run(project))
    with CaptureQueriesContext(connection) as few:
        alice_client.get(url)
    for _ in range(3):
        finish(make_run(project, n_scenes=5, candidates=2))
    make_run(project, n_scenes=4)
    with django_assert_num_queries(len(few)):
        alice_client.get(url)


def test_a_viewer_is_not_offered_what_he_may_not_do(vic_client: Client, project: Project) -> None:
    page = vic_client.get(reverse("pipeline:dashboard", args=[project.slug])).content.decode()
    assert reverse("pipeline:run-new", args=[project.slug]) not in page


# --- Library ----------------------------------------------------------------------------------------


def test_an_editor_keeps_the_library(erin_client: Client, project: Project) -> None:
    for url, name in list(entry_urls(project)):
        answer = erin_client.post(url, {"name": name, **TEXTS})
        assert answer.status_code == 302, url
    left = {
        model.__name__: list(model.objects.values_list("name", flat=True))
        for model in (PromptTemplate, StyleGuide, Character, ReferenceSet)
    }
    assert left == {
        "PromptTemplate": ["new prompt-template"],
        "StyleGuide": ["new style-guide"],
        "Character": ["new character"],
        "ReferenceSet": ["new reference-set"],
    }
    assert AuditEvent.objects.filter(actor="erin").count() == 12


def test_a_new_set_leads_to_its_images(erin_client: Client, project: Project) -> None:
    answer = erin_client.post(reverse("projects:reference-set-new", args=[project.slug]), {"name": "Plates"})
    assert answer["Location"] == ReferenceSet.objects.get().get_absolute_url()


def test_a_taken_name_in_the_library_is_a_fault_of_the_form(erin_client: Client, project: Project) -> None:
    for url, name in list(entry_urls(project)):
        if url.endswith("/new"):
            assert erin_client.post(url, {"name": name, **TEXTS}).status_code == 302
            again = erin_client.post(url, {"name": f" {name} ", **TEXTS})
            assert again.status_code == 422
            assert "exists already" in again.content.decode()


def test_the_form_of_an_entry_shows_what_is_stored(erin_client: Client, project: Project) -> None:
    for url, _ in list(entry_urls(project)):
        if not url.endswith("/delete"):
            assert erin_client.get(url).status_code == 200
    guide = StyleGuide.objects.get()
    url = reverse("projects:style-guide-edit", args=[project.slug, guide.pk])
    refused = erin_client.post(url, {"name": ""})
    assert refused.status_code == 422
    assert "<h1>Ink</h1>" in refused.content.decode()


def test_below_editor_the_library_is_read_only(
    rita_client: Client, vic_client: Client, mallory_client: Client, project: Project
) -> None:
    library = reverse("projects:library", args=[project.slug])
    for url, name in list(entry_urls(project)):
        assert rita_client.post(url, {"name": name}).status_code == 403
        assert vic_client.post(url, {"name": name}).status_code == 403
        assert mallory_client.post(url, {"name": name}).status_code == 404
    assert "New style guide" not in vic_client.get(library).content.decode()
    assert mallory_client.get(library).status_code == 404


def test_an_entry_of_another_universe_does_not_exist_here(
    alice_client: Client, alice: User, project: Project
) -> None:
    other = Project.objects.create(name="Other", slug="other")
    Membership.objects.create(project=other, user=alice, role=Role.OWNER)
    guide = StyleGuide.objects.create(project=other, name="Ink")
    url = reverse("projects:style-guide-edit", args=[project.slug, guide.pk])
    assert alice_client.post(url, {"name": "Stolen"}).status_code == 404


def test_the_library_costs_the_same_however_much_is_in_it(
    alice_client: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def fill(n: int) -> None:
        scenes = make_set(project=project, name=f"Scenes {n}")
        StyleGuide.objects.create(project=project, name=f"Ink {n}")
        Character.objects.create(project=project, name=f"Ines {n}")
        for i in range(n + 1):
            ReferenceItem.objects.create(
                project=project, reference_set=scenes, label=f"{i}", content_uri=f"{i}.png"
            )

    url = reverse("projects:library", args=[project.slug])
    fill(0)
    with CaptureQueriesContext(connection) as few:
        alice_client.get(url)
    for n in range(1, 6):
        fill(n)
    with django_assert_num_queries(len(few)):
        page = alice_client.get(url)
    assert "6 images" in page.content.decode()
    assert [len(images) for _, images in page.context["reference_sets"]] == [3, 3, 3, 3, 2, 1]


# --- Members ----------------------------------------------------------------------------------------


def test_an_owner_adds_changes_and_removes(alice_client: Client, project: Project) -> None:
    make_user(username="nora")
    added = alice_client.post(
        reverse("projects:member-add", args=[project.slug]), {"username": "nora", "role": "viewer"}
    )
    assert added.status_code == 302
    nora = Membership.objects.get(project=project, user__username="nora")
    role_url = reverse("projects:member-role", args=[project.slug, nora.pk])
    assert alice_client.post(role_url, {"role": "editor"}).status_code == 302
    nora.refresh_from_db()
    assert nora.role == "editor"
    assert alice_client.post(role_url, {"role": "king"}).status_code == 422
    assert (
        alice_client.post(reverse("projects:member-remove", args=[project.slug, nora.pk])).status_code == 302
    )
    assert not Membership.objects.filter(pk=nora.pk).exists()


@pytest.mark.parametrize(
    ("username", "fault"), [("ghost", "no active account"), ("erin", "a member already")]
)
def test_only_accounts_that_are_not_yet_members_can_be_added(
    alice_client: Client, project: Project, username: str, fault: str
) -> None:
    url = reverse("projects:member-add", args=[project.slug])
    answer = alice_client.post(url, {"username": username, "role": "owner"})
    assert answer.status_code == 422
    assert fault in answer.content.decode()


def test_the_last_owner_stays(alice_client: Client, project: Project) -> None:
    alice = Membership.objects.get(project=project, user__username="alice")
    for name, form in (("member-remove", {}), ("member-role", {"role": "viewer"})):
        answer = alice_client.post(reverse(f"projects:{name}", args=[project.slug, alice.pk]), form)
        assert answer.status_code == 422
        assert "only owner" in answer.content.decode()
    alice.refresh_from_db()
    assert alice.role == "owner"


def test_others_see_the_members_but_change_nothing(
    erin_client: Client, vic_client: Client, mallory_client: Client, project: Project
) -> None:
    url = reverse("projects:members", args=[project.slug])
    page = vic_client.get(url).content.decode()
    assert "erin" in page
    assert "<form" not in page.split('<main id="main"')[1]
    erin = Membership.objects.get(project=project, user__username="erin")
    role_url = reverse("projects:member-role", args=[project.slug, erin.pk])
    refused = erin_client.post(role_url, {"role": "owner"})
    assert refused.status_code == 403
    assert "you are editor" in refused.content.decode()
    assert mallory_client.get(url).status_code == 404


# --- The frame --------------------------------------------------------------------------------------


def test_pages_have_no_inline_style_or_script(alice_client: Client, project: Project) -> None:
    finish(make_run(project, n_scenes=2))
    for name in ("pipeline:dashboard", "projects:library", "projects:members"):
        page = alice_client.get(reverse(name, args=[project.slug]))
        text = page.content.decode()
        assert "style=" not in text
        assert "<style" not in text
        assert "onclick" not in text
        assert text.count("<script") == text.count("<script src=")
        assert (
            "script-src" in page["Content-Security-Policy"]
            or "default-src 'self'" in (page["Content-Security-Policy"])
        )


def test_the_place_in_the_navigation_is_marked(alice_client: Client, project: Project) -> None:
    url = reverse("projects:library", args=[project.slug])
    assert f'href="{url}" aria-current="page"' in alice_client.get(url).content.decode()


def test_an_address_of_nothing_is_a_page_of_ours(visitor: Client, alice_client: Client) -> None:
    for client in (visitor, alice_client):
        answer = client.get("/no/such/page")
        assert answer.status_code == 404
        assert "nothing at this address" in answer.content.decode()
