"""``python -m simulations.audit RUN|CONF``: attacks on a run, and the comparison with its privacy guarantee.

An attack for which the run claims a bound prints ``claimed at most ... measured at least ...``. The exit code is 1 if a
measurement proves that more leaks than is claimed. An exit code of 0 is no proof that nothing leaks.
"""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Table

from fedkd.attacks.attributes import attribute_inference
from fedkd.attacks.bounds import Finding, best_auroc
from fedkd.attacks.canaries import CONFIDENCE
from fedkd.attacks.counting import answer_attack, count_attack, intersection_attack, upload_counts
from fedkd.attacks.guessing import top_guess
from fedkd.attacks.membership import FALSE_ALARMS, halves, hidden_loss, likelihood_ratio, membership
from fedkd.cli.terminal import guarded, plain_table, say, show, start
from fedkd.errors import UserError
from fedkd.messages.types import Kind
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.plan import Plan
from fedkd.random_streams import stream
from fedkd.runs.config import Config, load
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation, federation, mechanisms
from fedkd.runs.folder import RunFolder
from simulations.adversary_view import seen_of_clients
from simulations.audit_results import Line, alarms, canary_lines, record_lines, student_lines, students_conditions

SEEN_NUMBERS = 20_000_000
"""Most numbers of single clients' answers that are held in memory at a time."""


def examine(config: Config, canaries: int, pairs: int) -> list[Line]:
    """Run every attack that applies to a configuration.

    Parameters
    ----------
    config : Config
        The configuration of a simulated run.
    canaries : int
        Synthetic clients of the canary audit.
    pairs : int
        Pairs of shadow federations for membership inference; 0 leaves it out.
    """
    if config.runtime.server_data is not None:
        raise UserError("this is a deployed run, and its private data is not here; audit a simulation of it")
    together = federation(config)
    everyone = DrySimulation(config, together, np.arange(together.partition.num_clients))
    if Kind.RATED_ITEMS in {spec.kind for spec in everyone.first_asks()[1].values()}:
        return upload_lines(everyone)
    lines = canary_lines(config, everyone, canaries) + student_lines(config, canaries)
    lines += membership_lines(config, together, pairs) if pairs else []
    return lines + answer_lines(config, together)


def membership_lines(config: Config, together: Federation, pairs: int) -> list[Line]:
    """Attack a federation of half the clients by membership inference, alone and with shadow federations."""
    count, rng = together.partition.num_clients, stream(config.seed, "audit", "members")
    takes_part = np.concatenate([halves(count, 1, rng)[:1], halves(count, pairs, rng)])
    models = [DrySimulation(config, together, np.flatnonzero(own)).model() for own in takes_part]
    if any(model is None for model in models):
        return []
    owner, data = together.held_by(np.arange(count))
    known = data.train.histories.lengths > 1
    losses = np.stack([hidden_loss(model, data.train.histories) for model in models if model is not None])[:, known]
    member = takes_part[:, owner[known]]
    scores = {"loss": -losses[0], "shadows": likelihood_ratio(losses[0], losses[1:], member[1:])}
    area, share = _claims(config, count)
    lines = []
    for name, values in scores.items():
        found = membership(name, values, member[0], CONFIDENCE)
        lines += [_line(found.auroc, area), _line(found.recognised, share)]
    return lines


def _claims(config: Config, clients: int) -> tuple[float | None, float | None]:
    """Return the largest area under a ROC curve, and share of members known at 1 % false alarms, that are allowed."""
    options = config.privacy
    if options.epsilon is None or options.delta is None or options.unit != "user":
        return None, None
    area = best_auroc(1 / noise_multiplier(options.epsilon, options.delta))
    return area, Plan(options, clients, mechanisms(config, clients).answers.releases, 1).power(FALSE_ALARMS)


def upload_lines(everyone: DrySimulation) -> list[Line]:
    """Attack the item ids and scores that clients upload in clear."""
    uploads = [received for _, received in everyone.rounds()]
    _, data = everyone.together.held_by(everyone.clients)
    histories, num_items = data.train.histories, data.train.num_items
    items = [received.values["item"] for received in uploads if len(received.clients) == len(everyone.clients)]
    if not items:
        return []
    last = uploads[-1].values
    findings = [count_attack(items, histories, num_items), intersection_attack(items, histories, num_items)]
    findings += [top_guess(last["item"], last["score"], histories.take(uploads[-1].clients))]
    counts = upload_counts(items, num_items).astype(np.float64)
    return [_line(found) for found in findings] + attribute_lines(everyone, counts)


