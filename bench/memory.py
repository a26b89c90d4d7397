"""The memory of a server: all processes of its group together, as the kernel counts it."""

import os
from contextlib import suppress
from pathlib import Path


def resident_mb(group: int) -> dict[str, float]:
    """`now` and at most so far (`peak`), in MB; what processes share counts in each: rather too much."""
    total = {"now": 0.0, "peak": 0.0}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            if os.getpgid(int(folder.name)) == group:
                lines = (line.partition(":") for line in (folder / "status").read_text().splitlines())
                facts = {name: value for name, _, value in lines}
                total["now"] += int(facts["VmRSS"].split()[0]) * 1024 / 1e6
                total["peak"] += int(facts["VmHWM"].split()[0]) * 1024 / 1e6
    return total
