"""Teaching a mode in the browser as a person does: names, photos, what was noticed, training, trying, into service."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from app.registry.files import write_file

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
COLOURS = {"plum": (110, 40, 120), "leaf": (50, 130, 50), "brick": (180, 70, 50)}
TRAINING_MS = 240_000
"""Jobs run on what others leave over; on a busy machine that is little."""
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn photos of each of three things, in a folder each; and one more of each to try."""
    chance = random.Random(7)
    root = tmp_path_factory.mktemp("things")
    for name, colour in COLOURS.items():
        for number in range(13):
            path = root / ("tried" if number == 12 else "taught") / name / f"{name}{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(name, colour, chance).save(path, quality=90)
    return root


def drawn(name: str, colour: tuple[int, int, int], chance: random.Random) -> Image.Image:
    """A round, a pointed or a square thing somewhere on a cluttered ground."""
    image = Image.new("RGB", (240, 180), tuple(chance.randint(160, 240) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        ends = [chance.randint(0, 240) for _ in range(4)]
        draw.line(ends, fill=tuple(chance.randint(120, 255) for _ in range(3)), width=chance.randint(1, 5))
    x, y, side = chance.randint(10, 110), chance.randint(10, 60), chance.randint(60, 110)
    box, shade = (x, y, x + side, y + side), tuple(one + chance.randint(-20, 20) for one in colour)
    if name == "plum":
        draw.ellipse(box, fill=shade)
    elif name == "leaf":
        draw.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=shade)
    else:
        draw.rectangle(box, fill=shade)
    return image


@pytest.fixture
def album(admin_server: str, open_admin: Open) -> Callable[..., Page]:
    """Open a new album of its own, with the classes asked for, on its page."""

    def begin(*classes: str, **options: object) -> Page:
        page = open_admin("/teach", **options)
        key = send(page, "/api/albums", title_en="Drawn", title_zh="画的")["key"]
        for name in classes:
            send(page, f"/api/albums/{key}/classes", label=name, label_zh=f"{name}名")
        page.goto(f"{admin_server}/teach/{key}")
        expect(page.locator(".thing")).to_have_count(len(classes))
        return page

    return begin


def send(page: Page, path: str, **body: str) -> dict:
    """What a program posts."""
    answer = page.request.post(f"http://{page.url.split('/')[2]}{path}", data=body)
    assert answer.ok, answer.text()
    return answer.json()


def thing(page: Page, name: str):
    """The section of one class."""
    return page.get_by_role("article", name=name)


def photos(page: Page, name: str):
    """The thumbnails of one class."""
    return thing(page, name).get_by_role("option")


def choose(page: Page, name: str, paths: list[Path]) -> None:
    """Choose photos for a class."""
    page.get_by_label(f"Choose photos of {name}").set_input_files([str(path) for path in paths])


def drop(page: Page, target, *paths: Path) -> None:
    """Drop files or folders from the desktop."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})


def sideways(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


def test_a_person_teaches_a_mode_and_puts_it_into_service(
    open_admin: Open, admin_server: str, admin_application: Flask, things: Path
) -> None:
    page = open_admin("/teach")
    page.get_by_label("Name in English").fill("Three things")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Three things")
    page.get_by_label("Name", exact=True).fill("plum")
    page.get_by_label("Chinese name").fill("李子")
    page.keyboard.press("Enter")
    expect(thing(page, "plum 李子")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
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
    page.get_by_role("link", name="Recognise with it").click()
    expect(page.get_by_label("Mode")).to_have_value("three-things")

    copy_version(admin_application.extensions["settings"].models_dir / "three-things", "v1", "v2")
    page.goto(f"{admin_server}/teach/three-things")
    page.get_by_role("button", name="Put version v2 into service").click()
    expect(page.get_by_text("v2 is no better than v1.")).to_be_visible(timeout=TRAINING_MS)
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


def test_photos_are_moved_removed_and_brought_back(album, things: Path) -> None:
    page = album("plum", "leaf")
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
    photos(page, "leaf").first.drag_to(thing(page, "plum").get_by_role("heading"))
    expect(photos(page, "plum")).to_have_count(3)
    page.reload()
    expect(photos(page, "plum")).to_have_count(3)


def test_a_class_is_renamed_and_deleted_and_comes_back_with_its_photos(album, things: Path) -> None:
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


def test_what_is_no_photo_and_what_cannot_be_read_is_told_by_name(album, things: Path, tmp_path: Path) -> None:
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


def test_what_was_noticed_is_said_with_the_photos_and_leads_to_them(album, things: Path, tmp_path: Path) -> None:
    page = album("plum", "leaf")
    first, *others = sorted((things / "taught" / "plum").iterdir())
    again = tmp_path / "again.jpg"
    Image.open(first).resize((200, 150)).save(again, quality=80)
    choose(page, "plum", [first, again, *others[:2]])
    choose(page, "leaf", sorted((things / "taught" / "leaf").iterdir())[:2])
    finding = page.locator(".finding").filter(has_text="photos that differ teach more")
    expect(finding).to_be_visible()
    finding.get_by_role("button", name="Show photo 1").click()
    expect(page.locator(".grid [data-shown]")).to_be_focused()
    finding.get_by_role("button", name="Select these photos").click()
    expect(page.get_by_role("group", name="Selected photos")).to_be_visible()


def test_a_pasted_photo_goes_to_the_class_in_focus_or_it_is_asked_which(album, things: Path) -> None:
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


def test_a_zip_dropped_anywhere_makes_the_classes(album, things: Path, tmp_path: Path) -> None:
    page = album()
    archive = shutil.make_archive(str(tmp_path / "things"), "zip", things / "taught")
    drop(page, page.get_by_role("heading", level=1), Path(archive))
    expect(page.locator("#told")).to_contain_text("Unpacked: 36 photos added")
    expect(photos(page, "leaf")).to_have_count(12)


def test_the_camera_takes_bursts_while_the_button_or_the_space_bar_is_held(
    browser: Browser, album, admin_server: str
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
    expect(page.locator(".camera-count")).to_have_text("4 photos")
    page.keyboard.up(" ")
    taken = int(page.locator(".camera-count").inner_text().split()[0])
    page.get_by_role("button", name="Done").click()
    expect(photos(page, "plum")).to_have_count(taken)
    assert sideways(page) == 0
    seeing.close()


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def test_leaving_while_photos_are_on_their_way_is_warned_of(album, things: Path) -> None:
    page = album("plum", "leaf")
    held = []
    page.route("**/classes/*/photos", held.append)
    choose(page, "plum", sorted((things / "taught" / "plum").iterdir()))
    expect(thing(page, "plum")).to_contain_text("0 of 12")
    expect(page.locator("#train-problem")).to_have_text("Photos are still on their way.")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.evaluate("location.reload()")
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    page.unroute("**/classes/*/photos")
    for route in held:
        route.continue_()
    expect(photos(page, "plum")).to_have_count(12)


def test_on_a_phone_the_next_step_waits_at_the_thumb(album, things: Path) -> None:
    page = album(**PHONE)
    page.get_by_role("button", name="Name the first thing").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("plum")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Name the second thing")).to_be_in_viewport()
    page.get_by_label("Name", exact=True).fill("leaf")
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
def test_axe_finds_nothing(album, things: Path, scheme: str, locale: str, admin_server: str) -> None:
    page = album(color_scheme=scheme, locale=locale, reduced_motion="reduce")
    found = [("empty", violations(page))]
    for name in ("plum", "leaf"):
        send(page, page.url.replace(admin_server, "").replace("/teach/", "/api/albums/") + "/classes", label=name)
    page.reload()
    page.locator(".thing-files").first.set_input_files(
        [str(things / "taught" / "plum" / "plum0.jpg"), {"name": "bad.jpg", "mimeType": "image/jpeg", "buffer": b"no"}]
    )
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
def test_nothing_sticks_out_sideways(album, things: Path, locale: str, width: int) -> None:
    page = album(
        "plum", "a name that is rather long for what it is", locale=locale, viewport={"width": width, "height": 740}
    )
    page.locator(".thing-files").first.set_input_files(str(things / "taught" / "plum" / "plum0.jpg"))
    page.get_by_role("option").first.click()
    page.locator(".thing-rename").first.click()
    assert sideways(page) == 0
