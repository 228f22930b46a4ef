"""The one way to write the audit trail, inside the caller's transaction."""

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from projects.access import Principal
from projects.models import AuditEvent, AuditHead, Project

HASHED_FIELDS = (
    "id", "sequence", "project_id", "project_slug", "actor_user_id", "actor", "address",
    "event_code", "subject_type", "subject_id", "payload", "created_at", "previous_hash",
)  # fmt: skip


HASH = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True)
class Head:
    """The end of the trail at some moment: how many events, and the hash of the last ('' of none)."""

    sequence: int
    hash: str

    @classmethod
    def of(cls, text: str) -> "Head":
        """What `text()` wrote. Raises `ValueError` for anything else."""
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("not an object")  # noqa: TRY004 - a fault of the text
        sequence, told = document.get("sequence"), document.get("hash")
        if type(sequence) is not int or sequence < 0 or not isinstance(told, str) or not HASH.fullmatch(told):
            raise ValueError("no sequence and hash")
        if bool(sequence) != bool(told):
            raise ValueError("a hash without events, or events without one")
        return cls(sequence, told)

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"sequence": self.sequence, "hash": self.hash})


def record(
    project: Project | None,
    event_code: str,
    subject: models.Model | None = None,
    *,
    by: Principal,
    **payload: object,
) -> AuditEvent:
    """Append one event and move the head of the chain. Call it inside the transaction of the change itself.

    `payload` must be JSON: small values that say what changed, never a secret.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit event belongs into the transaction of the change that it records")
    AuditHead.objects.get_or_create(id=1)
    # On SQLite the transaction holds the only write lock already; elsewhere this waits for other writers.
    head = AuditHead.objects.select_for_update().get(id=1)
    event = AuditEvent(
        sequence=head.sequence + 1,
        project_id=project.pk if project else None,
        project_slug=project.slug if project else "",
        actor_user_id=by.user.pk if by.user else None,
        actor=by.name,
        address=by.address,
        token_id=by.token_id,
        event_code=event_code,
        subject_type=subject._meta.model_name or "" if subject else "",
        subject_id=str(subject.pk) if subject else "",
        payload=payload,
        created_at=timezone.now(),
        previous_hash=head.hash,
    )
    event.hash = event_hash(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(id=1).update(sequence=event.sequence, hash=event.hash)
    return event


def event_hash(event: AuditEvent) -> str:
    """HMAC-SHA256 over all other fields, the hash before included, as hexadecimal text."""
    fields = {name: _plain(getattr(event, name)) for name in HASHED_FIELDS}
    if event.token_id is not None:  # events from before there were tokens keep their hash
        fields["token_id"] = _plain(event.token_id)
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(settings.AUDIT_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def faults() -> Iterator[str]:
    """Each place where the chain does not hold, in words; nothing if it is whole."""
    sequence, previous = 0, ""
    for event in AuditEvent.objects.order_by("sequence").iterator():
        sequence += 1
        if event.sequence != sequence:
            yield f"event {sequence} is missing: {event.sequence} follows {sequence - 1}"
            sequence = event.sequence
        if event.previous_hash != previous:
            yield f"event {event.sequence} does not follow the one before it"
        if not hmac.compare_digest(event.hash, event_hash(event)):
            yield f"event {event.sequence} ({event.event_code}) was altered"
        previous = event.hash
    head = AuditHead.objects.filter(id=1).first()
    if (head.sequence, head.hash) != (sequence, previous) if head else sequence:
        yield f"the trail ends at event {sequence}, but its head says {head.sequence if head else 'nothing'}"


def head() -> Head:
    """Where the trail ends now."""
    found = AuditHead.objects.filter(id=1).first()
    return Head(found.sequence, found.hash) if found else Head(0, "")


def anchor_faults(anchor: Head) -> list[str]:
    """What is wrong with a trail that ended at this anchor once, in words."""
    if not anchor.sequence:
        return []
    event = AuditEvent.objects.filter(sequence=anchor.sequence).first()
    if event is None:
        return [f"the anchor is at event {anchor.sequence}, which is not there: an older state was put back"]
    if not hmac.compare_digest(event.hash, anchor.hash):
        return [f"event {anchor.sequence} is not the one of the anchor: history was replaced"]
    return []


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, uuid.UUID) else value
