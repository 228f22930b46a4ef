"""What follows the end of a run that was made here; every problem is a warning and changes no outcome."""

from pipeline.models import Run
from pipeline.services.ingest import read_records
from pipeline.services.logcheck import differences_of
from pipeline.store import store_for
from projects.errors import KromaError


def ingest_after_run(run: Run) -> list[str]:
    """Hold the log that was just written against the rows, without hashing files; a sentence a warning."""
    try:
        file = store_for(run.project).path(run.run_log_path)
        return differences_of(run, read_records(file), with_hashes=False)
    except KromaError as error:
        return [f"The run log could not be read back: {error}"]
