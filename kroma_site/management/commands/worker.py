from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from kroma_site.prepare import OperatorCommand, worker_count
from kroma_site.worker import with_environment, work


class Command(OperatorCommand):
    help = "Run the worker that makes the images, in the foreground. SIGTERM or Ctrl-C ends it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--workers", type=worker_count, default=settings.WORKERS, help="processes (%(default)s)"
        )

    def handle(self, *, workers: int, **options: Any) -> None:
        with_environment(workers)
        code = work()
        if code:
            raise SystemExit(code)
