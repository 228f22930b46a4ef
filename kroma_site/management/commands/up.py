from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from kroma_site.prepare import OperatorCommand, worker_count
from kroma_site.supervisor import up


class Command(OperatorCommand):
    help = "Start the workspace: web server and worker, in the foreground, until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default=settings.BIND, help="ADDRESS:PORT to listen at (%(default)s)")
        parser.add_argument(
            "--workers",
            type=worker_count,
            default=settings.WORKERS,
            help="processes that make images (%(default)s)",
        )
        parser.add_argument(
            "--demo", action="store_true", help="build the example universe on the first start"
        )

    def handle(self, *, bind: str, workers: int, demo: bool, **options: Any) -> None:
        def say(line: str) -> None:
            self.stdout.write(line)
            self.stdout.flush()

        if code := up(bind=bind, n_workers=workers, with_demo=demo, say=say):
            raise SystemExit(code)
