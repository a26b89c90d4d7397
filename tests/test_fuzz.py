"""Damaged pictures of every accepted format, through all of `/predict`: each gets an answer (`tools.fuzz`)."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tools.fuzz import FORMATS, fuzz, pictures, seeds

COUNT = 800


def test_there_is_a_sound_picture_of_every_format_to_damage() -> None:
    assert {format_ for format_, _ in seeds()} == set(FORMATS)


def test_the_same_seed_damages_the_same_way() -> None:
    first, again, other = (list(pictures(50, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.slow
def test_every_damaged_picture_gets_an_answer(client: FlaskClient) -> None:
    tally = fuzz(client, pictures(COUNT, seed=0))
    assert tally.wrong == []
    assert {format_: sum(tally.outcomes[format_].values()) for format_ in FORMATS} == dict.fromkeys(FORMATS, COUNT // 8)
    assert all(tally.outcomes[format_]["recognised"] for format_ in FORMATS)  # not all of them are damaged so much
    assert all(tally.outcomes[format_]["unreadable_image"] for format_ in FORMATS)


@pytest.mark.slow
@pytest.mark.shared
def test_every_damaged_file_of_the_awkward_ones_gets_an_answer(client: FlaskClient, shared: Path) -> None:
    tally = fuzz(client, pictures(COUNT // 4, seed=1, folders=[shared / "awkward"]))
    assert tally.wrong == []
