"""Sections 1, 2.3 and 3: bodies, queries and addresses, before any route looks at them."""

import json

import pytest

from tests.api.conftest import Answered, Api
from tests.api.contract import routes
from tests.api.contract.conftest import World
from tests.api.contract.routes import BY_NUMBER, WITH_BODY, Route, absent, invalid, put_there

ENVELOPE = {"ok", "error", "error_kind", "error_code"}
KINDS = {"validation", "provider", "infra", "policy", "unknown"}
UNKNOWN_UUID = "2f8c1a44-6a3e-4a0e-9d55-0c7f4f6f1b7a"

WRONG: dict[str, list[object]] = {
    "str!": [None, 1, 1.5, True, [], {}, ["a"]],
    "str?": [1, 1.5, True, [], {}, ["a"]],
    "bool": ["true", "", 1, 0, [], {}],
    "bool?": ["true", "", 1, 0, [], {}],
    "int?": ["1", 1.5, True, [], {}],
    "[str]?": ["a", 1, True, {}, [1], [None], [["a"]], ["a", 1]],
    "object?": ["a", 1, True, []],
    "json?": [],
}


FIELDS = [
    pytest.param(route, name, kind, id=f"{route.number}-{name}")
    for route in WITH_BODY
    for name, kind in route.fields.items()
]
TEXTS = [
    pytest.param(route, name, id=f"{route.number}-{name}")
    for route in WITH_BODY
    for name, kind in route.fields.items()
    if kind in ("str!", "str?")
]


def enveloped(answered: Answered, status: int) -> None:
    """The answer is an error of this status, in the envelope, the request's own fault."""
    assert answered.status == status, answered.response.content[:300]
    body = answered.body
    assert set(body) >= ENVELOPE
    assert body["ok"] is False
    assert body["error"]
    assert body["error_kind"] == "validation"
    assert isinstance(body["error_code"], str)
    assert body["error_code"]


def send(api: Api, route: Route, body: object) -> Answered:
    return api.raw(route.method, route.at(), json.dumps(body).encode())


# Media types, syntax, the whole body


MEDIA_TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "",
]  # fmt: skip
NO_JSON = [
    b"{", b'{"a":}', b"{'a': 1}", b'{"a": 1} x', b"nul", b'{"a": 1,}', b'{"a": NaN}', b"[1", b'{"a": "\xff"}',
]  # fmt: skip
NO_OBJECTS: list[object] = [None, [], [{}], ["a", "b"], "text", 1, 1.5, True]


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_of_another_media_type_is_415(bypass: Api, route: Route) -> None:
    for media_type in MEDIA_TYPES:
        body = json.dumps(route.valid).encode()
        enveloped(bypass.raw(route.method, route.at(), body, content_type=media_type), 415)


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "application/vnd.api+json", "Application/JSON"],
)
def test_json_and_its_kin_are_read(plain: World, media_type: str) -> None:
    answered = plain.api.raw("POST", plain.at(routes.PEOPLE), b'{"name": "Mira"}', content_type=media_type)
    assert put_there(answered)["character"]["name"] == "Mira"


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_the_media_type_is_looked_at_before_the_syntax(bypass: Api, route: Route) -> None:
    enveloped(bypass.raw(route.method, route.at(), b"{", content_type="text/plain"), 415)


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_that_is_no_json_is_400(bypass: Api, route: Route) -> None:
    for body in NO_JSON:
        enveloped(bypass.raw(route.method, route.at(), body), 400)


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_that_is_no_object_is_422(bypass: Api, route: Route) -> None:
    for body in NO_OBJECTS:
        enveloped(send(bypass, route, body), 422)


def send_nothing(api: Api, route: Route, **headers: str) -> Answered:
    """Send an empty body; with one, the client of Django's tests leaves the media type away."""
    return Answered(api.client.generic(route.method, route.at(), b"", **headers))


@pytest.mark.parametrize("route", [route for route in WITH_BODY if not route.body_optional], ids=str)
def test_an_empty_body_is_400(bypass: Api, route: Route) -> None:
    enveloped(send_nothing(bypass, route, CONTENT_TYPE="application/json"), 400)


