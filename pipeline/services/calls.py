"""Making a call to a provider or a paid tool: one attempt, its bytes kept, and what follows from an error.

`ProviderUnavailable` is tried again with backoff and jitter, in its own time: no worker sleeps for it.
`OutcomeUnknown` waits for a person. Everything else is final.
"""

import hashlib
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from pipeline.models import AccountHealth, Attempt, Candidate
from pipeline.providers.base import (
    AccountRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.services import attempts, ending, limits, outcomes
from pipeline.services.attempts import Call, Receipt
from pipeline.services.limits import AccountBusy
from pipeline.services.outcomes import CandidateFailed, Deferred
from pipeline.store import ORIGINALS, AssetStore, StorageFailed
from pipeline.tools.base import PaidTool
from projects import audit
from projects.access import Principal
from projects.errors import BudgetExceeded, CallFailed, PriceUnknown, ProviderUnusable
from projects.models import Project

MOST_TRIES = 3  # calls of one step of one candidate (reference, W-02)
BACKOFF = (2.0, 8.0)  # seconds before the second and the third, give or take half
ROOM = 64 * 1024 * 1024  # bytes on the disk before a call that costs money; an image has at most 50 MB
LONGEST_BUSY = 300  # seconds that a paid result waits for a database that is locked or away
LONGEST_WAIT = timedelta(hours=1)  # a provider that asks for more is out of service


class Answer(Protocol):
    """What providers and paid tools answer with."""

    @property
    def data(self) -> bytes:
        """The encoded image."""

    @property
    def extension(self) -> str:
        """Of its format, without the dot."""

    @property
    def model(self) -> str:
        """What made it."""

    @property
    def cost_usd(self) -> Decimal:
        """What it cost."""

    @property
    def request_id(self) -> str:
        """The provider's name for the call."""

    @property
    def usage(self) -> Mapping[str, object]:
        """What the provider counted."""


A = TypeVar("A", bound=Answer)
T = TypeVar("T")


@dataclass(frozen=True)
class KeptAnswer:
    """The bytes of a call as they are kept: `path` is relative to the project root."""

    data: bytes
    extension: str
    sha256: str
    path: str


def make_call(
    candidate: Candidate, call: Call, make: Callable[[], A], *, store: AssetStore, token: UUID
) -> tuple[A, KeptAnswer]:
    """Make one call for a candidate of ours and keep its bytes.

    Raises `Deferred` (it waits: for a place, a later try or a person; or the lease was lost and the result
    is booked), `ProviderError` (refused, or its tries are used up), `CandidateFailed` (budget or disk).
    """
    failed = _failed_before(candidate, call)
    if call.billed:
        _check_room(store, call.step)
    with ending.billed_call(call.billed):
        attempt = _begun(candidate, call, token)
        try:
            answer = make()
            kept = _kept(attempt, answer, store)
        except OutcomeUnknown as error:
            doubt = error
            _booked(lambda: attempts.doubt(attempt, doubt, token=token))
            raise Deferred from error
        except ProviderError as error:
            _note_refusal(candidate.run.project, call, error)
            _close_failed(attempt, error, candidate, token, n_failed=len(failed) + 1)
            raise
        except StorageFailed as error:
            attempts.fail(attempt, ProviderRefused(str(error), code=error.code))
            raise CandidateFailed(call.step, error.kind, error.code, str(error)) from error
        else:
            ours = _booked(lambda: attempts.settle(attempt, _receipt(answer, kept), token=token))
        finally:
            limits.ring_one_waiting(attempt.project_id, call.provider_code)
    if not ours:
        raise Deferred
    return answer, kept


def paid_step(
    candidate: Candidate, tool: PaidTool, *, step: str, png: bytes, store: AssetStore, token: UUID
) -> KeptAnswer:
    """The answer of a paid tool for these bytes: that of an earlier call with the same input, or a new one.

    Raises `ProviderError` (refused, or its tries are used up: the next backend may be tried), `Deferred`,
    `CandidateFailed` (budget, disk, a price that is not known any more).
    """
    input_sha256 = hashlib.sha256(png).hexdigest()
    if kept := _kept_before(candidate, tool, step, input_sha256, store):
        return kept
    price = tool.price()
    if price is None:
        raise CandidateFailed(step, "policy", "price_unknown", f"No price is known for {tool.code}")
    call = Call(step, tool.code, billed=True, price=price, input_sha256=input_sha256)
    _, answer = make_call(
        candidate, call, lambda: tool.call(png, name=candidate.job.job_key), store=store, token=token
    )
    return answer


def paid_call(
    project: Project, tool: PaidTool, *, step: str, png: bytes, name: str, store: AssetStore, by: Principal
) -> KeptAnswer:
    """One call of a paid tool outside a run, after its spend was confirmed.

    Raises `ProviderUnusable`, `PriceUnknown`, `BudgetExceeded`, `StorageFailed` (no room for it) before
    the call is made, `CallFailed` when it brought nothing.
    """
    if lack := tool.missing():
        raise ProviderUnusable(lack)
    price = tool.price()
    if price is None:
        raise PriceUnknown(f"No price is known for {tool.code}: set one in its account")
    call = Call(step, tool.code, billed=True, price=price, input_sha256=hashlib.sha256(png).hexdigest())
    return call_alone(project, call, lambda: tool.call(png, name=name), store=store, by=by)[1]


def call_alone(
    project: Project, call: Call, make: Callable[[], A], *, store: AssetStore, by: Principal
) -> tuple[A, KeptAnswer]:
    """One call that belongs to no run; its money and its bytes are looked after all the same.

    Raises as `paid_call`.
    """
    if call.billed:
        store.check_room(ROOM)
    try:
        with transaction.atomic():
            attempt = attempts.begin_alone(project, call)
            audit.record(project, "call.begun", attempt, by=by, step=call.step, provider=call.provider_code)
    except AccountBusy as error:
        when = f" after {error.until:%H:%M:%S} UTC" if error.until else " in a moment"
        raise CallFailed(f"The account of {call.provider_code} is busy: try again{when}") from error
    try:
        answer = make()
        kept = _kept(attempt, answer, store)
    except OutcomeUnknown as error:
        doubt = error
        _booked(lambda: attempts.doubt(attempt, doubt, token=None))
        raise CallFailed(
            f"{error.message}. It may have been billed: decide about it on the dashboard of {project.name}"
        ) from error
    except ProviderError as error:
        failure = error
        _note_refusal(project, call, error)
        _booked(lambda: attempts.fail(attempt, failure))
        raise CallFailed(error.message) from error
    except StorageFailed as error:
        attempts.fail(attempt, ProviderRefused(str(error), code=error.code))
        raise
    except KeyboardInterrupt:
        stopped = OutcomeUnknown("It was stopped before its answer came", code="stopped")
        attempts.doubt(attempt, stopped, token=None)
        raise
    else:
        _booked(lambda: attempts.settle(attempt, _receipt(answer, kept), token=None))
    finally:
        limits.ring_one_waiting(project.pk, call.provider_code)
    return answer, kept


def wait_for_place(candidate: Candidate, provider_code: str, token: UUID) -> None:
    """Put a candidate off whose call would find its account busy, before anything is prepared for it.

    Raises `Deferred`.
    """
    try:
        limits.look_for_place(candidate.run.project_id, provider_code)
    except AccountBusy as error:
        outcomes.put_off(candidate, token, waits_for=provider_code, until=error.until)
        raise Deferred from error


def _failed_before(candidate: Candidate, call: Call) -> list[Attempt]:
    """The failed attempts at this call since the candidate was last planned.

    Raises `ProviderError` as the last of them did when that was final: after a death the same is not asked
    again.
    """
    failed = list(
        Attempt.objects.filter(
            candidate=candidate,
            step=call.step,
            provider_code=call.provider_code,
            input_sha256=call.input_sha256,
            status=Attempt.Status.FAILED,
            started_at__gte=candidate.started_at or candidate.created_at,
        ).order_by("started_at")
    )
    if failed and (_is_final(failed[-1]) or len(failed) >= MOST_TRIES):
        last = failed[-1]
        kind = ProviderUnavailable if last.retryable else ProviderRefused
        raise kind(last.error_message, code=last.error_code, http_status=last.http_status)
    return failed


def _is_final(failed: Attempt) -> bool:
    # A wait that was longer than we bear is written as one of that length, which began after the call.
    too_long = failed.retry_at is not None and failed.retry_at - failed.started_at > LONGEST_WAIT
    return too_long or not failed.retryable


def _check_room(store: AssetStore, step: str) -> None:
    """Nothing is bought that could not be kept. Raises `CandidateFailed`."""
    try:
        store.check_room(ROOM)
    except StorageFailed as error:
        raise CandidateFailed(step, error.kind, error.code, str(error)) from error


def _begun(candidate: Candidate, call: Call, token: UUID) -> Attempt:
    try:
        return attempts.begin(candidate, call, token=token)
    except AccountBusy as error:
        outcomes.put_off(candidate, token, waits_for=call.provider_code, until=error.until)
        raise Deferred from error
    except BudgetExceeded as error:
        raise CandidateFailed(call.step, error.kind, error.code, str(error)) from error


def _note_refusal(project: Project, call: Call, error: ProviderError) -> None:
    """Let everybody know about an account that was refused as a whole."""
    if isinstance(error, AccountRefused):
        note = partial(AccountHealth.objects.note, ok=False, message=error.message)
        _booked(lambda: note(project, call.provider_code))


def _close_failed(
    attempt: Attempt, error: ProviderError, candidate: Candidate, token: UUID, *, n_failed: int
) -> None:
    """Close an attempt that failed. Raises `Deferred` when it is worth another try."""
    now = timezone.now()
    asked = None if error.retry_after is None else timedelta(seconds=error.retry_after)
    retry_at = None if asked is None else now + min(asked, LONGEST_WAIT)
    again = error.retryable and n_failed < MOST_TRIES and (asked is None or asked <= LONGEST_WAIT)

    def close() -> None:
        with transaction.atomic():
            attempts.fail(attempt, error, retry_at=retry_at)
            if again:
                backoff = BACKOFF[n_failed - 1] * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                until = max(now + timedelta(seconds=backoff), retry_at or now)
                outcomes.put_off(candidate, token, waits_for=attempt.provider_code, until=until)

    _booked(close)  # else a call that cost nothing would have to be decided about
    if again:
        raise Deferred from error


def _booked(book: Callable[[], T]) -> T:
    """Write down what came of a call, however long the database is busy: a paid one can't be made again."""
    give_up = time.monotonic() + LONGEST_BUSY
    while True:
        try:
            return book()
        except OperationalError:
            if time.monotonic() > give_up:
                raise
            connection.close()  # a broken one would stay broken
            time.sleep(1)


def _kept(attempt: Attempt, answer: Answer, store: AssetStore) -> KeptAnswer:
    """Keep the bytes of an answer. Raises `StorageFailed`; `OutcomeUnknown` for a billed call."""
    try:
        sha256, path = store.keep(ORIGINALS, answer.data, answer.extension)
    except StorageFailed as error:
        if not attempt.billed:
            raise
        raise OutcomeUnknown(f"The image came and could not be kept: {error}", code=error.code) from error
    return KeptAnswer(answer.data, answer.extension, sha256, path)


def _kept_before(
    candidate: Candidate, tool: PaidTool, step: str, input_sha256: str, store: AssetStore
) -> KeptAnswer | None:
    """What an earlier call of this candidate brought for the same input, if its bytes are still there."""
    stored = Attempt.objects.filter(
        candidate=candidate,
        step=step,
        provider_code=tool.code,
        input_sha256=input_sha256,
        status__in=(Attempt.Status.STORED, Attempt.Status.ARRIVED),
    ).exclude(original_path="")
    for attempt in stored.order_by("-started_at"):
        with suppress(FileNotFoundError):
            data = store.read(attempt.original_path)
            extension = attempt.original_path.rpartition(".")[2]
            return KeptAnswer(data, extension, attempt.original_sha256, attempt.original_path)
    return None


def _receipt(answer: Answer, kept: KeptAnswer) -> Receipt:
    return Receipt(
        sha256=kept.sha256,
        path=kept.path,
        cost_usd=answer.cost_usd,
        model=answer.model,
        request_id=answer.request_id,
        usage=dict(answer.usage),
    )
