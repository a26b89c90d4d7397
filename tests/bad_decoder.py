"""The process that decodes, with every fault a decoder can have: a file's first word says which. See test_decoders."""

import ctypes
import re
import socket
import time
from pathlib import Path

from app.errors import UnreadableImage
from app.vision import decoding_process, picture
from app.vision.picture import Picture

_decode = picture.decode


def _segfault() -> None:
    ctypes.string_at(0)


def _spin() -> None:
    """In C, with Python's lock held: nothing in this process can stop it."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def _allocate() -> None:
    kept = []
    while True:
        kept.append(bytearray(2**24))


def _allocate_in_c() -> None:
    malloc, memset = ctypes.CDLL(None).malloc, ctypes.memset
    malloc.restype = ctypes.c_void_p
    while True:
        memset(malloc(ctypes.c_size_t(2**24)), 1, 2**24)  # where there is no more, that is a write to nowhere


def _wait() -> None:
    time.sleep(10_000)


def _read_a_file() -> None:
    Path("/etc/hostname").read_bytes()


def _connect() -> None:
    socket.socket().close()  # without which there is no connection


FAULTS = {
    b"SEGFAULT": _segfault,
    b"SPIN": _spin,
    b"ALLOCATE": _allocate,
    b"ALLOCATE-IN-C": _allocate_in_c,
    b"WAIT": _wait,
    b"READ": _read_a_file,
    b"CONNECT": _connect,
}


def decode(data: bytes, *, max_pixels: int, shortest_side: int) -> Picture:
    """As the real one, but a file that names a fault has it first; where that does no harm, it is a picture."""
    word, _, content = data.partition(b" ")
    if word in FAULTS:
        try:
            FAULTS[word]()
        except OSError as error:
            raise UnreadableImage from error
        data = content
    return _decode(data, max_pixels=max_pixels, shortest_side=shortest_side)


picture.decode = decode

if __name__ == "__main__":
    decoding_process.main()
