"""In which look the local renderer draws a run: the one that was planned."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from pipeline.models import Candidate, Run
from pipeline.providers.local.provider import CLASSICAL, NEURAL
from pipeline.providers.registry import provider_for
from pipeline.services.accounts import access_to
from projects.access import OPERATOR
from projects.errors import ProviderUnusable
from projects.models import Project
from projects.services.accounts import save_account
from tests.factories import make_plan, make_run
from tests.fakes import work_through

pytestmark = [pytest.mark.django_db, pytest.mark.acceptance("P-03")]


def made_with(run: Run) -> set[str]:
    work_through(run)
    run.refresh_from_db()
    assert set(run.candidates.values_list("status", flat=True)) == {Candidate.Status.DONE}
    return {run.model_name}


def test_a_run_planned_without_the_net_is_drawn_without_it(
    project: Project, settings: Settings, models: Path
) -> None:
    run = make_run(project)
    settings.MODELS_DIR = models  # fetched while the run waited
    assert made_with(run) == {CLASSICAL}
    assert made_with(make_run(project)) == {NEURAL}


def test_a_run_planned_with_the_net_does_not_do_without_it(
    project: Project, settings: Settings, models: Path, tmp_path: Path
) -> None:
    settings.MODELS_DIR = models
    run = make_run(project)
    settings.MODELS_DIR = tmp_path
    work_through(run)
    candidate = run.candidates.get()
    assert candidate.status == Candidate.Status.FAILED
    assert "`manage.py models fetch` gets it" in candidate.error["message"]


def test_the_account_chooses_the_look(project: Project, settings: Settings, models: Path) -> None:
    settings.MODELS_DIR = models
    before = make_plan(project)
    save_account(project, "local", changes={"config": {"look": "classical"}}, by=OPERATOR)
    plan = make_plan(project)
    assert (before.provider["look"], plan.provider["look"]) == (NEURAL, CLASSICAL)
    assert before.plan_hash != plan.plan_hash
    assert provider_for("local", access_to(project, "local")).describe()["look"] == CLASSICAL


def test_a_look_that_can_not_be_drawn_is_refused_when_planned(project: Project) -> None:
    save_account(project, "local", changes={"config": {"look": "neural"}}, by=OPERATOR)
    with pytest.raises(ProviderUnusable, match="models fetch"):
        make_plan(project)
    assert not Run.objects.exists()


@pytest.mark.parametrize("look", ["cubist", 7, ["neural"], None])
def test_a_slip_in_the_look_is_named(project: Project, look: object) -> None:
    save_account(project, "local", changes={"config": {"look": look}}, by=OPERATOR)  # as the API may
    with pytest.raises(ProviderUnusable, match=r"'look' is .* use one of auto, classical, neural"):
        make_plan(project)
