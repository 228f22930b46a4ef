"""The OpenAPI document: what ninja says of the routes, and what it leaves out."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from kroma_site.glossary import EXAMPLES, MEANINGS
from projects.access import LEAST_ROLE
from projects.api.base import Bearer

Json = dict[str, Any]
Mounted = Iterable[tuple[str, str, Operation]]  # method, path, operation

BEARER = "bearer"
PROJECT = "/api/projects/{slug}"
FIRST_TOKEN = ("POST", "/auth/token")
ANY_TOKEN = "any token"  # noqa: S105 - what a route outside a project needs
NOBODY = "none"
ERROR = "ErrorAnswer"

TAGS = {
    "health": "Whether the service answers.",
    "tokens": "Bearer tokens: made for programs, shown once, revoked.",
    "projects": "Projects, the boundary of everything else.",
    "bootstrap": "The exchange of a whole project with a language model, as text.",
    "storage": "Where the files of a project lie, and where they are mirrored.",
    "runs": "Runs of the pipeline: planned, triggered, watched and steered.",
    "assets": "Files that runs made, and what was made from what.",
    "quality and costs": "What checks found out about files, and what runs cost.",
    "exports": "Packages of a project's files.",
    "library": "The continuity library: prompt templates, style guides and characters.",
    "provider accounts": "How a project reaches its image providers.",
    "reference sets": "Sets of references, and their items.",
    "chat": "Conversations about a project.",
    "instructions": "Instructions that an agent carries out once a person has confirmed them.",
    "secrets": "Encrypted values, which can be written and never read.",
}

# What a status means, and an example of its envelope: text, kind, code.
ERRORS: dict[int, tuple[str, tuple[str, str, str]]] = {
    400: (
        "The request can't be carried out as it was put: a field or a state is not right.",
        ("Field 'name' is required", "validation", "validation_error"),
    ),
    401: (
        "No bearer token, or one that is unknown, revoked or expired.",
        ("Missing Authorization: Bearer token", "validation", "unauthorized"),
    ),
    403: (
        "The project is not accessible to the token (also if it does not exist), or its role is too low.",
        ("Token is not authorized for this project", "validation", "forbidden"),
    ),
    404: (
        "What the address names does not exist, or not in this project.",
        ("Project not found", "validation", "not_found"),
    ),
    405: (
        "The route takes other methods; the header Allow names them.",
        ("This route takes other methods: look at the header Allow", "validation", "method_not_allowed"),
    ),
    409: (
        "The state of what is addressed does not allow it.",
        ("The request does not fit the present state", "validation", "validation_error"),
    ),
    410: (
        "What the address names is gone.",
        ("This is no longer there", "validation", "not_found"),
    ),
    413: (
        "The body is larger than the service reads.",
        ("The body has 3000000 bytes: use at most 2621440", "validation", "payload_too_large"),
    ),
    415: (
        "The body does not say that it is JSON.",
        (
            "Send a JSON body with the header Content-Type: application/json",
            "validation",
            "unsupported_media_type",
        ),
    ),
    422: (
        "The body, or a field of it, has another JSON type.",
        ("Field 'name' must be a valid string", "validation", "validation_error"),
    ),
    429: (
        "The caller asks more often than this place answers; the header Retry-After says when to come back.",
        ("Too many requests: try again in 5 s", "policy", "rate_limited"),
    ),
    500: (
        "Something unexpected; the details are in the log, under the request's id.",
        ("Internal server error", "infra", "internal_error"),
    ),
}
HEADERS: dict[int, Json] = {
    401: {"WWW-Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}}},
    405: {"Allow": {"description": "The methods of this route.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
}
REQUEST_ID: Json = {
    "X-Request-ID": {"description": "Names the request in the server's log.", "schema": {"type": "string"}}
}


class Document(OpenAPISchema):
    """The document as ninja makes it, without letting one schema or operation hide another."""

    def add_schema_definitions(self, definitions: Json) -> None:
        """Raises `ImproperlyConfigured` if two different schemas have one name."""
        for name, definition in definitions.items():
            if self.schemas.get(name, definition) != definition:
                raise ImproperlyConfigured(f"Two schemas of the API are called {name}: rename one")
        super().add_schema_definitions(definitions)

    def operation_details(self, operation: Operation) -> Json:
        """Raises `ImproperlyConfigured` if two routes have one operation id."""
        name = operation.operation_id or self.api.get_openapi_operation_id(operation)
        if name in self.all_operation_ids:
            raise ImproperlyConfigured(f"Two routes of the API are called {name}: rename one function")
        return super().operation_details(operation)


def document_of(api: NinjaAPI, mounted: Mounted, *, path_prefix: str) -> Document:
    """The complete document. Raises `ImproperlyConfigured` for names that stand for two things."""
    document = Document(api, path_prefix)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        _complete_properties(schema)
    if "JsonValue" in schemas:
        schemas["JsonValue"]["description"] = "Any JSON value."
    used = set()
    for method, path, operation in mounted:
        described = document["paths"].get(path, {}).get(method.lower())
        if described is not None:  # a route may be left out of the schema
            _complete(described, method, path, operation)
            _complete_body(described, schemas)
            used.update(described.get("tags", ()))
    for item in document["paths"].values():
        item.pop("head", None)  # answered wherever GET is
    if unknown := used - TAGS.keys():
        raise ImproperlyConfigured(f"Tags without a description: {', '.join(sorted(unknown))}")
    document["components"]["securitySchemes"] = {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "kroma_ and 64 hexadecimal digits",
            "description": "A person's token. It acts with their role, and with no more than its own.",
        }
    }
    document["servers"] = [{"url": "/", "description": "The installation that served this document."}]
    document["tags"] = [{"name": name, "description": TAGS[name]} for name in TAGS if name in used]
    return document


def role_of(path: str, operation: Operation) -> str:
    """The least role that a route needs; outside a project a token is enough, or nothing is needed."""
    auth = bearer_of(operation)
    if auth is None:
        return NOBODY
    return LEAST_ROLE[auth.action].value if path.startswith(PROJECT) else ANY_TOKEN


def bearer_of(operation: Operation) -> Bearer | None:
    """What guards a route, None if it is open."""
    return next((auth for auth in operation.auth_callbacks or () if isinstance(auth, Bearer)), None)


def _complete(described: Json, method: str, path: str, operation: Operation) -> None:
    described["x-required-role"] = role_of(path, operation)
    described["security"] = [{BEARER: []}] if bearer_of(operation) else []
    if (method, path) == FIRST_TOKEN:
        # Open from this machine as long as there is no active token.
        described["security"].append({})
    for parameter in described["parameters"]:
        name = parameter["name"]
        parameter.setdefault("description", parameter["schema"].get("description") or _common(name, path))
        if examples := parameter.pop("examples", None):  # ninja hands over a list, where a map belongs
            parameter["example"] = examples[0]
    # Numbers and texts are mixed: ninja's own are numbers, those that a route adds may be texts.
    answers = {str(status): answer for status, answer in described["responses"].items()}
    described["responses"] = answers
    for status, answer in answers.items():
        answer["headers"] = {**REQUEST_ID, **HEADERS.get(int(status), {}), **answer.get("headers", {})}
        if int(status) in ERRORS:
            answer["description"], example = ERRORS[int(status)]
            for content in answer.get("content", {}).values():
                content["example"] = _envelope(int(status), *example)
        elif not answer.get("content") or _is_file(answer["content"]):
            answer["content"] = {"application/octet-stream": {}}  # a file, of whatever kind


def _is_file(content: Json) -> bool:
    return any(told.get("schema", {}).get("format") == "binary" for told in content.values())


def _common(name: str, path: str) -> str:
    if name in MEANINGS:
        return MEANINGS[name]
    before = path.partition(f"/{{{name}}}")[0].rpartition("/")[2].replace("-", " ")
    return f"One of the {before}, by its id exactly as it was given out."


def _envelope(status: int, error: str, kind: str, code: str) -> Json:
    example: Json = {"ok": False, "error": error, "error_kind": kind, "error_code": code}
    return {**example, "request_id": "5f1d0c7a9b3e4d21"} if status >= 500 else example


def _complete_properties(schema: Json) -> None:
    is_request = schema.get("title", "").endswith(("In", "Patch"))
    for name, described in schema.get("properties", {}).items():
        if name in MEANINGS and "$ref" not in described:
            described.setdefault("description", MEANINGS[name])
        if is_request and name in EXAMPLES:
            described.setdefault("examples", [EXAMPLES[name]])


def _complete_body(described: Json, schemas: Json) -> None:
    """An example of the body, put together from those of its fields."""
    for content in described.get("requestBody", {}).get("content", {}).values():
        if "example" in content or "examples" in content:
            continue
        schema = resolved(content["schema"], schemas)
        fields = {
            name: field["examples"][0]
            for name, field in schema.get("properties", {}).items()
            if field.get("examples")
        }
        content["example"] = schema.get("examples", [fields])[0]


def resolved(schema: Json, schemas: Json) -> Json:
    """A schema itself, where it is a reference or one of several."""
    several = schema.get("anyOf") or schema.get("allOf") or ()
    reference = schema.get("$ref") or next((one["$ref"] for one in several if "$ref" in one), "")
    return dict(schemas[reference.rpartition("/")[2]]) if reference else schema
