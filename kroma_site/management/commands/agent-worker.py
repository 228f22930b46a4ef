# ruff: noqa: N999 - commands are named as people type them
import logging
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import CommandError
from django.db import OperationalError, connections

from kroma_site.prepare import OperatorCommand, prepare
from pipeline.services.agentcalls import Limits
from pipeline.services.dispatch import DEFAULT, Rules, new_worker_id, work_once
from projects.addresses import is_web_address

LONGEST_NAME = 100

logger = logging.getLogger(__name__)


class Command(OperatorCommand):
    help = (
        "Carry out confirmed instructions, in the foreground, until SIGTERM or Ctrl-C. `up` does so by "
        "itself; this is for a machine of its own, or for other limits."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        seconds: dict[str, Any] = {"type": float, "metavar": "S"}
        parser.add_argument("--worker-id", default="", help="its name (worker- and eight digits)")
        parser.add_argument("--once", action="store_true", help="at most one instruction, without waiting")
        parser.add_argument("--poll", **seconds, default=2.0, help="between two looks (%(default)s)")
        parser.add_argument(
            "--max-locked",
            **seconds,
            default=DEFAULT.max_locked,
            help="after which a worker counts as dead (%(default)s)",
        )
        parser.add_argument(
            "--max-attempts",
            type=int,
            default=DEFAULT.max_attempts,
            metavar="N",
            help="of one instruction (%(default)s)",
        )
        parser.add_argument(
            "--retry-backoff",
            **seconds,
            default=DEFAULT.retry_backoff,
            help="before the next attempt, times its number (%(default)s)",
        )
        parser.add_argument(
            "--timeout", **seconds, default=DEFAULT.call.timeout, help="for one call (%(default)s)"
        )
        parser.add_argument(
            "--retries",
            type=int,
            default=DEFAULT.call.retries,
            metavar="N",
            help="more calls in one attempt (%(default)s)",
        )
        parser.add_argument(
            "--backoff",
            **seconds,
            default=DEFAULT.call.backoff,
            help="before the next call, times its number (%(default)s)",
        )
        parser.add_argument("--url", default="", help="in place of IAT_AGENT_API_URL")
        parser.add_argument("--token-file", type=Path, metavar="FILE", help="in place of IAT_AGENT_API_TOKEN")

    def handle(self, *, once: bool, poll: float, worker_id: str, **options: Any) -> None:
        rules = _rules(options)
        worker = (worker_id or new_worker_id()).strip()
        if not worker or len(worker) > LONGEST_NAME:
            raise CommandError(f"--worker-id must not be blank, nor longer than {LONGEST_NAME} characters")
        _at_least("--poll", poll, 0.1)
        prepare()
        asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked.set())
        while not asked.is_set():
            try:
                worked = work_once(worker, rules=rules, pause=asked.wait)
            except OperationalError as error:
                if once:
                    raise CommandError(f"The database can't be used: {error}") from error
                logger.warning("The database can't be used, it is tried again: %s", error)
                worked = False
            finally:
                connections.close_all()
            if once:
                self.say("One instruction was carried out." if worked else "No instruction is due.")
                return
            if not worked:
                asked.wait(poll)


def _rules(options: dict[str, Any]) -> Rules:
    """The rules that the options state. Raises `CommandError`."""
    for option, least in (
        ("max_locked", 1), ("max_attempts", 1), ("retry_backoff", 0), ("timeout", 0.1), ("retries", 0),
        ("backoff", 0),
    ):  # fmt: skip
        _at_least(f"--{option.replace('_', '-')}", options[option], least)
    call = Limits(timeout=options["timeout"], retries=options["retries"], backoff=options["backoff"])
    if call.longest >= options["max_locked"]:
        raise CommandError(
            f"One attempt may take {call.longest:g} s, but after --max-locked {options['max_locked']:g} s "
            "its worker counts as dead: raise --max-locked, or lower --timeout, --retries or --backoff"
        )
    if options["url"] and not is_web_address(options["url"]):
        raise CommandError("--url must be an address such as https://agent.example, without credentials")
    token = ""
    if options["token_file"]:
        try:
            token = options["token_file"].read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--token-file {options['token_file']} can't be read") from error
    return Rules(
        max_locked=options["max_locked"],
        max_attempts=options["max_attempts"],
        retry_backoff=options["retry_backoff"],
        call=call,
        url=options["url"],
        token=token,
    )


def _at_least(option: str, value: float, least: float) -> None:
    if not least <= value < 10**6:
        raise CommandError(f"{option} must be at least {least:g} and below 1000000; not {value:g}")
