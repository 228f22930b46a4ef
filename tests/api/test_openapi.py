"""The OpenAPI document: complete, valid, and true of what the routes answer."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import jsonschema_rs
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from ninja import NinjaAPI, Router, Schema
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from kroma_site.api import api, contract_routes
from kroma_site.openapi import ERRORS, PROJECT, TAGS, document_of, resolved
from projects.access import Role
from projects.models import Project
from tests.api.conftest import Api
from tests.api.routes import Route, body_of, make_things, routes
from tests.api.test_matrix import OPEN

Json = dict[str, Any]

ROUTES_OF_THE_CONTRACT = """
GET /health
POST /auth/token
GET /auth/tokens
DELETE /auth/tokens/{}
GET /api/projects
POST /api/projects
GET /api/projects/{}
GET /api/projects/{}/bootstrap-prompt
POST /api/projects/{}/bootstrap-import
GET /api/projects/{}/storage
PUT /api/projects/{}/storage/local
PUT /api/projects/{}/storage/s3
GET /api/projects/{}/runs
POST /api/projects/{}/runs/trigger
POST /api/projects/{}/runs/validate-config
GET /api/projects/{}/runs/{}
GET /api/projects/{}/runs/{}/jobs
GET /api/projects/{}/assets
GET /api/projects/{}/assets/{}
GET /api/projects/{}/asset-links
POST /api/projects/{}/asset-links
GET /api/projects/{}/asset-links/{}
PUT /api/projects/{}/asset-links/{}
DELETE /api/projects/{}/asset-links/{}
GET /api/projects/{}/quality-reports
GET /api/projects/{}/cost-events
GET /api/projects/{}/exports
GET /api/projects/{}/exports/{}
GET /api/projects/{}/prompt-templates
POST /api/projects/{}/prompt-templates
GET /api/projects/{}/prompt-templates/{}
PUT /api/projects/{}/prompt-templates/{}
DELETE /api/projects/{}/prompt-templates/{}
GET /api/projects/{}/provider-accounts
POST /api/projects/{}/provider-accounts
GET /api/projects/{}/provider-accounts/{}
PUT /api/projects/{}/provider-accounts/{}
DELETE /api/projects/{}/provider-accounts/{}
GET /api/projects/{}/style-guides
POST /api/projects/{}/style-guides
GET /api/projects/{}/style-guides/{}
PUT /api/projects/{}/style-guides/{}
DELETE /api/projects/{}/style-guides/{}
GET /api/projects/{}/characters
POST /api/projects/{}/characters
GET /api/projects/{}/characters/{}
PUT /api/projects/{}/characters/{}
DELETE /api/projects/{}/characters/{}
GET /api/projects/{}/reference-sets
POST /api/projects/{}/reference-sets
GET /api/projects/{}/reference-sets/{}
PUT /api/projects/{}/reference-sets/{}
DELETE /api/projects/{}/reference-sets/{}
GET /api/projects/{}/reference-sets/{}/items
POST /api/projects/{}/reference-sets/{}/items
GET /api/projects/{}/reference-sets/{}/items/{}
PUT /api/projects/{}/reference-sets/{}/items/{}
DELETE /api/projects/{}/reference-sets/{}/items/{}
GET /api/projects/{}/chat/sessions
POST /api/projects/{}/chat/sessions
GET /api/projects/{}/chat/sessions/{}
GET /api/projects/{}/chat/sessions/{}/messages
POST /api/projects/{}/chat/sessions/{}/messages
GET /api/projects/{}/agent/instructions
POST /api/projects/{}/agent/instructions
GET /api/projects/{}/agent/instructions/{}
GET /api/projects/{}/agent/instructions/{}/events
POST /api/projects/{}/agent/instructions/{}/confirm
POST /api/projects/{}/agent/instructions/{}/cancel
GET /api/projects/{}/secrets
GET /api/projects/{}/secrets/rotation-status
POST /api/projects/{}/secrets
POST /api/projects/{}/secrets/rotate
DELETE /api/projects/{}/secrets/{}/{}
""".strip().splitlines()

# POST routes that the published description lets go without a body; all PUT routes do, too.
NO_BODY_NEEDED = {"POST /auth/token", "POST /api/projects/{}/runs/validate-config"}


@pytest.fixture(scope="module")
def document() -> Json:
    """The document as a client reads it."""
    return json.loads(json.dumps(api.get_openapi_schema()))


def described(document: Json) -> Iterator[tuple[Route, Json]]:
    for route in routes():
        yield route, document["paths"][route.path][route.method.lower()]


@pytest.mark.acceptance("A-03")
def test_the_document_lists_exactly_the_mounted_routes(document: Json) -> None:
    listed = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert listed == {(route.method, route.path) for route in routes()}


def test_all_routes_of_the_contract_are_mounted_and_all_others_are_marked() -> None:
    assert len(set(ROUTES_OF_THE_CONTRACT)) == 74
    unmarked = {(method, path) for method, path in contract_routes()}
    ours = {route.name for route in routes() if (route.method, route.path) in unmarked}
    assert sorted(set(ROUTES_OF_THE_CONTRACT) - ours) == []
    assert sorted(ours - set(ROUTES_OF_THE_CONTRACT)) == []


def test_the_document_is_valid_openapi(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    schemas = document["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not jsonschema_rs.meta.is_valid(schema)] == []


def test_every_reference_leads_somewhere(document: Json) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas


def test_every_route_says_what_it_is(document: Json) -> None:
    wrong = []
    for route, operation in described(document):
        told = {name: operation.get(name) for name in ("summary", "description", "tags", "operationId")}
        wrong += [f"{route.name}: {name}" for name, value in told.items() if not value]
        wrong += [f"{route.name}: tag {tag}" for tag in operation["tags"] if tag not in TAGS]
        wrong += [
            f"{route.name}: parameter {parameter['name']}"
            for parameter in operation["parameters"]
            if not parameter.get("description")
        ]
    assert wrong == []
    assert {tag["name"] for tag in document["tags"] if tag["description"]} == {
        tag for _, operation in described(document) for tag in operation["tags"]
    }


@pytest.mark.acceptance("A-09")
def test_every_route_says_who_may_call_it(document: Json) -> None:
    assert set(document["components"]["securitySchemes"]) == {"bearer"}
    for route, operation in described(document):
        if route.name in OPEN:
            assert (operation["security"], operation["x-required-role"]) == ([], "none")
        elif route.name == "POST /auth/token":
            assert operation["security"] == [{"bearer": []}, {}]
        else:
            assert operation["security"] == [{"bearer": []}], route.name
        if route.path.startswith(PROJECT) and route.name not in OPEN:
            assert operation["x-required-role"] in set(Role), route.name


@pytest.mark.acceptance("A-11")
def test_every_error_has_the_envelope_and_an_example(document: Json) -> None:
    schemas = document["components"]["schemas"]
    shared = jsonschema_rs.validator_for(schemas["ErrorAnswer"])
    for route, operation in described(document):
        answers = operation["responses"]
        least = {"500"} if route.name in OPEN else {"400", "401", "403", "404", "429", "500"}
        least |= {"413", "415", "422"} if "requestBody" in operation else set()
        assert least <= set(answers), route.name
        for status, answer in answers.items():
            if status.startswith("2"):
                continue
            assert int(status) in ERRORS, f"{route.name}: {status}"
            content = answer["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}, route.name
            assert list(shared.iter_errors(content["example"])) == [], f"{route.name}: {status}"


@pytest.mark.acceptance("A-10")
def test_every_success_is_described_and_every_property_of_it(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for route, operation in described(document):
        content = operation["responses"]["200"]["content"]
        if "application/json" in content:
            assert resolved(content["application/json"]["schema"], schemas)["properties"], route.name
        assert content, route.name
    assert [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, told in schema.get("properties", {}).items()
        if not (told.get("description") or refers(told))
    ] == []
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []


def refers(told: Json) -> bool:
    """Whether it is another schema, or a list of them: that one is described itself."""
    return "$ref" in told or any("$ref" in one for one in [told.get("items", {}), *told.get("anyOf", [])])


def test_every_body_has_an_example_that_fits_it(document: Json) -> None:
    wrong = []
    for route, operation in described(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schemas = document["components"]["schemas"]
            schema = {**content["schema"], "components": document["components"]}
            wrong += [
                f"{route.name}: {error.message}"
                for error in jsonschema_rs.iter_errors(schema, content["example"])
            ]
            fields = resolved(content["schema"], schemas).get("properties", {})
            wrong += [
                f"{route.name}: {name}"
                for name, told in fields.items()
                if not (told.get("examples") or refers(told) or told.get("type") == "boolean")
            ]
    assert wrong == []


def test_a_body_is_needed_where_the_contract_says(document: Json) -> None:
    wrong = []
    for route, operation in described(document):
        if route.name not in ROUTES_OF_THE_CONTRACT:
            continue
        body = operation.get("requestBody")
        if route.method in ("GET", "DELETE"):
            expected = None
        else:
            expected = route.method == "POST" and route.name not in NO_BODY_NEEDED
        if (body and body["required"]) != expected:
            wrong.append(f"{route.name}: {expected}")
    assert wrong == []


def test_what_the_routes_answer_is_what_the_document_says(
    document: Json, bypass: Api, project: Project
) -> None:
    things = make_things(project)
    wrong = []
    last = [route for route in routes() if route.method == "DELETE"]
    for route in [route for route in routes() if route.method != "DELETE"] + last:
        address = things.address(route.path)
        body = json.dumps(body_of(route, things)).encode() if route.method in ("POST", "PUT") else b""
        for sent in (address, address.replace(things.project.slug, "nowhere")):
            response = bypass.raw(route.method, sent, body).response
            wrong += faults(document, route, response)
    assert wrong == []


def faults(document: Json, route: Route, response: Any) -> list[str]:
    """Where one answer is not as the document says."""
    answers = document["paths"][route.path][route.method.lower()]["responses"]
    status = str(response.status_code)
    told = f"{route.name} answered {status}"
    if status not in answers or status == "500":
        response.close()
        return [f"{told}: not in the document"]
    media_type = response["Content-Type"].partition(";")[0]
    content = answers[status]["content"]
    if media_type != "application/json":
        response.close()
        fits = {media_type, f"{media_type.partition('/')[0]}/*", "application/octet-stream"} & set(content)
        return [] if fits else [f"{told} as {media_type}"]
    schema = {**content[media_type]["schema"], "components": document["components"]}
    body = json.loads(response.content)
    return [
        f"{told}: {'/'.join(str(step) for step in error.instance_path)} {error.message}"
        for error in jsonschema_rs.iter_errors(schema, body)
    ]


def test_the_command_prints_the_document(document: Json) -> None:
    out = StringIO()
    call_command("openapi", stdout=out)
    assert json.loads(out.getvalue()) == document


class One(Schema):
    """A schema."""

    text: str


def toy(*views: Any) -> list[tuple[str, str, Any]]:
    """A little API of these views; the document of it is made at once."""
    other, router = NinjaAPI(urls_namespace="toy"), Router(tags=["library"])
    for n, view in enumerate(views):
        router.get(f"/{n}", response=view.__annotations__["return"])(view)
    other.add_router("", router)
    mounted = [
        ("GET", path, operation)
        for bound in other._get_bound_routers()
        for path, item in bound.path_operations.items()
        for operation in item.operations
    ]
    document_of(other, mounted, path_prefix="/")
    return mounted


def test_two_schemas_of_one_name_are_refused() -> None:
    def first(request: Any) -> One:
        return One(text="")

    def second(request: Any) -> Any:
        return None

    again = type("One", (Schema,), {"__annotations__": {"number": int}, "__module__": __name__})
    second.__annotations__["return"] = again
    assert len(toy(first)) == 1
    with pytest.raises(ImproperlyConfigured, match="called One"):
        toy(first, second)


def test_two_routes_of_one_name_are_refused() -> None:
    def first(request: Any) -> One:
        return One(text="")

    with pytest.raises(ImproperlyConfigured, match="rename one function"):
        toy(first, first)
