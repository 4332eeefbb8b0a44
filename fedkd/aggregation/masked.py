"""Answers in whole numbers, which a secure sum can mask."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator, Specs
from fedkd.aggregation.quantisation import quantised
from fedkd.messages.types import Answers, Estimates, Quantiser, Spec

MASKED_BITS = 56
"""Bits of the modulus of masked sums of floats."""


@dataclass(frozen=True)
class Masked(Aggregator):
    """Answers for a secure sum, coded as whole numbers, because masks hide only these.

    A float becomes a multiple of the clip (or 1) over 2**24. Its magnitude is limited so that the sum of all clients
    cannot wrap around: to some 100,000 clips among 10,000 clients.

    Attributes
    ----------
    inner : Aggregator
        The aggregator before and after the masks.
    participants : int
        Clients asked in a round.
    """

    inner: Aggregator
    participants: int

    @property
    def specs(self) -> Specs:
        """The form of an encoded answer."""
        return {
            name: spec if spec.quantiser is not None else replace(spec, quantiser=self._quantiser(spec))
            for name, spec in self.inner.specs.items()
        }

    @property
    def quorum(self) -> int:
        """Fewest clients whose sum may be used."""
        return self.inner.quorum

    def encode(self, answers: Answers) -> Answers:
        """Encode, and round values that are not whole numbers yet."""
        done, specs = self.inner.encode(answers), self.specs
        values = {
            name: value if self.inner.specs[name].quantiser is not None else quantised(value, specs[name])
            for name, value in done.values.items()
        }
        return replace(done, values=values)

    def decode(self, total: Answers) -> Estimates:
        """Return to the units of the answers, and decode."""
        values = {name: self._read(name, total.values[name]) for name in self.specs}
        return self.inner.decode(replace(total, values=values))

    def _quantiser(self, spec: Spec) -> Quantiser:
        limit = (1 << MASKED_BITS - 2) // self.participants
        return Quantiser((spec.clip or 1.0) * 2.0**-24, -limit, limit, MASKED_BITS)

    def _read(self, name: str, opened: NDArray[np.int64]) -> NDArray[Any]:
        quantiser = self.specs[name].quantiser
        assert quantiser is not None
        whole = opened if quantiser.signed else opened % (1 << quantiser.bits)
        return whole if self.inner.specs[name].quantiser is not None else whole * quantiser.step
