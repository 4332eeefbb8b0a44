"""The folder of a run that a log of feedback updated: what stays true of the old one, and what is new."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fedkd.data.catalogue import FILE as CATALOGUE
from fedkd.evaluation.evaluator import intervals
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.mechanisms.base import ANSWERS
from fedkd.protocols.rounds import Round
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation
from fedkd.runs.folder import RunFolder
from server.app import scorer
from server.feedback_round import FeedbackRound
from server.people import FILE
from server.progress import Progress, round_record
from server.run_writer import STUDENT, TEACHER, RunWriter, clients_table

KEPT = ("environment.json", CATALOGUE, "rounds.jsonl", "privacy.jsonl")
"""Files of a run that stay as they are, or grow."""

STILL_TRUE = ("name", "algorithm", "seed", "traffic", "speed", "clients", "data", "split", "exchange")
"""Parts of a run's summary that another student leaves true."""

SEEN = (
    "{people} people of a service's log of feedback are in the models. Their histories reached the server as they are: "
    "no mode protects them against it."
)
"""The sentence that the promise of an updated run gets."""


def write(own: FeedbackRound, played: Round, new: RunFolder, seconds: float, together: Federation | None) -> None:
    """Write the new run: what stays true of the old one, the people, the models, the summary and the configuration.

    Parameters
    ----------
    own : FeedbackRound
        The update.
    played : Round
        Its outcome.
    new : RunFolder
        The folder, which holds no run yet.
    seconds : float
        The time that the round took.
    together : Federation, optional
        Everyone's data, by which a simulation measures the models; a real server cannot.
    """
    added = played.state.setup.num_clients - own.before.state.setup.num_clients
    counts = {name: np.append(counts, np.zeros(added, np.int64)) for name, counts in own.before.clients.items()}
    padded = replace(own.before, clients=counts)
    after = replace(padded, state=played.state, round=own.before.round + 1)
    after = after.released(ANSWERS) if own.released else after
    new.path.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy2(own.folder.path / name, new.path / name)
    new.write_arrays(FILE, own.people.arrays())
    new.append("rounds.jsonl", round_record(padded, after, {}, played.metrics, seconds))
    models = RunWriter(new, own.config).write_models(after)
    if together is not None:
        models = {name: size | _quality(own.config, after, name, together) for name, size in models.items()}
    new.write_table("clients.parquet", clients_table(after))
    old = own.folder.summary()
    summary: dict[str, Any] = {name: old[name] for name in STILL_TRUE if name in old}
    summary |= {"rounds": after.round, "models": models, "notes": {}, "left-out": {}, "failed": {}}
    summary["privacy"] = _privacy(own, after, old["privacy"])
    summary["feedback"] = {"people": len(own.people), "lines": len(own.people.lines)}
    new.write_json("summary.json", summary)
    new.write_config(_config(own))


def _quality(config: Config, after: Progress, name: str, together: Federation) -> dict[str, Any]:
    model = {TEACHER: config.algorithm.teacher, STUDENT: config.algorithm.student}[name](after.state)
    assert model is not None
    return dict(intervals(scorer(together)(model), config.seed))


def _config(own: FeedbackRound) -> Config:
    """Return the configuration of the new run: budgets belong to data, so it spends from the same ledger."""
    privacy, config = own.config.privacy, own.config
    if not own.mechanism.active or privacy.ledger is not None or config.runtime.server_data is not None:
        return config
    shared = privacy.model_copy(update={"ledger": own.folder.path / "privacy.ledger"})
    return config.model_copy(update={"privacy": shared})


def _privacy(own: FeedbackRound, after: Progress, old: Mapping[str, Any]) -> dict[str, Any]:
    statement = f"{own.config.promise} {SEEN.format(people=len(own.people))}"
    if not own.mechanism.active:
        return {**old, "statement": statement}
    spent = epsilon(own.mechanism.together(after.releases), own.mechanism.guarantee.budget[1])
    planned = own.mechanism.guarantee.limit.epsilon
    return {**old, "statement": statement, "epsilon": spent, "epsilon-planned": planned}
