"""The operator's window: everything opens, nothing secret shows, history can't be changed."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from pipeline.models import Run
from projects.access import OPERATOR
from projects.models import ApiToken, AuditEvent, Project, Secret, User
from tests.factories import make_run, make_user

MODELS = [model for model in admin.site._registry if model._meta.app_label in {"projects", "pipeline"}]
CANARY = "canary-7d1f-never-shown"


@pytest.fixture
def operator(project: Project) -> Client:
    make_user(username="root", superuser=True)
    client = Client()
    client.force_login(User.objects.get(username="root"))
    return client


@pytest.fixture
def rows(project: Project, alice: User) -> Run:
    run = make_run(project, by=OPERATOR)
    Secret.objects.create(project=project, provider_code="openai", secret_name="key", value_encrypted=CANARY)
    ApiToken.objects.create(user=alice, token_prefix="krm_ab", token_hash=CANARY, expires_at=timezone.now())
    return run


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_each_list_and_page_opens_and_searches_without_a_secret(
    operator: Client, rows: Run, model: type
) -> None:
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    answer = operator.get(reverse(f"admin:{name}_changelist"), {"q": "a"})
    assert answer.status_code == 200
    first = model.objects.first()
    if first is not None:
        page = operator.get(reverse(f"admin:{name}_change", args=[first.pk]))
        assert page.status_code == 200
        assert CANARY not in page.content.decode()
    assert CANARY not in answer.content.decode()


def test_the_audit_trail_can_be_read_only(operator: Client, rows: Run) -> None:
    event = AuditEvent.objects.first()
    assert event is not None
    for url in (
        reverse("admin:projects_auditevent_add"),
        reverse("admin:projects_auditevent_delete", args=[event.pk]),
    ):
        assert operator.post(url, {"post": "yes"}).status_code == 403
    operator.post(reverse("admin:projects_auditevent_change", args=[event.pk]), {"event_code": "forged"})
    assert not AuditEvent.objects.filter(event_code="forged").exists()


def test_a_run_can_not_be_deleted(operator: Client, rows: Run) -> None:
    assert (
        operator.post(reverse("admin:pipeline_run_delete", args=[rows.pk]), {"post": "yes"}).status_code
        == 403
    )
    assert Run.objects.filter(pk=rows.pk).exists()


def test_a_change_in_the_admin_is_audited(operator: Client, project: Project) -> None:
    answer = operator.post(
        reverse("admin:projects_budget_add"), {"project": project.pk, "per_run_usd": "5", "_save": "1"}
    )
    assert answer.status_code == 302
    event = AuditEvent.objects.get(event_code="admin.budget.created")
    assert (event.actor, event.project_slug) == ("root", project.slug)
    assert "per_run_usd" in event.payload["fields"]


def test_people_without_staff_rights_do_not_get_in(alice_client: Client) -> None:
    assert alice_client.get(reverse("admin:index")).status_code == 302


def test_a_password_set_in_the_admin_is_audited_without_it(operator: Client, alice: User) -> None:
    fields = {"password1": "a long new passphrase", "password2": "a long new passphrase"}
    url = reverse("admin:auth_user_password_change", args=[alice.pk])
    assert operator.post(url, {**fields, "usable_password": "true", "set-password": "1"}).status_code == 302
    event = AuditEvent.objects.get(event_code="user.password_set")
    assert (event.actor, event.subject_id) == ("root", str(alice.pk))
    assert "passphrase" not in str(event.payload)
    alice.refresh_from_db()
    assert alice.check_password("a long new passphrase")


def test_the_admin_sends_people_to_the_one_page_that_sets_their_password(operator: Client) -> None:
    assert operator.get("/admin/password_change/")["Location"] == reverse("projects:password")


def test_a_change_in_the_admin_says_what_was_and_is(operator: Client, project: Project) -> None:
    account = project.provider_accounts.create(provider_code="openai", display_name="Studio")
    fields = {"project": project.pk, "provider_code": "openai", "display_name": "House", "config": "{}"}
    url = reverse("admin:projects_provideraccount_change", args=[account.pk])
    assert operator.post(url, fields).status_code == 302
    payload = AuditEvent.objects.get(event_code="admin.provideraccount.updated").payload
    assert payload["before"] == {"display_name": "Studio", "enabled": True}
    assert payload["after"] == {"display_name": "House", "enabled": False}
