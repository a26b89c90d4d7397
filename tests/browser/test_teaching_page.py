"""Teaching a mode in the browser, from its name to its first use; on a phone, for everyone."""

import json
import shutil
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Route, expect

from app.registry.files import write_file
from tests.browser.steps import until
from tests.browser.teaching import Open, choose, drop, photos, send, sideways, thing, violations

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
TRAINING_MS = 600_000
"""Jobs run on what others leave over; on a busy machine that is little."""


def test_a_name_typed_before_the_page_can_do_anything_with_it_is_not_lost(open_admin: Open, admin_server: str) -> None:
    page = open_admin("/livez")
    held: list[Route] = []
    page.route("**/static/teach.js", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    page.goto(f"{admin_server}/teach", wait_until="commit")
    page.get_by_label("Name in English").fill("Slow things")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Begin")).to_be_disabled()
    until(page, lambda: held)
    for route in held:
        route.continue_()
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Slow things")


def test_a_person_teaches_a_mode_and_puts_it_into_service(
    open_admin: Open, admin_server: str, admin_application: Flask, things: Path
) -> None:
    page = open_admin("/teach")
    page.get_by_label("Name in English").fill("Three things")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Three things")
    page.locator("#add").get_by_label("Name", exact=True).fill("plum")
    page.get_by_label("Chinese name").fill("李子")
    page.keyboard.press("Enter")
    expect(thing(page, "plum 李子")).to_be_visible()
    expect(page.locator("#add").get_by_label("Name", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="Train")).to_be_disabled()

    choose(page, "plum", sorted((things / "taught" / "plum").iterdir()))
    expect(photos(page, "plum")).to_have_count(12)
    drop(page, thing(page, "plum"), things / "taught")
    expect(photos(page, "leaf")).to_have_count(12)
    expect(photos(page, "brick")).to_have_count(12)
    expect(thing(page, "plum")).to_contain_text("12 of these were there already")
    expect(page.locator("#findings-state")).to_have_text("The photos look good: nothing to remark.")

    page.get_by_role("button", name="Train").click()
    expect(page.locator("#train-job progress").first).to_be_visible()
    page.reload()
    expect(page.locator("#train-job progress").first).to_be_visible()
    expect(page.get_by_text("photos it had never seen")).to_be_visible(timeout=TRAINING_MS)
    expect(page.get_by_role("link", name="The full report of v1")).to_be_visible()

    page.locator("#try-choose").set_input_files(str(things / "tried" / "brick" / "brick12.jpg"))
    expect(page.locator("#try-answer .guesses li")).to_have_count(3)
    expect(page.locator("#try-answer .guesses li").first).to_contain_text("brick")
    expect(page.get_by_text("It will be ready in a moment.")).to_be_visible()
    admin_application.extensions["recogniser"].manager.refresh()  # as it does by itself every two seconds, in service
    page.get_by_role("link", name="Recognise with it").click()
    expect(page.get_by_label("Mode", exact=True)).to_have_value("three-things")

    copy_version(admin_application.extensions["settings"].models_dir / "three-things", "v1", "v2")
    page.goto(f"{admin_server}/teach/three-things")
    page.get_by_role("button", name="Put version v2 into service").click()
    expect(page.get_by_text("So it is no better.")).to_be_visible(timeout=TRAINING_MS)
    page.reload()
    expect(page.get_by_role("button", name="Keep v1")).to_be_visible()
    page.get_by_role("button", name="Put v2 into service anyway").click()
    page.get_by_role("dialog").get_by_role("button", name="Put it into service").click()
    expect(page.get_by_text("v2 is in service now.")).to_be_visible(timeout=TRAINING_MS)
    page.goto(f"{admin_server}/teach?lang=zh")
    expect(page.get_by_role("listitem").filter(has_text="Three things")).to_contain_text("使用中")


def copy_version(mode: Path, old: str, new: str) -> None:
    """A version that answers as another does, as if it had been trained again to no avail."""
    shutil.copytree(mode / old, mode / f".{new}")
    manifest = mode / f".{new}" / "manifest.json"
    write_file(manifest, json.dumps(json.loads(manifest.read_text()) | {"version": new}))
    (mode / f".{new}").rename(mode / new)


def test_on_a_phone_the_next_step_waits_at_the_thumb(album: Open, things: Path) -> None:
    page = album(**PHONE)
    page.get_by_role("button", name="Name the first thing").click()
    expect(page.locator("#add").get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("plum")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Name the second thing")).to_be_in_viewport()
    page.locator("#add").get_by_label("Name", exact=True).fill("leaf")
    page.keyboard.press("Enter")
    for name in ("plum", "leaf"):
        choose(page, name, sorted((things / "taught" / name).iterdir())[:10])
        expect(photos(page, name)).to_have_count(10)
    expect(page.locator("#next")).to_have_text("Train")
    assert sideways(page) == 0
    for target in page.locator("button:visible, select:visible, input:visible, main a:visible").all():
        box = target.bounding_box()
        assert min(box["height"], box["width"]) >= 24, target


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    album: Open, things: Path, scheme: str, locale: str, admin_server: str, tmp_path: Path
) -> None:
    page = album(color_scheme=scheme, locale=locale, reduced_motion="reduce")
    found = [("empty", violations(page))]
    for name in ("plum", "leaf"):
        send(page, page.url.replace(admin_server, "").replace("/teach/", "/api/albums/") + "/classes", label=name)
    page.reload()
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    page.locator(".thing-files").first.set_input_files([things / "taught" / "plum" / "plum0.jpg", bad])
    page.get_by_role("option").first.click()
    expect(page.locator(".failures:visible")).to_have_count(1)
    found.append(("photos, failures, selection", violations(page)))
    page.keyboard.press("Delete")
    page.locator(".thing-rename").first.click()
    found.append(("undo, renaming", violations(page)))
    page.goto(f"{admin_server}/teach")
    expect(page.locator(".album").first).to_be_visible()
    found.append(("list", violations(page)))
    assert [(state, names) for state, names in found if names] == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_sticks_out_sideways(album: Open, things: Path, locale: str, width: int) -> None:
    page = album(
        "plum", "a name that is rather long for what it is", locale=locale, viewport={"width": width, "height": 740}
    )
    page.locator(".thing-files").first.set_input_files(str(things / "taught" / "plum" / "plum0.jpg"))
    page.get_by_role("option").first.click()
    page.locator(".thing-rename").first.click()
    assert sideways(page) == 0
