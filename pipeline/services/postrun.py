"""Taking in what a run has left, after its end."""

from pipeline.models import Run


def ingest_after_run(run: Run) -> list[str]:
    """What does not fit between a run's log and its rows, a sentence each."""
    return []
