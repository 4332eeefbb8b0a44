"""The conformance suite passes every mechanism of the package, and finds what is wrong with one, in words."""

from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest

from fedkd.aggregation.quantisation import quantised, summed
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanisms.base import FINEST, Mechanism
from fedkd.privacy.mechanisms.distributed import Distributed
from fedkd.privacy.mechanisms.local import Local
from fedkd.privacy.mechanisms.none import NoMechanism
from fedkd.privacy.mechanisms.table import MECHANISMS
from fedkd.privacy.options import PrivacyOptions
from fedkd.testing.mechanisms import check_mechanism
from tests.privacy.foreign import Laplace, Nameless, discrete_laplace

BUDGET = PrivacyOptions(mode="central", epsilon=4.0, delta=1e-5)


@pytest.mark.parametrize("adjacency", ["add-remove", "replace-one"])
@pytest.mark.parametrize("kind", [*MECHANISMS, Laplace], ids=lambda kind: kind.name)
def test_it_conforms(kind: type[Mechanism], adjacency: str) -> None:
    budget = BUDGET.model_copy(update={"adjacency": adjacency})
    check_mechanism(kind, budget if kind.active else PrivacyOptions())


class Unclipped(Laplace):
    def contribution(self, values, spec, count):
        return summed(quantised(np.nan_to_num(values), spec), spec)


class UnclippedLocal(Local):
    def contribution(self, values, spec, count):
        return self.client_noise(summed(quantised(np.nan_to_num(values), spec), spec), count)


class ClippedTogether(Laplace):
    def contribution(self, values, spec, count):
        return super().contribution(np.nan_to_num(values).sum(axis=0, keepdims=True), spec, 1)


class HalfTheNoise(Laplace):
    def server_noise(self, exact):
        return exact + discrete_laplace(self.multiplier / FINEST / 2, exact.shape, np.random.default_rng())


class SaysHalfTheNoise(HalfTheNoise):
    @property
    def noise(self):
        return super().noise / 2


class NoNoise(Laplace):
    def server_noise(self, exact):
        return exact


class SameNoise(Laplace):
    def server_noise(self, exact):
        return exact + discrete_laplace(self.multiplier / FINEST, exact.shape, np.random.default_rng(1))


class OneNumber(Laplace):
    def server_noise(self, exact):
        drawn = discrete_laplace(self.multiplier / FINEST, (len(exact) // 2 + 1,), np.random.default_rng())
        return exact + np.repeat(drawn, 2)[: len(exact)]


class Biased(Laplace):
    def server_noise(self, exact):
        return super().server_noise(exact) + round(self.multiplier / FINEST / 10)


class Cheap(Laplace):
    @cached_property
    def cost(self):
        return replace(super().cost, rho=super().cost.rho / 3)


class Dear(Laplace):
    @cached_property
    def cost(self):
        return Cost.of_gaussian(self.multiplier / self.sensitivity / 3)


class ForAddRemove(Laplace):
    @property
    def sensitivity(self):
        return 1.0


class Mute(Laplace):
    trust = ""


class Wordless(Laplace):
    @classmethod
    def sentence(cls, guarantee):
        return ""


class NobodyPays(Laplace):
    server_pays = False


class ClientsPay(Laplace):
    client_pays = True


class Alone(Distributed):
    alone, shared = True, False


class NoParts(Laplace):
    def beside(self, portion):
        return NoMechanism(self.guarantee, self.participants, 1, portion)


FAULTS = {
    Unclipped: "move the sum by",
    UnclippedLocal: "move the sum by",
    ClippedTogether: "are not summed",
    HalfTheNoise: "is promised",
    SaysHalfTheNoise: "the cost needs noise",
    NoNoise: "is promised",
    SameNoise: "not drawn anew",
    OneNumber: "noise of its own",
    Biased: "has a bias",
    Cheap: "the cost needs noise",
    Dear: "budget of",
    Mute: "who is trusted",
    Wordless: "must name the mode",
    NobodyPays: "somebody must pay",
    ClientsPay: "whether clients add noise",
    Alone: "carries all its noise",
    NoParts: "the cost needs noise",
    Nameless: "must define name, strength, trust, way",
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_fault_is_found(kind: type[Mechanism]) -> None:
    with pytest.raises(AssertionError, match=FAULTS[kind]):
        check_mechanism(kind, BUDGET)
