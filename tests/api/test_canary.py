"""A secret is planted, everything is used, and nothing that anybody can read holds it."""

import json
import logging
import zipfile
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from pipeline.models import Export
from pipeline.store import store_for
from projects.models import Project, User
from projects.services.secrets import secret_value
from tests.api.conftest import Api
from tests.api.routes import Things, body_of, make_things, routes
from tests.api.test_matrix import OPEN
from tests.factories import make_token, make_user

CANARY = "canary-0a1b2c3d4e5f-never-to-be-seen"
PLACES = (("openai", "api_key"), ("s3", "secret_access_key"), ("agent_api", "token"))


def rows() -> Iterator[str]:
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            yield from (f"{table}: {row!r}" for row in cursor.fetchall())


def pages(project: Project) -> Iterator[str]:
    """The pages of a universe that need no further object, and those of the operator."""
    for namespace in ("projects", "pipeline"):
        for pattern in get_resolver().namespace_dict[namespace][1].url_patterns:
            if isinstance(pattern, URLPattern) and set(pattern.pattern.converters) == {"slug"}:
                yield reverse(f"{namespace}:{pattern.name}", args=[project.slug])
    for name in ("secret", "provideraccount", "auditevent", "apitoken", "project"):
        yield reverse(f"admin:projects_{name}_changelist")
    yield reverse("projects:audit-all")


@pytest.fixture
def api(project: Project) -> Api:
    return Api(make_token(user=User.objects.get(username="alice")))


@pytest.fixture
def things(project: Project, api: Api) -> Things:
    for code, name in PLACES:
        body = {"provider_code": code, "secret_name": name, "secret_value": CANARY}
        assert api.post(f"/api/projects/{project.slug}/secrets", body).status == 200
        assert secret_value(project, code, name) == CANARY
    made = make_things(project)  # a run, its files and a package are made with the secrets in place
    api.post(
        f"/api/projects/{project.slug}/secrets", {**body, "provider_code": "openai", "secret_name": "api_key"}
    )
    return made


def test_no_answer_row_log_page_or_file_holds_a_secret(
    project: Project, api: Api, things: Things, caplog: pytest.LogCaptureFixture
) -> None:
    seen: dict[str, str] = {}
    with caplog.at_level(logging.DEBUG):
        for route in routes():
            if route.method == "DELETE" or route.name in OPEN:
                continue
            for address in (things.address(route.path), things.address(route.path, slug="nowhere")):
                body = json.dumps(body_of(route, things)).encode() if route.writes else b""
                response = api.raw(route.method, address, body).response
                seen[f"{route.method} {address}"] = b"".join(response).decode(errors="replace")
                response.close()
        # Wrong uses: the value where something else is meant, and refused.
        at = f"/api/projects/{project.slug}"
        nameless = {"settings": {"secrets": [{"provider_code": "", "secret_value": CANARY}]}}
        for path, wrong in (
            (f"{at}/secrets", {"provider_code": "!!", "secret_name": "x", "secret_value": CANARY}),
            (f"{at}/secrets", {"provider_code": 3, "secret_name": "x", "secret_value": CANARY}),
            (f"{at}/provider-accounts", {"provider_code": "x", "config_json": {"api_key": CANARY}}),
            (f"{at}/bootstrap-import", nameless),
            (f"{at}/storage/nothing", {"secret_value": CANARY}),
        ):
            answer = api.post(path, wrong)
            assert answer.status >= 400, path
            seen[f"POST {path}, refused"] = json.dumps(answer.body)
        operator = Client()
        operator.force_login(make_user(username="root", superuser=True))
        client = Client()
        client.force_login(User.objects.get(username="alice"))
        for url in pages(project):
            page = (operator if url.startswith(("/admin", "/audit")) else client).get(url)
            seen[f"page {url}"] = b"".join(page).decode(errors="replace")
            page.close()
    seen["log"] = caplog.text
    for number, row in enumerate(rows()):
        seen[f"row {number} of {row[:60]}"] = row
    for file in store_for(project).root.rglob("*"):
        if file.is_file():
            seen[f"file {file.name}"] = file.read_bytes().decode(errors="replace")
    for export in Export.objects.all():
        with zipfile.ZipFile(store_for(project).path(export.rel_path)) as package:
            for name in package.namelist():
                seen[f"{name} of an export"] = package.read(name).decode(errors="replace")
    assert len(seen) > 300
    assert [place for place, text in seen.items() if CANARY in text] == []
    # Of a token only its hash and its beginning are kept, and no answer but the first shows it.
    assert [place for place, text in seen.items() if api.token in text] == []


def test_the_search_finds_what_is_there(project: Project) -> None:
    """What proves that the search above would have found it."""
    project.description = CANARY
    project.save()
    assert [row for row in rows() if CANARY in row] != []
