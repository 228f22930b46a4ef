"""Every route inside a universe, walked by each persona and by nobody."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from bootstrap.rows import load
from bootstrap.snapshots import take
from pipeline.services.execution import execute_candidate
from pipeline.services.references import add_images
from projects.access import LEAST_ROLE, OPERATOR, Action, Principal, Role
from projects.models import ApiToken, Character, Project, PromptTemplate, ProviderAccount, StyleGuide, User
from projects.services.projects import create_project
from tests.factories import make_run, make_set, make_token, make_user, upload

PERSONAS = {
    "alice": Role.OWNER,
    "erin": Role.EDITOR,
    "rita": Role.REVIEWER,
    "vic": Role.VIEWER,
    "mallory": None,
}
OUTSIDE = {
    "project-list", "project-new", "signin", "signin-link", "signout", "password",
    "tokens", "token-revoke", "audit-all", "project-from-file",
    "lab", "lab-work", "lab-source", "lab-result", "lab-delete", "lab-keep",
}  # fmt: skip


def routes() -> Iterator[tuple[str, URLPattern]]:
    for namespace in ("projects", "pipeline", "bootstrap"):
        resolver = get_resolver().namespace_dict[namespace][1]
        for pattern in resolver.url_patterns:
            yield f"{namespace}:{pattern.name}", pattern


INSIDE = [(name, pattern) for name, pattern in routes() if "slug" in pattern.pattern.converters]


@pytest.fixture
def objects(project: Project) -> dict[str, Any]:
    """One of everything that an address may name, by the beginning of the route's name."""
    make_user(username="mallory")
    ProviderAccount.objects.create(project=project, provider_code="openai", enabled=False)
    (item,) = add_images(make_set(project=project), [upload()], by=OPERATOR)
    make_token(user=User.objects.get(username="erin"), project=project)
    run = make_run(project)
    for pk in run.candidates.values_list("pk", flat=True):
        execute_candidate(pk)
    return {
        "prompt-template": PromptTemplate.objects.create(project=project, name="Open").pk,
        "style-guide": StyleGuide.objects.create(project=project, name="Ink").pk,
        "character": Character.objects.create(project=project, name="Mara").pk,
        "reference-item": item.pk,
        "reference-upload": item.reference_set_id,
        "reference-set": item.reference_set_id,
        "project-token": ApiToken.objects.get(project=project).pk,
        "member": User.objects.get(username="vic").pk,
        "asset": run.assets.get().pk,
        "scene": run.jobs.get().pk,
        "review-say": run.jobs.get().pk,
        "run": run.pk,
        "attempt": run.attempts.get().pk,
        "snapshot": take(project, load(project), reason="import", changes={}, by=OPERATOR).pk,
    }


def address(name: str, pattern: URLPattern, slug: str, objects: dict[str, Any]) -> str:
    kwargs = {"slug": slug}
    if "code" in pattern.pattern.converters:
        kwargs["code"] = "openai"
    if "pk" in pattern.pattern.converters:
        short = name.split(":")[1]
        kwargs["pk"] = next(objects[start] for start in objects if short.startswith(start))
    return reverse(name, kwargs=kwargs)


def status_of(client: Client, method: str, url: str) -> int:
    response = getattr(client, method)(url)
    response.close()  # a file that is streamed is still open
    return int(response.status_code)


def answer_of(client: Client, url: str) -> int:
    """The status of a GET, or of an empty POST where a route takes no GET."""
    status = status_of(client, "get", url)
    return status_of(client, "post", url) if status == 405 else status


def test_every_route_is_inside_a_universe_or_known_to_be_outside() -> None:
    outside = {pattern.name for name, pattern in routes() if "slug" not in pattern.pattern.converters}
    assert outside == OUTSIDE
    assert len(INSIDE) > 25


def test_every_route_inside_says_what_it_needs() -> None:
    assert [
        name for name, pattern in INSIDE if not isinstance(getattr(pattern.callback, "action", None), Action)
    ] == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_a_route_opens_to_whom_the_table_says(
    project: Project, objects: dict[str, Any], persona: str
) -> None:
    role = PERSONAS.get(persona)
    wrong = []
    for name, pattern in INSIDE:
        client = Client()
        if persona != "nobody":
            client.force_login(User.objects.get(username=persona))
        url = address(name, pattern, project.slug, objects)
        # A route that deletes must leave its object for the next persona: only those who may not try it.
        needed = LEAST_ROLE[pattern.callback.action]
        allowed = role is not None and role.rank <= needed.rank
        if allowed and status_of(client, "get", url) == 405:
            continue
        status = answer_of(client, url)
        expected = (
            {302} if persona == "nobody" else {404} if role is None else {200, 304} if allowed else {403}
        )
        if status not in expected:
            wrong.append(f"{name}: {status}, expected one of {sorted(expected)}")
    assert wrong == []


def test_nothing_of_one_universe_opens_through_another(project: Project, objects: dict[str, Any]) -> None:
    """mallory's own universe in the address, alice's objects behind it."""
    mallory = User.objects.get(username="mallory")
    own = create_project(name="Own", owner=mallory, by=Principal(mallory))
    client = Client()
    client.force_login(mallory)
    wrong = [
        name
        for name, pattern in INSIDE
        if "pk" in pattern.pattern.converters
        and answer_of(client, address(name, pattern, own.slug, objects)) != 404
    ]
    assert wrong == []
