"""A walk through every main flow of a running server, over HTTP alone, as a program would take it.

It leaves a project `smoke-…` behind and can be repeated.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE = 60  # seconds for one answer


class Failed(Exception):
    """A step did not come out as it should: what was seen."""


@dataclass
class Step:
    """One step: its name, and what was wrong ('' if nothing was)."""

    name: str
    problem: str = ""


@dataclass
class Walk:
    """One walk; `steps` tells how each step came out."""

    client: httpx.Client
    token: str
    scene: str = ""
    steps: list[Step] = field(default_factory=list)
    slug: str = field(default_factory=lambda: f"smoke-{int(time.time())}-{uuid.uuid4().hex[:6]}")

    def run(self, said: Callable[[Step], None]) -> bool:
        """Take all steps, each told as it ends; whether all came out right."""
        for name, step in (
            ("health", self._health),
            ("token", self._tokens),
            ("project and storage", self._project),
            ("library", self._library),
            ("reference sets and items", self._references),
            ("provider account", self._account),
            ("secret", self._secret),
            ("bootstrap exchange", self._exchange),
            ("dry run", self._dry_run),
            ("run with the local renderer", self._run),
            ("files, links, reports, costs", self._reading),
            ("chat", self._chat),
            ("agent instruction", self._instruction),
            ("errors", self._errors),
        ):
            if name == "run with the local renderer" and not self.scene:
                continue  # over HTTP no image can be brought: one that lies in a root must be named
            done = Step(name)
            try:
                step()
            except (Failed, httpx.HTTPError, KeyError, ValueError) as error:
                done.problem = (
                    f"{type(error).__name__}: {error}" if not isinstance(error, Failed) else str(error)
                )
            self.steps.append(done)
            said(done)
        return not any(step.problem for step in self.steps)

    def _asked(
        self, method: str, path: str, body: object = None, *, status: int = 200, token: str | None = None
    ) -> Any:
        shown = self.token if token is None else token
        response = self.client.request(
            method,
            path,
            json=body if method in ("POST", "PUT") else None,
            headers={"Authorization": f"Bearer {shown}"} if shown else {},
        )
        if response.status_code != status:
            raise Failed(
                f"{method} {path} answered {response.status_code}, not {status}: {response.text[:300]}"
            )
        answer = response.json()
        if answer.get("ok") is not (status == 200):
            raise Failed(f"{method} {path} says ok: {answer.get('ok')}")
        return answer

    def _at(self, path: str) -> str:
        return f"/api/projects/{self.slug}{path}"

    def _health(self) -> None:
        answer = self._asked("GET", "/health", token="")
        if answer["status"] != "ok":
            raise Failed(f"its status is {answer['status']}")

    def _tokens(self) -> None:
        if not self.token:
            made = self._asked("POST", "/auth/token", {"label": "smoke"}, token="")
            self.token = made["auth_token"]["token"]
        made = self._asked("POST", "/auth/token", {"label": "smoke, revoked at once", "role": "viewer"})
        second = made["auth_token"]
        self._asked("GET", "/auth/tokens", token=second["token"])
        self._asked("DELETE", f"/auth/tokens/{second['id']}")
        self._asked("GET", "/auth/tokens", token=second["token"], status=401)

    def _project(self) -> None:
        self._asked("POST", "/api/projects", {"name": self.slug, "slug": self.slug})
        if self.slug not in [row["slug"] for row in self._asked("GET", "/api/projects")["projects"]]:
            raise Failed("the new project is not in the list")
        self._asked("GET", self._at(""))
        self._audited("PUT", "/storage/s3", {"enabled": False})

    def _audited(self, method: str, path: str, body: object = None) -> Any:
        answer = self._asked(method, self._at(path), body)
        if not answer.get("audit_id"):
            raise Failed(f"{method} {path} names no audit event")
        return answer

    def _library(self) -> None:
        for plural, noun, body in (
            ("prompt-templates", "prompt_template", {"name": "Opening", "template_text": "Wide shot."}),
            ("style-guides", "style_guide", {"name": "Ink", "instructions": "Hard blacks."}),
            ("characters", "character", {"name": "Mara", "prompt_text": "A girl of nine"}),
        ):
            made = self._asked("POST", self._at(f"/{plural}"), body)[noun]
            one = f"/{plural}/{made['id']}"
            self._asked("PUT", self._at(one), {"name": f"{body['name']} two"})
            self._asked("GET", self._at(one))
            self._asked("DELETE", self._at(one))
            self._asked("GET", self._at(one), status=404)
            self._asked("POST", self._at(f"/{plural}"), body)
            self._asked("POST", self._at(f"/{plural}"), body, status=400)

    def _references(self) -> None:
        made = self._asked("POST", self._at("/reference-sets"), {"name": "Plates"})["reference_set"]
        items = f"/reference-sets/{made['id']}/items"
        item = self._asked("POST", self._at(items), {"label": "Quay", "content_text": "Low tide"})["item"]
        self._asked("PUT", self._at(f"{items}/{item['id']}"), {"sort_order": 2})
        if self._asked("GET", self._at(items))["count"] != 1:
            raise Failed("the set does not have its one item")

    def _account(self) -> None:
        self._audited("POST", "/provider-accounts", {"provider_code": "openai", "enabled": False})
        self._audited("PUT", "/provider-accounts/openai", {"display_name": "Studio"})
        self._audited("DELETE", "/provider-accounts/openai")

    def _secret(self) -> None:
        value = uuid.uuid4().hex
        body = {"provider_code": "photoroom", "secret_name": "api_key", "secret_value": value}
        self._audited("POST", "/secrets", body)
        if value in str(self._asked("GET", self._at("/secrets"))):
            raise Failed("the list of secrets shows a value")
        self._asked("GET", self._at("/secrets/rotation-status"))
        self._audited("POST", "/secrets/rotate", {})
        self._audited("DELETE", "/secrets/photoroom/api_key")

    def _exchange(self) -> None:
        prompt = self._asked("GET", self._at("/bootstrap-prompt"))["bootstrap"]["prompt"]
        if "Return ONLY valid JSON" not in prompt:
            raise Failed("the prompt does not ask for JSON alone")
        settings = {"characters": [{"name": "Tomas", "prompt_text": "The pilot"}]}
        counts = []
        for dry_run in (True, False):
            body = {"settings": settings, "dry_run": dry_run}
            answer = self._asked("POST", self._at("/bootstrap-import"), body)["bootstrap_import"]
            counts.append(answer["changes"]["characters"]["created"])
        if counts != [1, 1]:
            raise Failed(f"the dry run and the import created {counts}, not one each")

    def _trigger(self, body: dict[str, object], *, wait: int = 0) -> str:
        path = self._at("/runs/trigger") + (f"?wait={wait}" if wait else "")
        answer = self._asked("POST", path, body)
        if "KROMA_PIPELINE_SUMMARY_JSON" not in answer["pipeline_trigger"]["stdout"]:
            raise Failed("the answer of the trigger has no summary")
        return str(answer["run_id"])

    def _dry_run(self) -> None:
        self._asked("POST", self._at("/runs/validate-config"), {})
        run = self._trigger({"mode": "dry", "scene_refs": ["a.png", "b.png"]})
        shown = self._asked("GET", self._at(f"/runs/{run}"))
        if (shown["run"]["status"], len(shown["jobs"])) != ("ok", 2):
            raise Failed(f"the dry run is {shown['run']['status']} with {len(shown['jobs'])} jobs")
        self._asked("GET", self._at(f"/runs/{run}/jobs"))
        self._asked("POST", self._at("/runs/trigger"), {"mode": "run", "scene_refs": ["a.png"]}, status=400)

    def _run(self) -> None:
        body = {"mode": "run", "confirm_spend": True, "provider_code": "local", "scene_refs": [self.scene]}
        run = self._trigger({**body, "style_refs": [self.scene]}, wait=PATIENCE - 10)
        shown = self._asked("GET", self._at(f"/runs/{run}"))
        if shown["run"]["status"] != "ok":
            raise Failed(f"the run is {shown['run']['status']}")
        self._asked("POST", self._at("/exports"), {"run_id": run})

    def _reading(self) -> None:
        for path in ("/runs", "/assets", "/asset-links", "/quality-reports", "/cost-events", "/exports"):
            self._asked("GET", self._at(path))

    def _chat(self) -> None:
        session = self._asked("POST", self._at("/chat/sessions"), {"title": "Colour"})["session"]
        messages = f"/chat/sessions/{session['id']}/messages"
        self._asked("POST", self._at(messages), {"role": "user", "content": "Less red"})
        if self._asked("GET", self._at(messages))["count"] != 1:
            raise Failed("the conversation does not have its one message")

    def _instruction(self) -> None:
        made = self._audited("POST", "/agent/instructions", {"instruction_text": "Look at the plates"})
        one = f"/agent/instructions/{made['instruction']['id']}"
        canceled = self._audited("POST", f"{one}/cancel", {})
        if canceled["instruction"]["status"] != "canceled":
            raise Failed(f"the instruction is {canceled['instruction']['status']}")
        self._asked("POST", self._at(f"{one}/confirm"), {}, status=400)
        if self._asked("GET", self._at(f"{one}/events"))["count"] != 2:
            raise Failed("the instruction does not have its two events")

    def _errors(self) -> None:
        for method, path, body, status in (
            ("GET", self._at("/runs/nothing"), None, 404),
            ("POST", self._at("/characters"), {}, 400),
            ("POST", self._at("/characters"), {"name": 3}, 422),
            ("GET", self._at("/nothing"), None, 404),
            ("DELETE", self._at("/runs"), None, 405),
        ):
            answer = self._asked(method, path, body, status=status)
            if missing := {"error", "error_kind", "error_code"} - set(answer):
                raise Failed(f"{method} {path} lacks {', '.join(sorted(missing))}")
