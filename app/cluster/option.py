"""The option of all commands that a cluster can help with. It does not import Ray."""

import click

ray_option = click.option(
    "--ray", "ray_address", metavar="ADDRESS", help="Do it on the Ray cluster there (HOST:PORT, or auto)."
)
