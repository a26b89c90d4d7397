"""The real server with decoders that have every fault there is: `gunicorn tests.bad_wsgi:app`. See test_decoders."""

from app import create_app
from app.vision.decoders import POOL

POOL.module = "tests.bad_decoder"
app = create_app()
