import sys
from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction, _ArgumentGroup
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser
from tqdm import tqdm

from kroma_site.headless import RunCommand, split_paths, summary_fields
from kroma_site.prepare import prepare, worker_count
from kroma_site.universes import existing_project, project_named
from kroma_site.validation import add_file_options, add_place_options, named_by, places_at
from pipeline.engine.errors import PlanningError
from pipeline.engine.jobs import ReadyJob, read_jobs
from pipeline.engine.names import STAGES, TIMES, WEATHERS
from pipeline.engine.settings import UPSCALE_BACKENDS, SettingsLayer
from pipeline.engine.trigger import LARGEST_SEED, PROVIDER_OPTIONS, TriggerRequest
from pipeline.models import Run
from pipeline.services.budgets import price_in_words
from pipeline.services.configuration import Places, validate
from pipeline.services.planning import PreparedRun
from pipeline.services.references import find_inputs
from pipeline.services.replay import prepare_replay, repeat
from pipeline.services.sources import Brought
from pipeline.services.trigger import Supplied, carry_out, plan_resolved, resolve, summary
from projects.access import OPERATOR
from projects.errors import SpendNotConfirmed
from projects.models import Project, ProjectStorage, StyleGuide
from projects.names import slugified
from projects.services.people import first_owner
from projects.services.projects import create_project


class Command(RunCommand):
    help = (
        "Plan a series of images (dry), make it (run), make it again (replay), look at settings (validate)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="mode", required=True, metavar="ACTION")
        for mode, says in (("dry", "plan a run and write its log"), ("run", "make the images")):
            _add_run_options(actions.add_parser(mode, help=says))
        _add_replay_options(actions.add_parser("replay", help="make a run again from its log and compare"))
        _add_validate_options(actions.add_parser("validate", help="look for what is wrong in the settings"))

    def handle(self, *, mode: str, **options: Any) -> None:
        if mode == "validate":
            self._validate(**options)
        elif mode == "replay":
            self._replay(**options)
        else:
            self._plan(mode=mode, **options)

    def _validate(self, *, project: str, project_root: str, app_root: str, **options: Any) -> None:
        if project and (project_root or app_root):
            raise CommandError("--project knows its own places: leave --project-root and --app-root out")
        found = project_named(project) if project else None
        places = Places.of(found) if found else places_at(app_root, project_root)
        report = validate(places, named=named_by(options), project=found)
        if options["json"] or not report.errors:
            self.print_json(report.summary())
        report.refuse()

    def _replay(self, *, run_log: str, json: bool, **options: Any) -> None:
        replay = prepare_replay(Path(run_log).expanduser().absolute())
        with tqdm(
            total=len(replay.images), unit="image", file=sys.stderr, disable=not sys.stderr.isatty()
        ) as bar:
            repeat(replay, on_image=bar.update)
        for note in replay.notes:
            self.say(f"Note: {note}.")
        if json:
            self.print_json(replay.as_dict())
        else:
            for difference in replay.differences:
                self.stdout.write(f"{difference}")
            n_jobs = len(replay.again.plan.jobs) if replay.again.plan else 0
            self.stdout.write(f"{n_jobs} jobs planned again, {replay.n_made} images made again")
        if replay.differences:
            raise CommandError(f"{len(replay.differences)} differences from the log")

    def _plan(self, *, mode: str, confirm_spend: bool, **options: Any) -> None:
        if mode == "run" and not confirm_spend:
            raise SpendNotConfirmed(
                "A run that makes images needs --confirm-spend; `pipeline dry` shows what it would make"
            )
        if not 0 <= options["seed"] <= LARGEST_SEED:
            raise CommandError("--seed must be a whole number from 0 to 2^63 - 1")
        if options["jobs"] and (options["input"] or options["style_refs"]):
            raise CommandError("A jobs file names its own images: leave --input and --style-refs out")
        # All is looked at before anything is changed.
        jobs = _jobs(options["jobs"])
        scenes, styles = _brought("scenes", options["input"]), _brought("styles", options["style_refs"])
        prepare()
        project = existing_project(options["project"])
        request = _request(mode, options, scenes=scenes, styles=styles)
        if options["style_guide"]:
            request = replace(request, style_guide_id=_style_guide_id(project, options["style_guide"]))
        supplied = Supplied(
            images={image.path: image for image in (*scenes.images(), *styles.images())},
            brought=tuple(part for part in (scenes, styles) if part.found),
            jobs=jobs,
            by_operator=True,
        )
        resolved = resolve(project or _project_to_be(options["project"]), request, supplied=supplied)
        project = project or self._new_project(options["project"])
        plan = plan_resolved(project, resolved)
        for warning in plan.warnings:
            self.say(f"Note: {warning}")
        run = carry_out(plan, request, by=OPERATOR)
        if mode == "dry":
            for warning in run.warnings:
                self.say(f"Note: {warning}")
            self._tell_plan(plan, run, as_json=options["json"])
            return
        self.say(f"{plan.n_images} images, {price(plan)}. Run {run.pk}")
        self.finish(run, n_workers=options["workers"], as_json=options["json"])

    def _tell_plan(self, plan: PreparedRun, run: Run, *, as_json: bool) -> None:
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

    def _new_project(self, name: str) -> Project:
        project = create_project(name=name, owner=first_owner(), by=OPERATOR)
        self.say(f"Made the universe {project.slug}, which belongs to local.")
        return project


def _add_run_options(parser: ArgumentParser) -> None:
    # Django's, which may stand here too; its --no-color would hide ours.
    for option in ("--traceback", "--force-color"):
        parser.add_argument(option, action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("--project", required=True, metavar="SLUG", help="made if it does not exist")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="PATH",
        help="scene images or folders of them; the manifest's if left out",
    )
    parser.add_argument("--style-refs", action="append", default=[], metavar="A,B")
    parser.add_argument("--jobs", default="", metavar="FILE", help="ready-made jobs instead, as JSON")
    parser.add_argument("--stage", default="", choices=STAGES)
    parser.add_argument("--time", default="", choices=TIMES)
    parser.add_argument("--weather", default="", choices=WEATHERS)
    parser.add_argument("--candidates", type=int, metavar="N", help="per scene")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--style-guide", default="", metavar="NAME")
    parser.add_argument("--batch-limit", type=int, metavar="N", help="most scenes of one run")
    parser.add_argument("--provider", default="", metavar="CODE")
    for name in PROVIDER_OPTIONS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, default="", metavar="WORD", help="instead of the account's")
    _add_step_options(parser.add_argument_group("steps after generation, else as the settings say"))
    add_file_options(parser.add_argument_group("files instead of the usual ones"))
    parser.add_argument("--workers", type=worker_count, default=settings.WORKERS, metavar="N")
    parser.add_argument("--confirm-spend", action="store_true", help="run only: it may make images")
    parser.add_argument("--sync-s3", action="store_true", help="run only: then send the files to S3")
    parser.add_argument("--json", action="store_true", help="one object on standard output")


