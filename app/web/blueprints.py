"""All that answers requests; `create_app` registers each."""

from app.web import (
    albums,
    albums_photos,
    arms,
    corrections,
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
    jobs.blueprint,
    albums.blueprint,
    albums_photos.blueprint,
    login.blueprint,
    places.blueprint,
)
