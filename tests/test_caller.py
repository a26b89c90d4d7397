"""A caller that has gone is noticed, and its picture is not computed."""

import socket

import pytest

from app.web.caller import caller_of


def test_a_caller_is_there_until_it_closes() -> None:
    ours, theirs = socket.socketpair()
    caller = caller_of({"gunicorn.socket": ours})
    assert caller.is_there()
    theirs.send(b"the next request")
    assert caller.is_there()
    assert ours.recv(100) == b"the next request"
    theirs.close()
    assert not caller.is_there()
    ours.close()
    assert not caller.is_there()


@pytest.mark.parametrize("environ", [{}, {"gunicorn.socket": object()}])
def test_where_it_cannot_be_told_the_caller_is_there(environ: dict[str, object]) -> None:
    assert caller_of(environ).is_there()
