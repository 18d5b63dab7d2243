"""The command of the wallet."""

import click


@click.command()
def wallet() -> None:
    """Say what the wallet holds."""
    click.echo("the wallet is empty")
