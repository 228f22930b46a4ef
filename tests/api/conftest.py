"""What the tests of the JSON API share: callers with a token, and one whom the development bypass lets in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from projects.access import Role
from projects.models import Project, User
from tests.factories import make_token


@dataclass
class Answered:
    """One answer: its status, its JSON and its headers."""

    response: HttpResponse

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def body(self) -> Any:
        return self.response.json()

    @property
    def error(self) -> tuple[int, str, str, str]:
        """Status, kind, code and text of an error in the envelope."""
        body = self.body
        assert body["ok"] is False
        return self.status, body["error_kind"], body["error_code"], body["error"]


@dataclass
class Api:
    """A caller of the API on this machine; without a token only the bypass lets it in."""

    token: str = ""
    client: Client = field(default_factory=lambda: Client(headers={"host": "127.0.0.1:8788"}))

    def get(self, path: str, **query: object) -> Answered:
        return self._sent("GET", path, query_params=query)

    def post(self, path: str, body: object = None) -> Answered:
        return self._sent("POST", path, data={} if body is None else body)

    def put(self, path: str, body: object = None) -> Answered:
        return self._sent("PUT", path, data={} if body is None else body)

    def delete(self, path: str) -> Answered:
        return self._sent("DELETE", path)

    def raw(self, method: str, path: str, body: bytes, content_type: str = "application/json") -> Answered:
        return self._sent(method, path, data=body, content_type=content_type)

    def _sent(self, method: str, path: str, **more: Any) -> Answered:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        more.setdefault("content_type", "application/json")
        call = getattr(self.client, method.lower())
        return Answered(call(path, headers=headers, **more))


@pytest.fixture
def bypass(settings: Settings, db: None) -> Api:
    """A caller whom the development bypass lets in as owner of everything."""
    settings.API_AUTH_DEV_BYPASS = True
    return Api()


@pytest.fixture
def caller(project: Project) -> Callable[..., Api]:
    """Make a caller with a new token of one of the personas: `caller("erin", role=..., project=...)`."""

    def make(username: str, *, role: Role = Role.OWNER, project: Project | None = None) -> Api:
        return Api(make_token(user=User.objects.get(username=username), role=role, project=project))

    return make
