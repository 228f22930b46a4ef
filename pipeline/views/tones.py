"""The tones of a picture as lines of a drawing."""

from collections.abc import Mapping, Sequence

from pipeline.services.labtools import TONES

WIDTH, HEIGHT = 256, 100  # of the drawing


def tone_lines(tones: Mapping[str, Sequence[int]]) -> list[tuple[str, str]]:
    """Each colour's name with its line from dark to light, as points of an SVG."""
    step = WIDTH / (TONES - 1)
    return [
        (colour, " ".join(f"{n * step:.1f},{HEIGHT - value}" for n, value in enumerate(values)))
        for colour, values in tones.items()
    ]
