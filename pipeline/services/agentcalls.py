"""Sending an instruction to the agent that carries it out, over HTTP. No row is written here."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx
from django.conf import settings

from pipeline.models import AgentInstruction
from pipeline.services.instructions import AGENT, MEANINGS, TOKEN, URL, callback_secret, without_secrets
from projects import strictjson
from projects.addresses import is_web_address
from projects.crypto import KeyUnusable
from projects.models import Project
from projects.services.secrets import secret_value

ANSWER_BYTES = 1024 * 1024
QUOTED_CHARACTERS = 200  # of an error's body
FINAL_STATUSES = frozenset({400, 401, 403, 404, 410, 422})  # the same request would be refused again
WITHOUT_NAME = "local"

Pause = Callable[[float], object]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Where instructions go."""

    url: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Limits:
    """Of one attempt: seconds for a try, how many more tries, and seconds before each, times its number."""

    timeout: float = 20
    retries: int = 2
    backoff: float = 1.5

    @property
    def longest(self) -> float:
        """Seconds that one attempt can take."""
        return (self.retries + 1) * self.timeout + self.backoff * self.retries * (self.retries + 1) / 2


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt: an answer with what it means, or an `error`; another try may follow then."""

    status: str = ""
    remote_status: str = ""
    http_status: int | None = None
    response: Mapping[str, object] = field(default_factory=dict)
    error: str = ""
    is_final: bool = False


class TargetMissing(Exception):
    """There is no address to call; the text is the error's code."""


def target_of(project: Project, *, url: str = "", token: str = "") -> Target:
    """Where instructions of a project go: as the worker was told, else by the settings, else by its secrets.

    The worker's token never goes to an address that a project names. Raises `TargetMissing`.
    """
    url, token = url or settings.AGENT_API_URL, token or settings.AGENT_API_TOKEN
    try:
        if not url:
            url, token = secret_value(project, AGENT, URL), ""
        if not url:
            raise TargetMissing("missing_agent_api_url")
        token = token or secret_value(project, AGENT, TOKEN)
    except KeyUnusable:
        raise TargetMissing("agent_api_secret_unusable") from None
    if not is_web_address(url):
        raise TargetMissing("invalid_agent_api_url")
    if not token.isascii() or not token.isprintable():
        raise TargetMissing("invalid_agent_api_token")
    return Target(url, token)


def envelope(instruction: AgentInstruction) -> dict[str, object]:
    """What the agent gets to read."""
    payload = instruction.payload
    stored = payload if isinstance(payload, Mapping) else {"value": payload}
    pk, slug = instruction.pk, instruction.project.slug
    return {
        "instruction_id": str(pk),
        "project_slug": slug,
        "instruction_type": instruction.instruction_type,
        "objective": instruction.instruction_text,
        "constraints": instruction.constraints,
        "inputs": instruction.inputs,
        "execution": instruction.execution,
        "confirmation_required": True,
        "requested_by": instruction.requested_by.username if instruction.requested_by else WITHOUT_NAME,
        "callback": {
            "url": f"{settings.PUBLIC_URL}/api/projects/{slug}/agent/instructions/{pk}/callback",
            "token": callback_secret(instruction),
        },
        "payload": {"instruction_text": instruction.instruction_text, **stored},
    }


def call(
    instruction: AgentInstruction,
    target: Target,
    *,
    limits: Limits,
    pause: Pause = time.sleep,
    goes_on: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Send it, again if need be and as long as it `goes_on`; a failure is an outcome, too.

    Nothing that is told of it holds the token or the callback's secret.
    """
    body = json.dumps(envelope(instruction)).encode()
    secrets = (target.token, callback_secret(instruction))
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    outcome = Outcome(error="canceled")
    for number in range(limits.retries + 1):
        if number:
            pause(limits.backoff * number)
        if not goes_on():
            break
        outcome = _try(target.url, body, headers, limits.timeout, secrets)
        if not outcome.error or outcome.is_final:
            break
        logger.warning("Instruction %s, try %s: %s", instruction.pk, number + 1, outcome.error)
    return outcome


def _try(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, secrets: tuple[str, ...]
) -> Outcome:
    try:
        status, data = _post(url, body, headers, seconds)
    except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL, UnicodeError) as error:
        # By its kind only: the client's own text may hold the token.
        return Outcome(error=f"network_error:{type(error).__name__}")
    if 200 <= status < 300:
        document = without_secrets(_object(data), *secrets)
        told = document.get("status")
        word = " ".join(str("" if told is None else told).split())
        known = word.lower() if isinstance(told, str) or told is None else "?"
        meaning = MEANINGS.get(known, AgentInstruction.Status.FAILED)
        return Outcome(meaning, word[:100] or "done", status, document)
    said = without_secrets(" ".join(data.decode("utf-8", "replace").split()), *secrets)
    return Outcome(
        error=f"http_{status}:{said[:QUOTED_CHARACTERS]}",
        http_status=status,
        is_final=status in FINAL_STATUSES,
    )


def _post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
    """Status and body of the answer, within bounds of size and time; redirects are not followed."""
    deadline = time.monotonic() + seconds
    with (
        httpx.Client(timeout=seconds, follow_redirects=False) as client,
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        data = bytearray()
        for piece in response.iter_bytes():
            data += piece
            if len(data) > ANSWER_BYTES:
                if response.is_success:
                    raise httpx.DecodingError("The answer is too long")
                break
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("The whole call took too long")
        return response.status_code, bytes(data)


def _object(data: bytes) -> dict[str, object]:
    """The JSON object of a body; {} for anything else, and for what no database takes."""
    try:
        document = strictjson.parsed(data.decode("utf-8-sig"))
        cleaned = without_secrets(document)
    except (ValueError, RecursionError):
        return {}
    return cleaned if isinstance(cleaned, dict) else {}
