"""The place Models in a real browser: what people do with the versions of a mode, and that everyone can."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page, expect
from torch import nn

from app.registry import jobs
from app.registry.state import active_version, history_of, new_trial, set_trial
from app.serving.manager import ModelManager
from tests.browser.models_seen import add_strangers, write_colours

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
JOB_MS = 600_000
"""A job takes only what others leave of two cores: ten seconds of its own can be minutes where much else runs."""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def written(admin_application: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The mode `colours` of three versions, v2 active; removed afterwards."""
    models_dir: Path = admin_application.extensions["settings"].models_dir
    write_colours(manager_of(admin_application), models_dir, tmp_path_factory.mktemp("seen") / "photos")
    yield models_dir / "colours"
    for key in ("colours", "farm"):
        shutil.rmtree(models_dir / key, ignore_errors=True)
    manager_of(admin_application).refresh()


@pytest.fixture
def colours(written: Path, admin_application: Flask) -> Iterator[Path]:
    """The mode's folder; afterwards everything is as it was."""
    state, v3 = (written / "state.json").read_bytes(), written.parent / ".v3-kept"
    shutil.copytree(written / "v3", v3)
    manager_of(admin_application).refresh()
    yield written
    for job in jobs.list_jobs(written.parent):  # which a test that failed may have left
        jobs.cancel(written.parent, job)
    (written / "state.json").write_bytes(state)
    if not (written / "v3").exists():
        shutil.copytree(v3, written / "v3")
    shutil.rmtree(v3)
    manager_of(admin_application).refresh()


def manager_of(app: Flask) -> ModelManager:
    manager: ModelManager = app.extensions["recogniser"].manager
    return manager


def row(page: Page, version: str) -> Any:
    return page.locator(f"#version-{version}")


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


# ---- every mode ----


def test_every_mode_is_listed_with_its_figures_and_leads_to_its_page(open_admin: Open, colours: Path) -> None:
    page = open_admin("/models")
    entry = page.locator(".mode").filter(has_text="Colours")
    expect(entry).to_contain_text(re.compile(r"\d+\.\d%.*\d+–\d+% with 95% certainty"))
    expect(entry).to_contain_text("24 test photos")
    expect(page.locator(".mode").filter(has_text="imagenet")).to_contain_text("Comes with Wanwu")
    entry.get_by_role("link", name="Colours").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Colours")
    expect(row(page, "v2")).to_contain_text("In service")
    expect(page.locator("#versions tbody tr")).to_have_count(3)


def test_a_mode_that_cannot_be_served_says_why_in_the_readers_language(
    open_admin: Open, admin_application: Flask, colours: Path
) -> None:
    broken = colours.parent / "broken.pth"
    torch.save(nn.Linear(3, 2).state_dict(), broken)
    manager_of(admin_application).refresh()
    try:
        page = open_admin("/models", locale="zh-CN")
        expect(page.locator(".mode").filter(has_text="broken")).to_contain_text("无法使用：旁边没有标签文件")
    finally:
        broken.unlink()
        manager_of(admin_application).refresh()


def test_the_base_mode_is_shown_and_says_what_sets_its_threshold(open_admin: Open) -> None:
    page = open_admin("/models/imagenet")
    expect(page.locator("#standing")).to_contain_text("stays as it is")
    expect(page.locator("#standing")).to_contain_text("THRESHOLD")
    expect(page.get_by_role("heading", name="Versions")).not_to_be_visible()
    assert violations(page) == []


def test_a_mode_that_is_not_there_is_said_in_a_sentence(open_admin: Open) -> None:
    page = open_admin("/models/nothing", failing="/api/modes/nothing")
    expect(page.get_by_role("alert").first).to_contain_text("There is no mode called 'nothing'")


# ---- better, or not at all ----