@pytest.mark.parametrize("route", [route for route in WITH_BODY if route.body_optional], ids=str)
def test_where_it_is_published_as_optional_an_empty_body_counts_as_an_empty_object(
    bypass: Api, route: Route
) -> None:
    expected = send(bypass, route, {})
    for answered in (
        send_nothing(bypass, route, CONTENT_TYPE="application/json"),
        send_nothing(bypass, route),
    ):
        assert (answered.status, answered.body.get("error")) == (expected.status, expected.body.get("error"))


# Fields


@pytest.mark.parametrize(("route", "name", "kind"), FIELDS)
def test_a_field_of_another_json_type_is_422(bypass: Api, route: Route, name: str, kind: str) -> None:
    for value in WRONG[kind]:
        enveloped(send(bypass, route, {**route.valid, name: value}), 422)


@pytest.mark.parametrize(("route", "name", "kind"), FIELDS)
def test_null_counts_as_absent_where_a_field_is_optional(
    bypass: Api, route: Route, name: str, kind: str
) -> None:
    if not kind.endswith("?"):
        assert send(bypass, route, {name: None}).status in (200, 404, 422)
        return
    for base in ({}, route.valid):
        without = {key: value for key, value in base.items() if key != name}
        expected, answered = send(bypass, route, without), send(bypass, route, {**without, name: None})
        assert (answered.status, answered.body.get("error")) == (expected.status, expected.body.get("error"))


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_unknown_fields_are_ignored(bypass: Api, route: Route) -> None:
    expected = send(bypass, route, route.valid)
    answered = send(bypass, route, {**route.valid, "nobody_knows_me": {"a": [1, None]}, "ok": False})
    assert (answered.status, answered.body.get("error")) == (expected.status, expected.body.get("error"))


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_missing_field_is_never_a_schema_error(bypass: Api, route: Route) -> None:
    assert send(bypass, route, {}).status == route.empty
    for name in route.valid:
        without = {key: value for key, value in route.valid.items() if key != name}
        assert send(bypass, route, without).status in (200, 400, 404)


@pytest.mark.parametrize(
    "sections",
    [
        {"style_guides": {}}, {"style_guides": [1]}, {"style_guides": [{"name": 1, "instructions": "i"}]},
        {"characters": "Mira"}, {"characters": [{"name": "M", "prompt_text": 1}]}, {"project": []},
        {"project": {"name": 1}}, {"provider_accounts": [{"provider_code": "a", "enabled": "yes"}]},
        {"reference_sets": [{"name": "a", "items": {}}]},
        {"reference_sets": [{"name": "a", "items": [{"label": "l", "content_uri": "t", "sort_order": ""}]}]},
        {"secrets": [{"provider_code": 1, "secret_name": "n"}]}, {"prompt_templates": [[]]},
    ],
)  # fmt: skip
def test_wrong_types_inside_imported_settings_are_422(bypass: Api, sections: dict[str, object]) -> None:
    enveloped(send(bypass, BY_NUMBER[9], {"settings": sections}), 422)


# Hostile values: refused, never a fault of the server


@pytest.mark.parametrize(("route", "name"), TEXTS)
def test_a_text_that_no_database_can_hold_is_400(bypass: Api, route: Route, name: str) -> None:
    for text in ("a\x00b", "\ud800", "a\udfff"):
        enveloped(send(bypass, route, {**route.valid, name: text}), 400)


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_nested_deeper_than_anything_meant_is_400(bypass: Api, route: Route) -> None:
    for depth in (1_000, 100_000):
        nested = b'{"config_json":' + b"[" * depth + b"]" * depth + b"}"
        enveloped(bypass.raw(route.method, route.at(), nested), 400)


BOUNDED = [
    (30, "name"), (35, "provider_code"), (35, "display_name"), (35, "account_ref"), (35, "base_url"),
    (45, "name"), (50, "name"), (6, "name"), (6, "slug"), (72, "secret_name"), (72, "provider_code"),
    (40, "name"), (60, "title"),
    (55, "label"), (12, "bucket"), (12, "prefix"), (12, "region"), (12, "profile"), (12, "endpoint_url"),
    (11, "base_dir"), (11, "project_root"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "name"), BOUNDED)
def test_an_absurdly_long_name_is_400_and_nothing_is_written(world: World, number: int, name: str) -> None:
    route = BY_NUMBER[number]
    body = {**route.valid, name: "n" * 300_000}
    enveloped(world.api.raw(route.method, world.at(route.path), json.dumps(body).encode()), 400)


