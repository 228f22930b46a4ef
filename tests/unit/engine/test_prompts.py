import pytest

from pipeline.engine.errors import PlanningError
from pipeline.engine.manifest import manifest_from_document
from pipeline.engine.prompts import NO_INVENTION, compose_prompt

PROMPTS = {
    "style_base": " base ",
    "time_day": "day",
    "time_night": "night",
    "weather_clear": "clear",
    "weather_rain": "rain",
}


def composed(stage: str, *, invention: bool = False, style_guide: str = "", **prompts: str) -> str:
    document = {"prompts": PROMPTS | prompts, "policy": {"default_no_invention": not invention}}
    manifest = manifest_from_document(document, source="m.json")
    return compose_prompt(manifest, stage=stage, time="night", weather="rain", style_guide=style_guide)


@pytest.mark.acceptance("P-01", "S-12")
@pytest.mark.parametrize(
    ("stage", "wanted"), [("style", "base"), ("time", "base night"), ("weather", "base night rain")]
)
def test_chunks_of_each_stage(stage: str, wanted: str) -> None:
    assert composed(stage, invention=True) == wanted
    assert composed(stage) == f"{wanted} {NO_INVENTION}"


def test_the_style_guide_follows_the_base() -> None:
    assert composed("weather", invention=True, style_guide=" thin lines \n") == "base thin lines night rain"
    assert composed("style", invention=True, style_guide="  ") == "base"


@pytest.mark.acceptance("P-01")
def test_a_needed_chunk_that_is_blank_is_named() -> None:
    with pytest.raises(PlanningError, match=r"prompts\.time_night"):
        composed("weather", time_night=" ")
    with pytest.raises(PlanningError, match=r"prompts\.style_base"):
        composed("style", style_base="")


def test_a_chunk_that_is_not_needed_may_be_blank() -> None:
    assert composed("style", invention=True, time_night="", weather_rain="") == "base"


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(PlanningError, match="'mood'"):
        composed("mood")
