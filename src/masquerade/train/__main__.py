"""`python -m masquerade.train`: the same as `masquerade train`."""

import typer

from masquerade.cli.train import train

typer.run(train)
