"""``fedkd budget``: the price of a privacy budget, printed before a run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.table import Table

from fedkd.cli.terminal import check_picture, plain_table, say, show
from fedkd.errors import UserError
from fedkd.privacy.mechanisms.base import ANSWERS, METRICS, PANEL
from fedkd.privacy.mechanisms.table import MECHANISMS
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.plan import FALSE_ALARMS, Plan
from fedkd.report.plots import COLOURS, drawing, save


def print_budget(plan: Plan, plot: Path | None) -> None:
    """Print the noise of a plan, an adversary's power, and cheaper plans; draw it if asked."""
    if plot is not None:
        check_picture(plot)
    options = plan.options
    say(f"mode {options.mode}: {plan.mechanism.trust}{_quorum(plan)}")
    say(f"\nAll numbers are for epsilon {options.epsilon:g}, {plan.options.conditions_text}.")
    for title, table in (_noise(plan), _spent(plan), _adversary(plan), _cheaper(plan)):
        say(f"\n{title}", "bold")
        show(table)
    if not plan.protects:
        say(f"\n{HOLLOW.format(plan.power(FALSE_ALARMS[0]), FALSE_ALARMS[0])}", style="bold red")
    if plot is not None:
        draw(plan, plot)
        say(f"plot: {plot}", whole=True)


HOLLOW = (
    "This budget promises practically nothing: an adversary may be right about {:.1%} of all clients at {:.0%} false "
    "alarms. Choose a smaller epsilon, for example 4."
)


def _quorum(plan: Plan) -> str:
    if not plan.mechanism.shared:
        return ""
    share, least = plan.options.honest_fraction, plan.mechanism.quorum
    return f"; that share is {share:g}, and a sum of fewer than {least} of {plan.clients} clients teaches nothing"


def draw(plan: Plan, path: Path) -> None:
    """Draw the noise on a coordinate of the mean against epsilon, the plan marked."""
    chosen, clients = plan.options.budget[0], plan.clients
    epsilons = [chosen * 2 ** (step / 4) for step in range(-12, 13)]
    with drawing(520, 320) as figure:
        axes = figure.subplots()
        for releases, colour in zip(sorted({1, plan.releases}), ("student", "teacher"), strict=False):
            plans = [Plan(plan.options.model_copy(update={"epsilon": e}), clients, releases, 1) for e in epsilons]
            noise = [other.noise / clients for other in plans]
            axes.loglog(epsilons, noise, color=COLOURS[colour][0], label=f"{releases} release(s) a client")
        axes.plot([chosen], [plan.noise / clients], "o", color=COLOURS["soft"][0], label="this plan")
        axes.set(xlabel="epsilon, total of the run", ylabel="noise on the mean, in clips")
        axes.set_title(f"mode {plan.options.mode}, {clients} clients, {plan.options.conditions_text}", fontsize="small")
        axes.legend()
    save(figure, path)


def budget_options(given: Mapping[str, Any]) -> PrivacyOptions:
    """Return the privacy options of the command line, from a mapping by key; absent ones are None.

    Raises
    ------
    UserError
        An option is wrong; the message names it and says how to correct it.
    """
    try:
        mechanism = MECHANISMS.find(str(given["mode"]))
    except UserError as error:
        raise UserError(f"--mode: {error}") from None
    if not mechanism.active:
        raise UserError("mode none has no budget to plan; give --mode central, distributed or local")
    if given["honest-fraction"] is not None and not mechanism.shared:
        raise UserError(
            f"--honest-fraction says how many clients add their share of the noise, and in mode {given['mode']} none "
            "does; leave it out, or give --mode distributed"
        )
    try:
        return PrivacyOptions.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise UserError("; ".join(map(_explained, error.errors()))) from None


def _explained(wrong: Any) -> str:
    if wrong["type"] == "value_error":  # of several options together, and it names them
        return str(wrong["ctx"]["error"])
    return f"--{'.'.join(map(str, wrong['loc']))}: {wrong['msg'][0].lower()}{wrong['msg'][1:]}, got {wrong['input']!r}"


LONGEST = 100
"""Most rows of the table of what is spent after every contribution."""


Titled = tuple[str, Table]
"""A table, and the line above it."""


def _noise(plan: Plan) -> Titled:
    shown = plain_table("noise", numbers=("in clips",))
    shown.add_row("noise multiplier of a release", f"{plan.mechanism.multiplier:.4g}")
    shown.add_row("on a coordinate of the sum", f"{plan.noise:.4g}")
    shown.add_row(f"on a coordinate of the mean of {plan.clients} clients", f"{plan.noise / plan.clients:.3g}")
    shown.add_row(
        f"norm over {plan.dimensions} coordinates of the sum", f"{plan.noise * math.sqrt(plan.dimensions):.4g}"
    )
    shown.add_row("signal to noise, all clients of one mind", f"{plan.signal_to_noise:.3g}")
    if plan.metrics_error is not None:
        shown.add_row("standard error of a released metric near 0.5 (no clips)", f"{plan.metrics_error:.2g}")
    return "how much noise a release carries", shown


def _spent(plan: Plan) -> Titled:
    every = -(-plan.releases // LONGEST)
    skipped = "" if every == 1 else f", every {every}th of {plan.releases}"
    shown = plain_table("after contribution", numbers=("epsilon",))
    first = {PANEL: 1}
    if plan.mechanism.part(PANEL) is not None:
        shown.add_row("the items alone", f"{plan.mechanism.spent(first):.4g}")
    for step in sorted({1, *range(every, plan.releases + 1, every), plan.releases}):
        shown.add_row(str(step), f"{plan.mechanism.spent({**first, ANSWERS: step}):.4g}")
    if plan.metrics_error is not None:
        shown.add_row("and the metrics", f"{plan.mechanism.spent({**first, ANSWERS: plan.releases, METRICS: 1}):.4g}")
    return f"epsilon spent, at delta {plan.options.delta:g}{skipped}", shown


LEARNS = {
    "add-remove": "recognises who took part, {:.0%} false alarms",
    "replace-one": "tells one history from another, {:.0%} false alarms",
}
"""The description of an adversary's success, by adjacency."""


def _adversary(plan: Plan) -> Titled:
    shown = plain_table("question", numbers=("at most", "which is"))
    for rate in FALSE_ALARMS:
        kind = "exact" if plan.exact else "a bound"
        shown.add_row(LEARNS[plan.options.adjacency].format(rate), f"{plan.power(rate):.1%}", kind)
    shown.add_row("belief after a prior of 50 % (up to delta)", f"{plan.belief():.1%}", "a bound")
    return "an adversary who knows everything else" + ("" if plan.exact else f"\n{BOUNDED}"), shown


BOUNDED = (
    "(bounds from the accounting of this noise, which has no exact numbers as mode central has; do not set one against "
    "the other)"
)


def _cheaper(plan: Plan) -> Titled:
    shown = plain_table("change", numbers=("signal to noise",))
    shown.add_row("this plan", f"{plan.signal_to_noise:.3g}")
    for name, other in plan.cheaper():
        shown.add_row(name, f"{other.signal_to_noise:.3g}")
    return "what would be cheaper", shown