@pytest.mark.parametrize("number", [10**12, -(10**12), 2**63, 10**30, -(10**30)])
def test_a_number_that_fits_no_column_is_refused(world: World, number: int) -> None:
    body = {"label": "L", "content_text": "t", "sort_order": number}
    for method, path in (("POST", routes.ITEMS), ("PUT", routes.ITEM)):
        answered = world.api.raw(method, world.at(path), json.dumps(body).encode())
        assert answered.status in (400, 422)
        enveloped(answered, answered.status)


@pytest.mark.parametrize("literal", ["1e400", "-1e400", "Infinity", "NaN"])
def test_what_is_no_finite_number_is_refused(world: World, literal: str) -> None:
    body = f'{{"config_json": {{"a": {literal}}}, "provider_code": "p"}}'.encode()
    answered = world.api.raw("POST", world.at(routes.ACCOUNTS), body)
    enveloped(answered, 400)


@pytest.mark.parametrize("literal", ["1" * 4000, "-" + "9" * 4000, "1" * 5000])
def test_a_number_of_thousands_of_digits_is_no_fault_of_the_server(world: World, literal: str) -> None:
    body = f'{{"config_json": {{"a": {literal}}}, "provider_code": "p"}}'.encode()
    assert world.api.raw("POST", world.at(routes.ACCOUNTS), body).status in (200, 400, 422)
    assert world.api.get(world.at(routes.ACCOUNTS)).status == 200


@pytest.mark.parametrize("path", ["%00", "a%00b", "%FF", "%ED%A0%80", "n" * 5000, "..", "%2e%2e"])
def test_odd_addresses_are_no_fault_of_the_server(bypass: Api, path: str) -> None:
    for address in (f"/api/projects/{path}", f"/api/projects/x/runs/{path}", f"/auth/tokens/{path}"):
        assert bypass.get(address).status in (400, 404, 405)
        assert bypass.delete(address).status in (400, 404, 405)


def test_odd_ids_of_an_existing_project_are_not_found(world: World) -> None:
    for odd in ("%00", "%FF", "n" * 5000, "%F0%9F%8E%A8"):
        assert world.api.get(world.at(routes.PERSON, character=odd)).status in (400, 404)
        assert world.api.get(world.at(routes.ACCOUNTS) + f"/{odd}").status in (400, 404)


# Queries


LIMITED = ["runs", "assets", "quality-reports", "cost-events", "exports"]


@pytest.mark.parametrize("path", LIMITED)
def test_an_unparsable_limit_is_400_for_an_unknown_project_too(bypass: Api, path: str) -> None:
    for limit in ("abc", "1.5", "1e3", "0x10", "5 rows", "--1", "\u0663"):
        enveloped(bypass.get(f"/api/projects/x/{path}", limit=limit), 400)


def test_a_limit_that_is_a_whole_number_is_clamped_never_refused(world: World) -> None:
    for path in LIMITED:
        for limit in ("0", "-5", "1", "-" + "9" * 40):
            assert world.get(f"{routes.P}/{path}", limit=limit)["count"] == 1
        for limit in ("99999", "9" * 40):
            assert world.get(f"{routes.P}/{path}", limit=limit)["count"] == (2 if path == "assets" else 1)


@pytest.mark.parametrize("route", [route for route in routes.ROUTES if route.method == "GET"], ids=str)
def test_unknown_query_parameters_are_ignored(bypass: Api, route: Route) -> None:
    assert bypass.get(route.at(), nobody_knows_me="1", page="x").status == route.empty


# Addresses


@pytest.mark.parametrize(
    "path",
    ["/api/nothing", "/auth/nothing", "/api/projects/x/nothing", "/api/projects/x/runs/y/z/nothing", "/api/"],
)
def test_an_unknown_path_is_404_in_the_envelope(bypass: Api, path: str) -> None:
    answered = bypass.get(path)
    enveloped(answered, 404)
    assert answered.body["error_code"] == "not_found"


