"""Names for the queue, without rules: each calls one service."""

from pipeline.services import after_run as after
from pipeline.services import assets, dispatch, execution, lab


def execute_candidate(pk: str) -> None:
    """Make one image, if it is still to be made."""
    execution.execute_candidate(pk)


def make_reference_thumbnail(pk: str) -> None:
    """Make the small picture of one reference image, if it is missing."""
    assets.make_reference_thumbnail(pk)


def after_run(pk: str) -> None:
    """Do what follows the end of a run, if it is still to be done."""
    after.after_run(pk)


def dispatch_instruction(pk: str) -> None:
    """Carry out one confirmed instruction, if it is still to be carried out."""
    dispatch.work_on(pk)


def work_in_lab(pk: str) -> None:
    """Do one work of the Lab, if it is still to be done."""
    lab.work_on(pk)
