"""The page: for now a place to put it."""

from flask import Blueprint

pages = Blueprint("pages", __name__)


@pages.get("/")
def home() -> str:
    """A placeholder until the page lands."""
    return "Wanwu"
