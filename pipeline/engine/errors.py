"""The one error of planning."""


class PlanningError(ValueError):
    """A plan can't be made: one sentence that names the thing and says what to do about it."""
