"""A/B and shadow with `ENGINE=ray`: the same tests, on a real cluster."""

from tests import test_trials
from tests.test_trials import *  # noqa: F403 - tests, which pytest collects here again

WITHIN = ("sees_every_picture_in_the_same_pass", "slow_shadow_on_another_backbone")
"""These take hold of a network in this process, and none runs here."""

for name in [name for name in dir(test_trials) if any(part in name for part in WITHIN)]:
    del globals()[name]
