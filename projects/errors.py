"""The kinds of error that a person may see. A view makes a message of them, the API an envelope."""

from collections.abc import Mapping
from typing import ClassVar


class KromaError(Exception):
    """One sentence, fit to show, that names the thing and what to do.

    `extra` are further facts for programs, beside the sentence: JSON values, nothing secret.
    """

    status: ClassVar[int] = 400
    kind: ClassVar[str] = "validation"
    code: ClassVar[str] = "validation_error"

    def __init__(self, *args: object, extra: Mapping[str, object] | None = None) -> None:
        super().__init__(*args)
        self.extra = dict(extra or {})


class Invalid(KromaError):
    """The request can't be carried out as it was put."""


class NotFound(KromaError):
    """What was named does not exist, or not for the one who asks."""

    status = 404
    code = "not_found"


class Forbidden(KromaError):
    """A member whose role is too low for this."""

    status = 403
    code = "forbidden"


class Unauthorized(KromaError):
    """No bearer token, or one that is not valid (any more)."""

    status = 401
    code = "unauthorized"


class TooManyRequests(KromaError):
    """A caller asks more often than this place answers."""

    status = 429
    kind = "policy"
    code = "rate_limited"


class SpendNotConfirmed(KromaError):
    """A run that makes images was asked for without the confirmation that it may spend."""

    kind = "policy"
    code = "spend_confirmation_required"


class PlanChanged(KromaError):
    """What was confirmed is not what would run now."""

    kind = "policy"
    code = "plan_changed"


class PriceUnknown(KromaError):
    """No price is known for what a run would call; it is never taken for free."""

    kind = "policy"
    code = "price_unknown"


class BudgetExceeded(KromaError):
    """The universe's budget does not hold what a run or a call would cost."""

    kind = "policy"
    code = "budget_exceeded"


class ProviderUnusable(KromaError):
    """A provider or a paid tool can't be called: its account is switched off, or it has no key."""

    kind = "provider"
    code = "pipeline_command_failed"


class CallFailed(KromaError):
    """One call of a provider or a paid tool, outside a run, brought nothing."""

    kind = "provider"
    code = "pipeline_command_failed"


class PlanRefused(KromaError):
    """A run can't be planned: settings, manifest, inputs or limits."""

    code = "planning_preflight_failed"


class ConfigurationInvalid(KromaError):
    """A settings file, a manifest or a post-process file can't be used as it is."""

    code = "config_validation_failed"
