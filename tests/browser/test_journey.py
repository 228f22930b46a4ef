"""The journey of the README in a real browser: from scene images to reviewed panels and their zip."""

import base64
import io
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import Workspace
from tests.factories import png

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}
N_SCENES = 3
LONG = 60_000  # milliseconds that a run of a few panels may take
# Runs in the page: a drop event can only carry files that were made there.
MAKE_FILES = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type: "image/png"}));
  return transfer;
}"""


def test_from_scene_images_to_reviewed_panels(
    workspace: Workspace, page: Page, complaints: list[str], tmp_path: Path
) -> None:
    page.set_viewport_size(DESK)
    page.goto(workspace.signin_url)
    create_universe(page)
    scenes = create_set(page, "Chapter 1")
    upload_by_chooser(page, tmp_path)
    upload_by_drop(page)
    plates = create_set(page, "Plates")
    page.set_input_files("#images", files(tmp_path, "plate", n=1, start=50))
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("1 image is now in Plates.")).to_be_visible()
    write_style_guide(page)
    page.goto(scenes)
    composer = compose(page)
    run = watch(page)
    review(page)
    download(page, run)
    names = page.url.split("/projects/")[1].split("/")[0]
    universe = f"{workspace.url}/projects/{names}"
    addresses = [
        workspace.url,
        f"{universe}/",
        f"{universe}/library",
        scenes,
        plates,
        composer,
        f"{universe}/runs",
        run,
        f"{run}/review?show=all",
        f"{universe}/review?show=approved",
        f"{universe}/review",
        f"{universe}/members",
    ]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size in (PHONE, DESK):
            page.set_viewport_size(size)
            for address in addresses:
                page.goto(address)
                wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, f"{address} scrolls sideways by {wide} px at {size['width']} px"


def files(folder: Path, stem: str, *, n: int, start: int = 0) -> list[Path]:
    paths = [folder / f"{stem} {number}.png" for number in range(n)]
    for number, path in enumerate(paths, start=start):
        path.write_bytes(png(number=number, size=(320, 240)))
    return paths


def create_universe(page: Page) -> None:
    page.get_by_role("link", name="Create a universe").click()
    page.get_by_label("Name").fill("The Salt Road")
    page.locator("main form button").click()
    expect(page.get_by_role("heading", name="The Salt Road")).to_be_visible()


def create_set(page: Page, name: str) -> str:
    page.get_by_role("link", name="Library").first.click()
    page.goto(f"{page.url}/reference-sets/new")
    page.get_by_label("Name").fill(name)
    page.locator("main form button").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    return page.url


def upload_by_chooser(page: Page, folder: Path) -> None:
    page.set_input_files("#images", files(folder, "scene", n=N_SCENES - 1))
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".set-item")).to_have_count(N_SCENES - 1)
    expect(page.locator(".set-item").first).to_contain_text("320 × 240 px")


def upload_by_drop(page: Page) -> None:
    data = base64.b64encode(png(number=9, size=(320, 240))).decode()
    transfer = page.evaluate_handle(MAKE_FILES, ["dropped.png", data])
    page.dispatch_event("[data-drop]", "dragenter", {"dataTransfer": transfer})
    expect(page.locator(".drop-over")).to_be_visible()
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": transfer})
    expect(page.locator(".set-item")).to_have_count(N_SCENES)
    expect(page.locator(".set-item").last).to_contain_text("dropped.png")


def write_style_guide(page: Page) -> None:
    page.get_by_role("link", name="Library").first.click()
    page.get_by_role("link", name="New style guide").click()
    page.get_by_label("Name").fill("Noir brush")
    page.get_by_label("Instructions").fill("Spotted blacks, no hatching on faces.")
    page.get_by_role("button", name="Create style guide").click()
    expect(page.get_by_text("“Noir brush” is saved.")).to_be_visible()


def compose(page: Page) -> str:
    page.get_by_role("link", name="Compose a run with these scenes").click()
    composer = page.url
    plan = page.locator("#plan")
    expect(plan).to_contain_text(f"Make {N_SCENES * 2} images, free")
    expect(plan).to_contain_text("outputs/style_1_scene_0__c1.png")
    page.locator("label[for^=style_sets]", has_text="Plates").click()
    expect(plan.get_by_role("img", name="Style: plate 0.png")).to_be_visible()
    page.get_by_label("Style guide").select_option("Noir brush")
    expect(plan).to_contain_text("ignores its words")
    page.get_by_label("Candidates per panel").select_option("1")
    expect(plan).to_contain_text(f"Make {N_SCENES} images, free")
    page.get_by_label("Candidates per panel").select_option("2")
    # The light of a stage is asked for only where it counts.
    expect(page.get_by_text("Time of day", exact=True)).to_be_hidden()
    page.get_by_label("Weather: the same scenes").check()
    expect(page.get_by_role("radio", name="rain", exact=True)).to_be_visible()
    page.get_by_label("Style: redraw").check()
    expect(page.get_by_role("radio", name="rain", exact=True)).to_be_hidden()
    expect(plan).to_contain_text("outputs/style_1_scene_0__c1.png")
    page.get_by_role("button", name=f"Make {N_SCENES * 2} images, free").click()
    return composer


def watch(page: Page) -> str:
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    page.locator(".panel-card summary").first.click()
    page.locator("#run-review").wait_for(timeout=LONG)
    expect(page.get_by_text(f"All {N_SCENES} panels have a winner.")).to_be_visible()
    expect(page.locator(".panel-face img[alt^='Panel']")).to_have_count(N_SCENES)
    # What was opened stays open while panels come in, and says why each candidate ranks where it does.
    opened = page.locator(".panel-card details[open]")
    expect(opened).to_have_count(1)
    expect(opened).to_contain_text("Chosen:")
    expect(opened).to_contain_text("Call 1: Stored after")
    return page.url


def review(page: Page) -> None:
    page.get_by_role("link", name=f"Review {N_SCENES} panels").click()
    place = page.locator(".desk-steps [role=status]")
    expect(place).to_contain_text(f"1 of {N_SCENES}")
    expect(page.locator(".shown img")).to_have_count(3)
    # Shown by the last script of the page: from then on its keys are heard.
    expect(page.locator("[data-key=z]")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    expect(page.locator("body")).to_have_class(re.compile("zoomed"))
    page.keyboard.press("z")
    picked = page.locator("[aria-pressed=true][data-key='1'], [aria-pressed=true][data-key='2']")
    other = "2" if picked.get_attribute("data-key") == "1" else "1"
    page.keyboard.press(other)
    expect(page.locator(f"#pick-{other}")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("a")
    expect(place).to_contain_text(f"1 of {N_SCENES - 1}")
    page.keyboard.press("ArrowRight")
    expect(place).to_contain_text(f"2 of {N_SCENES - 1}")
    page.keyboard.press("ArrowLeft")
    expect(place).to_contain_text(f"1 of {N_SCENES - 1}")
    page.keyboard.press("r")
    expect(page.get_by_label("Reason for rejecting")).to_be_focused()
    page.keyboard.type("the quay is missing a")  # letters in a field are no keys
    page.keyboard.press("Enter")
    expect(place).to_contain_text("1 of 1")
    # The keys belong to the next panel at once, not to the field that was typed into.
    expect(page.get_by_label("Reason for rejecting")).not_to_be_focused()
    expect(page.locator("[data-key=z]")).to_be_visible()
    page.keyboard.press("z")
    expect(page.locator("body")).to_have_class(re.compile("zoomed"))
    page.keyboard.press("z")
    page.get_by_role("button", name="Off model").click()
    expect(page.get_by_text("Nothing waits for review")).to_be_visible()
    page.get_by_role("link", name="Rejected").click()
    expect(place).to_contain_text("1 of 2")
    expect(page.locator(".history").last).to_contain_text("the quay is missing a")
    page.keyboard.press("u")
    expect(page.locator(".desk-side")).to_contain_text("waiting")
    page.keyboard.press("a")
    expect(page.locator(".tabs")).to_contain_text("Approved 2")
    expect(page.locator(".tabs [aria-current]")).to_contain_text("Rejected 1")


def download(page: Page, run: str) -> None:
    page.goto(run)
    for words, n in (("Download 2 winners", 2), ("Download 2 approved", 2)):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=words).click()
        with zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes())) as package:
            pictures = [name for name in package.namelist() if name.endswith(".png")]
            assert len(pictures) == n
            assert any(name.endswith(".json") for name in package.namelist())
            for name in pictures:
                with Image.open(io.BytesIO(package.read(name))) as image:
                    image.load()
                    assert (image.format, image.size) == ("PNG", (320, 240))
