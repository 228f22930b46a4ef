"""PhotoRoom, remove.bg and the refine pass against a scripted server on loopback."""

import base64
from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest

from pipeline.engine.postprocess_config import DEFAULT_CONFIG, PostprocessConfig, Refine
from pipeline.providers import openai_edits
from pipeline.providers.base import (
    NO_ACCESS,
    Access,
    AccountRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.tools import http_cutout
from pipeline.tools.base import PaidTool
from pipeline.tools.registry import background_remover, refiner
from tests.factories import png
from tests.standin import Answer, StandIn, as_json

KEY = "canary-0123456789"
CUT = png(number=5)
SERVICES = ["photoroom", "removebg"]


def access(service: StandIn, **more: object) -> Access:
    return Access(api_key=KEY, base_url=service.url, **more)


def remover(code: str, given: Access, config: PostprocessConfig = DEFAULT_CONFIG) -> PaidTool:
    return cast(PaidTool, background_remover(code, config, given))


def edited(picture: bytes = CUT, **more: object) -> Answer:
    document = {"created": 1, "data": [{"b64_json": base64.b64encode(picture).decode()}], **more}
    return as_json(document, headers={"x-request-id": "req_1"})


def with_cut(**settings: object) -> PostprocessConfig:
    return replace(DEFAULT_CONFIG, bg_remove=replace(DEFAULT_CONFIG.bg_remove, **settings))


@pytest.mark.parametrize(("code", "header"), [("photoroom", "x-api-key"), ("removebg", "X-Api-Key")])
def test_a_picture_goes_out_as_a_form_and_the_answer_is_kept_as_it_is(
    standin: StandIn, code: str, header: str
) -> None:
    standin.script(Answer(body=CUT, headers={"X-Credits-Charged": "1"}))
    tool = remover(code, access(standin), with_cut(size="hd", crop=True, format="webp"))
    answer = tool.call(png(), name="panel_1")
    assert (answer.data, answer.extension, answer.cost_usd) == (CUT, "png", tool.price())
    assert answer.usage == ({"credits": "1"} if code == "removebg" else {})
    (request,) = standin.requests
    assert request.headers[header] == KEY
    assert request.fields == {"format": "webp", "size": "hd", "crop": "true"}
    (part,) = request.files
    assert (part.name, part.filename, part.content_type) == ("image_file", "panel_1.png", "image/png")
    assert part.data == png()


def test_an_automatic_size_and_no_crop_are_not_sent(standin: StandIn) -> None:
    standin.script(Answer(body=CUT))
    remover("photoroom", access(standin)).call(png(), name="a")
    assert standin.requests[0].fields == {"format": "png"}


def test_the_extension_follows_the_content_not_the_label(standin: StandIn) -> None:
    standin.script(Answer(body=png(format="JPEG"), content_type="image/png"))
    assert remover("photoroom", access(standin)).call(png(), name="a").extension == "jpg"


FAULTS = [
    (Answer(status=401), AccountRefused, "provider_auth"),
    (Answer(status=402), AccountRefused, "provider_quota"),
    (Answer(status=413), ProviderRefused, "provider_bad_request"),
    (Answer(status=302, headers={"Location": "/elsewhere"}), ProviderRefused, "provider_bad_request"),
    (Answer(status=429, headers={"Retry-After": "7"}), ProviderUnavailable, "provider_rate_limited"),
    (Answer(status=503), ProviderUnavailable, "provider_failed"),
    (Answer(status=504), OutcomeUnknown, "provider_timeout"),
    (Answer(cut="before"), OutcomeUnknown, "connection_lost"),
    (Answer(cut="half", body=CUT), OutcomeUnknown, "connection_lost"),
    (Answer(hang="before"), OutcomeUnknown, "provider_timeout"),
    (Answer(hang="half", body=CUT), OutcomeUnknown, "provider_timeout"),
    (Answer(body=b"done", content_type="text/plain"), OutcomeUnknown, "unexpected_answer"),
    (Answer(body=CUT[: len(CUT) // 2]), OutcomeUnknown, "unexpected_answer"),
    (Answer(body=b""), OutcomeUnknown, "unexpected_answer"),
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole calls end after 1 s, so that a service that hangs is soon given up."""
    monkeypatch.setattr(http_cutout, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(openai_edits, "TOTAL_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", SERVICES)
@pytest.mark.parametrize(("answer", "kind", "error_code"), FAULTS)
def test_each_fault_is_judged_once_and_the_key_stays_out(
    standin: StandIn, code: str, answer: Answer, kind: type[ProviderError], error_code: str
) -> None:
    standin.script(answer)
    with pytest.raises(ProviderError) as caught:
        remover(code, access(standin)).call(png(), name="a")
    error = caught.value
    assert (type(error), error.code) == (kind, error_code)
    assert error.retry_after == (7.0 if "Retry-After" in answer.headers else None)
    assert KEY not in str(error)
    assert len(standin.requests) == 1


def test_an_error_whose_body_is_lost_is_judged_by_its_status(standin: StandIn) -> None:
    standin.script(Answer(status=401, cut="half", body=b"x" * 100))
    with pytest.raises(AccountRefused):
        remover("photoroom", access(standin)).call(png(), name="a")


def test_more_bytes_than_a_picture_may_have_are_not_taken(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_cutout, "MAX_IMAGE_BYTES", 100)
    standin.script(Answer(body=CUT))
    with pytest.raises(OutcomeUnknown, match="more than a picture has"):
        remover("photoroom", access(standin)).call(png(), name="a")


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_neither_sent_nor_shown(standin: StandIn, key: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        remover("photoroom", replace(access(standin), api_key=key)).call(png(), name="a")
    assert key not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not standin.requests


@pytest.mark.parametrize(
    ("code", "variable"), [("photoroom", "PHOTOROOM_API_KEY"), ("removebg", "REMOVE_BG_API_KEY")]
)
def test_without_a_key_the_place_for_one_is_named(standin: StandIn, code: str, variable: str) -> None:
    tool = remover(code, Access(base_url=standin.url))
    assert variable in tool.missing()
    with pytest.raises(ProviderRefused, match=variable):
        tool.call(png(), name="a")
    assert not standin.requests


@pytest.mark.parametrize(
    ("said", "price"), [("0.15", Decimal("0.15")), (0.15, Decimal("0.15")), (0, Decimal(0)), ("dear", None)]
)
def test_the_account_s_price_replaces_the_list_s(said: object, price: Decimal | None) -> None:
    tool = remover("removebg", Access(api_key=KEY, prices={"per_image": said}))
    assert tool.price() == price
    assert ("price" in tool.missing()) is (price is None)


def test_what_is_recorded_names_the_address_and_never_the_key() -> None:
    tool = remover("photoroom", Access(api_key=KEY))
    assert tool.parameters() == {"endpoint": "https://sdk.photoroom.com/v1/segment", "format": "png"}
    assert KEY not in repr(tool)
    assert KEY not in repr(refiner(DEFAULT_CONFIG, Access(api_key=KEY)))


def test_the_refine_pass_sends_one_edit_without_a_size(standin: StandIn) -> None:
    usage = {
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 1000},
        "input_tokens": 1050,
        "output_tokens": 4160,
        "total_tokens": 5210,
    }
    standin.script(edited(usage=usage))
    tool = refiner(DEFAULT_CONFIG, access(standin))
    answer = tool.call(png(), name="panel_1")
    assert (answer.data, answer.extension, answer.model) == (CUT, "png", "gpt-image-1")
    assert answer.request_id == "req_1"
    assert answer.cost_usd == Decimal("0.176650")  # 50 · 5 + 1000 · 10 + 4160 · 40 USD a million
    assert answer.cost_usd < (tool.price() or 0)
    (request,) = standin.requests
    assert request.path == "/images/edits"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.fields == {
        "model": "gpt-image-1",
        "prompt": DEFAULT_CONFIG.bg_remove.openai.prompt,
        "quality": "high",
        "input_fidelity": "high",
        "output_format": "png",
        "background": "transparent",
    }
    (part,) = request.files
    assert (part.name, part.filename, part.data) == ("image[]", "panel_1.png", png())


def test_without_usage_the_refine_pass_costs_its_price(standin: StandIn) -> None:
    standin.script(edited())
    tool = refiner(DEFAULT_CONFIG, access(standin, prices={"per_image": "0.25"}))
    assert tool.call(png(), name="a").cost_usd == Decimal("0.25")


@pytest.mark.parametrize(
    ("chosen", "config", "model"),
    [
        (Refine(model="m-file"), {"model": "m-account"}, "m-file"),
        (Refine(), {"model": "m-account"}, "m-account"),
        (Refine(), {}, "gpt-image-1"),
    ],
)
def test_the_file_s_model_goes_before_the_account_s(
    chosen: Refine, config: dict[str, object], model: str
) -> None:
    tool = refiner(with_cut(openai=chosen), Access(api_key=KEY, config=config))
    assert tool.version == tool.parameters()["model"] == model


def test_jpg_is_jpeg_for_the_service() -> None:
    settings = Refine(output_format="jpg", background="")
    recorded = refiner(with_cut(openai=settings, format="jpg"), Access(api_key=KEY)).parameters()
    assert recorded["output_format"] == "jpeg"
    assert "background" not in recorded


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "kind", "error_code"),
    [
        *FAULTS[:9],
        (Answer(hang="before"), OutcomeUnknown, "provider_timeout"),
        (as_json({"data": []}), OutcomeUnknown, "unexpected_answer"),
        (edited(b"no picture"), OutcomeUnknown, "unexpected_answer"),
        (edited(CUT[: len(CUT) // 2]), OutcomeUnknown, "unexpected_answer"),
        (Answer(body=b"<html>", content_type="text/html"), OutcomeUnknown, "unexpected_answer"),
        (Answer(body=b'{"data"', content_type="application/json"), OutcomeUnknown, "unexpected_answer"),
    ],
)
def test_each_fault_of_the_refine_pass_is_judged_once(
    standin: StandIn, answer: Answer, kind: type[ProviderError], error_code: str
) -> None:
    standin.script(answer)
    with pytest.raises(ProviderError) as caught:
        refiner(DEFAULT_CONFIG, access(standin)).call(png(), name="a")
    error = caught.value
    assert (type(error), error.code) == (kind, error_code)
    assert KEY not in str(error)


def test_the_refine_pass_says_what_it_lacks() -> None:
    assert "OPENAI_API_KEY" in refiner(DEFAULT_CONFIG, NO_ACCESS).missing()
    unknown = refiner(with_cut(openai=Refine(model="another-model")), Access(api_key=KEY))
    assert unknown.price() is None
    assert "price of the refine pass with the model another-model is not known" in unknown.missing()
