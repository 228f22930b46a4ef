"""The chain shows what was altered, removed or inserted."""

import pytest
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
