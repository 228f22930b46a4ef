from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.errors import PlanningError
from pipeline.engine.postprocess import PostprocessPlan

NINE_KEYS = {
    "upscale", "upscale_backend", "color", "color_profile", "bg_remove", "bg_remove_backends",
    "bg_refine_openai", "bg_refine_openai_required", "pipeline_order",
}  # fmt: skip


def test_off_is_generation_only() -> None:
    assert PostprocessPlan.off().as_dict() == {
        "upscale": False,
        "upscale_backend": None,
        "color": False,
        "color_profile": None,
        "bg_remove": False,
        "bg_remove_backends": [],
        "bg_refine_openai": False,
        "bg_refine_openai_required": False,
        "pipeline_order": ["generate"],
    }


@pytest.mark.acceptance("S-13")
@given(upscale=st.booleans(), color=st.booleans(), bg=st.booleans(), refine=st.booleans())
def test_order_and_companions(upscale: bool, color: bool, bg: bool, refine: bool) -> None:
    plan = PostprocessPlan(
        upscale=upscale,
        upscale_backend="python",
        color=color,
        color_profile="neutral",
        bg_remove=bg,
        bg_remove_backends=("rembg",),
        bg_refine_openai=refine,
        bg_refine_openai_required=True,
    )
    entry = plan.as_dict()
    steps = {"generate": True, "bg_remove": bg, "bg_refine_openai": bg and refine, "upscale": upscale,
             "color": color}  # fmt: skip
    assert set(entry) == NINE_KEYS
    assert entry["pipeline_order"] == [step for step, on in steps.items() if on]
    assert entry["upscale_backend"] == ("python" if upscale else None)
    assert entry["color_profile"] == ("neutral" if color else None)
    assert entry["bg_remove_backends"] == (["rembg"] if bg else [])
    assert entry["bg_refine_openai"] is (bg and refine)
    assert entry["bg_refine_openai_required"] is bg


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"upscale": True}, "upscale_backend"),
        ({"upscale": True, "upscale_backend": "python", "upscale_scale": 0}, "upscale.scale"),
        ({"upscale": True, "upscale_backend": "python", "upscale_format": " "}, "upscale.format"),
        ({"color": True, "color_profile": "  "}, "color_profile"),
        ({"bg_remove": True}, "bg_remove_backends"),
        ({"bg_remove": True, "bg_remove_backends": ("rembg",), "bg_remove_format": ""}, "bg_remove.format"),
    ],
)
def test_a_step_that_lacks_something_is_refused(fields: dict[str, Any], key: str) -> None:
    with pytest.raises(PlanningError, match=key):
        PostprocessPlan(**fields)
