from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from projects import audit
from projects.models import AuditHead


class Command(BaseCommand):
    help = "Prove that nothing in the audit trail was altered or removed."
    requires_system_checks: Any = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify"])

    def handle(self, **options: Any) -> None:
        try:
            faults = list(audit.faults())
            head = AuditHead.objects.filter(id=1).first()
        except DatabaseError as error:
            raise CommandError(f"The audit trail can't be read: {error}") from error
        for fault in faults:
            self.stdout.write(fault)
        if faults:
            raise CommandError(f"The audit trail does not hold: {len(faults)} faults")
        self.stdout.write(f"The audit trail holds: {head.sequence if head else 0} events.")
        self.stdout.write(
            "Without an anchor (a head kept elsewhere) a rollback of the whole database can't be seen."
        )
