"""The 74 routes of the contract as a table: what they take, and what they say without it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.api.conftest import Answered, Api

Body = dict[str, object]

P = "/api/projects/{slug}"
GUIDES, PEOPLE, TEMPLATES = f"{P}/style-guides", f"{P}/characters", f"{P}/prompt-templates"
ACCOUNTS, SETS, LINKS = f"{P}/provider-accounts", f"{P}/reference-sets", f"{P}/asset-links"
CHATS, ORDERS, SECRETS = f"{P}/chat/sessions", f"{P}/agent/instructions", f"{P}/secrets"
GUIDE, PERSON, TEMPLATE = f"{GUIDES}/{{guide}}", f"{PEOPLE}/{{character}}", f"{TEMPLATES}/{{template}}"
ACCOUNT, SET, LINK = f"{ACCOUNTS}/{{code}}", f"{SETS}/{{set}}", f"{LINKS}/{{link}}"
ITEMS = f"{SET}/items"
ITEM, CHAT, ORDER = f"{ITEMS}/{{item}}", f"{CHATS}/{{session}}", f"{ORDERS}/{{instruction}}"

PROJECT = "Project not found"
NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Route:
    """One route. `fields` are those of its body with their JSON types, as section 7 writes them."""

    number: int
    method: str
    path: str
    empty: int  # the status of section 15: under the bypass, nothing called x, body {}
    missing: str = ""  # the text of section 2.5, for a missing project as for a missing entity
    fields: Mapping[str, str] = field(default_factory=dict)
    valid: Body = field(default_factory=dict)  # passes all checks that need no stored data
    body_optional: bool = False  # an empty body counts as {}

    def __str__(self) -> str:
        return f"{self.number}-{self.method}-{self.path.replace('/api/projects/{slug}', '')}"

    @property
    def takes_body(self) -> bool:
        return self.method in ("POST", "PUT")

    @property
    def is_of_project(self) -> bool:
        return self.path.startswith(P)

    @property
    def is_of_entity(self) -> bool:
        return self.path.count("{") > 1

    def at(self, slug: str = "x", **ids: str) -> str:
        """The address, with `x` for every parameter that is not given."""
        return self.path.format_map(_Named({"slug": slug, **ids}))

    def send(self, api: Api, slug: str = "x", body: object = None, **ids: str) -> Answered:
        """Ask for it, with its valid body unless another one is given."""
        path = self.at(slug, **ids)
        if self.method == "POST":
            return api.post(path, self.valid if body is None else body)
        if self.method == "PUT":
            return api.put(path, self.valid if body is None else body)
        return api.delete(path) if self.method == "DELETE" else api.get(path)


class _Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"


def _texts(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "str?")


TEXT = "str!"
OF_TOKEN = _texts("label", "project_slug", "expires_at")
OF_PROJECT = {"name": TEXT, **_texts("slug", "description", "username", "user_display_name")}
OF_IMPORT = {"mode": "str?", "dry_run": "bool?", "settings": "object?", "ai_response_text": "str?"}
OF_S3 = {"enabled": "bool?", **_texts("bucket", "prefix", "region", "profile", "endpoint_url")}
OF_TRIGGER = {
    **_texts("mode", "project_root", "input", "stage", "time", "weather"),
    "confirm_spend": "bool?",
    "scene_refs": "[str]?",
    "style_refs": "[str]?",
    "candidates": "int?",
    "storage_sync_s3": "bool?",
}
OF_CONFIG = _texts(
    "app_settings_path", "project_settings_path", "manifest_path", "postprocess_config_path", "project_root"
)
OF_LINK = _texts("parent_asset_id", "child_asset_id", "link_type")
OF_NEW_LINK = {"parent_asset_id": TEXT, "child_asset_id": TEXT, "link_type": "str?"}
OF_ACCOUNT = {
    **_texts("display_name", "account_ref", "base_url"),
    "enabled": "bool?",
    "config_json": "json?",
}
OF_ITEM = {**_texts("label", "content_uri", "content_text"), "sort_order": "int?", "metadata_json": "json?"}

ROUTES = [
    Route(1, "GET", "/health", 200),
    Route(2, "POST", "/auth/token", 200, fields=OF_TOKEN, body_optional=True),
    Route(3, "GET", "/auth/tokens", 200),
    Route(4, "DELETE", "/auth/tokens/{token}", 404, "Auth token not found"),
    Route(5, "GET", "/api/projects", 200),
    Route(6, "POST", "/api/projects", 400, fields=OF_PROJECT, valid={"name": "Valid"}),
    Route(7, "GET", P, 404, PROJECT),
    Route(8, "GET", f"{P}/bootstrap-prompt", 404, PROJECT),
    Route(9, "POST", f"{P}/bootstrap-import", 400, PROJECT, OF_IMPORT, {"settings": {"project": {}}}),
    Route(10, "GET", f"{P}/storage", 404, PROJECT),
    Route(
        11, "PUT", f"{P}/storage/local", 400, PROJECT, _texts("base_dir", "project_root"),
        {"base_dir": "var/projects"}, True,
    ),
    Route(12, "PUT", f"{P}/storage/s3", 404, PROJECT, OF_S3, {}, True),
    Route(13, "GET", f"{P}/runs", 404, PROJECT),
    Route(14, "POST", f"{P}/runs/trigger", 400, PROJECT, OF_TRIGGER, {"scene_refs": ["a.png"]}),
    Route(15, "POST", f"{P}/runs/validate-config", 404, PROJECT, OF_CONFIG, {}, True),
    Route(16, "GET", f"{P}/runs/{{run}}", 404, "Run not found"),
    Route(17, "GET", f"{P}/runs/{{run}}/jobs", 404, "Run not found"),
    Route(18, "GET", f"{P}/assets", 404, PROJECT),
    Route(19, "GET", f"{P}/assets/{{asset}}", 404, "Asset not found"),
    Route(20, "GET", LINKS, 404, PROJECT),
    Route(
        21, "POST", LINKS, 400, PROJECT, OF_NEW_LINK, {"parent_asset_id": "a", "child_asset_id": "b"}
    ),
    Route(22, "GET", LINK, 404, "Asset link not found"),
    Route(23, "PUT", LINK, 400, "Asset link not found", OF_LINK, {"link_type": "mask_for"}, True),
    Route(24, "DELETE", LINK, 404, "Asset link not found"),
    Route(25, "GET", f"{P}/quality-reports", 404, PROJECT),
    Route(26, "GET", f"{P}/cost-events", 404, PROJECT),
    Route(27, "GET", f"{P}/exports", 404, PROJECT),
    Route(28, "GET", f"{P}/exports/{{export}}", 404, "Project export not found"),
    Route(29, "GET", TEMPLATES, 404, PROJECT),
    Route(
        30, "POST", TEMPLATES, 400, PROJECT, {"name": TEXT, "template_text": TEXT},
        {"name": "Valid", "template_text": "t"},
    ),
    Route(31, "GET", TEMPLATE, 404, "Prompt template not found"),
    Route(
        32, "PUT", TEMPLATE, 400, "Prompt template not found", _texts("name", "template_text"),
        {"name": "Valid"}, True,
    ),
    Route(33, "DELETE", TEMPLATE, 404, "Prompt template not found"),
    Route(34, "GET", ACCOUNTS, 404, PROJECT),
    Route(
        35, "POST", ACCOUNTS, 400, PROJECT, {"provider_code": TEXT, **OF_ACCOUNT},
        {"provider_code": "valid"},
    ),
    Route(36, "GET", ACCOUNT, 404, "Provider account not found"),
    Route(37, "PUT", ACCOUNT, 400, "Provider account not found", OF_ACCOUNT, {"enabled": True}, True),
    Route(38, "DELETE", ACCOUNT, 404, "Provider account not found"),
    Route(39, "GET", GUIDES, 404, PROJECT),
    Route(
        40, "POST", GUIDES, 400, PROJECT, {"name": TEXT, "instructions": TEXT, "notes": "str?"},
        {"name": "Valid", "instructions": "i"},
    ),
    Route(41, "GET", GUIDE, 404, "Style guide not found"),
    Route(
        42, "PUT", GUIDE, 400, "Style guide not found", _texts("name", "instructions", "notes"),
        {"name": "Valid"}, True,
    ),
    Route(43, "DELETE", GUIDE, 404, "Style guide not found"),
    Route(44, "GET", PEOPLE, 404, PROJECT),
    Route(
        45, "POST", PEOPLE, 400, PROJECT, {"name": TEXT, **_texts("description", "prompt_text")},
        {"name": "Valid"},
    ),
    Route(46, "GET", PERSON, 404, "Character not found"),
    Route(
        47, "PUT", PERSON, 400, "Character not found", _texts("name", "description", "prompt_text"),
        {"name": "Valid"}, True,
    ),
    Route(48, "DELETE", PERSON, 404, "Character not found"),
    Route(49, "GET", SETS, 404, PROJECT),
    Route(50, "POST", SETS, 400, PROJECT, {"name": TEXT, "description": "str?"}, {"name": "Valid"}),
    Route(51, "GET", SET, 404, "Reference set not found"),
    Route(
        52, "PUT", SET, 400, "Reference set not found", _texts("name", "description"), {"name": "Valid"}, True
    ),
    Route(53, "DELETE", SET, 404, "Reference set not found"),
    Route(54, "GET", ITEMS, 404, "Reference set not found"),
    Route(
        55, "POST", ITEMS, 400, "Reference set not found", {**OF_ITEM, "label": TEXT},
        {"label": "Valid", "content_text": "t"},
    ),
    Route(56, "GET", ITEM, 404, "Reference set item not found"),
    Route(57, "PUT", ITEM, 400, "Reference set item not found", OF_ITEM, {"label": "Valid"}, True),
    Route(58, "DELETE", ITEM, 404, "Reference set item not found"),
    Route(59, "GET", CHATS, 404, PROJECT),
    Route(60, "POST", CHATS, 404, PROJECT, _texts("title")),
    Route(61, "GET", CHAT, 404, "Chat session not found"),
    Route(62, "GET", f"{CHAT}/messages", 404, "Chat session not found"),
    Route(
        63, "POST", f"{CHAT}/messages", 400, "Chat session not found", {"role": TEXT, "content": TEXT},
        {"role": "user", "content": "Hello"},
    ),
    Route(64, "GET", ORDERS, 404, PROJECT),
    Route(65, "POST", ORDERS, 400, PROJECT, {"instruction_text": TEXT}, {"instruction_text": "Valid"}),
    Route(66, "GET", ORDER, 404, "Agent instruction not found"),
    Route(67, "GET", f"{ORDER}/events", 404, "Agent instruction not found"),
    Route(68, "POST", f"{ORDER}/confirm", 404, "Agent instruction not found", _texts("message")),
    Route(69, "POST", f"{ORDER}/cancel", 404, "Agent instruction not found", _texts("message")),
    Route(70, "GET", SECRETS, 404, PROJECT),
    Route(71, "GET", f"{SECRETS}/rotation-status", 404, PROJECT),
    Route(
        72, "POST", SECRETS, 400, PROJECT, {"provider_code": TEXT, "secret_name": TEXT, "secret_value": TEXT},
        {"provider_code": "valid", "secret_name": "valid", "secret_value": "valid-value"},
    ),
    Route(73, "POST", f"{SECRETS}/rotate", 404, PROJECT, {"from_key_ref": "str?", "force": "bool"}),
    Route(74, "DELETE", f"{SECRETS}/{{code}}/{{secret}}", 404, "Secret not found"),
]  # fmt: skip

BY_NUMBER = {route.number: route for route in ROUTES}
WITH_BODY = [route for route in ROUTES if route.takes_body]
OF_A_PROJECT = [route for route in ROUTES if route.is_of_project]
OF_AN_ENTITY = [route for route in ROUTES if route.is_of_project and route.is_of_entity]
PATHS = sorted({route.path for route in ROUTES})
METHODS = {path: {route.method for route in ROUTES if route.path == path} for path in PATHS}


def invalid(text: str) -> tuple[int, str, str, str]:
    """What `Answered.error` is for 400 V."""
    return 400, "validation", "validation_error", text


def absent(text: str) -> tuple[int, str, str, str]:
    """What `Answered.error` is for 404 N."""
    return 404, "validation", "not_found", text


def put_there(answered: Answered) -> dict[str, Any]:
    """The body of a success."""
    assert answered.status == 200, answered.response.content[:500]
    body: dict[str, Any] = answered.body
    assert body["ok"] is True
    return body
