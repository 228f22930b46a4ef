"""The run log, written from the rows."""

from django.utils import timezone

from pipeline.engine import names, runlog
from pipeline.engine.manifest import GuardSettings
from pipeline.engine.names import candidate_names
from pipeline.engine.planning import PlannedCandidate, PlannedJob, RunPlan, RunRequest
from pipeline.engine.ranking import JobOutcome, Rank
from pipeline.models import Candidate, Run, RunJob
from pipeline.services.planning import display_name, display_path
from pipeline.services.stepblocks import StepBlocks
from pipeline.services.toolchain import plan_of, recorded_steps
from pipeline.store import AssetStore, store_for


def write_run_log(run: Run) -> None:
    """Write the log of a run at its reserved name; the same text whoever writes it.

    An earlier log with another text, from before a retry, is copied to the archive first.
    """
    store = store_for(run.project)
    text = render_run_log(run, store).encode()
    if store.exists(run.run_log_path):
        earlier = store.read(run.run_log_path)
        if earlier == text:
            return
        wanted = f"{names.ARCHIVE_REPLACED}/{names.replaced_name(run.run_log_path, timezone.now())}"
        store.write(names.numbered(wanted, store.exists), earlier)
    store.write(run.run_log_path, text)


def render_run_log(run: Run, store: AssetStore) -> str:
    """The text of a run's log, from its rows."""
    jobs = list(
        run.jobs.order_by("position").prefetch_related(
            "candidates__attempts",
            "candidates__quality_reports",
            "candidates__output_asset",
            "candidates__final_asset",
            "candidates__assets",
        )
    )
    root = display_path(store.root)
    shown = {image["path"]: f"{root}/{image['path']}" for job in jobs for image in job.inputs}
    inputs = {
        shown[image["path"]]: image["sha256"] for job in jobs for image in job.inputs if image["sha256"]
    }
    plan = _plan(run, jobs, shown)
    header = runlog.LogHeader(
        run_id=str(run.pk),
        started_at=run.created_at,
        project=run.project.slug,
        project_root=display_path(store.root),
        provider_code=run.provider_code,
        plan_hash=run.plan_hash,
        warnings=tuple(run.settings_snapshot["warnings"]),
        provider=run.settings_snapshot["provider"],
        steps=recorded_steps(run.settings_snapshot) if plan.postprocess.has_steps else {},
    )
    if run.run_mode == Run.Mode.DRY:
        return runlog.render(runlog.dry_log(plan, header, inputs=inputs))
    fresh = Run.objects.only("model_name", "image_size", "image_quality").get(pk=run.pk)
    costs = [
        runlog.CostRecord(
            provider_code=event.provider_code,
            operation_code=event.event_type,
            model_name=event.model_name,
            units=int(event.units),
            cost_usd=event.total_cost_usd,
            job_id=event.attempt.candidate.job.job_key,
            candidate_index=event.attempt.candidate.candidate_index,
        )
        for event in run.cost_events.select_related("attempt__candidate__job").order_by("created_at")
        if event.attempt and event.attempt.candidate
    ]
    steps = StepBlocks.of(run, store)
    log = runlog.run_log(
        plan,
        header,
        [_job_record(job, store, steps) for job in jobs],
        inputs=inputs,
        model=fresh.model_name,
        size=fresh.image_size,
        quality=fresh.image_quality,
        cost_events=costs,
    )
    return runlog.render(log)


def _plan(run: Run, jobs: list[RunJob], shown: dict[str, str]) -> RunPlan:
    postprocess = plan_of(run)
    generation = run.settings_snapshot["generation"]
    request = RunRequest(
        mode=run.run_mode,
        scenes=tuple(shown[job.inputs[0]["path"]] for job in jobs),
        style_refs=tuple(shown[image["path"]] for image in jobs[0].inputs[1:]) if jobs else (),
        stage=run.stage,
        time=run.time_of_day,
        weather=run.weather,
        seed=run.seed,
    )
    planned = tuple(
        PlannedJob(
            id=job.job_key,
            position=job.position,
            mode=run.stage,
            time=run.time_of_day,
            weather=run.weather,
            prompt=job.prompt_text,
            input_images=tuple(shown[image["path"]] for image in job.inputs),
            candidates=tuple(
                PlannedCandidate(
                    index=candidate.candidate_index,
                    seed=int(candidate.seed),
                    names=candidate_names(
                        job.job_key,
                        index=candidate.candidate_index,
                        total=run.n_candidates,
                        postprocess=postprocess,
                    ),
                )
                for candidate in job.candidates.all()
            ),
        )
        for job in jobs
    )
    guard = GuardSettings(**run.settings_snapshot["output_guard"])
    return RunPlan(request, planned, run.n_candidates, generation["max_candidates"], postprocess, guard)


def _job_record(job: RunJob, store: AssetStore, steps: StepBlocks) -> runlog.JobRecord:
    candidates = tuple(_candidate_record(candidate, store, steps, job) for candidate in job.candidates.all())
    final = {record.index: record.final_output for record in candidates}
    outcome = JobOutcome(
        status=job.status,
        selected_candidate=job.selected_candidate_index,
        final_output=final.get(job.selected_candidate_index) if job.selected_candidate_index else None,
        failure_reason=job.failure_reason,
    )
    return runlog.JobRecord(job.job_key, outcome, candidates)


def _candidate_record(
    candidate: Candidate, store: AssetStore, steps: StepBlocks, job: RunJob
) -> runlog.CandidateRecord:
    output, final = candidate.output_asset, candidate.final_asset
    report = next((row for row in candidate.quality_reports.all() if row.report_type == "output_guard"), None)
    return runlog.CandidateRecord(
        index=candidate.candidate_index,
        seed=int(candidate.seed),
        status=candidate.status,
        rank=Rank(
            candidate.rank_hard_failures, candidate.rank_soft_warnings, candidate.rank_avg_chroma_exceed
        ),
        output=display_name(store, candidate.output_name) if output else None,
        final_output=display_name(store, final.rel_path) if final else None,
        sha256=final.sha256 if final else None,
        original_sha256=candidate.original_sha256 or None,
        attempts=len(candidate.attempts.all()),
        output_guard=report.summary["output_guard"] if report else None,
        **steps.blocks(candidate, job),
        error=candidate.error if candidate.status == "failed" else None,
    )
