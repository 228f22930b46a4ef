"""The page that shows colour profiles on a universe's own pictures."""

import io

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image

from pipeline.engine.colour import BUILTIN_PROFILES, apply_profile
from pipeline.models import Asset
from projects.models import Project
from tests.factories import configure, make_finished_run, make_project, make_user

pytestmark = pytest.mark.django_db
OWN = {"dusk": {"brightness": 0.5}, "plain": {}}


def page_of(client: Client, project: Project, **query: str):  # type: ignore[no-untyped-def]
    return client.get(reverse("pipeline:colours", args=[project.slug]), query)


def picture(client: Client, project: Project, **query: str) -> np.ndarray:
    answer = client.get(reverse("pipeline:colour-picture", args=[project.slug]), query)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image)


def test_a_universe_without_pictures_has_a_card(vic_client: Client, project: Project) -> None:
    page = page_of(vic_client, project)
    assert (page.context["of"], page.context["chosen"]) == ("card", page.context["in_use"])
    assert set(page.context["tones"]) == {"before", "after"}
    text = page.content.decode()
    assert all(name in text for name in BUILTIN_PROFILES)
    before = picture(vic_client, project, of="card", profile="cold_rain", part="before")
    after = picture(vic_client, project, of="card", profile="cold_rain")
    assert np.array_equal(after, apply_profile(before, BUILTIN_PROFILES["cold_rain"]))


def test_own_profiles_are_shown_on_the_universe_s_own_panels(vic_client: Client, project: Project) -> None:
    configure(project, colours=OWN)
    make_finished_run(project)
    page = page_of(vic_client, project, profile="dusk")
    asset = Asset.objects.get(kind="job_final_output")
    assert page.context["of"] == f"asset-{asset.pk}"
    assert [name for name, _ in page.context["profiles"]] == ["dusk", "plain"]
    assert "brightness" in page.content.decode()
    shown = {part: picture(vic_client, project, of=f"asset-{asset.pk}", profile="dusk", part=part)
             for part in ("before", "after")}  # fmt: skip
    assert abs(float(shown["after"].mean()) - float(shown["before"].mean()) / 2) < 1
    assert page.context["tones"]["before"] != page.context["tones"]["after"]


def test_what_is_not_there_or_somebody_else_s_is_not_shown(vic_client: Client, project: Project) -> None:
    other = make_project(name="Elsewhere", owner=make_user(username="eve"))
    make_finished_run(other)
    foreign = Asset.objects.filter(project=other, kind="job_final_output").get()
    for key in (f"asset-{foreign.pk}", "asset-x", "item-", "card-1", "../x"):
        assert "This picture is not there" in page_of(vic_client, project, of=key).content.decode()
        answer = vic_client.get(
            reverse("pipeline:colour-picture", args=[project.slug]), {"of": key, "profile": "neutral"}
        )
        assert answer.status_code == 404
    assert page_of(vic_client, other).status_code == 404


def test_a_file_without_any_usable_profile_is_told(vic_client: Client, project: Project) -> None:
    configure(project, colours={})
    page = page_of(vic_client, project)
    assert page.status_code == 200
    assert "no profile that can be used" in page.content.decode()
    answer = vic_client.get(reverse("pipeline:colour-picture", args=[project.slug]), {"of": "card"})
    assert answer.status_code == 404
