"""`python -m app deploy`: have the networks run on the Ray cluster that this machine belongs to."""

import logging

import click
import ray
from ray import serve

from app.cluster.replica import NAME, Size, application
from app.config import read_settings
from app.errors import ConfigError


@click.command("deploy")
@click.option("--min-replicas", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--max-replicas", default=1, show_default=True, type=click.IntRange(min=1), help="As load asks for them.")
@click.option("--cpus", default=1, show_default=True, type=click.IntRange(min=1), help="Of each replica.")
def deploy_command(min_replicas: int, max_replicas: int, cpus: int) -> None:
    """Have the networks run on the Ray cluster at RAY_ADDRESS, for servers with ENGINE=ray; again to change how many.

    Answers go on meanwhile. Returns once the replicas are ready.
    """
    settings = read_settings()
    try:
        ray.init(address=settings.ray_address, namespace=NAME, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise ConfigError(
            f"There is no Ray cluster at RAY_ADDRESS ({settings.ray_address}): ray start --head"
        ) from error
    serve.start(proxy_location="Disabled")  # Wanwu's own web processes are the way in
    size = Size(min_replicas=min_replicas, max_replicas=max_replicas, cpus=cpus)
    serve.run(application(size), name=NAME, route_prefix=None)
    click.echo(f"The networks run on {min_replicas} replicas, and on up to {max(min_replicas, max_replicas)}.")
