"""What a WSGI server loads: `gunicorn wsgi:app`."""

import sys

from app import create_app
from app.errors import OperatorError

try:
    app = create_app()
except OperatorError as error:
    from gunicorn.arbiter import Arbiter

    print(f"wanwu: {error}", file=sys.stderr)
    # With this code the master stops; with any other it would start workers for ever.
    raise SystemExit(Arbiter.APP_LOAD_ERROR) from None
