"""``fedkd budget``: what a privacy budget will cost, printed before a run."""

import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from fedkd.errors import UserError
from fedkd.privacy.options import TRUST, PrivacyOptions
from fedkd.privacy.plan import Plan


def show(plan: Plan, plot: Path | None) -> None:
    """Print the noise that a plan means, what an adversary may learn, and what would be cheaper; draw it if asked."""
    console, options = Console(), plan.options
    about = f"delta {options.delta:g}, one {options.unit}, {options.adjacency}, no amplification"
    console.print(f"mode {options.mode}: {TRUST[options.mode]}", soft_wrap=True)
    for table in (_noise(plan, about), _spent(plan, about), _adversary(plan, about), _cheaper(plan)):
        console.print(table)
    if plot is not None:
        draw(plan, plot, about)
        console.print(f"plot: {plot}", soft_wrap=True)


def draw(plan: Plan, path: Path, about: str) -> None:
    """Draw the noise on a coordinate of the mean against epsilon, the plan marked."""
    from matplotlib.figure import Figure  # takes seconds that --help should not cost

    epsilons = [plan.options.budget[0] * 2 ** (step / 4) for step in range(-12, 13)]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for releases in sorted({1, plan.releases}):
        noise = [
            Plan(plan.options.model_copy(update={"epsilon": e}), plan.clients, releases, 1).noise / plan.clients
            for e in epsilons
        ]
        axes.loglog(epsilons, noise, label=f"{releases} release(s) a client")
    axes.plot([plan.options.budget[0]], [plan.noise / plan.clients], "o", color="black", label="this plan")
    axes.set_xlabel("epsilon, total of the run")
    axes.set_ylabel("noise on the mean, in clips")
    axes.set_title(f"mode {plan.options.mode}, {plan.clients} clients, {about}", fontsize=8)
    axes.legend(frameon=False)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot draw into {path}: {error}; give a file name that ends in .svg or .png") from None


def budget_options(
    epsilon: float, delta: float, mode: str, unit: str, adjacency: str, panel_share: float, metrics_share: float
) -> PrivacyOptions:
    """Return the options that the command line means; a ``UserError`` says which of them is wrong."""
    if mode == "none":
        raise UserError("mode none has no budget to plan; give --mode central, distributed or local")
    given: dict[str, Any] = {"mode": mode, "epsilon": epsilon, "delta": delta, "unit": unit, "adjacency": adjacency}
    given |= {"panel-share": panel_share, "metrics-share": metrics_share}
    try:
        return PrivacyOptions.model_validate(given)
    except ValidationError as error:
        wrong = [f"--{'.'.join(map(str, d['loc']))}: {d['msg']}, got {d['input']!r}" for d in error.errors()]
        raise UserError("; ".join(wrong)) from None


LONGEST = 100
"""Most rows of the table of what is spent after every contribution."""


def _table(title: str, *columns: str) -> Table:
    shown = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        shown.add_column(column, justify="right" if position else "left")
    return shown


def _noise(plan: Plan, about: str) -> Table:
    shown = _table(f"epsilon {plan.options.epsilon:g}, {about}", "noise", "in clips")
    shown.add_row("noise multiplier of a release", f"{plan.protection.multiplier:.4g}")
    shown.add_row("on a coordinate of the sum", f"{plan.noise:.4g}")
    shown.add_row(f"on a coordinate of the mean of {plan.clients} clients", f"{plan.noise / plan.clients:.3g}")
    shown.add_row(
        f"norm over {plan.dimensions} coordinates of the sum", f"{plan.noise * math.sqrt(plan.dimensions):.4g}"
    )
    shown.add_row("signal to noise, all clients of one mind", f"{plan.signal_to_noise:.3g}")
    if plan.metrics_error is not None:
        shown.add_row("standard error of a released metric near 0.5 (no clips)", f"{plan.metrics_error:.2g}")
    return shown


def _spent(plan: Plan, about: str) -> Table:
    every = -(-plan.releases // LONGEST)
    skipped = "" if every == 1 else f", every {every}th of {plan.releases}"
    shown = _table(f"epsilon spent, {about}{skipped}", "after contribution", "epsilon")
    if plan.protection.panel is not None:
        shown.add_row("the items alone", f"{plan.protection.spent(0):.4g}")
    for step in sorted({1, *range(every, plan.releases + 1, every), plan.releases}):
        shown.add_row(str(step), f"{plan.protection.spent(step):.4g}")
    if plan.metrics_error is not None:
        shown.add_row("and the metrics", f"{plan.protection.spent(plan.releases, measured=True):.4g}")
    return shown


def _adversary(plan: Plan, about: str) -> Table:
    shown = _table(f"an adversary who knows everything else, {about}", "question", "at most")
    for rate in (0.01, 0.1):
        shown.add_row(f"recognises who took part, {rate:.0%} false alarms", f"{plan.power(rate):.1%}")
    shown.add_row("belief after a prior of 50 % (up to delta)", f"{plan.belief():.1%}")
    return shown


def _cheaper(plan: Plan) -> Table:
    shown = _table("what would be cheaper", "change", "signal to noise")
    shown.add_row("this plan", f"{plan.signal_to_noise:.3g}")
    for name, other in plan.cheaper():
        shown.add_row(name, f"{other.signal_to_noise:.3g}")
    return shown
