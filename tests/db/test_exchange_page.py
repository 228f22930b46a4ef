"""The page of the exchange, its history and copies, as each persona meets them."""

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from bootstrap import services
from bootstrap.models import SettingsSnapshot
from projects.access import OPERATOR, Role
from projects.models import Character, Project, ProviderAccount, Secret, StyleGuide
from tests.exchange import document, dump
from tests.factories import make_project, make_user

ANSWER: dict[str, Any] = {
    "characters": [{"name": "Mira", "description": "Keeper of the dyke"}, {"name": "Tomas"}],
    "style_guides": [{"name": "Ink", "instructions": "Black lines, grey wash."}],
}


def text_of(settings: object = None, *, mode: str | None = None) -> str:
    wrapper = {"settings": ANSWER if settings is None else settings, **({"mode": mode} if mode else {})}
    return f"Here you are:\n```json\n{json.dumps(wrapper, indent=1)}\n```"


def url(project: Project, name: str, *more: object) -> str:
    return reverse(f"bootstrap:{name}", args=[project.slug, *more])


def look(client: Client, project: Project, text: str, **more: object) -> Any:
    return client.post(url(project, "exchange-look"), {"text": text, "mode": "merge", **more})


def seen(response: Any) -> str:
    found = re.search(r'name="seen" value="(\w+)"', response.content.decode())
    assert found, response.content.decode()
    return found[1]


def take_in(client: Client, project: Project, text: str, **more: object) -> Any:
    """Look, and import what was seen."""
    shown = seen(look(client, project, text, **more))
    return client.post(
        url(project, "exchange-import"), {"text": text, "mode": "merge", **more, "seen": shown}
    )


@pytest.mark.acceptance("B-22")
def test_an_answer_is_shown_then_imported_and_can_be_undone(alice_client: Client, project: Project) -> None:
    StyleGuide.objects.create(project=project, name="Ink", instructions="Black lines.")
    before = dump()
    page = look(alice_client, project, text_of())
    assert dump() == before
    assert page.status_code == 200
    told = page.content.decode()
    assert "Create 2, update 1" in told
    assert "<ins>, grey wash</ins>" in told
    answered = take_in(alice_client, project, text_of())
    assert answered.url == url(project, "history")
    assert "created 2, updated 1" in alice_client.get(answered.url).content.decode()
    snapshot = SettingsSnapshot.objects.get()
    page = alice_client.get(url(project, "snapshot", snapshot.pk))
    assert "Restore: Update 1, delete 2" in page.content.decode()
    fingerprint = page.context["fingerprint"]
    restored = alice_client.post(url(project, "snapshot-restore", snapshot.pk), {"fingerprint": fingerprint})
    assert restored.url == url(project, "history")
    assert not Character.objects.exists()
    assert StyleGuide.objects.get().instructions == "Black lines."


def test_only_what_was_looked_at_is_imported(alice_client: Client, project: Project) -> None:
    shown = seen(look(alice_client, project, text_of()))
    Character.objects.create(project=project, name="Zoe")
    stale = {"text": text_of(), "mode": "merge", "seen": shown}
    others = [
        stale,
        {"text": text_of(), "mode": "merge"},
        {"text": text_of(), "mode": "replace", "seen": seen(look(alice_client, project, text_of()))},
        {
            "text": text_of({"characters": [{"name": "Eve"}]}),
            "mode": "merge",
            "seen": seen(look(alice_client, project, text_of())),
        },
        {
            "text": text_of(),
            "mode": "merge",
            "left_out": "characters:mira",
            "seen": seen(look(alice_client, project, text_of())),
        },
    ]
    before = dump()
    for sent in others:
        page = alice_client.post(url(project, "exchange-import"), sent)
        assert page.status_code == 422
        assert "not what you looked at" in page.content.decode()
        assert seen(page)
    assert dump() == before


