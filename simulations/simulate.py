"""One federation on the in-process grid: ServerApp, Strategy and ClientApp in this process."""

from flwr.app import Context, RecordDict

from clients.app import app as client_app
from fedkd.models.threads import limited_threads
from fedkd.runs.config import Config, flatten
from fedkd.runs.federation import federation
from fedkd.runs.watching import Watch, watched_by
from server.app import app as server_app
from simulations.grid import InProcessGrid

NODE_COHORTS = 4
"""Cohorts of a simulated node, whose answer is one message: fewer nodes send fewer messages, more need less memory."""


def simulate(config: Config, watch: Watch | None = None) -> None:
    """Run ServerApp, Strategy and ClientApp in this process, into the configured run folder; rounds may be watched."""
    clients = federation(config).partition.num_clients
    nodes = -(-clients // (config.runtime.cohort_size * NODE_COHORTS))
    settings = flatten(config)
    grid = InProcessGrid(client_app, settings, nodes, config.runtime.workers)
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings)
    with limited_threads(config.runtime.threads), watched_by(watch):
        server_app(grid, context)
