"""``python -m simulations.benchmark local-training``, ``engines``, ``scaling``: what is measured about speed."""

import typer

from simulations.benchmark import engines, local_training, scaling

app = typer.Typer(help="Measure speed; every comparison is made in one run.", no_args_is_help=True)
app.command("local-training")(local_training.main)
app.command("engines")(engines.main)
app.command("scaling")(scaling.main)

if __name__ == "__main__":
    app()
