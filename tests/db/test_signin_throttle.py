"""Wrong passwords lock a name out for a while, from one address only."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from projects.access import OPERATOR
from projects.models import AuditEvent, User
from projects.services.people import make_signin_link
from projects.views import people
from tests.factories import make_user

PASSWORD = "wet ink on newsprint"
SIGNIN = "/signin"


@pytest.fixture
def alice_with_password(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def tried(client: Client, password: str, username: str = "alice") -> int:
    return int(client.post(SIGNIN, {"username": username, "password": password}).status_code)


def lock_out(client: Client) -> None:
    statuses = [tried(client, "guess") for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert statuses == [422] * (settings.AXES_FAILURE_LIMIT - 1) + [429]


def test_five_wrong_passwords_lock_out_and_say_when_to_come_back(alice_with_password: User) -> None:
    client = Client()
    lock_out(client)
    answer = client.post(SIGNIN, {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 429
    assert "Come back in 15 minutes" in answer.content.decode()
    assert 800 < int(answer["Retry-After"]) <= 900
    assert client.get("/").status_code == 302


def test_other_names_and_other_addresses_are_not_locked(alice_with_password: User) -> None:
    client = Client()
    lock_out(client)
    assert tried(client, "guess", username="erin") == 422
    assert tried(Client(REMOTE_ADDR="10.0.0.7"), PASSWORD) == 302


def test_another_browser_does_not_help(alice_with_password: User) -> None:
    lock_out(Client())
    assert tried(Client(headers={"user-agent": "another"}), PASSWORD) == 429


def test_after_the_time_one_may_try_again(alice_with_password: User) -> None:
    client = Client()
    lock_out(client)
    earlier = timezone.now() - settings.AXES_COOLOFF_TIME - timedelta(seconds=1)
    AccessAttempt.objects.update(attempt_time=earlier)
    assert tried(client, PASSWORD) == 302


def test_trying_on_does_not_make_it_longer(alice_with_password: User) -> None:
    client = Client()
    lock_out(client)
    at = AccessAttempt.objects.get().attempt_time
    assert tried(client, "guess") == 429
    assert AccessAttempt.objects.get().attempt_time == at


def test_the_right_password_starts_the_count_anew(alice_with_password: User) -> None:
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        tried(client, "guess")
    assert tried(client, PASSWORD) == 302
    assert tried(Client(), "guess") == 422


def test_the_admin_sends_people_to_the_one_page_that_lets_them_in(alice_with_password: User) -> None:
    answer = Client().post("/admin/login/?next=/admin/", {"username": "alice", "password": PASSWORD})
    assert answer["Location"] == f"{reverse('projects:signin')}?next=/admin/"


def test_the_operator_unlocks_in_the_admin_and_no_password_is_kept(alice_with_password: User) -> None:
    client = Client()
    lock_out(client)
    attempt = AccessAttempt.objects.get()
    assert "guess" not in attempt.post_data
    operator = Client()
    operator.force_login(make_user(username="root", superuser=True))
    assert "alice" in operator.get(reverse("admin:axes_accessattempt_changelist")).content.decode()
    gone = operator.post(reverse("admin:axes_accessattempt_delete", args=[attempt.pk]), {"post": "yes"})
    assert gone.status_code == 302
    assert tried(client, PASSWORD) == 302
    unlocked, came_in = AuditEvent.objects.order_by("sequence")
    assert (unlocked.event_code, unlocked.actor) == ("admin.signin_lock.deleted", "root")
    assert unlocked.payload == {"usernames": ["alice"]}
    assert (came_in.event_code, came_in.actor, came_in.address) == ("user.signed_in", "alice", "127.0.0.1")


def test_a_link_lets_in_whoever_is_locked_out(alice_with_password: User) -> None:
    client = Client()
    lock_out(client)
    url = reverse("projects:signin-link", args=[make_signin_link("alice", by=OPERATOR)])
    assert client.get(url).status_code == 302


def test_one_address_tries_only_so_many_links(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(people.link_throttle, "num_requests", 2)
    client = Client()
    assert [client.get("/signin/nothing").status_code for _ in range(3)] == [410, 410, 429]
    cache.clear()