def test_what_is_not_better_is_refused_with_its_reason_and_promoted_only_by_force(
    open_admin: Open, colours: Path
) -> None:
    page = open_admin("/models/colours", locale="zh-CN")
    row(page, "v3").get_by_role("button", name="启用 v3").click()
    expect(page.locator("#work")).to_contain_text("正在将 v3 与当前版本比较")
    work = page.locator("#work .outcome")
    expect(work.get_by_role("heading")).to_have_text("继续使用 v2；v3 留作备选。", timeout=JOB_MS)
    expect(work).to_contain_text(re.compile(r"24 张照片检验，v3 答对 \d+ 张，v2 答对 \d+ 张。"))
    expect(work).to_contain_text("新版本并没有更好")
    assert active_version(colours) == "v2"
    work.get_by_role("button", name="仍要启用").click()
    page.locator("#confirm").get_by_role("button", name="取消").click()
    assert active_version(colours) == "v2"
    work.get_by_role("button", name="仍要启用").click()
    page.locator("#confirm").get_by_role("button", name="仍要启用").click()
    expect(work.get_by_role("heading")).to_have_text("v3 已投入使用。", timeout=JOB_MS)
    expect(row(page, "v3")).to_contain_text("正在使用")
    newest = page.locator("#history li").first
    expect(newest).to_contain_text("v3 启用，取代 v2")
    expect(newest).to_contain_text("强制")
    expect(newest).to_contain_text("v3 并不优于 v2")


def test_a_rollback_is_one_click_and_so_is_the_way_forward(open_admin: Open, colours: Path) -> None:
    page = open_admin("/models/colours")
    page.get_by_role("button", name="Roll back to v1").click()
    expect(page.locator("#notice")).to_contain_text("v1 is in service again, instead of v2.")
    expect(row(page, "v1")).to_contain_text("In service")
    assert active_version(colours) == "v1"
    page.get_by_role("button", name="Go forward to v2 again").click()
    expect(row(page, "v2")).to_contain_text("In service")
    expect(page.locator("#history li").first).to_contain_text("v2 came back into service instead of v1")
    assert [event.action for event in history_of(colours).history[-2:]] == ["rollback", "rollback"]


def test_two_versions_are_compared_by_their_figures_and_on_the_same_photos(open_admin: Open, colours: Path) -> None:
    page = open_admin("/models/colours")
    page.get_by_label("This version").select_option("v1")
    figures = page.get_by_role("region", name="The figures of both")
    expect(figures.get_by_role("row", name=re.compile("^Accuracy"))).to_contain_text("33.3%")
    expect(figures.get_by_role("row", name=re.compile("^Recall, red"))).to_contain_text("0.0%")
    page.get_by_role("button", name="Let both answer the same photos").click()
    result = page.locator("#compare-work .outcome")
    expect(result.get_by_role("heading")).to_have_text("v2 is better", timeout=JOB_MS)
    expect(result).to_contain_text("On 24 photos that neither has learned from, v1 has 8 right")
    expect(result.get_by_role("row", name=re.compile("^Right where"))).to_be_visible()
    assert active_version(colours) == "v2"
    page.get_by_label("beside this one").select_option("v1")
    expect(page.get_by_role("button", name="Let both answer the same photos")).to_be_disabled()


# ---- a second version beside it ----


def test_a_trial_is_begun_watched_live_and_stopped(
    open_admin: Open, colours: Path, admin_application: Flask, pictures: dict[str, Path]
) -> None:
    page = open_admin("/models/colours")
    page.get_by_role("radio", name="Shadow").check()
    expect(page.get_by_label("Share of people")).not_to_be_visible()
    page.get_by_label("Why?").fill("curious")
    page.get_by_role("button", name="Begin the trial").click()
    expect(page.locator("#trial-numbers .arm")).to_have_count(2)
    expect(row(page, "v3")).to_contain_text("On trial")
    assert history_of(colours).history[-1].why == "curious"
    manager_of(admin_application).refresh()
    photo = pictures["cat"].read_bytes()
    client = admin_application.test_client()
    for _ in range(2):
        assert client.post("/predict?mode=colours", data=photo, content_type="image/jpeg").status_code == 200
    seen = page.locator("#trial-numbers .figure")
    for _ in range(50):  # a shadow is counted when it has looked, after the answer
        admin_application.extensions["counts"].flush()
        page.wait_for_timeout(200)
        if seen.all_inner_texts() == ["2 photos", "2 photos"]:
            break
    expect(seen).to_have_text(["2 photos", "2 photos"])
    expect(page.locator("#trial-numbers .arm").last).to_contain_text("Agrees with the one in service")
    assert violations(page) == []
    page.get_by_role("button", name="Stop the trial").click()
    expect(page.get_by_role("button", name="Begin the trial")).to_be_visible()
    expect(page.locator("#history li").first).to_contain_text("v3 ended its trial")
    assert history_of(colours).trial is None


