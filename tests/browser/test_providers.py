"""Each service of somebody else in a real browser: account, key, run, and no key anywhere."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Workspace, enter_new_universe
from tests.comfy import WORKFLOW
from tests.factories import png
from tests.services_of_others import KEYS, WRONG_KEY, Service, service_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LONG = 60_000  # milliseconds that a run of one panel may take


@pytest.fixture(scope="module")
def universe(workspace: Workspace) -> str:
    return f"{workspace.url}/projects/dyke"


@pytest.fixture
def inside(workspace: Workspace, page: Page, tmp_path: Path) -> Page:
    """Signed in, with a universe and one scene in it."""
    enter_new_universe(page, workspace, set_name="Scenes")
    scene = tmp_path / "quay.png"
    scene.write_bytes(png(number=1))
    page.set_input_files("#images", scene)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".set-item")).to_have_count(1)
    return page


def test_each_service_makes_its_part_and_no_key_is_seen(
    workspace: Workspace, universe: str, inside: Page, complaints: list[str], tmp_path: Path
) -> None:
    for code in KEYS:
        with service_of(code) as service:
            add_account(inside, universe, service, tmp_path)
            if code == "openai":
                refused(inside, universe, service)
            else:
                store_key(inside, universe, code, KEYS[code])
                expect(inside.locator("main")).to_contain_text(re.compile(f"{code}.*works", re.DOTALL))
                compose(inside, universe, service)
            expect(inside.locator("#run-review")).to_be_visible(timeout=LONG)
            assert any(request.method == "POST" for request in service.server.requests)
            shown = inside.content()
            assert not [key for key in (*KEYS.values(), WRONG_KEY) if key in shown]
    inside.goto(f"{universe}/settings/accounts")
    shown = inside.content()
    assert not [key for key in (*KEYS.values(), WRONG_KEY) if key in shown]
    for file in workspace.data_dir.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not [key for key in (*KEYS.values(), WRONG_KEY) if key.encode() in data], file


def add_account(page: Page, universe: str, service: Service, folder: Path) -> None:
    page.goto(f"{universe}/settings/accounts/new")
    page.get_by_label("Provider", exact=True).select_option(service.code)
    page.get_by_label("Address").fill(str(service.account["base_url"]))
    if service.code == "comfyui":
        workflow = folder / "workflow.json"
        workflow.write_text(json.dumps(WORKFLOW))
        page.get_by_label("Workflow for ComfyUI").set_input_files(workflow)
    else:
        page.get_by_label("Price of an image").fill("0.04")
    page.get_by_role("button", name="Save and check").click()
    expect(page.get_by_role("heading", name="Accounts and keys")).to_be_visible()


def store_key(page: Page, universe: str, code: str, key: str) -> None:
    page.goto(f"{universe}/settings/accounts")
    form = page.locator("form[aria-labelledby=set-secret]")
    form.locator("[name=provider_code]").fill(code)
    form.locator("[name=secret_name]").fill("api_key")
    form.locator("[name=secret_value]").fill(key)
    form.get_by_role("button", name="Store it").click()
    expect(page.get_by_text(f"{code}/api_key is stored.")).to_be_visible()


def compose(page: Page, universe: str, service: Service) -> None:
    page.goto(f"{universe}/runs/new")
    page.locator("label[for^=scene_sets]", has_text="Scenes").click()
    plan = page.locator("#plan")
    page.get_by_label("Candidates per panel").select_option("1")
    expect(plan.get_by_role("button", name="Make 1 image, free")).to_be_visible()
    if service.is_cutter:
        page.locator("details.compose-steps > summary").click()
        page.get_by_label("Cut out of the background").select_option("on")
        page.get_by_label(service.code, exact=True).check()
        page.get_by_label("Refine the cut-out").select_option("off")
        expect(plan.locator("#plan-steps")).to_contain_text(service.code)
    else:
        page.get_by_label("Made by").select_option(service.code)
        expect(plan.locator("#made-by")).to_contain_text(service.code)
    price = "free" if service.code == "comfyui" else "$0.04"
    plan.get_by_role("button", name=f"Make 1 image, {price}").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))


def refused(page: Page, universe: str, service: Service) -> None:
    """A wrong key: the account is named where people look, and with the right one the run goes on."""
    store_key(page, universe, service.code, WRONG_KEY)
    expect(page.locator("main")).to_contain_text("does not accept the key")
    compose(page, universe, service)
    run = page.url
    expect(page.locator("main")).to_contain_text("does not accept the key", timeout=LONG)
    page.goto(f"{universe}/settings/accounts")
    expect(page.get_by_role("heading", name="Runs that an account stopped")).to_be_visible()
    store_key(page, universe, service.code, KEYS[service.code])
    expect(page.get_by_text("1 run that it had stopped goes on.")).to_be_visible()
    page.goto(run)
