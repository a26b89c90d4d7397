"""What `/predict`, the protocol and `/metrics` promise holds with `ENGINE=ray`, too: the same tests, on a cluster."""

from tests.test_metrics import *  # noqa: F403 - tests, which pytest collects here again
from tests.test_predict import *  # noqa: F403
from tests.test_v2 import *  # noqa: F403
