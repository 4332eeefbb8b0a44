"""The policy of a device's owner: the conditions under which it takes part in a run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedkd.errors import UserError
from fedkd.privacy.budget import Budget
from fedkd.privacy.mechanisms.table import MECHANISMS

if TYPE_CHECKING:  # a process that only watches over a SuperNode checks nothing, and has no need of torch
    from fedkd.runs.config import Config


@dataclass(frozen=True)
class ClientPolicy:
    """The conditions under which a client takes part; a run that does not meet them gets no answer.

    Attributes
    ----------
    budget : Budget, optional
        The most that all runs together may ever learn from this client, and how it is counted. It needs a mode in which
        the client itself adds noise.
    weakest_mode : str
        The weakest mode that this client answers in, by name, or as the ``package.module:Class`` of its owner's own.
    minimum_cohort : int
        Fewest clients whose sum may be opened.
    clear : bool
        Whether answers may leave without masks. Answers with all the noise of the owner's own budget always may.
    modules : tuple of str, optional
        The owner's own modules, from which a run may name classes beside the package's; None allows all modules.
    """

    budget: Budget | None = None
    weakest_mode: str = "none"
    minimum_cohort: int = 10
    clear: bool = False
    modules: tuple[str, ...] | None = ()

    def check(self, config: "Config") -> None:
        """Refuse a run that does not meet the policy.

        Raises
        ------
        UserError
            The run does not meet it; the message does not depend on data.
        """
        privacy, mechanism = config.privacy, config.privacy.mechanism
        if mechanism.strength < MECHANISMS.find(self.weakest_mode).strength:
            raise UserError(
                f"this client answers in mode {self.weakest_mode} or a stronger one, and the run has {privacy.mode}; "
                f"the server can set privacy.mode={self.weakest_mode}, or the owner --weakest-mode {privacy.mode}"
            )
        if self.budget is not None and not mechanism.client_pays:
            raise UserError(
                f"this client keeps a privacy budget, and mode {privacy.mode} adds no noise here; it answers in the "
                f"modes {' and '.join(kind.name for kind in MECHANISMS if kind.client_pays)}: the server can set "
                "privacy.mode to one of them, or the owner leave --epsilon and --delta out"
            )
        noised = mechanism.alone and self.budget is not None  # an epsilon of the server's may mean no noise
        if not privacy.masked and not noised and not self.clear:
            raise UserError(
                "this client answers under masks alone, or in mode local within a budget of its own (--epsilon, "
                "--delta), and the run asks for single answers; the server can leave privacy.sums at secure, or the "
                "owner give --allow-clear"
            )
        if privacy.masked and privacy.minimum_cohort < self.minimum_cohort:
            raise UserError(
                f"the run opens sums of {privacy.minimum_cohort} clients, and this client wants to be one of "
                f"{self.minimum_cohort} at least; the server can set privacy.minimum-cohort={self.minimum_cohort}, or "
                f"the owner --minimum-cohort {privacy.minimum_cohort}"
            )

    def node_config(self) -> str:
        """Return the policy as a part of Flower's ``--node-config``."""
        values: dict[str, str | int | float | bool] = {
            "weakest-mode": self.weakest_mode,
            "minimum-cohort": self.minimum_cohort,
            "clear": self.clear,
            "allowed-modules": " ".join(self.modules or ()),
        }
        if self.budget is not None:
            values |= {"epsilon": float(self.budget.epsilon), "delta": float(self.budget.delta)}
            values |= {"adaptive": self.budget.adaptive}
        return " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())

    @classmethod
    def of_node(cls, node: Mapping[str, object]) -> "ClientPolicy":
        """Read the policy from a node's configuration; missing values have their strict defaults."""
        budget = None
        if "epsilon" in node:
            adaptive = node.get("adaptive") is True
            budget = Budget(float(str(node["epsilon"])), float(str(node["delta"])), adaptive=adaptive)
        mode = mode_named(str(node.get("weakest-mode", cls.weakest_mode)))
        cohort = int(str(node.get("minimum-cohort", cls.minimum_cohort)))
        modules = tuple(str(node.get("allowed-modules", "")).split())
        return cls(budget, mode, cohort, node.get("clear") is True, modules)


SIMULATION_POLICY = ClientPolicy(minimum_cohort=2, clear=True, modules=None)
"""The policy of simulated clients, which accepts every run."""


def mode_named(name: str) -> str:
    """Return the name of a mode; a ``UserError`` lists the modes."""
    try:
        MECHANISMS.find(name)
    except UserError as error:
        raise UserError(f"--weakest-mode: {error}") from None
    return name
