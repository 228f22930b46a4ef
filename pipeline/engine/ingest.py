"""From a parsed run log to what its rows will be: the rules of an import, without rows or files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipeline.engine.logdocument import decimal, integer, moment, number, path, section, text
from pipeline.engine.planning import CANDIDATE_CEILING
from pipeline.engine.ranking import CandidateResult, Rank, explain
from pipeline.engine.signals import signs_told

Document = Mapping[str, Any]

CANDIDATE_OUTPUT = "candidate_output"
CANDIDATE_FINAL = "candidate_final_output"
JOB_FINAL = "job_final_output"
ARCHIVED_BAD = "archived_bad"
# The blocks of the steps in their order, and the kind of the file that each made.
STEPS = {"bg_remove": "bg_remove_output", "upscale": "upscale_output", "color": "color_output"}

_LARGEST_SEED = 2**64 - 1
_LARGEST_SUM = Decimal(10) ** 12  # of the columns for money and units
_MICRO = Decimal("0.000001")
_DEFAULT_LIMIT = 2.0  # levels; the guard's, where a log names none


@dataclass(frozen=True, slots=True)
class InputEntry:
    """One image that went into a job; '' for a hash that the log does not know."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CandidateEntry:
    """One candidate as the log has it; a synthetic one stands for a job that lists none.

    `steps` are the files of the chain after `output` in their order, as (kind, path).
    """

    index: int
    status: str
    output: str | None
    final_output: str | None
    rank: Rank
    rank_reason: str
    seed: str
    sha256: str
    original_sha256: str
    steps: tuple[tuple[str, str], ...]
    error: Document
    metadata: Document
    is_synthetic: bool
    is_planned: bool

    @property
    def final_upsert(self) -> str | None:
        """The path of the final file if it is another one than the output."""
        return self.final_output if self.final_output != self.output else None

    def report_summary(self) -> dict[str, object]:
        """What the candidate's quality report says beside its numbers."""
        summary: dict[str, object] = {
            "status": self.status,
            "rank": self.rank.as_dict(),
            "output_path": self.output,
            "final_output_path": self.final_output,
        }
        for name in ("output_guard", "qa"):
            if isinstance(self.metadata.get(name), dict):
                summary[name] = self.metadata[name]
        return summary | {"planned": True} if self.is_planned else summary


@dataclass(frozen=True, slots=True)
class JobEntry:
    """One job; `position` is its 1-based place in the log's list, in which others may be no jobs."""

    position: int
    key: str
    status: str
    prompt: str
    inputs: tuple[InputEntry, ...]
    selected_candidate: int | None
    final_output: str | None
    failure_reason: str
    metadata: Document
    candidates: tuple[CandidateEntry, ...]


@dataclass(frozen=True, slots=True)
class CostEntry:
    """One sum of money; `job_key` is '' where the log names no job."""

    provider_code: str
    event_type: str
    model: str
    units: Decimal
    unit_cost: Decimal
    total: Decimal
    currency: str
    job_key: str
    metadata: Document


@dataclass(frozen=True, slots=True)
class LogRecords:
    """All that a log says. `settings` is the run's snapshot, `notes` sentences about what was odd."""

    project: str
    run_id: str
    mode: str
    stage: str
    time: str
    weather: str
    model: str
    size: str
    quality: str
    provider_code: str
    seed: int
    plan_hash: str
    status: str
    started_at: datetime | None
    n_candidates: int
    settings: Document
    run_report: Document | None
    jobs: tuple[JobEntry, ...]
    costs: tuple[CostEntry, ...]
    notes: tuple[str, ...]

    def candidates(self) -> Iterator[CandidateEntry]:
        """Those of all jobs, in the order of the log."""
        for job in self.jobs:
            yield from job.candidates

    def paths(self) -> Iterator[str]:
        """Every path that becomes an asset, also repeatedly."""
        for job in self.jobs:
            for candidate in job.candidates:
                yield from (path for path in (candidate.output, candidate.final_output) if path)
                yield from (path for _, path in candidate.steps)
            if job.final_output:
                yield job.final_output

    def inputs(self) -> set[InputEntry]:
        """The images that went into the run, each once."""
        return {image for job in self.jobs for image in job.inputs}

    @property
    def n_asset_upserts(self) -> int:
        """How many times the contract writes an asset: outputs, other finals, finals of jobs."""
        of_candidates = sum(bool(c.output) + bool(c.final_upsert) for c in self.candidates())
        return of_candidates + sum(bool(job.final_output) for job in self.jobs)


