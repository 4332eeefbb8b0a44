"""Benchmarks on the command line: ``python -m simulations.benchmark NAME``; without a name, the list of them."""

from fedkd.cli.terminal import application, start
from simulations.benchmark import (
    devices,
    engines,
    forecast,
    gate,
    local_training,
    niches,
    pauses,
    plans,
    private_training,
    scaling,
    secure_sums,
    serving,
)

app = application(help="Measure speed; every comparison is made in one run.", no_args_is_help=True)
app.command("local-training")(local_training.main)
app.command("devices")(devices.main)
app.command("engines")(engines.main)
app.command("scaling")(scaling.main)
app.command("secure-sums")(secure_sums.main)
app.command("forecast")(forecast.main)
app.command("gate")(gate.main)
app.command("niches")(niches.main)
app.command("pauses")(pauses.main)
app.command("private-training")(private_training.main)
app.command("plans")(plans.main)
app.command("serving")(serving.main)

if __name__ == "__main__":
    start(app)
