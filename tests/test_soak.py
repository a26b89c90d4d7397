"""Three minutes of full load: no request fails, and neither memory nor threads grow. `make soak` takes half an hour."""

import pytest

from bench.soak import Round, soak, troubles

SECONDS = 180


def test_what_failed_or_grew_is_told() -> None:
    def seen(failed: int = 0, mb: float = 400, threads: int = 90) -> Round:
        return Round(answers=100, failed=failed, p50_ms=20, p99_ms=40, mb=mb, threads=threads, files=60)

    first, last = [seen(mb=300), seen(), seen(), seen(mb=360)], [seen(mb=500), seen(mb=430), seen(mb=410)]
    assert troubles(first + last) == []
    grown = seen(failed=2, mb=500, threads=99)
    assert troubles([*first, grown, seen(), grown]) == [
        "4 requests failed",
        "MB of memory: 400 in the second to fourth round, 500 in the last three",
        "threads: 90 in the second to fourth round, 99 in the last three",
    ]


@pytest.mark.slow
def test_under_full_load_nothing_fails_and_nothing_grows() -> None:
    rounds = list(soak(SECONDS))
    assert troubles(rounds) == [], rounds
