"""What is sent to OpenAI, and what a call is said to cost before it is made."""

import base64
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from pipeline.providers.base import Access, GenerateRequest, ProviderRefused
from pipeline.providers.openai_images import OpenAIProvider
from tests.pictures import png
from tests.standin import StandIn, as_json, standing_in

ANSWER = as_json({"created": 1, "data": [{"b64_json": base64.b64encode(png()).decode()}]})


@pytest.fixture
def service() -> Iterator[StandIn]:
    with standing_in() as running:
        running.script(ANSWER)
        yield running


def provider(service: StandIn | None = None, **config: object) -> OpenAIProvider:
    return OpenAIProvider(
        Access(api_key="sk-test", base_url=f"{service.url}/v1" if service else "", config=config)
    )


def request(*images: Path) -> GenerateRequest:
    return GenerateRequest("Draw.", images, seed=1, stage="style", time="day", weather="clear")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A large lying scene and a small reference."""
    scene, plate = tmp_path / "scene.jpg", tmp_path / "plate.png"
    Image.new("RGB", (3000, 2000), "navy").save(scene, "JPEG")
    plate.write_bytes(png(number=4))
    return scene, plate


@pytest.mark.acceptance("W-40")
def test_large_inputs_are_reduced_before_they_are_sent_and_it_is_recorded(
    service: StandIn, files: tuple[Path, Path]
) -> None:
    made = provider(service, longest_side=1536).generate(request(*files))
    sent = service.requests[0].files
    assert [(part.filename, part.content_type) for part in sent] == [
        ("scene.png", "image/png"),
        ("plate.png", "image/png"),
    ]
    with Image.open(io.BytesIO(sent[0].data)) as image:
        assert image.size == (1536, 1024)
    assert sent[1].data == files[1].read_bytes()
    (record,) = cast(list[dict[str, Any]], made.usage["reduced_inputs"])
    assert (record["name"], record["from"], record["to"]) == ("scene.jpg", [3000, 2000], [1536, 1024])
    assert len(record["sha256"]) == 64


def test_inputs_go_as_they_are_unless_the_account_says_otherwise(
    service: StandIn, files: tuple[Path, Path]
) -> None:
    made = provider(service).generate(request(*files))
    assert [part.data for part in service.requests[0].files] == [path.read_bytes() for path in files]
    assert "reduced_inputs" not in made.usage
    assert provider().describe()["longest_side"] == 0


def test_the_fidelity_of_the_account_is_asked_for_and_low_costs_less(
    service: StandIn, files: tuple[Path, Path]
) -> None:
    low, high = provider(service, input_fidelity="low"), provider(service)
    low.generate(request(*files))
    high.generate(request(*files))
    assert [one.fields["input_fidelity"] for one in service.requests] == ["low", "high"]
    assert (low.describe()["input_fidelity"], high.describe()["input_fidelity"]) == ("low", "high")
    # Two inputs that are not square: 6,240 tokens each at 10 USD for a million.
    assert high.estimate(request(*files)) - low.estimate(request(*files)) == Decimal("0.1248")  # type: ignore[operator]


def test_an_input_that_is_no_image_is_refused_before_the_call(service: StandIn, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ProviderRefused) as caught:
        provider(service, longest_side=512).generate(request(broken))
    assert caught.value.code == "input_unreadable"
    assert service.requests == []