def test_a_change_between_the_look_and_the_import_shows_the_new_diff(
    alice_client: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = seen(look(alice_client, project, text_of()))
    apply = services.apply

    def late(project: Project, *args: Any, **kwargs: Any) -> services.Outcome:
        Character.objects.create(project=project, name="Mira")
        return apply(project, *args, **kwargs)

    monkeypatch.setattr("bootstrap.services.apply", late)
    sent = {"text": text_of(), "mode": "merge", "seen": shown}
    page = alice_client.post(url(project, "exchange-import"), sent)
    assert page.status_code == 422
    told = page.content.decode()
    assert "changed by somebody else" in told
    assert "Create 2, update 1" in told
    assert not SettingsSnapshot.objects.exists()
    monkeypatch.undo()
    assert alice_client.post(url(project, "exchange-import"), {**sent, "seen": seen(page)}).status_code == 302


def test_replacing_names_what_it_deletes_and_entries_can_be_left_out(
    alice_client: Client, project: Project
) -> None:
    for name in ("Old", "Older"):
        Character.objects.create(project=project, name=name)
    told = look(alice_client, project, text_of(), mode="replace").content.decode()
    assert "This deletes 2 entries: Older, Old." in told
    assert "Create 3, delete 2" in told
    left_out = ["characters:old", "characters:tomas", "no section:x", "nonsense"]
    told = look(alice_client, project, text_of(), mode="replace", left_out=left_out).content.decode()
    assert "Create 2, delete 1" in told
    assert told.count("checked") == 3  # two entries and the mode
    assert take_in(alice_client, project, text_of(), mode="replace", left_out=left_out).status_code == 302
    assert sorted(project.characters.values_list("name", flat=True)) == ["Mira", "Old"]


def test_the_page_s_mode_holds_and_another_one_in_the_answer_is_told(
    alice_client: Client, project: Project
) -> None:
    Character.objects.create(project=project, name="Old")
    told = look(alice_client, project, text_of(mode="replace")).content.decode()
    assert "The answer itself asks to replace" in told
    assert "delete" not in told.split('id="review"')[1].split("actions")[1]


def test_problems_stand_beside_the_text(alice_client: Client, project: Project) -> None:
    before = dump()
    bad = '{"characters": [\n{"name": "Mira"},\n{"description": "x"}],\n"style_guides": [{"name": "Ink"}]}'
    for name in ("exchange-look", "exchange-import"):
        page = alice_client.post(url(project, name), {"text": bad, "mode": "merge", "seen": "x"})
        assert page.status_code == 422
        told = page.content.decode()
        assert "characters[1].name" in told
        assert "style_guides[0].instructions" in told
        assert "&quot;description&quot;: &quot;x&quot;" in told  # the text is still there
    for text in ("no JSON at all", '{"characters": [{"name": "Mi'):
        assert look(alice_client, project, text).status_code == 422
    assert dump() == before


def test_an_editor_leaves_accounts_and_secrets_out_without_being_asked(
    erin_client: Client, project: Project
) -> None:
    wanted = {
        **ANSWER,
        "provider_accounts": [{"provider_code": "openai"}],
        "secrets": [{"provider_code": "openai", "secret_name": "api_key"}],
    }
    page = look(erin_client, project, text_of(wanted))
    assert "are for owners" in page.content.decode()
    assert take_in(erin_client, project, text_of(wanted)).status_code == 302
    assert Character.objects.count() == 2
    assert not ProviderAccount.objects.exists()
    assert not Secret.objects.exists()


def test_an_editor_restores_all_but_accounts_and_secrets(erin_client: Client, project: Project) -> None:
    wanted = {**ANSWER, "provider_accounts": [{"provider_code": "openai"}]}
    services.apply(project, document(wanted), by=OPERATOR, role=Role.OWNER)
    snapshot = SettingsSnapshot.objects.get()
    page = erin_client.get(url(project, "snapshot", snapshot.pk))
    sent = {"fingerprint": page.context["fingerprint"]}
    assert erin_client.post(url(project, "snapshot-restore", snapshot.pk), sent).status_code == 302
    assert not Character.objects.exists()
    assert ProviderAccount.objects.exists()


def test_a_restore_that_was_not_looked_at_or_is_stale_changes_nothing(
    alice_client: Client, project: Project
) -> None:
    services.apply(project, document(ANSWER), by=OPERATOR, role=Role.OWNER)
    snapshot = SettingsSnapshot.objects.get()
    fingerprint = alice_client.get(url(project, "snapshot", snapshot.pk)).context["fingerprint"]
    Character.objects.create(project=project, name="Late")
    before = dump()
    for sent in ({}, {"fingerprint": fingerprint}):
        page = alice_client.post(url(project, "snapshot-restore", snapshot.pk), sent)
        assert page.status_code == 422
        assert "Late" in page.content.decode()
    assert dump() == before


def test_those_who_only_read_see_the_prompt_and_no_form(vic_client: Client, project: Project) -> None:
    told = vic_client.get(url(project, "exchange")).content.decode()
    assert "Return ONLY valid JSON" in told
    assert 'name="text"' not in told


def test_the_brief_gets_into_the_prompt(alice_client: Client, project: Project) -> None:
    page = alice_client.get(url(project, "exchange"), {"brief": "A <storm> comes"})
    assert "A <storm> comes" in page.context["prompt"]
    assert alice_client.get(url(project, "exchange"), {"brief": "x" * 20_001}).status_code == 422
    headers = {"HX-Request": "true", "HX-Target": "prompt"}
    part = alice_client.get(url(project, "exchange"), {"brief": "storm"}, headers=headers).content.decode()
    assert part.lstrip().startswith('<div id="prompt"')


def test_an_answer_may_come_as_a_file(alice_client: Client, project: Project) -> None:
    file = SimpleUploadedFile("answer.txt", text_of().encode())
    page = alice_client.post(url(project, "exchange-look"), {"text": "", "mode": "merge", "file": file})
    assert "Create 3" in page.content.decode()
    for data, told in ((b"\xff\xfe", "no text in UTF-8"), (b"x" * (2 * 1024 * 1024 + 1), "use at most")):
        file = SimpleUploadedFile("answer.txt", data)
        page = alice_client.post(url(project, "exchange-look"), {"text": "", "mode": "merge", "file": file})
        assert page.status_code == 422
        assert told in page.content.decode()


def test_two_states_are_compared(alice_client: Client, project: Project) -> None:
    services.apply(project, document(ANSWER), by=OPERATOR, role=Role.OWNER)
    services.apply(project, document({"characters": []}, "replace"), by=OPERATOR, role=Role.OWNER)
    later, first = SettingsSnapshot.objects.all()
    told = {
        (before, after): alice_client.get(
            url(project, "compare"), {"before": before, "after": after}
        ).context["plan"].done
        for before, after in [(first.pk, "now"), (first.pk, later.pk), (later.pk, first.pk), ("now", "now")]
    }  # fmt: skip
    assert list(told.values()) == ["created 1", "created 3", "deleted 3", ""]
    assert alice_client.get(url(project, "compare"), {"before": "x", "after": "now"}).status_code == 422
    foreign = make_project(name="Elsewhere")
    services.apply(foreign, document(ANSWER), by=OPERATOR, role=Role.OWNER)
    of_others = SettingsSnapshot.objects.get(project=foreign).pk
    query = {"before": str(of_others), "after": "now"}
    assert alice_client.get(url(project, "compare"), query).status_code == 422


def test_a_file_begins_another_universe(alice_client: Client, project: Project) -> None:
    services.apply(project, document(ANSWER), by=OPERATOR, role=Role.OWNER)
    snapshot = SettingsSnapshot.objects.get()
    empty = alice_client.get(url(project, "snapshot-export", snapshot.pk))
    assert json.loads(empty.content)["settings"]["characters"] == []
    exported = alice_client.get(url(project, "export"))
    assert "attachment" in exported["Content-Disposition"]
    file = SimpleUploadedFile("u.json", exported.content)
    made = alice_client.post(reverse("bootstrap:project-from-file"), {"name": "Second", "file": file})
    assert made.url == "/projects/second/"
    second = Project.objects.get(slug="second")
    assert second.characters.count() == 2
    assert second.memberships.get().user.username == "alice"
    before = dump()
    for name, data in (("Third", b'{"characters": [{}]}'), ("Second", exported.content), ("Fourth", b"\xff")):
        file = SimpleUploadedFile("u.json", data)
        page = alice_client.post(reverse("bootstrap:project-from-file"), {"name": name, "file": file})
        assert page.status_code == 422
    assert dump() == before


def test_settings_of_now_or_then_begin_another_universe_of_the_one_who_asks(
    vic_client: Client, project: Project
) -> None:
    services.apply(project, document(ANSWER), by=OPERATOR, role=Role.OWNER)
    snapshot = SettingsSnapshot.objects.get()
    vic_client.post(url(project, "copy"), {"name": "Now"})
    vic_client.post(url(project, "snapshot-copy", snapshot.pk), {"name": "Then"})
    assert Project.objects.get(slug="now").characters.count() == 2
    assert Project.objects.get(slug="then").characters.count() == 0
    assert Project.objects.get(slug="then").memberships.get().user.username == "vic"
    before = dump()
    for name in ("Now", " "):
        assert vic_client.post(url(project, "copy"), {"name": name}).url == url(project, "history")
    assert dump() == before


def test_somebody_from_elsewhere_sees_nothing(mallory_client: Client, project: Project) -> None:
    services.apply(project, document(ANSWER), by=OPERATOR, role=Role.OWNER)
    snapshot = SettingsSnapshot.objects.get()
    for name in ("exchange", "history", "export", "compare"):
        assert mallory_client.get(url(project, name)).status_code == 404
    assert mallory_client.get(url(project, "snapshot", snapshot.pk)).status_code == 404
    assert mallory_client.post(url(project, "copy"), {"name": "Stolen"}).status_code == 404


def test_queries_do_not_grow(
    alice_client: Client, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def pages() -> list[Any]:
        return [
            alice_client.get(url(project, "exchange")),
            look(alice_client, project, text_of()),
            alice_client.get(url(project, "history")),
            alice_client.get(url(project, "snapshot", SettingsSnapshot.objects.last().pk)),
        ]

    services.apply(project, document({"characters": []}), by=OPERATOR, role=Role.OWNER)
    pages()
    with CaptureQueriesContext(connection) as few:
        pages()
    sets = [{"name": f"Set {n}", "items": [{"label": "a", "content_text": "b"}] * 3} for n in range(20)]
    many = {"characters": [{"name": f"Name {n}"} for n in range(500)], "reference_sets": sets}
    for _ in range(3):
        services.apply(project, document(many), by=OPERATOR, role=Role.OWNER)
    with django_assert_num_queries(len(few)):
        assert all(page.status_code == 200 for page in pages())


def test_a_person_without_universes_can_begin_with_a_file(db: None) -> None:
    client = Client()
    client.force_login(make_user(username="newcomer"))
    assert client.get(reverse("bootstrap:project-from-file")).status_code == 200


def test_what_an_answer_holds_is_shown_as_text(alice_client: Client, project: Project) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    Character.objects.create(project=project, name="Mira", description="plain")
    wanted = {"characters": [{"name": "Mira", "description": f"{hostile} {{0}}"}, {"name": hostile}]}
    told = look(alice_client, project, text_of(wanted), mode="replace").content.decode()
    assert hostile not in told
    assert "&lt;img src=x onerror=alert(1)&gt;" in told
    assert "<del>plain</del>" in told
    assert take_in(alice_client, project, text_of(wanted)).status_code == 302
    for name in ("history", "exchange"):
        assert hostile not in alice_client.get(url(project, name)).content.decode()
    snapshot = SettingsSnapshot.objects.get()
    assert hostile not in alice_client.get(url(project, "snapshot", snapshot.pk)).content.decode()