def records_of(log: Document) -> LogRecords:
    """Read a parsed log by the rules; whatever is missing or of another type counts as absent."""
    notes: list[str] = []
    listed = log.get("jobs")
    limit = guard_limit(log)
    jobs = tuple(
        _job(job, position, limit)
        for position, job in enumerate(listed if isinstance(listed, list) else (), start=1)
        if isinstance(job, dict)
    )
    model = text(log.get("model"))
    costs = _costs(log, model, notes)
    generation = section(log.get("generation"))
    most = max((len(job.candidates) for job in jobs), default=1)
    guard = log.get("output_guard")
    return LogRecords(
        project=text(log.get("project")),
        run_id=text(log.get("run_id")),
        mode=_mode(log, jobs, notes),
        stage=text(log.get("stage")),
        time=text(log.get("time")),
        weather=text(log.get("weather")),
        model=model,
        size=text(log.get("size")),
        quality=text(log.get("quality")),
        provider_code=_provider(log, costs, model),
        seed=integer(log.get("seed"), most=2**63 - 1) or 0,
        plan_hash=text(log.get("plan_hash")),
        status=run_status(log),
        started_at=moment(log.get("started_at")) or moment(log.get("timestamp")),
        n_candidates=integer(generation.get("candidates"), least=1) or most,
        settings={
            **{key: log.get(key) for key in ("timestamp", "generation", "postprocess", "output_guard")},
            "storage": section(log.get("storage")),
            "provider": section(log.get("provider")),
            "warnings": [line for line in _listed(log.get("warnings")) if isinstance(line, str)],
        },
        run_report={"scope": "run", "output_guard": guard} if isinstance(guard, dict) else None,
        jobs=jobs,
        costs=costs,
        notes=tuple(notes),
    )


def run_status(log: Document) -> str:
    """The status of a run from the statuses of its jobs in the log: ok, failed, partial or unknown."""
    jobs = log.get("jobs")
    if not isinstance(jobs, list):
        return "unknown"
    return status_of(text(job.get("status")) for job in jobs if isinstance(job, dict))


def status_of(job_statuses: Iterable[str]) -> str:
    """The status of a run from those of its jobs, however they are written: ok, failed or partial."""
    statuses = {status.lower() for status in job_statuses}
    if any(status.startswith("failed") for status in statuses):
        return "failed"
    return "ok" if statuses and statuses <= {"done", "planned"} else "partial"


def _job(job: Document, position: int, limit: float) -> JobEntry:
    status = text(job.get("status"))
    selected = integer(job.get("selected_candidate"), least=1)
    listed = _listed(job.get("candidates"))
    if listed:
        candidates = [
            _candidate(candidate, place)
            for place, candidate in enumerate(listed, start=1)
            if isinstance(candidate, dict)
        ]
    else:
        candidates = [_synthetic(job, status)]
    hashes = _listed(job.get("input_sha256"))
    return JobEntry(
        position=position,
        key=text(job.get("id")) or f"job_{position}",
        status=status,
        prompt=_prompt(job),
        inputs=tuple(
            InputEntry(found, text(hashes[place]) if place < len(hashes) else "")
            for place, value in enumerate(_listed(job.get("input_images")))
            if (found := path(value))
        ),
        selected_candidate=selected,
        final_output=path(job.get("final_output")),
        failure_reason=text(job.get("failure_reason")),
        metadata=job,
        candidates=explained(candidates, selected, limit),
    )