def test_a_trial_that_the_server_ended_says_why(open_admin: Open, colours: Path) -> None:
    set_trial(colours, new_trial("v3", "split", 0.2), by="ann", why="")
    set_trial(colours, None, by="the server", why="it erred 5 times, at last with ModelError: x")
    expect(open_admin("/models/colours", locale="zh-CN").locator("#trial")).to_contain_text(
        "v3 的试用已自动结束：它连续出错 5 次，已自动停止。"
    )


# ---- the threshold ----


def test_the_threshold_is_dragged_and_changes_what_predict_answers(
    open_admin: Open, colours: Path, admin_application: Flask, pictures: dict[str, Path]
) -> None:
    add_strangers(admin_application.extensions["database"], [0.4, 0.45, 0.8])
    client = admin_application.test_client()

    def asked() -> Any:
        manager_of(admin_application).refresh()
        sent = {"data": pictures["cat"].read_bytes(), "content_type": "image/jpeg"}
        return client.post("/predict?mode=colours", **sent).json

    assert asked()["threshold"] == 0.5
    page = open_admin("/models/colours")
    words = page.locator(".threshold-words")
    expect(words).to_contain_text("At 50%:")
    expect(words).to_contain_text("1 of 3 strangers would still get a name.")
    page.locator(".plot").scroll_into_view_if_needed()
    box = page.locator(".plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(words).to_contain_text("At 90%:")
    expect(words).to_contain_text("0 of 3 strangers")
    expect(words).to_contain_text(re.compile(r"\d+ of 24 known photos would be called unknown"))
    assert asked()["threshold"] == 0.5, "nothing is set before the button is pressed"
    page.get_by_role("button", name="Set to 90%").click()
    expect(page.locator("#standing .standing-threshold")).to_contain_text("90%")
    answer = asked()
    assert (answer["threshold"], answer["results"][0]["unknown"]) == (0.9, True)
    expect(page.locator("#history li").first).to_contain_text("v2 got the threshold 90%")
    page.get_by_role("slider", name="Threshold").press("ArrowLeft")
    expect(words).to_contain_text("At 89%:")
    page.get_by_role("button", name="Back to the version’s own, 50%").click()
    expect(page.locator("#standing")).to_contain_text("50%")
    assert asked()["threshold"] == 0.5


def test_photos_of_other_things_are_shown_to_it_and_counted_in_the_browser_only(
    open_admin: Open, colours: Path, pictures: dict[str, Path]
) -> None:
    page = open_admin("/models/colours")
    page.get_by_label("Version", exact=True).select_option("v1")
    expect(page.locator(".strangers .hint")).to_be_visible()
    page.set_input_files("#threshold-file", [str(pictures["cat"]), str(pictures["coffee"])])
    expect(page.locator(".threshold-words")).to_contain_text("2 of 2 strangers would still get a name.")
    expect(page.locator(".strangers .hint")).not_to_be_visible()


# ---- one version ----


def test_a_version_is_tried_on_a_photo_whether_it_serves_or_not(
    open_admin: Open, colours: Path, pictures: dict[str, Path]
) -> None:
    page = open_admin("/models/colours")
    row(page, "v1").get_by_role("button", name="Try v1").click()
    page.set_input_files("#try-file", str(pictures["cat"]))
    expect(page.locator("#try-answer .try-said")).to_have_text("blue")
    expect(page.locator("#try-answer li")).to_have_count(3)
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#try")).not_to_be_visible()


def test_a_version_is_deleted_only_after_a_question_and_never_the_active_one(open_admin: Open, colours: Path) -> None:
    page = open_admin("/models/colours")
    expect(row(page, "v2").get_by_role("button", name="Delete")).to_have_count(0)
    row(page, "v3").get_by_role("button", name="Delete v3").click()
    page.keyboard.press("Escape")
    assert (colours / "v3").is_dir()
    row(page, "v3").get_by_role("button", name="Delete v3").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(row(page, "v3")).to_have_count(0)
    expect(page.locator("#announcer")).to_have_text("v3 is deleted.")
    assert not (colours / "v3").exists()


def test_a_version_is_exported_and_downloaded(open_admin: Open, colours: Path) -> None:
    page = open_admin("/models/colours")
    row(page, "v2").get_by_role("button", name="Export v2").click()
    page.get_by_role("button", name="Write it").click()
    expect(page.locator("#work .outcome")).to_contain_text("The export is ready", timeout=JOB_MS)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".zip")


