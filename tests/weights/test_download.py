"""Downloading one file of known hash, whole, in pieces, and from servers that send something else."""

import time
from pathlib import Path

import pytest

from app.errors import WeightsError
from app.vision.download import download
from tests.weights.scripted_server import CONTENT, HALF, PREFIX, SHA256, Handler, Server, leave_part, part_of, silent

SOON_S = 15
"""Far more than the time limits given here, far less than what the servers here would make a patient client wait."""


# A good server


def test_a_file_is_fetched_checked_and_put_in_place(server: Server, target: Path) -> None:
    assert download(server.url, target, PREFIX) == SHA256
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()
    assert server.ranges == [None]


def test_progress_tells_the_bytes_that_are_here_of_all(server: Server, target: Path) -> None:
    told: list[tuple[int, int | None]] = []
    leave_part(target, CONTENT[:HALF])
    download(server.url, target, PREFIX, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (HALF, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


def test_a_file_already_in_place_is_not_asked_for(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert download(server.url, target, PREFIX) == SHA256
    assert server.ranges == []


def test_a_damaged_file_in_place_is_replaced(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1])
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT


def test_a_redirect_is_followed_and_resumed(server: Server, target: Path) -> None:
    leave_part(target, CONTENT[:HALF])
    server.answers = [lambda handler: handler.send(b"", status=302, Location="/elsewhere"), Handler.send_rest]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.asked[1] == "/elsewhere"
    assert server.ranges[1] == f"bytes={HALF}-"


def test_a_body_without_a_length_is_read_to_its_end(server: Server, target: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    told: list[int | None] = []
    server.answers = [endless]
    download(server.url, target, PREFIX, progress=lambda done, total: told.append(total))
    assert target.read_bytes() == CONTENT
    assert set(told) == {None}


def test_a_connection_kept_open_after_the_body_is_not_waited_for(server: Server, target: Path) -> None:
    def lingering(handler: Handler) -> None:
        handler.send(CONTENT)
        silent(handler)

    server.answers = [lingering]
    began = time.monotonic()
    download(server.url, target, PREFIX, timeout_s=20)
    assert time.monotonic() - began < SOON_S


def test_a_proxy_from_the_environment_is_used(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    download("http://weights.invalid/toy.pth", target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["http://weights.invalid/toy.pth"]


# Broken connections


def test_a_connection_that_breaks_half_way_is_resumed_there(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send_rest(stop=HALF), Handler.send_rest]
    assert download(server.url, target, PREFIX) == SHA256
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.served == len(CONTENT)


def test_a_part_left_by_an_earlier_call_is_resumed(server: Server, target: Path) -> None:
    leave_part(target, CONTENT[:1000])
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.served == len(CONTENT) - 1000


def test_a_part_that_is_complete_is_not_asked_for(server: Server, target: Path) -> None:
    leave_part(target, CONTENT)
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == []


def test_a_server_that_ignores_range_is_read_from_the_start(server: Server, target: Path) -> None:
    leave_part(target, b"x" * 1000)
    server.answers = [lambda handler: handler.send(CONTENT)]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_server_that_sends_another_part_is_asked_for_the_whole(server: Server, target: Path) -> None:
    leave_part(target, CONTENT[:1000])
    server.answers = [lambda handler: handler.send_rest(shift=10), Handler.send_rest]
    download(server.url, target, PREFIX, attempts=1)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_a_part_longer_than_the_file_is_started_over(server: Server, target: Path) -> None:
    leave_part(target, b"x" * (len(CONTENT) + 5))
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 5}-", None]


def test_a_part_that_turns_out_wrong_is_thrown_away_and_fetched_once_more(server: Server, target: Path) -> None:
    leave_part(target, b"x" * 1000)
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_a_server_that_always_breaks_off_is_given_up_and_what_came_is_kept(server: Server, target: Path) -> None:
    def a_little(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.send_rest(stop=start + 1000)

    server.answers = [a_little]
    with pytest.raises(WeightsError, match=r"The connection broke off after 3000 of 400000 bytes\."):
        download(server.url, target, PREFIX, attempts=3)
    assert part_of(target).read_bytes() == CONTENT[:3000]
    assert not target.exists()
    server.answers = [Handler.send_rest]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT


# Wrong content


def test_garbage_of_the_right_length_is_thrown_away(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send(b"x" * len(CONTENT))]
    with pytest.raises(WeightsError, match="What came has another SHA-256 than the file's name promises"):
        download(server.url, target, PREFIX)
    assert len(server.ranges) == 1
    assert not target.exists()
    assert not part_of(target).exists()


def test_a_length_that_is_too_short_gives_no_file(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send(CONTENT, length=HALF)]
    with pytest.raises(WeightsError, match="another SHA-256"):
        download(server.url, target, PREFIX)
    assert not target.exists()


def test_a_length_that_is_too_long_does_no_harm(server: Server, target: Path) -> None:
    server.answers = [lambda handler: handler.send(CONTENT, length=len(CONTENT) + 100)]
    download(server.url, target, PREFIX)
    assert target.read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_a_failed_download_leaves_the_file_in_place_as_it_was(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    server.answers = [lambda handler: handler.send(b"garbage")]
    with pytest.raises(WeightsError):
        download(server.url, target, PREFIX)
    assert target.read_bytes() == b"damaged"
