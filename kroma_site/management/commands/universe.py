from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management import CommandError

from bootstrap import services
from bootstrap.entries import Document
from bootstrap.files import LONGEST_FILE, document_in, file_of
from bootstrap.models import SettingsSnapshot
from bootstrap.parse import FIELD
from bootstrap.presentation import EntryChange, Shown, copied, difference, shown
from bootstrap.rows import load
from bootstrap.snapshots import document_of, state_of
from kroma_site.prepare import OperatorCommand, prepare
from kroma_site.private import write_private
from kroma_site.universes import any_project_named, project_named
from projects.access import OPERATOR, Role
from projects.errors import KromaError
from projects.models import Project, User

MARKS = {"created": "+", "updated": "~", "deleted": "-"}


class Command(OperatorCommand):
    help = "Take the settings of a universe out and in, compare and restore them, begin another with them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        known = parser.add_subparsers(dest="action", required=True)

        def action(name: str, told: str) -> ArgumentParser:
            one = known.add_parser(name, help=told, description=told)
            one.add_argument("universe", metavar="SLUG")
            one.add_argument("--json", action="store_true", help="one object on standard output")
            return one

        one = action("export", "Write the settings, without secret values, as a file that import reads.")
        one.add_argument("--output", metavar="FILE", help="where to; left out: standard output")
        one.add_argument("--force", action="store_true", help="replace the file if it is there")
        one = action("import", "Take a file or an assistant's answer in, all or nothing.")
        one.add_argument("file", metavar="FILE")
        one.add_argument(
            "--mode", choices=["merge", "replace"], help="left out: what the file says, or merge"
        )
        one.add_argument("--dry-run", action="store_true", help="only show what would change")
        one = action("diff", "Show what leads from the settings as they are now to a file or snapshot.")
        one.add_argument("other", metavar="FILE|SNAPSHOT")
        one.add_argument("--mode", choices=["merge", "replace"], help="how a file would be taken in")
        action("history", "List the states that are kept from before each change.")
        one = action("restore", "Bring back the state of a snapshot; a snapshot is kept before.")
        one.add_argument("snapshot", metavar="SNAPSHOT", type=UUID)
        one.add_argument("--dry-run", action="store_true", help="only show what would change")
        one = action("copy", "Begin a new universe with the settings of this one.")
        one.add_argument("name", metavar="NAME", help="of the new universe")
        one.add_argument("--snapshot", metavar="SNAPSHOT", type=UUID, help="as they were then")
        one.add_argument("--owner", default="local", metavar="USER", help="who owns the new one")

    def handle(self, *, action: str, universe: str, **options: Any) -> None:
        prepare()
        project = any_project_named(universe) if action in ("export", "history") else project_named(universe)
        actions: dict[str, Callable[..., None]] = {
            "export": self.export,
            "import": self.take_in,
            "diff": self.compare,
            "history": self.history,
            "restore": self.restore,
            "copy": self.copy,
        }
        try:
            actions[action](project, **options)
        except KromaError as error:
            raise CommandError(_told(error)) from error

    def export(
        self, project: Project, *, output: str | None, force: bool, json: bool, **options: Any
    ) -> None:
        text = file_of(load(project).state)
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            write_private(Path(output), text, replace=force)
        except FileExistsError:
            raise CommandError(f"{output} exists: name another file, or say --force") from None
        except OSError as error:
            raise CommandError(f"{output} can't be written: {error.strerror}") from error
        if json:
            self.print_json({"ok": True, "project_slug": project.slug, "file": output})
        else:
            self.stdout.write(
                f"{output}: the settings of {project.slug}, confidential, without secret values"
            )

    def take_in(
        self, project: Project, *, file: str, mode: str | None, dry_run: bool, json: bool, **options: Any
    ) -> None:
        document = document_in(_read(file), mode)
        for repair in document.repairs:
            self.stderr.write(f"Mended: {repair}")
        if dry_run:
            outcome = services.preview(project, document, role=Role.OWNER)
        else:
            outcome = services.apply(project, document, by=OPERATOR, role=Role.OWNER)
        self._show(project, outcome, json=json, dry_run=dry_run)

    def compare(self, project: Project, *, other: str, mode: str | None, json: bool, **options: Any) -> None:
        snapshot = _snapshot_named(project, other)
        if snapshot is not None:
            plan = difference(load(project).state, state_of(snapshot.content))
        else:
            outcome = services.preview(project, document_in(_read(other), mode), role=Role.OWNER)
            plan = shown(outcome.before, outcome.plan)
        self._print(plan, json=json, project=project)

    def history(self, project: Project, *, json: bool, **options: Any) -> None:
        rows = SettingsSnapshot.objects.filter(project=project).without_content()
        found = [
            {"id": str(one.pk), "created_at": one.created_at.isoformat(), "reason": one.reason,
             "actor": one.actor, "n_entries": one.n_entries, "told": one.told}
            for one in rows
        ]  # fmt: skip
        if json:
            self.print_json({"ok": True, "project_slug": project.slug, "snapshots": found})
            return
        for one in found:
            self.stdout.write(
                f"{one['id']}  before the {one['reason']} of {str(one['created_at'])[:19]} UTC "
                f"by {one['actor']}: {one['told']}"
            )
        if not found:
            self.stdout.write("No snapshot: nothing was imported yet")

    def restore(self, project: Project, *, snapshot: UUID, dry_run: bool, json: bool, **options: Any) -> None:
        found = _snapshot(project, snapshot)
        if dry_run:
            outcome = services.preview_restore(project, found, role=Role.OWNER)
        else:
            outcome = services.restore(project, found, by=OPERATOR, role=Role.OWNER)
        self._show(project, outcome, json=json, dry_run=dry_run)

    def copy(
        self, project: Project, *, name: str, snapshot: UUID | None, owner: str, json: bool, **options: Any
    ) -> None:
        user = User.objects.filter(username=owner, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active account named {owner}")
        content = _snapshot(project, snapshot).content if snapshot else None
        document: Document = document_of(state_of(content) if content else load(project).state)
        made, outcome = services.copy_settings(document, name=name, owner=user, by=OPERATOR)
        if json:
            self.print_json({"ok": True, "project_slug": made.slug, "lost": list(outcome.lost)})
        else:
            self.stdout.write(f"{made.slug}: {copied(outcome)}")

    def _show(self, project: Project, outcome: services.Outcome, *, json: bool, dry_run: bool) -> None:
        for place in outcome.lost:
            self.stderr.write(f"Lost: the credential at {place}; set it as a secret")
        snapshot = str(outcome.snapshot.pk) if outcome.snapshot else ""
        self._print(
            shown(outcome.before, outcome.plan),
            json=json,
            project=project,
            dry_run=dry_run,
            snapshot=snapshot,
        )
        if snapshot and not json:
            self.stdout.write(f"To undo: universe restore {project.slug} {snapshot}")

    def _print(self, plan: Shown, *, json: bool, project: Project, **more: object) -> None:
        listed = [(one.section, change) for one in plan.sections for change in one.changes]
        if json:
            changes = [_as_json(section, change) for section, change in listed]
            self.print_json({"ok": True, "project_slug": project.slug, **more, "changes": changes})
            return
        for section, change in listed:
            self.stdout.write(f"{MARKS[change.kind]} {section}: {change.name}")
            if change.kind == "updated":
                for one in change.fields:
                    self.stdout.write(f"    {one.label}: {one.text('new')!r} -> {one.text('old')!r}")
        self.stdout.write(plan.done or "No difference")


def _as_json(section: str, change: EntryChange) -> dict[str, object]:
    fields = [{"label": one.label, "old": one.text("new"), "new": one.text("old")} for one in change.fields]
    return {"section": section, "kind": change.kind, "name": change.name, "fields": fields}


def _read(name: str) -> bytes:
    """Raises `CommandError`."""
    path = Path(name)
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise CommandError(f"{name} has {path.stat().st_size} bytes: use at most {LONGEST_FILE}")
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}") from error


def _snapshot_named(project: Project, text: str) -> SettingsSnapshot | None:
    """The snapshot of this id; None for a text that is no id. Raises `CommandError`."""
    try:
        pk = UUID(text)
    except ValueError:
        return None
    return _snapshot(project, pk)


def _snapshot(project: Project, pk: UUID) -> SettingsSnapshot:
    found = SettingsSnapshot.objects.filter(project=project, pk=pk).first()
    if found is None:
        raise CommandError(
            f"{project.slug} has no snapshot {pk}: `universe history {project.slug}` lists them"
        )
    return found


def _told(error: KromaError) -> str:
    details = error.extra.get("details")
    if not isinstance(details, list):
        return str(error)
    lines = [
        f"  {one['problem']}" if one["path"] in ("", FIELD) else f"  {one['path']}: {one['problem']}"
        for one in details
    ]
    return "\n".join(["Nothing is changed: this can't be imported yet", *lines])