def test_a_model_is_imported_and_what_is_wrong_with_it_is_said_first(
    open_admin: Open, colours: Path, admin_application: Flask, tmp_path: Path
) -> None:
    width = manager_of(admin_application).mode("imagenet").backbone.width
    buffer = io.BytesIO()
    torch.save(nn.Linear(width, 2).state_dict(), buffer)
    (tmp_path / "farm.pth").write_bytes(buffer.getvalue())
    (tmp_path / "one.txt").write_text("cow\n")
    (tmp_path / "two.txt").write_text("cow\t牛\npig\t猪\n")
    page = open_admin("/models", failing="/import")
    page.get_by_role("button", name="Import a model").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Import").click()
    expect(dialog.get_by_role("alert")).to_have_text("Choose a model file first.")
    page.set_input_files("#import-file", str(tmp_path / "farm.pth"))
    expect(dialog.get_by_label("Mode", exact=True)).to_have_value("farm")
    dialog.get_by_role("button", name="Import").click()
    expect(dialog.get_by_role("alert")).to_contain_text("add a labels file")
    page.set_input_files("#import-labels", str(tmp_path / "one.txt"))
    dialog.get_by_role("button", name="Import").click()
    expect(dialog.get_by_role("alert")).to_contain_text("its head has 2 classes and its labels file 1", timeout=JOB_MS)
    assert violations(page) == []
    page.set_input_files("#import-labels", str(tmp_path / "two.txt"))
    dialog.get_by_label("Title in English").fill("The farm")
    dialog.get_by_role("button", name="Import").click()
    expect(page.locator("#announcer")).to_contain_text("Imported as v1, and in service now.", timeout=JOB_MS)
    expect(row(page, "v1")).to_contain_text("imported from farm.pth")


# ---- for everyone ----


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_either_page(open_admin: Open, colours: Path, scheme: str, locale: str) -> None:
    options = {"color_scheme": scheme, "locale": locale, "reduced_motion": "reduce"}
    page = open_admin("/models", **options)
    expect(page.locator(".mode").first).to_be_visible()
    assert violations(page) == []
    page.locator("#import-open").click()
    assert violations(page) == []
    page = open_admin("/models/colours", **options)
    expect(page.locator(".threshold-now")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_phone_shows_cards_never_scrolls_sideways_and_has_large_targets(
    open_admin: Open, colours: Path, locale: str
) -> None:
    for path, sign in (("/models", ".mode"), ("/models/colours", ".threshold-now"), ("/models/imagenet", ".standing")):
        page = open_admin(path, locale=locale, **PHONE)
        expect(page.locator(sign).first).to_be_visible()
        assert page.evaluate(SIDEWAYS) == 0
        assert violations(page) == []
        for target in page.locator("main :is(button, select, input, a.link, a.button):visible").all():
            box = target.bounding_box()
            assert box["height"] >= 24 or target.get_attribute("type") in ("radio", "file"), target
    page = open_admin("/models/colours", locale=locale, viewport={"width": 320, "height": 700})
    expect(page.locator(".threshold-now")).to_be_visible()
    assert page.evaluate(SIDEWAYS) == 0
