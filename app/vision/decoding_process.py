"""The process in which pictures are decoded: `python -m app.vision.decoding_process DESCRIPTOR`, started by `decoders`.

Decoders are large programs in C that read what strangers send: a bug in one of them may crash, hang, eat the memory, or
run what a picture brings along. So they run where the server's models, database and connections are not. This process
imports what decoding needs, reads no picture itself, and makes a copy of itself (fork) for each decoder that the server
asks for: a copy takes milliseconds and shares its memory. It never imports torch.

A decoder may open no file and no connection, write no file, take only so much memory and so much processor time; it
ends as the server's end of its socket closes.
"""

import gc
import os
import resource
import signal
import socket
import struct
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.errors import RequestError
from app.vision import picture
from app.vision.messages import receive, send
from app.vision.transform import Transform

_BYTES_PER_PIXEL = 12
_SPARE_BYTES = 160 * 2**20
"""What decoding may take: the pixels as decoded, as RGB and turned, 4 bytes each; and what the file itself takes."""
_PAGE_BYTES = resource.getpagesize()
_GRACE_CPU_S = 0.25
"""How much longer a decoder may go on that never looks at its clock, as Pillow's Python does in every read."""


def answer(asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode `data`: what is told of the picture, and its pixels, uint8 `[height, width, 3]`, crop after crop.

    `asked` has `max_pixels` and `shortest_side`, and `transforms`, each as JSON, for the crops that networks look at;
    without any, the whole picture is wanted, whose sides are then `size`. An error is told by its code.
    """
    transforms = [_transform(text) for text in asked["transforms"]]
    try:
        found = picture.decode(data, max_pixels=asked["max_pixels"], shortest_side=asked["shortest_side"])
        told = {"format": found.format, "width": found.width, "height": found.height}
        if transforms:
            return told, b"".join(transform.pixels(found.image).tobytes() for transform in transforms)
        extent = found.image.info.get(picture.EXTENT)
        return {**told, "size": found.image.size, "extent": extent}, found.image.tobytes()
    except RequestError as error:
        return {"error": error.code}, b""
    except MemoryError:
        return {"error": "too_many_pixels"}, b""


@lru_cache(maxsize=64)
def _transform(text: str) -> Transform:
    return Transform.model_validate_json(text)


def decode_for(server: socket.socket) -> None:
    """Be a decoder: answer until the server closes its end."""
    with suppress(OSError):  # the system's own last resort, too, should take a decoder before it takes the server
        Path("/proc/self/oom_score_adj").write_text("1000")
    own_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_BYTES if sys.platform == "linux" else 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # those that are open stay so
    picture.ON_ALLOWANCE.append(_end_after)
    while message := receive(server):
        asked, data = message
        if own_bytes:
            _limit_memory(own_bytes + _SPARE_BYTES + _BYTES_PER_PIXEL * asked["max_pixels"])
        _end_after(picture.OPEN_CPU_S)
        told, pixels = answer(asked, data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        del message, data
        send(server, told, pixels)
        del pixels


def _end_after(cpu_s: float) -> None:
    """Let the system end this process once it has computed so long, with a little grace."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s + _GRACE_CPU_S)


def _limit_memory(most: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _silence_libraries() -> None:
    """Keep what libtiff and others print, which pictures may choose, out of the server's log; Python's words stay."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def main() -> None:
    """Make a decoder of each socket that is sent, until nobody is there to send one."""
    server = socket.socket(fileno=int(sys.argv[1]))
    # Whoever stops the server stops it alone: pictures that are being read are read to the end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a decoder that has ended
    _silence_libraries()
    gc.freeze()  # a copy that collects garbage would write to all that it shares
    while descriptors := socket.recv_fds(server, 1, 1)[1]:
        process = os.fork()
        if not process:
            server.close()
            decode_for(socket.socket(fileno=descriptors[0]))
            os._exit(0)
        os.close(descriptors[0])
        server.sendall(struct.pack("!I", process))


if __name__ == "__main__":
    main()
