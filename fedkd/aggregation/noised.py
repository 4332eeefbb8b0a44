"""The sum of bounded answers with the noise of a privacy mechanism."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.aggregation.aggregator import Aggregator, Specs, checked
from fedkd.messages.types import Answers, Estimate, Estimates, LowRankUpdate, SparseUpdate, Spec


class Mechanism(Protocol):
    """The part of a privacy mechanism that noises sums (`fedkd.privacy.mechanisms`)."""

    @property
    def participants(self) -> int:
        """Clients asked in a round."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on a sum, over the clip."""

    @property
    def quorum(self) -> int:
        """Fewest answers whose sum carries all the noise."""

    def specs(self, plain: Specs) -> Specs:
        """Return the form of an answer that the mechanism bounds."""

    def contribution(self, values: Any, spec: Spec, count: int) -> Any:
        """Return the sum of some clients' values, bounded, coded, and with the noise that clients add."""

    def released(self, total: Any, spec: Spec, count: int) -> NDArray[Any]:
        """Return the sum of ``count`` clients in the units of the answers, with the noise that the server adds."""


@dataclass(frozen=True)
class Noised(Aggregator):
    """The sum of bounded answers under a privacy mechanism, in which all clients have the same weight.

    Attributes
    ----------
    plain : mapping of str to Spec
        The form of a raw answer: one array with a clip.
    mechanism : Mechanism
        The mechanism that clips and noises.
    """

    plain: Specs
    mechanism: Mechanism

    @cached_property
    def specs(self) -> Specs:
        """The form of an encoded answer."""
        return self.mechanism.specs(self.plain)

    @property
    def quorum(self) -> int:
        """Fewest clients whose sum carries all its noise."""
        return self.mechanism.quorum

    def encode(self, answers: Answers) -> Answers:
        """Bound, code and sum the values, with the clients' noise; nothing else may depend on the data.

        A value that is not finite counts as zero.
        """
        count = len(answers.clients)
        values = {name: self.mechanism.contribution(answers.values[name], s, count) for name, s in self.specs.items()}
        return replace(answers, values=checked(values, self), weights=None)

    def decode(self, total: Answers) -> Estimates:
        """Add the server's noise, and return the sum with the standard deviation of all noise."""
        released, count = self.mechanism.released, len(total.clients)
        values = {
            name: Estimate(released(total.values[name], spec, count), self.mechanism.noise * (spec.clip or 1.0))
            for name, spec in self.specs.items()
        }
        return Estimates(total.round, total.clients, values, float(self.mechanism.participants))


def without_infinities(answers: Answers) -> Answers:
    """Return raw answers with zeros in place of values that are not finite, as a refusal would reveal something."""
    return replace(answers, values={name: _finite(values) for name, values in answers.values.items()})


def _finite(values: Any) -> Any:
    if isinstance(values, LowRankUpdate):
        return LowRankUpdate(_finite(values.left), _finite(values.right), values.owner)
    if isinstance(values, SparseUpdate):
        return replace(values, value=_finite(values.value))
    if isinstance(values, sparse.csr_array):
        return sparse.csr_array((_finite(values.data), values.indices, values.indptr), shape=values.shape)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
