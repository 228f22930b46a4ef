"""What holds for any universe and any payload: nothing is lost, changed unseen, or written by halves."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as examined

from bootstrap import rows, services
from bootstrap.entries import SECTIONS
from bootstrap.files import document_in, file_of
from bootstrap.models import SettingsSnapshot
from bootstrap.rows import load
from bootstrap.snapshots import content_of
from pipeline.models import Run
from projects.access import OPERATOR, Principal, Role
from projects.models import Character, Project, ReferenceSet, StyleGuide
from tests.exchange import document, dump, modes, payloads
from tests.factories import make_project, make_run

pytestmark = pytest.mark.django_db
any_universe = examined(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def undone(work: Callable[[], None]) -> None:
    """Run one example in a transaction of its own that leaves no trace."""
    with transaction.atomic():
        work()
        transaction.set_rollback(True)


def apply(project: Project, payload: dict[str, Any], mode: str = "merge") -> services.Outcome:
    return services.apply(project, document(payload, mode), by=OPERATOR, role=Role.OWNER)


def counts(outcome: services.Outcome) -> dict[str, tuple[int, ...]]:
    return {
        section: tuple(getattr(one, kind) for kind in (*services.KINDS, "before_count", "after_count"))
        for section, one in outcome.plan.sections.items()
    }


def settings_now(project: Project) -> dict[str, Any]:
    project.refresh_from_db()
    content = content_of(load(project))
    return {key: value for key, value in content.items() if key != "secrets"}


@pytest.mark.acceptance("B-08", "B-09", "B-10", "B-11", "B-12", "B-16")
@any_universe
@given(payload=payloads, mode=modes)
def test_what_is_exported_changes_nothing_when_it_comes_back(payload: dict[str, Any], mode: str) -> None:
    def example() -> None:
        project = make_project()
        apply(project, payload)
        project.refresh_from_db()
        exported = file_of(load(project).state)
        again = document_in(exported.encode(), mode)
        for outcome in (
            services.preview(project, again, role=Role.OWNER),
            services.apply(project, again, by=OPERATOR, role=Role.OWNER),
        ):
            assert not outcome.plan.project_updated
            assert not any(one.changed for one in outcome.plan.sections.values())
        project.refresh_from_db()
        assert load(project).state.fingerprint == document_fingerprint(exported)

    undone(example)


def document_fingerprint(exported: str) -> str:
    """Of a universe that was made from nothing but this file."""
    other = make_project(name="Other")
    services.apply(other, document_in(exported.encode()), by=OPERATOR, role=Role.OWNER)
    other.refresh_from_db()
    return load(other).state.fingerprint


@pytest.mark.acceptance("B-06")
@any_universe
@given(before=payloads, payload=payloads, mode=modes)
def test_an_import_does_what_its_preview_said(
    before: dict[str, Any], payload: dict[str, Any], mode: str
) -> None:
    def example() -> None:
        project = make_project()
        apply(project, before)
        project.refresh_from_db()
        wanted = document(payload, mode)
        stored = dump()
        seen = services.preview(project, wanted, role=Role.OWNER)
        assert dump() == stored
        done = services.apply(project, wanted, by=OPERATOR, role=Role.OWNER, fingerprint=seen.fingerprint)
        assert counts(done) == counts(seen)
        assert {section: len(done.rows[section]) for section in SECTIONS} == {
            section: one.after_count for section, one in seen.plan.sections.items()
        }

    undone(example)


@any_universe
@given(before=payloads, payload=payloads, mode=modes)
def test_a_restore_gives_back_exactly_the_snapshot(
    before: dict[str, Any], payload: dict[str, Any], mode: str
) -> None:
    def example() -> None:
        project = make_project()
        apply(project, before)
        was = settings_now(project)
        snapshot = apply(project, payload, mode).snapshot
        assert snapshot is not None
        back = services.restore(project, snapshot, by=OPERATOR, role=Role.OWNER)
        assert settings_now(project) == was
        # What was undone can be done again by the same means.
        assert back.snapshot is not None
        services.restore(project, back.snapshot, by=OPERATOR, role=Role.OWNER)
        services.restore(project, SettingsSnapshot.objects.get(pk=snapshot.pk), by=OPERATOR, role=Role.OWNER)
        assert settings_now(project) == was

    undone(example)


@pytest.mark.acceptance("B-19")
@pytest.mark.parametrize("mode", ["merge", "replace"])
@pytest.mark.parametrize("failing", [*SECTIONS, "audit"])
def test_an_import_that_fails_anywhere_leaves_all_tables_as_they_were(
    project: Project, mode: str, failing: str
) -> None:
    apply(project, WHOLE)
    before = dump()
    write = rows.write

    def breaking(project: Project, section: str, *more: Any) -> None:
        write(project, section, *more)
        if section == failing:
            raise IntegrityError("broken on purpose")

    target = "bootstrap.services.audit.record" if failing == "audit" else "bootstrap.rows.write"
    broken = mock.patch(target, side_effect=IntegrityError if failing == "audit" else breaking)
    with broken, pytest.raises(services.Invalid, match="meanwhile"):
        apply(project, CHANGED, mode)
    assert dump() == before


def test_two_entries_that_swapped_their_names_get_them_back(project: Project) -> None:
    apply(project, {"characters": [{"name": "Mira"}, {"name": "Tomas"}]})
    was = settings_now(project)
    snapshot = apply(project, {"project": {}}).snapshot
    mira, tomas = Character.objects.order_by("name")
    Character.objects.filter(pk=mira.pk).update(name="aside")
    Character.objects.filter(pk=tomas.pk).update(name="Mira")
    Character.objects.filter(pk=mira.pk).update(name="Tomas")
    assert snapshot is not None
    services.restore(project, snapshot, by=OPERATOR, role=Role.OWNER)
    assert settings_now(project) == was


def test_a_run_keeps_its_style_guide_when_a_state_is_restored(project: Project) -> None:
    apply(project, {"style_guides": [{"name": "Ink", "instructions": "Black"}]})
    run = make_run(project)
    Run.objects.filter(pk=run.pk).update(style_guide=StyleGuide.objects.get())
    snapshot = apply(project, {"style_guides": [{"name": "ink", "instructions": "Grey"}]}).snapshot
    assert snapshot is not None
    services.restore(project, snapshot, by=OPERATOR, role=Role.OWNER)
    run.refresh_from_db()
    assert run.style_guide is not None
    assert run.style_guide.instructions == "Black"


def test_lists_show_an_import_in_the_order_of_its_payload(project: Project) -> None:
    listed = ["Zoe", "Anna", "Mira", "Ben"]
    apply(project, {"characters": [{"name": name} for name in listed]})
    assert [one.name for one in project.characters.all()] == listed
    snapshot = apply(project, {"characters": [{"name": "Mira", "description": "new"}]}).snapshot
    assert project.characters.first().name == "Mira"
    assert snapshot is not None
    services.restore(project, snapshot, by=OPERATOR, role=Role.OWNER)
    assert [one.name for one in project.characters.all()] == listed


def test_a_stale_preview_is_refused_with_what_would_change_now(project: Project) -> None:
    wanted = document({"characters": [{"name": "Mira"}, {"name": "Zoe"}]})
    seen = services.preview(project, wanted, role=Role.OWNER)
    Character.objects.create(project=project, name="mira")
    before = dump()
    with pytest.raises(services.SettingsChanged) as caught:
        services.apply(project, wanted, by=OPERATOR, role=Role.OWNER, fingerprint=seen.fingerprint)
    assert dump() == before
    now = caught.value.outcome
    assert counts(now)["characters"][:2] == (1, 1)
    services.apply(project, wanted, by=OPERATOR, role=Role.OWNER, fingerprint=now.fingerprint)
    assert Character.objects.count() == 2


def test_what_is_left_out_stays_as_it_is_in_both_modes(project: Project) -> None:
    apply(project, WHOLE)
    kept = Character.objects.get(name="Mira")
    left_out = frozenset({("characters", "mira"), ("characters", "new"), ("project", "name")})
    wanted = document(CHANGED, "replace")
    wanted = type(wanted)(wanted.mode, wanted.project, wanted.sections, (), left_out)
    outcome = services.apply(project, wanted, by=OPERATOR, role=Role.OWNER)
    kept.refresh_from_db()
    assert kept.description == "old"
    assert [one.name for one in project.characters.all()] == ["Mira"]
    assert counts(outcome)["characters"][:4] == (0, 0, 1, 1)
    project.refresh_from_db()
    assert (project.name, project.description) == ("Saltmarsh", "Changed")


def test_an_import_keeps_limits_that_it_does_not_name(project: Project) -> None:
    apply(project, WHOLE)
    apply(project, {"provider_accounts": [{"provider_code": "openai"}]}, "replace")
    account = project.provider_accounts.get()
    assert (account.max_concurrency, account.requests_per_minute) == (3, None)


def test_a_copy_is_a_universe_of_its_own_without_the_files_of_the_first(project: Project) -> None:
    apply(project, WHOLE)
    before = settings_now(project)
    owner = project.memberships.get(role=Role.OWNER).user
    made, outcome = services.copy_settings(document(WHOLE), name="Second", owner=owner, by=Principal(owner))
    assert made.memberships.get().user == owner
    assert made.name == "Second"
    assert counts(outcome)["characters"][0] == 2
    assert ReferenceSet.objects.get(project=made).items.count() == 1
    assert settings_now(project) == before
    assert SettingsSnapshot.objects.get(project=made).reason == "copy"


def test_a_copy_that_can_t_be_filled_leaves_no_universe(project: Project) -> None:
    before = dump()
    owner = project.memberships.get(role=Role.OWNER).user
    with mock.patch("bootstrap.rows.write", side_effect=IntegrityError), pytest.raises(services.Invalid):
        services.copy_settings(document(WHOLE), name="Second", owner=owner, by=Principal(owner))
    assert dump() == before


def test_credentials_of_old_are_in_no_snapshot_and_their_loss_is_told(project: Project) -> None:
    config = {"api_key": "sk-hidden-4711", "model": "m"}
    project.provider_accounts.create(provider_code="openai", config=config)
    kept = apply(project, {"characters": []}).snapshot
    assert kept is not None
    assert "hidden" not in str(kept.content)
    # While the row has it, a restore keeps it; once it is gone, it can't come back.
    assert services.restore(project, kept, by=OPERATOR, role=Role.OWNER).lost == ()
    assert project.provider_accounts.get().config == config
    apply(project, {"provider_accounts": []}, "replace")
    back = services.restore(project, kept, by=OPERATOR, role=Role.OWNER)
    assert back.lost == ("provider_accounts[openai].config_json.api_key",)
    assert project.provider_accounts.get().config == {"api_key": None, "model": "m"}


WHOLE: dict[str, Any] = {
    "project": {"name": "Saltmarsh", "description": "A town"},
    "provider_accounts": [
        {
            "provider_code": "openai",
            "max_concurrency": 3,
            "requests_per_minute": None,
            "config_json": {"a": 1},
        }
    ],
    "style_guides": [{"name": "Ink", "instructions": "Black"}],
    "characters": [{"name": "Mira", "description": "old"}, {"name": "Tomas"}],
    "reference_sets": [{"name": "Quay", "items": [{"label": "Front", "content_uri": "references/a.png"}]}],
    "secrets": [{"provider_code": "openai", "secret_name": "api_key"}],
    "prompt_templates": [{"name": "Open", "template_text": "Draw"}],
}
CHANGED: dict[str, Any] = {
    "project": {"name": "New", "description": "Changed"},
    "provider_accounts": [{"provider_code": "photoroom"}, {"provider_code": "openai"}],
    "style_guides": [{"name": "ink", "instructions": "Grey"}],
    "characters": [{"name": "Mira", "description": "new"}, {"name": "New"}],
    "reference_sets": [{"name": "Quay", "items": []}],
    "secrets": [{"provider_code": "photoroom", "secret_name": "api_key"}],
    "prompt_templates": [{"name": "Close", "template_text": "Draw"}],
}