SLUGS = [
    ("My Fancy Project", "my_fancy_project"), ("  A & B!! ", "a_b"), ("Café Noir", "caf_noir"),
    ("-x-", "-x-"), ("hero-01", "hero-01"), ("a__b", "a__b"), ("a_ b", "a__b"), ("___", "project"),
    ("!!!", "project"),
    ("日本", "project"), ("ÄÖÜ x", "x"), ("a _b", "a__b"), ("a _ b", "a___b"), ("_-_", "-"),
    ("UPPER", "upper"), ("\u2003wide\u2003", "wide"), ("a!?b", "a_b"), ("_a_", "a"), ("\u0130x", "i_x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "slug"), SLUGS)
def test_a_project_gets_the_slug_of_its_name(bypass: Api, name: str, slug: str) -> None:
    assert put_there(bypass.post("/api/projects", {"name": name}))["project"]["slug"] == slug


@pytest.mark.parametrize(("text", "slug"), SLUGS)
def test_an_explicit_slug_is_normalised_or_else_made_of_the_name(bypass: Api, text: str, slug: str) -> None:
    project = put_there(bypass.post("/api/projects", {"name": "My Name", "slug": text}))["project"]
    assert project["slug"] == (slug if slug != "project" else "my_name")


@pytest.mark.parametrize(("text", "slug"), SLUGS)
def test_a_provider_code_is_normalised_or_required(plain: World, text: str, slug: str) -> None:
    answered = plain.api.post(plain.at(routes.ACCOUNTS), {"provider_code": text})
    if slug == "project":
        assert answered.error == invalid("Field 'provider_code' is required")
    else:
        assert put_there(answered)["provider_account"]["provider_code"] == slug


@pytest.mark.parametrize(
    "segment",
    [
        "my_fancy_project",
        "MY_FANCY_PROJECT",
        "My%20Fancy%20Project",
        "%6Dy_fancy_project",
        "my%C3%A9fancy!project",
    ],
)
def test_the_slug_of_an_address_is_decoded_and_normalised(bypass: Api, segment: str) -> None:
    put_there(bypass.post("/api/projects", {"name": "My Fancy Project"}))
    found = put_there(bypass.get(f"/api/projects/{segment}"))["project"]
    assert found["slug"] == "my_fancy_project"


@pytest.mark.parametrize("segment", ["___", "%21%21", "%E6%97%A5"])
def test_a_slug_of_which_nothing_is_left_is_not_found(bypass: Api, segment: str) -> None:
    put_there(bypass.post("/api/projects", {"name": "!!!"}))  # its slug is "project"
    assert bypass.get(f"/api/projects/{segment}").error == absent("Project not found")


ENTITIES = [route for route in routes.OF_AN_ENTITY if route.method == "GET" and route.number != 36]


@pytest.mark.parametrize("route", ENTITIES, ids=str)
def test_an_id_is_matched_exactly(world: World, route: Route) -> None:
    name = route.path.split("{")[-1].split("}")[0]
    if route.number == 54:
        name = "set"
    right = world.ids[name]
    assert world.api.get(world.at(route.path)).status == 200
    for wrong in (
        right.upper(), right.replace("-", ""), f"{{{right}}}", f"urn:uuid:{right}", f"%20{right}",
        f"{right}%20", UNKNOWN_UUID, "x", right[:-1],
    ):  # fmt: skip
        if wrong != right:
            assert world.api.get(world.at(route.path, **{name: wrong})).error == absent(route.missing), wrong


def test_secret_names_and_item_ids_of_an_address_are_decoded(world: World) -> None:
    world.post(routes.SECRETS, {"provider_code": "openai", "secret_name": "Main key/2", "secret_value": "v"})
    answered = world.api.delete(world.at(routes.SECRETS) + "/OpenAI/%20Main%20key%2F2%20")
    assert answered.status in (200, 404)  # a slash inside a segment is for the server to allow
    world.post(routes.SECRETS, {"provider_code": "openai", "secret_name": "Main key", "secret_value": "v"})
    put_there(world.api.delete(world.at(routes.SECRETS) + "/OpenAI/%20Main%20key%20"))


def test_every_success_is_200_and_says_ok(world: World) -> None:
    for route in routes.ROUTES:
        if route.method == "GET":
            assert world.get(route.path)["ok"] is True
    assert world.post("/api/projects", {"name": "New"})["ok"] is True
    assert world.delete(routes.GUIDE)["ok"] is True


def test_no_answer_to_a_browser_of_another_origin_is_allowed(bypass: Api) -> None:
    response = bypass.get("/health").response
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]
