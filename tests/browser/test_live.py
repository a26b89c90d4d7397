"""The camera, live: a fake one of Chromium's that shows a real photograph."""

import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import BROWSER_ARGUMENTS, chromium
from tests.browser.steps import card, set_threshold, until
from tests.browser.test_everyone import violations

pytestmark = pytest.mark.browser

NO_CAMERA = "Object.defineProperty(navigator.mediaDevices, 'getUserMedia', { value: async () => { throw %s; } })"
HIDE = """(isHidden) => {
    Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
}"""


def write_film(path: Path, picture: Image.Image) -> None:
    """A film (YUV4MPEG2, 640 x 480) of one still picture, which Chromium's fake camera plays over and over."""
    y, blue, red = (np.asarray(one) for one in picture.resize((640, 480)).convert("YCbCr").split())
    frame = y.tobytes() + blue[::2, ::2].tobytes() + red[::2, ::2].tobytes()
    path.write_bytes(b"YUV4MPEG2 W640 H480 F20:1 Ip C420jpeg\n" + (b"FRAME\n" + frame) * 5)


@pytest.fixture(scope="module")
def camera_browser(browser: Browser, tmp_path_factory, cat: Image.Image) -> Iterator[Browser]:
    """A browser with a camera that sees a cat. Its `lan.test` is this machine, as another one on a network sees it."""
    film = tmp_path_factory.mktemp("film") / "cat.y4m"
    write_film(film, cat.crop((20, 0, 420, 300)))
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    camera = [f"--use-file-for-fake-video-capture={film}", "--host-resolver-rules=MAP lan.test 127.0.0.1"]
    launched = browser.browser_type.launch(executable_path=chromium(), args=[*BROWSER_ARGUMENTS, *fake, *camera])
    yield launched
    launched.close()


@pytest.fixture
def live_page(camera_browser: Browser, server: str) -> Iterator[Callable[..., Page]]:
    contexts = []
    failures: list[str] = []

    def open_it(address: str = server, before: str | None = None, **options) -> Page:
        context = camera_browser.new_context(locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        if before:
            page.add_init_script(before)
        page.goto(address)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert failures == []


def start(page: Page) -> None:
    page.get_by_role("button", name="Use the camera live").click()
    expect(page.locator(".live .guesses li")).to_have_count(3, timeout=20_000)


def test_the_camera_s_code_comes_only_when_it_is_asked_for(live_page):
    page = live_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    start(page)
    assert {"live.js", "smoothing.js"} <= set(asked)


def test_it_says_what_it_sees_and_the_threshold_decides(live_page):
    page = live_page()
    start(page)
    answer = page.locator(".live-answer")
    expect(answer.locator(".name")).to_have_text(re.compile("cat|Mau"), timeout=20_000)
    expect(page.locator("#announcer")).to_contain_text("The camera sees: ")
    assert violations(page) == []
    set_threshold(page, 0.7)
    expect(answer.locator(".name")).to_have_text("A cat, breed unsure")
    set_threshold(page, 1)
    expect(answer.locator(".name")).to_have_text("Unknown")
    page.get_by_role("link", name="中文").click()
    expect(answer.locator(".name")).to_have_text("未知类别")
    expect(answer.locator(".guess-name").first).to_contain_text("猫")
    expect(page.get_by_role("button", name="停止")).to_be_visible()


def test_frames_are_small_and_never_two_at_once(live_page):
    page = live_page()
    under_way, most, sizes = [0], [0], []

    def hold(route: Route) -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        body = route.request.post_data_buffer or b""
        sizes.append(jpeg_size(body))
        response = route.fetch()
        time.sleep(0.4)  # a slow server: meanwhile nothing piles up
        under_way[0] -= 1
        route.fulfill(response=response)

    page.route("**/predict", hold)
    page.get_by_role("button", name="Use the camera live").click()
    page.wait_for_timeout(4000)
    until(page, lambda: len(sizes) >= 2)
    page.unroute_all(behavior="wait")  # the page must not go while an answer is being fetched
    assert 2 <= len(sizes) <= 9, "about two a second, and as many as a slow server answers"
    assert most == [1]
    assert {min(size) for size in sizes} == {320}


def jpeg_size(body: bytes) -> tuple[int, int]:
    start = body.index(b"\xff\xd8\xff")
    return Image.open(io.BytesIO(body[start:])).size


def test_about_two_questions_a_second(live_page):
    page = live_page()
    asked: list[float] = []
    page.on("request", lambda request: asked.append(time.monotonic()) if "/predict" in request.url else None)
    start(page)
    page.wait_for_timeout(3000)
    until(page, lambda: len(asked) >= 3)
    assert (asked[-1] - asked[0]) / (len(asked) - 1) > 0.35, "not faster than twice a second"


def test_while_the_page_is_hidden_nothing_is_asked(live_page):
    page = live_page()
    start(page)
    page.evaluate(HIDE, True)
    page.wait_for_timeout(1500)  # what was under way is through
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert asked == []
    with page.expect_request("**/predict"):
        page.evaluate(HIDE, False)


def test_stop_releases_the_camera(live_page):
    page = live_page(
        before="""
        const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wish) => (window.stream = await real(wish));
        """
    )
    start(page)
    assert page.evaluate("stream.getTracks().map((track) => track.readyState)") == ["live"]
    page.get_by_role("button", name="Stop").click()
    assert page.evaluate("stream.getTracks().map((track) => track.readyState)") == ["ended"]
    expect(page.locator("#live")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera live")).to_be_focused()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1200)
    assert asked == []
    start(page)


def test_a_kept_photo_becomes_a_card(live_page):
    page = live_page()
    start(page)
    page.get_by_role("button", name="Keep this photo").click()
    expect(page.locator("#announcer")).to_contain_text("among the results")  # it is taken away after ten seconds
    expect(card(page)).to_have_attribute("data-state", "known")
    expect(card(page).locator(".facts")).to_contain_text("640 × 480")
    expect(page.locator(".live .guesses li")).to_have_count(3)


def test_a_busy_server_is_left_alone_for_as_long_as_it_wishes(live_page):
    page = live_page()
    start(page)
    asked: list[float] = []

    def refuse(route: Route) -> None:
        asked.append(time.monotonic())
        problem = '{"code": "rate_limited", "detail": "Too many."}'
        headers = {"Retry-After": "2", "Content-Type": "application/problem+json"}
        route.fulfill(status=429, headers=headers, body=problem)

    page.route("**/predict", refuse)
    expect(page.locator(".live .message")).to_contain_text("trying again in 2 s", timeout=20_000)
    page.wait_for_timeout(7000)
    assert min(np.diff(asked)) > 1.9
    expect(page.locator(".live .message")).to_contain_text("Too many requests")
    page.unroute("**/predict")
    expect(page.locator(".live .message")).to_have_text("", timeout=20_000)


def test_another_mode_answers_from_the_next_question_on(live_page):
    page = live_page()
    start(page)
    page.get_by_label("Mode", exact=True).select_option("fruit")
    expect(page.locator(".live .guess-name").first).to_have_text("apple", timeout=20_000)
    expect(page.locator(".live .guesses li")).to_have_count(2)
    expect(page.locator(".live .guess-share").first).to_have_text("55%")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("new DOMException('', 'NotAllowedError')", "not allowed"),
        ("new DOMException('', 'NotFoundError')", "There is no camera here."),
        ("new DOMException('', 'NotReadableError')", "another program"),
    ],
)
def test_no_camera_is_said_in_a_sentence(live_page, error, sentence):
    page = live_page(before=NO_CAMERA % error)
    page.get_by_role("button", name="Use the camera live").click()
    expect(page.locator("#notice")).to_contain_text(sentence)
    expect(page.locator("#live")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera live")).to_be_visible()


def test_a_plain_network_address_is_told_why_there_is_no_camera(live_page, server):
    page = live_page(server.replace("127.0.0.1", "lan.test"))
    page.get_by_role("button", name="Use the camera live").click()
    expect(page.locator("#notice")).to_contain_text("only over https, or on this machine itself")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("#notice")).to_contain_text("浏览器只允许 https 页面或本机页面使用摄像头")


