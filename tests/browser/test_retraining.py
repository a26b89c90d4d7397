"""The count until the next training is worth it, the training itself, and what came of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Locator, Page, expect

from app.config import Settings
from app.registry import jobs
from app.training.options import Options
from app.training.order import Order
from app.training.run import train
from tests.browser.corrections import correct, forget_corrections
from tests.browser.test_everyone import violations
from tests.feedback.correcting import accept
from tests.feedback.test_retrain import COLOURS, YELLOW, draw, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
QUICK = Options(epochs=6, views=1, device="cpu", precision="float32", augmentation="none")
TRAINED_MS = 600_000


@pytest.fixture
def taught(admin_application: Flask, tmp_path: Path) -> Iterator[Settings]:
    """The mode `colours`, taught from six photos of each of two colours; no correction yet."""
    forget_corrections(admin_application)
    settings = admin_application.extensions["settings"]
    manager = admin_application.extensions["recogniser"].manager
    draw(tmp_path / "photos" / "train", 6, seed=0)
    train(Order(tmp_path / "photos", "colours", QUICK, "Colours", "颜色"), settings)
    manager.refresh()
    yield settings
    for job in jobs.list_jobs(settings.models_dir):
        jobs.cancel(settings.models_dir, job)
    shutil.rmtree(settings.models_dir / "colours")
    shutil.rmtree(settings.models_dir / ".jobs", ignore_errors=True)
    manager.refresh()


def accepted(app: Flask, count: int, start: int = 0) -> None:
    """So many corrections that a reviewer has accepted."""
    labels = [*COLOURS]
    for seed in range(start, start + count):
        label = labels[seed % 2]
        accept(
            app.extensions["database"],
            app.extensions["settings"],
            "colours",
            picture(COLOURS[label], 5000 + seed),
            label,
        )


def row(page: Page, name: str = "Colours") -> Locator:
    return page.locator(".training").filter(has=page.get_by_role("heading", name=name))


def test_corrections_are_counted_and_a_training_is_followed_to_its_outcome(taught, open_admin, admin_application):
    accepted(admin_application, 3)
    page = open_admin()
    expect(row(page)).to_contain_text("3 of 20 new corrections that v1 has not learned from")
    assert row(page).get_by_role("progressbar").evaluate("bar => [bar.value, bar.max]") == [3, 20]
    expect(row(page).get_by_role("button", name="Train with these already")).to_have_class("link")
    accepted(admin_application, 17, start=3)
    page.reload()
    expect(row(page)).to_contain_text("20 new corrections that v1 has not learned from: worth a training")
    row(page).get_by_role("button", name="Train with them now").click()
    expect(row(page).locator(".job")).to_be_visible()
    expect(row(page).get_by_role("button", name="Train with them now")).to_be_hidden()
    page.reload()
    expect(row(page).locator(".job")).to_be_visible()
    outcome = row(page).locator(".training-outcome")
    expect(outcome).to_contain_text("v1 stays in service; v2 is kept beside it.", timeout=TRAINED_MS)
    expect(outcome).to_contain_text("32 photos to learn from or to be tested on, 20 of them corrections")
    expect(outcome.get_by_role("link")).to_have_attribute("href", "/models/colours")
    expect(row(page)).to_contain_text("0 of 20 new corrections that v2 has not learned from")
    assert row(page).get_by_role("button", name="Train").count() == 0
    page.reload()
    expect(row(page).locator(".training-outcome")).to_contain_text("v1 stays in service")
    assert violations(page) == []


def test_a_training_may_be_stopped_and_its_failure_is_told(taught, open_admin, admin_application, tmp_path):
    accepted(admin_application, 2)
    page = open_admin()
    row(page).get_by_role("button", name="Train with these already").click()
    row(page).get_by_role("button", name="Stop").click()
    row(page).get_by_role("button", name="Stop it").click()
    expect(row(page)).to_contain_text("Stopped.", timeout=TRAINED_MS)
    button = row(page).get_by_role("button", name="Train with these already")
    shutil.rmtree(tmp_path / "photos")
    button.click()
    expect(row(page)).to_contain_text("It did not work out. Nothing in service has changed.", timeout=TRAINED_MS)
    expect(row(page)).to_contain_text("There is no photo to validate on")
    expect(button).to_be_visible()


def test_what_cannot_be_retrained_says_why_and_what_to_do(open_admin, admin_application, tmp_path):
    forget_corrections(admin_application)
    picture(YELLOW, 1).save(tmp_path / "yellow.jpg")
    for mode, label in (("fruit", "lemon"), ("imagenet", "lemon")):
        correct(admin_application, [tmp_path / "yellow.jpg"], [label], mode=mode)
    page = open_admin()
    expect(row(page, "Fruit stall")).to_contain_text("without the photos that it was made from")
    base = row(page, "1000 everyday things")
    expect(base).to_contain_text("never trained")
    expect(base.get_by_role("link")).to_have_attribute("href", "/teach")
    expect(page.locator(".training button:visible, .training progress:visible")).to_have_count(0)
