"""The chain shows what was altered, removed or inserted."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from projects import audit
from projects.access import OPERATOR
from projects.models import AuditEvent, AuditHead, Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(project: Project) -> Project:
    for number in range(4):
        with transaction.atomic():
            audit.record(project, "test.event", project, by=OPERATOR, number=number)
    assert list(audit.faults()) == []
    return project


def test_an_altered_event_is_found(trail: Project) -> None:
    AuditEvent.objects.filter(sequence=2).update(payload={"number": 99})
    assert [fault for fault in audit.faults() if "event 2" in fault and "altered" in fault]


def test_a_removed_event_is_found(trail: Project) -> None:
    AuditEvent.objects.filter(sequence=3).delete()
    assert "event 3 is missing" in next(audit.faults())


def test_a_removed_last_event_is_found(trail: Project) -> None:
    AuditEvent.objects.order_by("-sequence").first().delete()
    assert "head says" in next(audit.faults())


def test_an_inserted_event_is_found(trail: Project) -> None:
    last = AuditEvent.objects.order_by("-sequence").first()
    AuditEvent.objects.create(
        sequence=last.sequence + 1, event_code="forged", created_at=last.created_at,
        previous_hash=last.hash, hash="0" * 64,
    )  # fmt: skip
    AuditHead.objects.update(sequence=last.sequence + 1, hash="0" * 64)
    assert [fault for fault in audit.faults() if "altered" in fault]


def test_an_event_goes_with_its_change(project: Project) -> None:
    before = AuditEvent.objects.count()
    with transaction.atomic():
        audit.record(project, "test.event", by=OPERATOR)
        transaction.set_rollback(True)  # as if the change itself had failed
    assert AuditEvent.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused(project: Project) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        audit.record(project, "test.event", by=OPERATOR)


def called(*arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_an_anchor_is_the_head_as_json(trail: Project, tmp_path: Path) -> None:
    file = tmp_path / "anchor.json"
    called("anchor", str(file))
    head = AuditHead.objects.get()
    assert json.loads(file.read_text()) == {"sequence": head.sequence, "hash": head.hash}
    assert json.loads(called("anchor")) == json.loads(file.read_text())


def test_a_trail_that_goes_on_from_its_anchor_holds(trail: Project, tmp_path: Path) -> None:
    file = tmp_path / "anchor.json"
    called("anchor", str(file))
    with transaction.atomic():
        audit.record(trail, "test.event", by=OPERATOR)
    out = called("verify", "--anchor", str(file))
    assert "holds: " in out
    assert "Without an anchor" not in out
    assert "Without an anchor" in called("verify")


def test_a_rollback_of_the_database_is_found_with_an_anchor(trail: Project, tmp_path: Path) -> None:
    before = audit.head()
    with transaction.atomic():
        audit.record(trail, "test.event", by=OPERATOR)
    file = tmp_path / "anchor.json"
    called("anchor", str(file))
    AuditEvent.objects.filter(sequence__gt=before.sequence).delete()  # as a backup has it
    AuditHead.objects.update(sequence=before.sequence, hash=before.hash)
    assert "holds: " in called("verify")
    with pytest.raises(CommandError, match="does not hold: 1 fault"):
        called("verify", "--anchor", str(file))
    with transaction.atomic():
        audit.record(trail, "another.event", by=OPERATOR)
    (fault,) = audit.anchor_faults(audit.Head.of(file.read_text()))
    assert "history was replaced" in fault


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"sequence": 1}', '{"sequence": true, "hash": ""}', '{"sequence": -1, "hash": ""}',
     '{"sequence": 3, "hash": "xyz"}', '{"sequence": 3, "hash": ""}',
     '{"sequence": 0, "hash": "' + "a" * 64 + '"}'],
)  # fmt: skip
def test_what_is_no_anchor_is_one_clear_error(trail: Project, tmp_path: Path, text: str) -> None:
    file = tmp_path / "anchor.json"
    file.write_text(text)
    with pytest.raises(CommandError, match="is no anchor of an audit trail"):
        called("verify", "--anchor", str(file))


def test_an_anchor_that_is_not_there_is_said(trail: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"can't be read \(No such file"):
        called("verify", "--anchor", str(tmp_path / "nothing.json"))
    with pytest.raises(CommandError, match="can't be written"):
        called("anchor", str(tmp_path / "no folder" / "anchor.json"))
