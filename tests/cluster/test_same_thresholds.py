"""Thresholds, promotions and rollbacks with `ENGINE=ray`: the same tests, on a real cluster."""

from tests.test_thresholds import *  # noqa: F403 - tests, which pytest collects here again