def answer_lines(config: Config, together: Federation) -> list[Line]:
    """Attack the single answers of clients, as their receiver sees them."""
    chosen = DrySimulation(config, together, np.arange(min(1, together.partition.num_clients)))
    size = sum(math.prod(spec.shape) for spec in chosen.first_asks()[1].values())
    most = max(10, min(together.partition.num_clients, SEEN_NUMBERS // size))
    clients = np.arange(together.partition.num_clients)[:most]
    chosen = replace(chosen, clients=clients)
    asks, _ = chosen.first_asks()
    seen = seen_of_clients(config, chosen)
    lines = attribute_lines(chosen, seen.reshape(len(clients), -1))
    _, data = together.held_by(clients)
    if asks.reference is not None and seen.ndim == 3 and data.train.num_users == len(clients):
        found = answer_attack(seen, asks.reference, data.train.histories, data.train.num_items)
        lines = [_line(found), *lines]
    return [replace(line, single=True) for line in lines]


def attribute_lines(chosen: DrySimulation, features: NDArray[np.float64]) -> list[Line]:
    """Infer each client's group (community, shop, region) from what it sends, where the source names one."""
    owner, data = chosen.together.held_by(chosen.clients)
    groups = data.train.groups
    if groups is None or len(np.unique(groups)) < 2 or len(owner) != len(chosen.clients):
        return []
    rng = stream(chosen.config.seed, "audit", "folds")
    return [_line(attribute_inference(features, groups, rng))]


def _line(found: Finding, claimed: float | None = None) -> Line:
    note = f"{found.trials:,} clients"
    return Line(found.metric, claimed, found.low, found.confidence, found.value, found.random, note)


def table(lines: list[Line]) -> Table:
    """Return all attacks as a table for the terminal."""
    shown = plain_table("attack", numbers=("claimed at most", "measured at least", "value", "chance"))
    for line in lines:
        style = "bold red" if line.exceeded else ""
        numbers = (line.claimed, line.measured, line.value, line.random)
        shown.add_row(line.attack, *("" if n is None else f"{n:.3g}" for n in numbers), style=style)
    return shown


def conditions(config: Config) -> str:
    """Return the conditions of every number in the audit."""
    options = config.privacy
    if options.epsilon is None:
        return "nothing is claimed" if options.student.epsilon is None else students_conditions(options.student)
    return f"unit {options.unit}, delta {options.delta:g}, {options.adjacency}, no amplification by sampling"


MASKED = (
    "Attacks on single answers see them as a real server does, under the masks of a secure sum; the sum itself is "
    "open, and in this simulation nothing else was masked."
)


@guarded
def main(
    target: Annotated[Path, typer.Argument(metavar="RUN|CONF", help="A run's folder, or a configuration (TOML).")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    canaries: Annotated[int, typer.Option(min=20, help="Synthetic clients of the canary audit.")] = 16_000,
    repeat: Annotated[int, typer.Option(min=0, help="Only play the canaries so often, and count accusations.")] = 0,
    shadows: Annotated[int, typer.Option(min=0, help="Pairs of shadow federations; 0: no membership inference.")] = 4,
) -> None:
    """Attack a simulated run: exit code 1 where more leaks than it claims."""
    config, folder = _open(target, overrides or [])
    torch.set_num_threads(config.runtime.threads)
    if repeat:
        accused, compared = _repeated(config, canaries, repeat)
        say(f"{accused} of {compared} comparisons accuse ({conditions(config)})", whole=True)
        raise typer.Exit(1 if accused else 0)
    lines = examine(config, canaries, shadows)
    lines += record_lines(config, folder) if folder is not None and folder.finished else []
    show(table(lines))
    for line in lines:
        if line.claimed is not None:
            say(line.sentence(conditions(config)), _style(line.exceeded), whole=True)
    if any(line.single for line in lines):
        say(MASKED if config.masked else config.privacy.mechanism.way.attacked, whole=True)
    say(verdict(lines), _style(any(line.exceeded for line in lines)), whole=True)
    if folder is not None:
        attacks = [asdict(line) | {"exceeded": line.exceeded} for line in lines]
        folder.write_json("audit.json", {"conditions": conditions(config), "attacks": attacks})
    if any(line.exceeded for line in lines):
        raise typer.Exit(1)


def verdict(lines: list[Line]) -> str:
    """Return the verdict of all measurements together."""
    if exceeding := [line.attack for line in lines if line.exceeded]:
        return f"verdict: more leaks than is claimed, by {', '.join(exceeding)}"
    if all(line.claimed is None for line in lines):
        return "verdict: nothing is claimed, so nothing could be exceeded"
    return "verdict: nothing that was measured exceeds what is claimed (no proof that nothing leaks)"


def _style(exceeded: bool) -> str:
    return "bold red" if exceeded else ""


def _repeated(config: Config, canaries: int, repeat: int) -> tuple[int, int]:
    """Return how many comparisons accuse in some repetitions of the canary audit, and how many there are."""
    if config.privacy.epsilon is None and config.privacy.student.epsilon is None:
        raise UserError(
            "--repeat compares canaries with a claimed epsilon, and this run claims none: there is nothing to check; "
            "set privacy.mode, privacy.epsilon and privacy.delta, or leave --repeat out"
        )
    together = federation(config)
    return alarms(config, DrySimulation(config, together, np.arange(together.partition.num_clients)), canaries, repeat)


def _open(target: Path, overrides: list[str]) -> tuple[Config, RunFolder | None]:
    """Return a configuration, and the folder of the run that it belongs to."""
    if not target.exists():
        raise UserError(f"{target} does not exist; give a run's folder, or a configuration (TOML)")
    if not target.is_dir():
        return load(target, overrides), None
    if overrides:
        raise UserError("a run is audited as it was configured; leave --set out, or audit its config.toml")
    folder = RunFolder.open(target.absolute())
    return folder.config(), folder


if __name__ == "__main__":
    start(main)
