"""Calls of paid tools: each an attempt, its answer kept under its hash and used again for the same input."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from pipeline.models import Attempt, Candidate, CostEvent
from pipeline.providers.base import ProviderError, ProviderRefused
from pipeline.services import leases
from pipeline.store import ORIGINALS, AssetStore
from pipeline.tools.base import PaidTool, ToolAnswer
from projects.access import Principal
from projects.models import Project


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it was sent, and where it is kept; `path` is relative to the project root."""

    data: bytes
    extension: str
    sha256: str
    path: str


def paid_step(
    candidate: Candidate, tool: PaidTool, *, step: str, png: bytes, store: AssetStore, token: UUID
) -> KeptAnswer:
    """The answer of a paid tool for these bytes: kept from an earlier call, or one new call.

    Raises `ProviderError`, `LeaseLost`.
    """
    leases.renew_or_stop(candidate.pk, token)
    calls = Attempt.objects.filter(candidate=candidate, step=step)
    number = (calls.aggregate(last=Max("number"))["last"] or 0) + 1
    return _answer(
        Attempt(project=candidate.run.project, run=candidate.run, candidate=candidate, number=number),
        tool,
        step=step,
        png=png,
        store=store,
    )


def paid_call(
    project: Project, tool: PaidTool, *, step: str, png: bytes, store: AssetStore, by: Principal
) -> KeptAnswer:
    """As `paid_step`, outside a run. Raises `ProviderError`."""
    return _answer(Attempt(project=project), tool, step=step, png=png, store=store)


def _answer(attempt: Attempt, tool: PaidTool, *, step: str, png: bytes, store: AssetStore) -> KeptAnswer:
    sha256 = hashlib.sha256(png).hexdigest()
    kept = Attempt.objects.filter(
        project=attempt.project,
        candidate=attempt.candidate,
        step=step,
        provider_code=tool.code,
        input_sha256=sha256,
        status=Attempt.Status.STORED,
    ).first()
    if kept is not None and store.exists(kept.original_path):
        extension = kept.original_path.rpartition(".")[2]
        return KeptAnswer(store.read(kept.original_path), extension, kept.original_sha256, kept.original_path)
    price = tool.price()
    if price is None:
        raise ProviderRefused(f"No price is known for {tool.code}", code="price_unknown")
    attempt.step, attempt.provider_code, attempt.billed = step, tool.code, True
    attempt.reserved_usd, attempt.input_sha256 = price, sha256
    attempt.save(force_insert=True)
    try:
        answer = tool.call(png, name=f"{sha256}.png")
    except ProviderError as error:
        attempt.status, attempt.finished_at = Attempt.Status.FAILED, timezone.now()
        attempt.error_kind, attempt.error_code, attempt.error_message = error.kind, error.code, error.message
        attempt.save()
        raise
    return _kept(attempt, answer, store)


def _kept(attempt: Attempt, answer: ToolAnswer, store: AssetStore) -> KeptAnswer:
    attempt.original_sha256, attempt.original_path = store.keep(ORIGINALS, answer.data, answer.extension)
    attempt.status, attempt.finished_at = Attempt.Status.STORED, timezone.now()
    attempt.cost_usd, attempt.model_name = answer.cost_usd, answer.model
    attempt.save()
    CostEvent.objects.create(
        project=attempt.project,
        run=attempt.run,
        job=attempt.candidate.job if attempt.candidate else None,
        attempt=attempt,
        provider_code=attempt.provider_code,
        event_type=attempt.step,
        units=1,
        unit_cost_usd=answer.cost_usd,
        total_cost_usd=answer.cost_usd,
    )
    return KeptAnswer(answer.data, answer.extension, attempt.original_sha256, attempt.original_path)
