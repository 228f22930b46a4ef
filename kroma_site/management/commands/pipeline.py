from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from kroma_site.headless import RunCommand, split_paths, summary, summary_fields
from kroma_site.prepare import prepare, worker_count
from kroma_site.universes import existing_project, project_named
from pipeline.engine.names import STAGES, TIMES, WEATHERS
from pipeline.services.configuration import Named, Places, load, validate
from pipeline.services.planning import PreparedRun, RunOrder, check_order, prepare_run
from pipeline.services.references import as_inputs, copy_found, find_inputs
from pipeline.services.runs import record_dry_run, start_run
from projects.access import OPERATOR
from projects.errors import SpendNotConfirmed
from projects.models import Project, ProjectStorage, StyleGuide
from projects.names import slugified
from projects.services.people import first_owner
from projects.services.projects import create_project


class Command(RunCommand):
    help = "Plan a series of images (dry), make it (run), or look at the settings (validate)."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="mode", required=True, metavar="ACTION")
        for mode, says in (("dry", "plan a run and write its log"), ("run", "make the images")):
            _add_run_options(actions.add_parser(mode, help=says))
        _add_validate_options(actions.add_parser("validate", help="look for what is wrong in the settings"))

    def handle(self, *, mode: str, **options: Any) -> None:
        if mode == "validate":
            self._validate(**options)
        else:
            self._plan(mode=mode, **options)

    def _validate(self, *, project: str, project_root: str, app_root: str, **options: Any) -> None:
        if project and (project_root or app_root):
            raise CommandError("--project knows its own places: leave --project-root and --app-root out")
        named = Named(
            app_settings=options["app_settings"],
            project_settings=options["project_settings"],
            manifest=options["manifest"],
            postprocess_config=options["postprocess_config"],
            by_operator=True,
        )
        found = project_named(project) if project else None
        places = Places.of(found) if found else _places(project_root, app_root)
        report = validate(places, named=named, project=found)
        if options["json"] or not report.errors:
            self.print_json(report.summary())
        report.refuse()

    def _plan(self, *, mode: str, confirm_spend: bool, **options: Any) -> None:
        if mode == "run" and not confirm_spend:
            raise SpendNotConfirmed(
                "A run that makes images needs --confirm-spend; `pipeline dry` shows what it would make"
            )
        if not 0 <= options["seed"] < 2**63:
            raise CommandError("--seed must be a whole number from 0 to 2^63 - 1")
        scenes, styles = split_paths(options["input"]), split_paths(options["style_refs"])
        # All is looked at before anything is changed.
        found_scenes, found_styles = find_inputs(scenes), find_inputs(styles)
        prepare()
        project = existing_project(options["project"])
        order = RunOrder(
            mode=mode,
            scenes=tuple(as_inputs(found_scenes, place="scenes")),
            style_refs=tuple(as_inputs(found_styles, place="styles")),
            stage=options["stage"],
            time=options["time"],
            weather=options["weather"],
            candidates=options["candidates"],
            seed=options["seed"],
            style_guide=_style_guide(project, options["style_guide"]),
            batch_limit=options["batch_limit"],
        )
        configuration = load(project or _project_to_be(options["project"]))
        check_order(project or _project_to_be(options["project"]), order, configuration=configuration)
        project = project or self._new_project(options["project"])
        copy_found(project, found_scenes, place="scenes")
        copy_found(project, found_styles, place="styles")
        plan = prepare_run(project, order, configuration=configuration)
        for warning in plan.warnings:
            self.say(f"Note: {warning}")
        if mode == "dry":
            self._dry(plan, as_json=options["json"])
        else:
            self._run(plan, n_workers=options["workers"], as_json=options["json"])

    def _dry(self, plan: PreparedRun, *, as_json: bool) -> None:
        run = record_dry_run(plan, by=OPERATOR)
        if as_json:
            self.print_json({"ok": True, "run_id": str(run.pk), **described(plan), **summary_fields(run)})
            return
        self.stdout.write(f"{len(plan.plan.jobs)} jobs, {plan.n_images} images, {price(plan)}")
        for prompt in dict.fromkeys(job.prompt for job in plan.plan.jobs):
            self.stdout.write(f"Prompt: {prompt}")
        for job in plan.plan.jobs:
            self.stdout.write(f"{job.position}. {job.id}")
            self.stdout.write("   from " + ", ".join(job.input_images))
            self.stdout.write("   makes " + ", ".join(candidate.names.final for candidate in job.candidates))
        for line in summary(run):
            self.stdout.write(line)

    def _run(self, plan: PreparedRun, *, n_workers: int, as_json: bool) -> None:
        run = start_run(plan, by=OPERATOR, confirm_spend=True)
        self.say(f"{plan.n_images} images, {price(plan)}. Run {run.pk}")
        self.finish(run, n_workers=n_workers, as_json=as_json)

    def _new_project(self, name: str) -> Project:
        project = create_project(name=name, owner=first_owner(), by=OPERATOR)
        self.say(f"Made the universe {project.slug}, which belongs to local.")
        return project


