"""Every mounted route of the JSON API, with an address and a good body for each: what the walks go along.

A route that is new needs an entry in `BODIES` if it takes a body, and in `Things` if it names a new kind of
object; the walks fail until it has one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ninja.operation import Operation

from bootstrap.rows import load
from bootstrap.snapshots import take
from kroma_site.api import operations
from kroma_site.openapi import bearer_of
from pipeline.models import (
    AgentInstruction,
    Asset,
    AssetLink,
    ChatMessage,
    ChatSession,
    CostEvent,
    QualityReport,
)
from pipeline.models.copilot import AgentInstructionEvent
from pipeline.services.exports import create_export
from projects.access import OPERATOR, Action, Role
from projects.models import (
    ApiToken,
    Character,
    Project,
    PromptTemplate,
    ProviderAccount,
    ReferenceItem,
    ReferenceSet,
    StyleGuide,
    User,
)
from projects.services.secrets import set_secret
from tests.factories import make_finished_run, make_token

PROJECT = "/api/projects/{}"
SECRET_VALUE = "sk-4a5b6c7d8e9f-never-to-be-seen"
Body = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """One mounted route."""

    method: str
    path: str
    operation: Operation

    @property
    def short(self) -> str:
        """The path without the names of its parameters."""
        return re.sub(r"{[^}]*}", "{}", self.path)

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.short

    @property
    def name(self) -> str:
        return f"{self.method} {self.short}"

    @property
    def action(self) -> Action | None:
        """What its caller must be allowed to do; None if it is open."""
        auth = bearer_of(self.operation)
        return auth.action if auth else None

    @property
    def in_project(self) -> bool:
        return self.short == PROJECT or self.short.startswith(f"{PROJECT}/")

    @property
    def names_object(self) -> bool:
        """Whether its address names something inside a project."""
        return self.in_project and self.short.count("{}") > 1

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


def routes() -> list[Route]:
    return [Route(*mounted) for mounted in operations()]


@dataclass
class Things:
    """One of everything in a project, by the segment of an address that comes before its id."""

    project: Project
    ids: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def address(self, path: str, *, slug: str = "") -> str:
        """A route's address with the ids of these things. Raises `LookupError` for a new kind of thing."""
        return "/".join(self._filled(path.split("/"), slug or self.project.slug))

    def _filled(self, segments: list[str], slug: str) -> Iterator[str]:
        kind, place = "", 0
        for segment in segments:
            if not segment.startswith("{"):
                kind, place = segment, 0
                yield segment
                continue
            if kind == "projects":
                yield slug
            else:
                if kind not in self.ids:
                    raise LookupError(f"Which of the {kind}? Teach tests/api/routes.py: {'/'.join(segments)}")
                yield self.ids[kind][place]
            place += 1


def make_things(project: Project, *, n_scenes: int = 3) -> Things:
    """Rows for every kind of address, each named by the plural that stands before its id."""
    owner = User.objects.get(memberships__project=project, memberships__role=Role.OWNER)
    run = make_finished_run(project, n_scenes=n_scenes)
    one, two, three = Asset.objects.filter(project=project, kind__contains="final").order_by("rel_path")[:3]
    job = run.jobs.order_by("position").first()
    candidate = run.candidates.order_by("created_at").first()
    make_token(user=owner, project=project, label="to be revoked")
    set_secret(project, "openai", "api_key", value=SECRET_VALUE, by=OPERATOR)
    account = ProviderAccount.objects.create(project=project, provider_code="openai", display_name="Images")
    references = ReferenceSet.objects.create(project=project, name="Plates")
    session = ChatSession.objects.create(project=project, title="Tone")
    ChatMessage.objects.create(project=project, session=session, position=1, role="user", content="Darker")
    instruction = AgentInstruction.objects.create(project=project, instruction_text="Check the plates")
    AgentInstructionEvent.objects.create(
        project=project,
        instruction=instruction,
        position=1,
        event_type="created",
        message="Instruction created",
    )
    QualityReport.objects.create(project=project, run=run, report_type="output_guard")
    CostEvent.objects.create(
        project=project, run=run, job=job, provider_code="openai", event_type="image", units=1,
        unit_cost_usd=0, total_cost_usd=0,
    )  # fmt: skip
    rows: dict[str, Any] = {
        "runs": run,
        "jobs": job,
        "candidates": candidate,
        "attempts": run.attempts.first(),
        "assets": one,
        "asset-links": AssetLink.objects.create(
            project=project, parent=one, child=two, link_type="derived_from"
        ),
        "exports": create_export(run, by=OPERATOR)[0],
        "prompt-templates": PromptTemplate.objects.create(project=project, name="Base", template_text="Ink."),
        "style-guides": StyleGuide.objects.create(project=project, name="Ink", instructions="Hard blacks."),
        "characters": Character.objects.create(project=project, name="Mara"),
        "reference-sets": references,
        "items": ReferenceItem.objects.create(
            project=project, reference_set=references, label="Quay", content_text="A quay at low tide"
        ),
        "sessions": session,
        "instructions": instruction,
        "tokens": ApiToken.objects.get(user=owner, project=project),
        "bootstrap-snapshots": take(project, load(project), reason="import", changes={}, by=OPERATOR),
        "second asset": two,
        "third asset": three,
    }
    ids: dict[str, tuple[str, ...]] = {kind: (str(row.pk),) for kind, row in rows.items()}
    ids["provider-accounts"] = (account.provider_code,)
    ids["secrets"] = ("openai", "api_key")
    return Things(project, ids)