def test_a_camera_that_is_unplugged_is_missed(live_page):
    page = live_page()
    start(page)
    page.evaluate("document.querySelector('video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator("#notice")).to_contain_text("The camera is gone.")
    expect(page.locator("#live")).to_be_hidden()


def test_of_several_cameras_one_can_be_chosen(live_page):
    page = live_page(
        before="""
        window.wishes = [];
        const devices = navigator.mediaDevices;
        const [real, list] = [devices.getUserMedia.bind(devices), devices.enumerateDevices.bind(devices)];
        devices.getUserMedia = (wish) => { wishes.push(wish.video); return real({ video: true }); };
        devices.enumerateDevices = async () => [...await list(), { kind: "videoinput", deviceId: "back" }];
        """
    )
    start(page)
    page.get_by_role("button", name="Other camera").click()
    expect(page.locator(".live .guesses li")).to_have_count(3)
    first, second = page.evaluate("wishes")
    assert first["facingMode"] == {"ideal": "environment"}
    assert second["deviceId"] == {"exact": "back"}


def test_one_camera_has_no_switch(live_page):
    page = live_page()
    start(page)
    expect(page.get_by_role("button", name="Other camera")).to_have_count(0)


def test_the_answer_is_an_average_over_time(live_page):
    page = live_page()
    averaged = page.evaluate(
        """async () => {
            const { Smoothing } = await import("/static/smoothing.js");
            const one = new Smoothing();
            const guess = (index, confidence) => ({ index, label: String(index), confidence });
            const told = [one.add([guess(1, 0.9), guess(2, 0.1)], 10), one.add([guess(2, 0.8)], 10.5),
                one.add([guess(2, 0.8)], 30)];
            return told.map((entries) => entries.map(({ index, confidence }) => [index, confidence]));
        }"""
    )
    kept = np.exp(-0.5)
    expected = [
        [[1, 0.9], [2, 0.1]],
        [[1, 0.9 * kept], [2, 0.1 * kept + 0.8 * (1 - kept)]],
        [[2, 0.8]],
    ]
    for mine, theirs in zip(averaged, expected, strict=True):
        assert [index for index, _ in mine] == [index for index, _ in theirs]
        assert [share for _, share in mine] == pytest.approx([share for _, share in theirs], abs=1e-3)