def _candidate(candidate: Document, place: int) -> CandidateEntry:
    status, output = text(candidate.get("status")), path(candidate.get("output"))
    rank = section(candidate.get("rank"))
    seed = integer(candidate.get("seed"), most=_LARGEST_SEED)
    return CandidateEntry(
        index=integer(candidate.get("candidate_index"), least=1) or place,
        status=status,
        output=output,
        final_output=path(candidate.get("final_output")),
        rank=Rank(
            integer(rank.get("hard_failures")) or 0,
            integer(rank.get("soft_warnings")) or 0,
            number(rank.get("avg_chroma_exceed", 0.0)),
        ),
        rank_reason="",
        seed="" if seed is None else str(seed),
        sha256=text(candidate.get("sha256")),
        original_sha256=text(candidate.get("original_sha256")),
        steps=_steps(candidate, output),
        error=_error(candidate),
        metadata=candidate,
        is_synthetic=False,
        is_planned=status.lower() == "planned",
    )


def _synthetic(job: Document, status: str) -> CandidateEntry:
    """What stands for the candidates of a job that lists none."""
    return CandidateEntry(
        index=1,
        status=status,
        output=path(job.get("output")),
        final_output=path(job.get("final_output")),
        rank=Rank.ZERO,
        rank_reason="",
        seed="",
        sha256="",
        original_sha256="",
        steps=(),
        error={},
        metadata={},
        is_synthetic=True,
        is_planned=status.lower() == "planned",
    )


def _steps(candidate: Document, output: str | None) -> tuple[tuple[str, str], ...]:
    """The files after the generated one; that of a rejected candidate is where it was moved to."""
    found: list[tuple[str, str]] = []
    last = output
    for step, kind in STEPS.items():
        made = path(section(candidate.get(step)).get("output"))
        if made and made != last:
            found.append((kind, made))
            last = made
    archived = path(section(candidate.get("output_guard")).get("bad_archive"))
    if archived:
        found[-1:] = [(ARCHIVED_BAD, archived)]
    return tuple(found)


def _error(candidate: Document) -> Document:
    """What went wrong, as a row keeps it: the block of a failed step, or the reasons of the guard."""
    error = candidate.get("error")
    if isinstance(error, dict):
        return error
    reasons = [
        reason
        for file in _listed(section(candidate.get("output_guard")).get("files"))
        for reason in _listed(section(file).get("hard_fail_reasons"))
        if isinstance(reason, str)
    ]
    return {"reasons": reasons} if reasons else {}


def explained(
    candidates: Sequence[CandidateEntry], selected: int | None, limit: float
) -> tuple[CandidateEntry, ...]:
    """The candidates, each with the sentence that says why it ranks where it ranks."""
    results = [CandidateResult(c.index, c.status, c.rank, c.final_output) for c in candidates]
    winner = next((result for result in results if result.index == selected), None)
    explained = len(candidates) <= CANDIDATE_CEILING  # each is compared with all others
    return tuple(
        # Not dataclasses.replace(), which takes longer than all the rest of an entry.
        CandidateEntry(
            candidate.index,
            candidate.status,
            candidate.output,
            candidate.final_output,
            candidate.rank,
            explain(
                result,
                winner,
                threshold=limit,
                rivals=results,
                reasons=_listed(candidate.error.get("reasons")),
                error=text(candidate.error.get("message")),
                signs=signs_told(section(candidate.metadata.get("output_guard"))),
            )
            if explained and not candidate.is_planned
            else "",
            candidate.seed,
            candidate.sha256,
            candidate.original_sha256,
            candidate.steps,
            candidate.error,
            candidate.metadata,
            candidate.is_synthetic,
            candidate.is_planned,
        )
        for candidate, result in zip(candidates, results, strict=True)
    )


