"""A job watched in a real browser: what it does, its curves, the connection that goes and comes back, and its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.browser.played_job import PlayedJob

pytestmark = pytest.mark.browser

DRAW = """async (id) => {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = "/static/job.css";
  const host = document.createElement("div");
  host.className = "sheet";
  document.querySelector("main").append(host);
  document.head.append(style);
  const { JobView } = await import("/static/job_view.js");
  window.ends = [];
  const view = new JobView(host, { onEnd: (job) => window.ends.push(job) });
  view.follow(id);
}"""
FOLLOW = """async (id) => {
  const { followJob } = await import("/static/job.js");
  window.events = [];
  window.connection = [];
  followJob(id, {
    onEvent: (event) => window.events.push(event),
    onEnd: (job) => { window.end = job; },
    onConnection: (isThere) => window.connection.push(isThere),
    onFailure: (error) => { window.failure = error.message; },
  });
}"""


@pytest.fixture
def models(admin_application: Flask) -> Path:
    folder: Path = admin_application.extensions["settings"].models_dir
    return folder


@pytest.fixture
def open_place(browser: Browser, admin_server: str) -> Iterator[Callable[..., Page]]:
    """A page with a login behind it, without the check on console errors: a lost connection makes some."""
    with places(browser, admin_server) as open_it:
        yield open_it


@contextmanager
def places(browser: Browser, server: str) -> Iterator[Callable[..., Page]]:
    contexts = []

    def open_it(path: str = "/models", **options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB", **options})
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.goto(server + path)
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def job(models: Path) -> PlayedJob:
    played = PlayedJob(models)
    played.tell("part", name="examining photos", length=40)
    played.tell("step", done=12)
    return played


def until(page: Page, condition: str) -> None:
    """Wait until a script's condition holds; the page's policy does not let playwright wait inside of it."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def learn(job: PlayedJob, epochs: range) -> None:
    for epoch in epochs:
        job.learn(epoch, 1 / epoch, 1.2 / epoch, 1 - 0.5 / epoch)


def test_a_beginner_sees_what_it_does_and_how_far_it_is(open_place: Callable[..., Page], job: PlayedJob) -> None:
    page = open_place()
    page.evaluate(DRAW, job.id)
    expect(page.locator(".job-now", has_text="Looking your photos over")).to_be_visible()
    expect(page.get_by_text("12 of 40 photos")).to_be_visible()
    assert page.get_by_role("progressbar", name="Looking your photos over").evaluate("bar => bar.value") == 12
    job.tell("say", en="Two photos are the same.", zh="有两张照片相同。")
    job.tell("part", name="head: epochs", length=60)
    learn(job, range(1, 9))
    expect(page.locator(".job-now", has_text="Learning to tell them apart")).to_be_visible()
    expect(page.get_by_role("img", name="Round 8: loss 0.125, 94% right.")).to_have_count(2)
    expect(page.locator(".job-chart path")).to_have_count(3)
    page.get_by_text("What it noticed (1)").click()
    expect(page.get_by_text("Two photos are the same.")).to_be_visible()
    job.end()
    expect(page.get_by_text("Done.")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert page.evaluate("window.ends.map((job) => job.state)") == ["done"]


def test_the_bar_never_goes_back_within_a_part(open_place: Callable[..., Page], job: PlayedJob) -> None:
    page = open_place()
    page.evaluate(DRAW, job.id)
    expect(page.get_by_text("12 of 40 photos")).to_be_visible()
    job.tell("step", done=30)
    job.tell("step", done=20)
    expect(page.get_by_text("30 of 40 photos")).to_be_visible()
    job.end()


def test_a_lost_connection_is_told_and_found_again_and_nothing_is_missed_or_heard_twice(
    open_place: Callable[..., Page], job: PlayedJob
) -> None:
    page = open_place()
    page.evaluate(DRAW, job.id)
    page.evaluate(FOLLOW, job.id)
    expect(page.get_by_text("12 of 40 photos")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("The connection is lost.")).to_be_visible()
    job.tell("part", name="head: epochs", length=60)
    learn(job, range(1, 6))
    page.context.set_offline(False)
    expect(page.locator(".job-now", has_text="Learning to tell them apart")).to_be_visible()
    expect(page.get_by_text("The connection is lost.")).to_have_count(0)
    learn(job, range(6, 8))
    job.end()
    until(page, "window.end !== undefined")
    assert page.evaluate("window.connection") == [False, True]
    events = page.evaluate("window.events")
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == list(range(1, 8))
    assert [event["event"] for event in events].count("part") == 2


def test_a_job_can_be_stopped_after_a_second_thought(open_place: Callable[..., Page], job: PlayedJob) -> None:
    page = open_place()
    page.evaluate(DRAW, job.id)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop it")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    job.end(None, cancelled=True)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert page.evaluate("window.ends[0].state") == "cancelled"


def test_a_failure_is_told_in_the_language_of_the_page_with_its_reason(
    open_place: Callable[..., Page], job: PlayedJob
) -> None:
    page = open_place("/models?lang=zh")
    page.evaluate(DRAW, job.id)
    expect(page.locator(".job-now", has_text="正在检查照片")).to_be_visible()
    job.end(1, error="There is no photo to validate on.")
    expect(page.get_by_text("没有成功。")).to_be_visible()
    expect(page.locator("[lang=en]", has_text="There is no photo to validate on.")).to_be_visible()


def test_a_job_that_is_unknown_is_followed_no_longer(open_place: Callable[..., Page]) -> None:
    page = open_place()
    page.evaluate(FOLLOW, "0123456789abcdef")
    until(page, "window.failure !== undefined")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways_on_a_small_phone(
    open_place: Callable[..., Page], job: PlayedJob, scheme: str, language: str
) -> None:
    job.tell("say", en="Two photos are the same.", zh="有两张照片相同。")
    job.tell("part", name="head: epochs", length=60)
    learn(job, range(1, 30))
    page = open_place(f"/models?lang={language}", viewport={"width": 320, "height": 700}, color_scheme=scheme)
    page.evaluate(DRAW, job.id)
    expect(page.locator(".job-chart path")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    found = Axe().run(page).response["violations"]
    job.end()
    assert [one["id"] for one in found] == []
