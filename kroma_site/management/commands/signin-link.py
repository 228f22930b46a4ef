from argparse import ArgumentParser  # noqa: N999 - the command is called so
from typing import Any

from django.conf import settings

from kroma_site.addresses import new_signin_url
from kroma_site.prepare import OperatorCommand
from kroma_site.supervisor import running_bind


class Command(OperatorCommand):
    help = "Print a link that signs a person in, once, within 15 minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", metavar="USER")

    def handle(self, *, username: str, **options: Any) -> None:
        self.stdout.write(new_signin_url(username, bind=running_bind() or settings.BIND))
