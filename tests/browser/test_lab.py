"""The Lab in a real browser: an image in, before and after, the slider, and where it is kept."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Workspace, enter_new_universe
from tests.browser.test_journey import DESK, LONG, PHONE
from tests.pictures import png

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_an_image_is_changed_compared_and_kept(
    workspace: Workspace, page: Page, complaints: list[str], tmp_path: Path
) -> None:
    page.set_viewport_size(DESK)
    enter_new_universe(page, workspace, set_name="Plates")
    page.locator(".menu-button").click()
    page.get_by_role("link", name="Lab").click()
    expect(page.get_by_label("Colour profile")).to_be_hidden()
    page.get_by_label("Correct the colours").check()
    page.get_by_label("Colour profile").select_option("cold_rain")
    (tmp_path / "quay.png").write_bytes(png())
    page.get_by_label("Image", exact=True).set_input_files(tmp_path / "quay.png")
    page.get_by_role("button", name="Begin").click()
    after = page.get_by_role("img", name="After", exact=True)
    expect(after).to_be_visible(timeout=LONG)
    slider = page.get_by_role("slider")
    slider.fill("25")
    box = page.locator("[data-compare]")
    expect(box).to_have_css("--cut", "25%")
    assert page.locator("svg polyline").count() == 6
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "quay-colour.png"
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("quay-colour.png is now in Plates of Dyke.")).to_be_visible()
    page.goto(f"{workspace.url}/lab")
    page.get_by_role("link", name="quay.png").click()
    page.get_by_role("button", name="Delete now").click()
    expect(page.get_by_text("Nothing yet.")).to_be_visible()
