"""All that answers requests; `create_app` registers each."""

from app.web import (
    arms,
    corrections,
    job_events,
    jobs,
    login,
    metrics,
    modes_api,
    openapi,
    pages,
    places,
    predict,
    review,
    status,
    trials,
    version_pages,
    versions_api,
)

BLUEPRINTS = (
    predict.blueprint,
    status.blueprint,
    metrics.blueprint,
    openapi.blueprint,
    pages.pages,
    corrections.blueprint,
    review.blueprint,
    modes_api.blueprint,
    arms.blueprint,
    trials.blueprint,
    versions_api.blueprint,
    version_pages.blueprint,
    jobs.blueprint,
    job_events.blueprint,
    login.blueprint,
    places.blueprint,
)
