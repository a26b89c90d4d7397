"""What `/predict` and the service around it promise holds with `ENGINE=ray`, too: the same tests, on a real cluster."""

from tests.test_predict import *  # noqa: F403 - tests, which pytest collects here again
from tests.test_v2 import *  # noqa: F403
