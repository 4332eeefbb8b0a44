"""``python -m simulations.benchmark local-training`` and ``... engines``: what is measured about speed."""

import typer

from simulations.benchmark import engines, local_training

app = typer.Typer(help="Measure speed; every comparison is made in one run.", no_args_is_help=True)
app.command("local-training")(local_training.main)
app.command("engines")(engines.main)

if __name__ == "__main__":
    app()
