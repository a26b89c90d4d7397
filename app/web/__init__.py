"""The only room that speaks HTTP: pages, `/predict`, status, metrics, and errors as JSON or as a page."""