def _add_run_options(parser: ArgumentParser) -> None:
    for option in ("--traceback", "--no-color", "--force-color"):  # Django's, which may stand here too
        parser.add_argument(option, action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("--project", required=True, metavar="SLUG", help="made if it does not exist")
    parser.add_argument(
        "--input", required=True, action="append", metavar="PATH", help="scene images or folders of them"
    )
    parser.add_argument("--style-refs", action="append", default=[], metavar="A,B")
    parser.add_argument("--stage", default="style", choices=STAGES)
    parser.add_argument("--time", choices=TIMES)
    parser.add_argument("--weather", choices=WEATHERS)
    parser.add_argument("--candidates", type=int, metavar="N", help="per scene")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--style-guide", default="", metavar="NAME")
    parser.add_argument("--batch-limit", type=int, metavar="N", help="most scenes of one run")
    parser.add_argument("--workers", type=worker_count, default=settings.WORKERS, metavar="N")
    parser.add_argument("--confirm-spend", action="store_true", help="run only: it may make images")
    parser.add_argument("--json", action="store_true", help="one object on standard output")


def _add_validate_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--project", default="", metavar="SLUG", help="the one option that needs the database"
    )
    parser.add_argument("--project-root", default="", metavar="PATH")
    parser.add_argument(
        "--app-root", default="", metavar="PATH", help="that of this installation if left out"
    )
    parser.add_argument("--app-settings", default="", metavar="FILE", help="from the app root")
    parser.add_argument("--project-settings", default="", metavar="FILE", help="from the project root")
    parser.add_argument("--manifest", default="", metavar="FILE", help="from the app root")
    parser.add_argument("--postprocess-config", default="", metavar="FILE", help="from the app root")
    parser.add_argument("--json", action="store_true", help="print the object also when something is wrong")


def _places(project_root: str, app_root: str) -> Places:
    return Places.at(
        Path(app_root or settings.APP_ROOT).absolute(),
        Path(project_root).absolute() if project_root else None,
    )


def _project_to_be(name: str) -> Project:
    """What `_new_project()` will make, as far as its places go."""
    project = Project(slug=slugified(name))
    ProjectStorage(project=project)
    return project


def described(plan: PreparedRun) -> dict[str, object]:
    """A plan as plain values."""
    return {
        "price_usd": None if plan.price_usd is None else str(plan.price_usd),
        "plan_hash": plan.plan_hash,
        "n_images": plan.n_images,
        "warnings": list(plan.warnings),
        "plan": [
            {
                "job": job.id,
                "scene": plan.images[job.input_images[0]].label,
                "prompt": job.prompt,
                "inputs": list(job.input_images),
                "outputs": [candidate.names.final for candidate in job.candidates],
                "seeds": [str(candidate.seed) for candidate in job.candidates],
            }
            for job in plan.plan.jobs
        ],
    }


def price(plan: PreparedRun) -> str:
    """What a plan costs, in words."""
    if plan.price_usd is None:
        return "price unknown"
    return f"{plan.price_usd} USD" if plan.price_usd else "free, runs here"


def _style_guide(project: Project | None, name: str) -> StyleGuide | None:
    if not name:
        return None
    guide = StyleGuide.objects.filter(project=project, name=name).first() if project else None
    if guide is None:
        raise CommandError(f"The universe has no style guide named “{name}”: write it in its library first")
    return guide
