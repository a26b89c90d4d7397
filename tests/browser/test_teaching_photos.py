"""Photos in an album, by every way that they come in, and what can be done with them."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests.browser.steps import until
from tests.browser.teaching import Open, choose, drop, photos, sideways, thing

pytestmark = pytest.mark.browser

CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}


def test_photos_are_moved_removed_and_brought_back(album: Open, things: Path) -> None:
    page = album("plum", "leaf", reduced_motion="reduce")  # nothing glides
    choose(page, "plum", sorted((things / "taught" / "plum").iterdir())[:4])
    expect(photos(page, "plum")).to_have_count(4)
    photos(page, "plum").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_role("group", name="Selected photos")).to_contain_text("2 selected")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(photos(page, "leaf")).to_have_count(2)
    expect(photos(page, "plum")).to_have_count(2)
    photos(page, "leaf").first.focus()
    page.keyboard.press("Delete")
    expect(photos(page, "leaf")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(photos(page, "leaf")).to_have_count(2)
    heading = thing(page, "plum").get_by_role("heading")
    heading.evaluate("one => one.scrollIntoView()")  # both are in sight then
    photos(page, "leaf").first.hover()
    page.mouse.down()
    goal = heading.bounding_box()
    page.mouse.move(goal["x"] + 10, goal["y"] + 10, steps=8)
    page.mouse.up()
    expect(photos(page, "plum")).to_have_count(3)
    page.reload()
    expect(photos(page, "plum")).to_have_count(3)


def test_a_class_is_renamed_and_deleted_and_comes_back_with_its_photos(album: Open, things: Path) -> None:
    page = album("plum", "leaf")
    choose(page, "plum", sorted((things / "taught" / "plum").iterdir())[:2])
    expect(photos(page, "plum")).to_have_count(2)
    page.get_by_role("button", name="Rename plum").click()
    form = thing(page, "plum").locator("form")
    form.get_by_label("Name", exact=True).fill("prune")
    page.keyboard.press("Enter")
    expect(thing(page, "prune")).to_be_visible()
    expect(page.get_by_role("button", name="Rename prune")).to_be_focused()
    page.get_by_role("button", name="Delete prune").click()
    expect(thing(page, "prune")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(photos(page, "prune")).to_have_count(2)


def test_what_is_no_photo_and_what_cannot_be_read_is_told_by_name(album: Open, things: Path, tmp_path: Path) -> None:
    page = album("plum", "leaf")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    good = things / "taught" / "plum" / "plum0.jpg"
    choose(page, "plum", [good, tmp_path / "notes.txt", tmp_path / "broken.jpg"])
    expect(photos(page, "plum")).to_have_count(1)
    expect(page.locator("#told")).to_contain_text("One file was left alone")
    expect(thing(page, "plum").locator(".failures")).to_contain_text("broken.jpg")
    choose(page, "leaf", [good])
    expect(thing(page, "leaf").locator(".failures")).to_contain_text("plum0.jpg")
    thing(page, "leaf").get_by_role("button", name="Dismiss").click()
    expect(thing(page, "leaf").locator(".failures")).to_be_hidden()


def test_what_was_noticed_is_said_with_the_photos_and_leads_to_them(album: Open, things: Path, tmp_path: Path) -> None:
    page = album("plum", "leaf")
    first, *others = sorted((things / "taught" / "plum").iterdir())
    again = tmp_path / "again.jpg"
    Image.open(first).resize((200, 150)).save(again, quality=80)
    choose(page, "plum", [first, again, *others[:2]])
    choose(page, "leaf", sorted((things / "taught" / "leaf").iterdir())[:2])
    finding = page.locator(".finding").filter(has_text="photos that differ teach more")
    expect(finding).to_be_visible()
    finding.get_by_role("button", name="Show photo 1").click()
    expect(page.locator(".grid [role=option]:focus")).to_have_count(1)
    finding.get_by_role("button", name="Select these photos").click()
    expect(page.get_by_role("group", name="Selected photos")).to_be_visible()


def test_a_pasted_photo_goes_to_the_class_in_focus_or_it_is_asked_which(album: Open, things: Path) -> None:
    page = album("plum", "leaf")
    paste = """(element) => {
        const canvas = new OffscreenCanvas(90, 90);
        const context = canvas.getContext("2d");
        context.fillStyle = element.id ? "teal" : "olive";
        context.fillRect(9, 9, 50, 50);
        return canvas.convertToBlob({ type: "image/png" }).then((blob) => {
            const data = new DataTransfer();
            data.items.add(new File([blob], "pasted.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true, clipboardData: data };
            element.dispatchEvent(new ClipboardEvent("paste", options));
        });
    }"""
    page.get_by_role("button", name="Rename leaf").focus()
    page.get_by_role("button", name="Rename leaf").evaluate(paste)
    expect(photos(page, "leaf")).to_have_count(1)
    page.evaluate("document.activeElement.blur()")
    thing(page, "plum").evaluate(paste)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What does this photo show?")
    dialog.get_by_label("Add to").select_option("plum")
    dialog.get_by_role("button", name="Add").click()
    expect(photos(page, "plum")).to_have_count(1)


def test_a_zip_dropped_anywhere_makes_the_classes(album: Open, things: Path, tmp_path: Path) -> None:
    page = album()
    archive = shutil.make_archive(str(tmp_path / "things"), "zip", things / "taught")
    drop(page, page.get_by_role("heading", level=1), Path(archive))
    expect(page.locator("#told")).to_contain_text("Unpacked: 36 photos added")
    expect(photos(page, "leaf")).to_have_count(12)


def test_the_camera_takes_bursts_while_the_button_or_the_space_bar_is_held(
    browser: Browser, album: Open, admin_server: str
) -> None:
    key = album("plum", "leaf").url.rsplit("/", 1)[1]
    seeing = browser.browser_type.launch(
        executable_path=browser_path(), args=["--no-sandbox", "--disable-gpu", *CAMERA]
    )
    page = seeing.new_page(**PHONE, locale="en-GB")
    page.goto(f"{admin_server}/teach/{key}")
    page.get_by_role("button", name="Camera: plum").first.click()
    expect(page.get_by_role("button", name="Take photos")).to_be_focused()
    page.keyboard.down(" ")
    expect(page.locator(".camera-count")).to_have_text(re.compile(r"^([4-9]|\d\d+) photos"))
    page.keyboard.up(" ")
    taken, before = 0, -1
    while taken != before:  # until those that were being drawn are counted, too
        page.wait_for_timeout(2000)
        before, taken = taken, int(page.locator(".camera-count").inner_text().split()[0])
    page.get_by_role("button", name="Done").click()
    expect(photos(page, "plum").nth(2)).to_be_attached()
    assert photos(page, "plum").count() <= taken, "a picture that the camera gives twice is kept once"
    assert sideways(page) == 0
    seeing.close()


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def test_leaving_while_photos_are_on_their_way_is_warned_of(album: Open, things: Path) -> None:
    page = album("plum", "leaf")
    held: list[Route] = []
    is_free = False

    def hold(route: Route) -> None:
        if is_free:
            route.continue_()
        else:
            held.append(route)

    page.route("**/classes/*/photos", hold)
    choose(page, "plum", sorted((things / "taught" / "plum").iterdir()))
    expect(thing(page, "plum")).to_contain_text("0 of 12")
    expect(page.locator("#train-problem")).to_have_text("Photos are still on their way.")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.evaluate("location.reload()")
    until(page, lambda: asked)
    assert asked == ["beforeunload"]
    is_free = True
    for route in held:
        route.continue_()
    expect(photos(page, "plum")).to_have_count(12)