def _add_step_options(group: _ArgumentGroup) -> None:
    for option, says in (
        ("--bg-remove", "cut the image out of its background"),
        ("--refine", "refine the cut-out by one more paid call"),
        ("--refine-required", "an image fails if its refinement does"),
        ("--upscale", "upscale the image"),
        ("--color", "apply a colour profile"),
    ):
        group.add_argument(option, action=BooleanOptionalAction, default=None, help=says)
    group.add_argument("--bg-remove-backends", metavar="A,B", help="tried in this order")
    group.add_argument("--upscale-backend", choices=list(UPSCALE_BACKENDS))
    group.add_argument("--color-profile", metavar="NAME")


def _request(mode: str, options: dict[str, Any], *, scenes: Brought, styles: Brought) -> TriggerRequest:
    return TriggerRequest(
        mode=mode,
        confirm_spend=True,  # for a run it was asked for above, and a dry one has no use for it
        scene_refs=tuple(image.path for image in scenes.images()) or None,
        style_refs=tuple(image.path for image in styles.images()) or None,
        stage=options["stage"],
        time=options["time"],
        weather=options["weather"],
        candidates=options["candidates"],
        postprocess=_asked_steps(options),
        manifest_path=options["manifest"].strip(),
        app_settings_path=options["app_settings"].strip(),
        project_settings_path=options["project_settings"].strip(),
        provider_code=options["provider"].strip(),
        provider_options={name: word for name in PROVIDER_OPTIONS if (word := options[name].strip())},
        seed=options["seed"],
        batch_limit=options["batch_limit"],
        storage_sync_s3=options["sync_s3"],
    )


def _asked_steps(options: dict[str, Any]) -> SettingsLayer:
    """What the options say about the steps after generation."""
    backends = options["bg_remove_backends"]
    named = None if backends is None else tuple(name.strip().lower() for name in backends.split(","))
    return SettingsLayer(
        postprocess_config_path=options["postprocess_config"].strip() or None,
        upscale=options["upscale"],
        upscale_backend=options["upscale_backend"],
        color=options["color"],
        color_profile=options["color_profile"],
        bg_remove=options["bg_remove"],
        bg_remove_backends=named,
        bg_refine_openai=options["refine"],
        bg_refine_openai_required=options["refine_required"],
    )


def _jobs(name: str) -> tuple[ReadyJob, ...]:
    """The jobs of a file of the operator, relative to the working directory."""
    if not name:
        return ()
    try:
        return read_jobs(Path(name).expanduser().read_bytes(), source=name)
    except PlanningError as error:
        raise CommandError(str(error)) from error
    except (OSError, ValueError) as error:
        raise CommandError(f"The jobs file {name} can't be read ({error})") from error


def _brought(place: str, paths: list[str]) -> Brought:
    return Brought(place, tuple(find_inputs(split_paths(paths))))


def _add_validate_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--project", default="", metavar="SLUG", help="the one option that needs the database"
    )
    add_place_options(parser)
    parser.add_argument("--json", action="store_true", help="print the object also when something is wrong")


def _add_replay_options(parser: ArgumentParser) -> None:
    parser.add_argument("run_log", metavar="RUN_LOG", help="of here or from elsewhere")
    parser.add_argument("--json", action="store_true", help="one object on standard output")


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
    return price_in_words(plan.price_usd, runs_here=not plan.provider.get("uses_network"))


def _style_guide_id(project: Project | None, name: str) -> str:
    guide = StyleGuide.objects.filter(project=project, name=name).first() if project else None
    if guide is None:
        raise CommandError(f"The universe has no style guide named “{name}”: write it in its library first")
    return str(guide.pk)