def _trigger(things: Things) -> Body:
    return {"mode": "dry", "scene_refs": ["scenes/scene 0.png"]}


def _link(things: Things) -> Body:
    return {"parent_asset_id": things.ids["assets"][0], "child_asset_id": things.ids["third asset"][0]}


# A good body for every POST and PUT, by method and short path; `{}` where nothing need be sent.
BODIES: dict[tuple[str, str], Body | Callable[[Things], Body]] = {
    ("POST", "/auth/token"): {"label": "made in a test"},
    ("POST", "/api/projects"): {"name": "Brine", "description": "Salt and fog"},
    ("POST", f"{PROJECT}/bootstrap-import"): {
        "settings": {"style_guides": [{"name": "New", "instructions": "Soft greys."}]}
    },
    ("POST", f"{PROJECT}/bootstrap-snapshots/{{}}/restore"): {},
    ("PUT", f"{PROJECT}/storage/local"): {"base_dir": "var/projects"},
    ("PUT", f"{PROJECT}/storage/s3"): {"bucket": "plates", "region": "eu-west-1"},
    ("POST", f"{PROJECT}/runs/trigger"): _trigger,
    ("POST", f"{PROJECT}/runs/validate-config"): {},
    ("POST", f"{PROJECT}/asset-links"): _link,
    ("PUT", f"{PROJECT}/asset-links/{{}}"): {"link_type": "variant_of"},
    ("POST", f"{PROJECT}/prompt-templates"): {"name": "Rain", "template_text": "It rains."},
    ("PUT", f"{PROJECT}/prompt-templates/{{}}"): {"name": "Base, shorter"},
    ("POST", f"{PROJECT}/provider-accounts"): {"provider_code": "openai", "display_name": "Studio"},
    ("PUT", f"{PROJECT}/provider-accounts/{{}}"): {"display_name": "Studio two"},
    ("POST", f"{PROJECT}/style-guides"): {"name": "Wash", "instructions": "Soft greys."},
    ("PUT", f"{PROJECT}/style-guides/{{}}"): {"notes": "Since chapter two"},
    ("POST", f"{PROJECT}/characters"): {"name": "Tomas", "prompt_text": "A boy of nine"},
    ("PUT", f"{PROJECT}/characters/{{}}"): {"description": "The pilot's daughter"},
    ("POST", f"{PROJECT}/reference-sets"): {"name": "Scenes of chapter two"},
    ("PUT", f"{PROJECT}/reference-sets/{{}}"): {"description": "Plates of the style"},
    ("POST", f"{PROJECT}/reference-sets/{{}}/items"): {"label": "Boat", "content_text": "A flat boat"},
    ("PUT", f"{PROJECT}/reference-sets/{{}}/items/{{}}"): {"sort_order": 3},
    ("POST", f"{PROJECT}/chat/sessions"): {"title": "Colour"},
    ("POST", f"{PROJECT}/chat/sessions/{{}}/messages"): {"role": "user", "content": "Less red"},
    ("POST", f"{PROJECT}/agent/instructions"): {"instruction_text": "Look at the plates again"},
    ("POST", f"{PROJECT}/agent/instructions/{{}}/confirm"): {"message": "Go"},
    ("POST", f"{PROJECT}/agent/instructions/{{}}/cancel"): {"message": "Not now"},
    ("POST", f"{PROJECT}/secrets"): {
        "provider_code": "photoroom", "secret_name": "api_key", "secret_value": SECRET_VALUE
    },
    ("POST", f"{PROJECT}/secrets/rotate"): {"force": True},
    ("POST", f"{PROJECT}/runs/{{}}/cancel"): {},
    ("POST", f"{PROJECT}/runs/{{}}/pause"): {},
    ("POST", f"{PROJECT}/runs/{{}}/resume"): {},
    ("POST", f"{PROJECT}/runs/{{}}/retry"): {"confirm_spend": True},
    ("POST", f"{PROJECT}/exports"): lambda things: {"run_id": things.ids["runs"][0]},
    ("POST", f"{PROJECT}/agent/instructions/{{}}/callback"): {"status": "done"},
}  # fmt: skip


def body_of(route: Route, things: Things) -> Body:
    """A good body. Raises `LookupError` for a route that has none yet."""
    if route.key not in BODIES:
        raise LookupError(f"A good body is missing in tests/api/routes.py: {route.name}")
    body = BODIES[route.key]
    return body(things) if callable(body) else body
