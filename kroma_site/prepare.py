"""Bringing an installation into a state in which it can run: checked, migrated, with its first owner."""

import fcntl
import json
import logging
import os
import sqlite3
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, close_old_connections, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from kroma_site.checks import exposure_faults, place_faults
from kroma_site.keys import create_master_key, make_private
from pipeline.engine.names import stamp
from projects.errors import KromaError
from projects.models import Secret
from projects.services.people import first_owner

MOST_WORKERS = 64
OUR_APPS = ("projects", "bootstrap", "pipeline", "kroma_site")

logger = logging.getLogger(__name__)


class OperatorCommand(BaseCommand):
    """A command for the operator: every fault is one line on standard error and the exit code 1."""

    requires_system_checks: Any = []  # prepare() runs ours and says them in one line each

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # A wrong option is a fault like the others; the parsers of actions take this over.
        self._called_from_command_line = False
        return super().create_parser(prog_name, subcommand, **kwargs)

    has_answered = False

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        except CommandError as error:  # Django reads the options before it looks for faults
            if "--json" in argv:
                self.print_json({"ok": False, "error": str(error)})
            self.stderr.write(str(error))
            sys.exit(error.returncode)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return self._executed(*args, **options)
        except CommandError as error:
            if options.get("json") and not self.has_answered:
                self.print_json({"ok": False, "error": str(error)})
            raise

    def print_json(self, document: Mapping[str, object]) -> None:
        """The one object on standard output that `--json` asks for, also when the command fails."""
        self.has_answered = True
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))

    def say(self, line: str) -> None:
        """One line for people, beside what programs read."""
        self.stderr.write(line, str)
        self.stderr.flush()

    def _executed(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except KromaError as error:
            raise CommandError(str(error)) from error
        except ImproperlyConfigured as error:
            raise CommandError(f"Configuration: {error}") from error
        except DatabaseError as error:
            raise CommandError(database_fault(error)) from error


def worker_count(text: str) -> int:
    """The value of `--workers`."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_WORKERS:
        raise ArgumentTypeError(f"use a number from 1 to {MOST_WORKERS}")
    return int(text)


def prepare(*, bind: str | None = None) -> None:
    """Check the configuration, create the data folder, migrate, make the master key and the first owner.

    Safe to repeat.

    `bind` is the address to be listened at, if any. Raises `CommandError`, one line for each fault; then
    nothing was changed but folders that were missing.
    """
    faults = place_faults() + (exposure_faults(bind) if bind else [])
    if faults:
        raise CommandError(told(faults))
    make_places()
    with _one_at_a_time():
        try:
            _migrate()
        except DatabaseError as error:
            raise CommandError(database_fault(error)) from error
        _have_master_key()
        first_owner()
    close_old_connections()
    _check_queue()


def _check_queue() -> None:
    """Raise `CommandError` if the queue is on a Redis server that does not answer."""
    if not settings.REDIS_URL:
        return
    import redis  # noqa: PLC0415 - of the extra `team`

    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5) as server:
            server.ping()
    except (redis.RedisError, ValueError) as error:
        # The address may hold a password, so the message does not repeat it.
        raise CommandError(
            f"The queue that KROMA_REDIS_URL names does not answer ({type(error).__name__}): start it, or "
            "leave the variable out"
        ) from error


def database_fault(error: DatabaseError) -> str:
    """One line about a database that does not do what it should."""
    place = str(settings.DATABASES["default"]["NAME"])
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "disk is full" in reason:
        return f"The disk that holds {place} is full: free some space there, then start again"
    if "not a database" in reason or "malformed" in reason:
        return f"{place} is damaged or no Kroma database ({reason}): restore it from a backup"
    if "unable to open" in reason or "readonly" in reason:
        return (
            f"{place} can't be opened for writing ({reason}): look at the rights of the file and its folder"
        )
    if "locked" in reason:
        return f"{place} is held by another program ({reason}): end that one, then start again"
    return f"The database {place} does not answer: {reason}"


def told(faults: list[CheckMessage]) -> str:
    """One line for each fault, with what to do."""
    return "\n".join(f"{fault.msg}. {fault.hint or ''}".strip() for fault in faults)


def make_places() -> None:
    """Create the folders for the state, for this user only. Raises `CommandError`."""
    folders = [settings.DATA_DIR, settings.BACKEND_DIR]
    if not settings.DATABASE_URL:
        folders.append(settings.DATABASE_FILE.parent)
    for folder in folders:
        try:
            make_private(Path(folder))
        except OSError as error:
            raise CommandError(
                f"{folder} can't be created ({error.strerror}): name another place in KROMA_DATA_DIR"
            ) from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let the commands that start at the same moment prepare one after the other."""
    with (settings.BACKEND_DIR / "prepare.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _migrate() -> None:
    if not settings.DATABASE_URL and not settings.DATABASE_FILE.exists():
        settings.DATABASE_FILE.touch(mode=0o600)  # SQLite gives its side files the same mode
    loader = MigrationLoader(connection)
    _refuse_newer(loader)
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return
    if loader.applied_migrations and not settings.DATABASE_URL:
        _back_up()
    call_command("migrate", verbosity=0, interactive=False)


def _have_master_key() -> None:
    """Make the key file on the first start. One that is gone is never replaced while values need it."""
    file = settings.MASTER_KEY_FILE
    if settings.MASTER_KEY or file.exists():
        return
    n_encrypted = Secret.objects.exclude(value_encrypted="").count()
    if n_encrypted:
        raise CommandError(
            f"The master key {file} is missing, and {n_encrypted} stored secrets need it: restore it from a "
            "backup or name it in IAT_MASTER_KEY_FILE. If it is lost for good, delete them first (`manage.py "
            "secret list` and `secret delete` work without it)"
        )
    try:
        create_master_key(file)
    except OSError as error:
        raise CommandError(
            f"{file} can't be created ({error.strerror}): name another place in IAT_MASTER_KEY_FILE"
        ) from error


def _refuse_newer(loader: MigrationLoader) -> None:
    known = set(loader.disk_migrations or {})
    for migration in (loader.disk_migrations or {}).values():
        known.update(migration.replaces)
    newer = sorted(
        f"{app}.{name}"
        for app, name in loader.applied_migrations or {}
        if app in OUR_APPS and (app, name) not in known
    )
    if newer:
        raise CommandError(
            f"{connection.settings_dict['NAME']} was written by a newer version of Kroma (it has "
            f"{', '.join(newer)}): install that version again, or restore the backup made before it. "
            "Nothing was changed"
        )


def _back_up() -> None:
    """Copy the database as it is before a migration touches it."""
    file = settings.DATABASE_FILE
    copy = file.with_name(f"{file.name}.before-{stamp(datetime.now(UTC))}")
    previous = os.umask(0o077)
    try:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(copy)])
    except (DatabaseError, sqlite3.Error):
        copy.unlink(missing_ok=True)
        raise
    finally:
        os.umask(previous)
    logger.info("The database is brought up to date; as it was before it lies in %s", copy)