def _costs(log: Document, model: str, notes: list[str]) -> tuple[CostEntry, ...]:
    """The money of a run; the total of `generation` counts only where no single calls are listed."""
    events = log.get("cost_events")
    found = [
        _cost(event, notes, provider="unknown", event_type="legacy_event", model=model)
        for event in _listed(events)
        if isinstance(event, dict)
    ]
    generation = section(log.get("generation"))
    if not isinstance(events, list) and _has_sum(generation):
        units = next((generation[key] for key in ("units", "images", "count") if key in generation), 0)
        entry = {**generation, "units": units}
        found.append(_cost(entry, notes, provider="openai", event_type="image_generation", model=model))
    if not found and _has_sum(log):
        entry = {key: log[key] for key in ("cost_usd", "amount_cents", "currency") if key in log}
        entry["units"] = 1
        found.append(_cost(entry, notes, provider="unknown", event_type="run_total", model=model))
    return tuple(found)


def _cost(event: Document, notes: list[str], *, provider: str, event_type: str, model: str) -> CostEntry:
    kind = _first_text(event, "operation_code", "operation", "event_type") or event_type
    total = decimal(event.get("cost_usd"))
    if total is None and (cents := decimal(event.get("amount_cents"))) is not None:
        total = cents / 100
    total = _sum(total, f"the sum of {kind}", notes)
    units = decimal(event.get("units"))
    units = _sum(decimal(event.get("quantity")) if units is None else units, f"the units of {kind}", notes)
    unit_cost = total / units if units else Decimal(0)
    return CostEntry(
        provider_code=_first_text(event, "provider_code", "provider") or provider,
        event_type=kind,
        model=_first_text(event, "model_name", "model") or model,
        units=units,
        unit_cost=min(unit_cost, _LARGEST_SUM - 1).quantize(_MICRO),
        total=total,
        currency=text(event.get("currency")) or "USD",
        job_key=text(event.get("job_id")),
        metadata=event,
    )


def _sum(value: Decimal | None, what: str, notes: list[str]) -> Decimal:
    if value is None:
        return Decimal(0)
    if not 0 <= value < _LARGEST_SUM - 1:
        notes.append(f"{what[0].upper()}{what[1:]} is {value:.6g}, which can't be booked: 0 stands for it")
        return Decimal(0)
    return value.quantize(_MICRO)


def _has_sum(values: Document) -> bool:
    return any(decimal(values.get(key)) is not None for key in ("cost_usd", "amount_cents"))


def _mode(log: Document, jobs: tuple[JobEntry, ...], notes: list[str]) -> str:
    mode = text(log.get("mode")).lower()
    if mode in ("dry", "run"):
        return mode
    guessed = "dry" if all(job.status.lower() == "planned" for job in jobs) else "run"
    notes.append(f"The log's mode is neither dry nor run: by its jobs it is taken for {guessed}")
    return guessed


def _provider(log: Document, costs: tuple[CostEntry, ...], model: str) -> str:
    """Who made the images: named since a while; before, an image that names its model came from OpenAI."""
    named = _first_text(log, "provider_code", "provider")
    if named:
        return named
    billed = next((cost.provider_code for cost in costs if cost.provider_code != "unknown"), "")
    return billed or ("openai" if model else "")


def _prompt(job: Document) -> str:
    prompt = job.get("prompt")
    return prompt if isinstance(prompt, str) else text(job.get("prompt_text"))


def guard_limit(settings: Document) -> float:
    """The guard's limit in levels, from a log or a run's snapshot; the usual one where neither names it."""
    limit = decimal(section(settings.get("output_guard")).get("max_chroma_delta"))
    return float(limit) if limit is not None and 0 <= limit <= 255 else _DEFAULT_LIMIT


def _first_text(values: Document, *keys: str) -> str:
    return next((found for key in keys if (found := text(values.get(key)))), "")


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
