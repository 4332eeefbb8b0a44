"""The conformance suite of privacy mechanisms.

``check_mechanism`` raises an ``AssertionError`` that says what is wrong. It cannot prove that a mechanism is private;
it checks that bounds hold, that the noise is as wide as the mechanism says and as its cost needs, and that cost,
budget and words agree.
"""

import math
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Specs
from fedkd.messages.types import Answers, Estimates, Kind, Spec
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.mechanisms.base import ANSWERS, METRICS, PANEL, Mechanism

CLIENTS, NUMBERS, CLIP = 40, 20_000, 3.0
MANY, DRAWS = 1000, 20
"""Clients with the same answer, and how often they send it: their mean has next to no noise."""

CLOSE = 0.03
"""Six standard errors of the standard deviation of so many Gaussian numbers; heavier tails may need twice that."""


def estimated(mechanism: Mechanism, answers: Answers, plain: Specs) -> Estimates:
    """Return the estimates of one release: the clients' part of the mechanism, and the server's."""
    aggregator = mechanism.aggregator(plain)
    return aggregator.decode(aggregator.encode(answers))


def check_mechanism(kind: type[Mechanism], guarantee: Guarantee) -> None:
    """Check everything that can be checked of a mechanism for clipped sums.

    Parameters
    ----------
    kind : type
        The mechanism.
    guarantee : Guarantee
        One that it accepts.
    """
    check_complete(kind)
    assert kind.refusal(guarantee) is None, kind.refusal(guarantee)
    mechanism = kind(guarantee, CLIENTS, 3)
    check_words(mechanism)
    if mechanism.active:
        check_bound(mechanism)
        check_noise(mechanism)
        check_cost(mechanism)
        check_payers(mechanism)
        check_budget(mechanism)
        check_parts(kind, guarantee)


def check_complete(kind: type[Mechanism]) -> None:
    """Check that a mechanism says everything that plans and reports need."""
    assert not kind.unsaid(), f"{kind.__name__} must define {', '.join(kind.unsaid())}"
    assert isinstance(kind.strength, int), "strength must be a whole number, from 0 for no protection upwards"


def check_words(mechanism: Mechanism) -> None:
    """Check that a mechanism says in words what it does, and who pays."""
    sentence = mechanism.sentence(mechanism.guarantee)
    assert mechanism.name in sentence, f"the sentence must name the mode {mechanism.name}: {sentence}"
    assert sentence.endswith("."), f"a sentence ends with a full stop: {sentence}"
    assert mechanism.trust, "trust must say who is trusted"
    assert all(isinstance(getattr(mechanism.way, field.name), str) for field in fields(mechanism.way))
    assert mechanism.way.client, "the way must say what leaves a client"
    assert mechanism.way.models, "the way must say what whoever sees models learns"
    assert not mechanism.active or mechanism.description, "the description must say what the noise is"
    paid = mechanism.server_pays or mechanism.client_pays
    assert paid == mechanism.active, "somebody must pay exactly where anything is protected"


def check_bound(mechanism: Mechanism) -> None:
    """Check that no client moves the sum by more than the clip, whatever its values, and short ones as they are."""
    rng, plain = np.random.default_rng(0), {"x": Spec(Kind.SCORES, (7,), clip=0.5)}
    (spec,) = mechanism.specs(plain).values()
    for scale in (1e-40, 1e-3, 0.1, 1.0, 1e38, np.inf, np.nan):
        values = rng.normal(0, 1, 7) * scale
        mean, error = _mean_answer(mechanism, spec, values)
        length = float(np.linalg.norm(mean))
        assert length <= 0.5 + error, f"values of size {scale} move the sum by {length}, and the clip is 0.5"
        if np.linalg.norm(values) < 0.5:
            assert np.linalg.norm(mean - values) <= 1e-4 + error, f"short values of size {scale} are not summed"


def _mean_answer(mechanism: Mechanism, spec: Spec, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return what one of many clients with the same values adds to the sum, and the error that noise leaves."""
    assert spec.quantiser is not None, "protected answers travel as whole numbers"
    rows = np.tile(values, (MANY, 1))
    sums = [np.asarray(mechanism.contribution(rows, spec, MANY), np.float64) for _ in range(DRAWS)]
    answers = np.stack(sums) * spec.quantiser.step / MANY
    return answers.mean(axis=0), 6 * answers.std(axis=0).max() * (len(values) / DRAWS) ** 0.5


def empty_sum(mechanism: Mechanism, clients: int) -> Any:
    """Return the estimate where clients contribute nothing but their noise."""
    plain = {"x": Spec(Kind.SCORES, (NUMBERS,), clip=CLIP)}
    nothing = Answers(1, np.arange(clients), {"x": np.zeros((clients, NUMBERS))})
    return estimated(mechanism, nothing, plain).values["x"]


def check_noise(mechanism: Mechanism) -> None:
    """Check that an empty sum is as noisy as the mechanism says, without bias, and anew every time."""
    first, second = (empty_sum(mechanism, mechanism.participants) for _ in range(2))
    assert first.std == mechanism.noise * CLIP, "an estimate must carry the standard deviation of its noise"
    found = float(np.std(first.value))
    assert abs(found / first.std - 1) < 2 * CLOSE, f"noise of {first.std} is promised, and {found} is there"
    assert abs(float(np.mean(first.value))) < 6 * first.std / NUMBERS**0.5, "the noise has a bias"
    alike = float(np.corrcoef(first.value, second.value)[0, 1])
    assert abs(alike) < 6 / NUMBERS**0.5, "the noise is not drawn anew"
    steps = float(np.corrcoef(first.value[1:], first.value[:-1])[0, 1])
    assert abs(steps) < 6 / NUMBERS**0.5, "every number needs noise of its own"


def least_noise(mechanism: Mechanism) -> float:
    """Return the least standard deviation, over the clip, of any noise that is worth the cost of a release.

    Two outputs whose means differ by ``s`` have a Renyi divergence of order 2 of at least ``log(1 + s^2 / variance)``
    (Hammersley, Chapman and Robbins), and the cost says that it is at most ``2 rho``.
    """
    return mechanism.sensitivity / math.sqrt(math.expm1(2 * mechanism.cost.rho))


def check_cost(mechanism: Mechanism) -> None:
    """Check that the fewest clients whose sum may be opened put as much noise on it as the cost needs."""
    found = float(np.std(empty_sum(mechanism, mechanism.quorum).value)) / CLIP
    least = least_noise(mechanism)
    assert found >= least * (1 - CLOSE), f"the cost needs noise of {least} clips at least, and {found} is there"


def check_payers(mechanism: Mechanism) -> None:
    """Check that clients pay exactly where they add noise, and that an answer alone carries what it says."""
    (spec,) = mechanism.specs({"x": Spec(Kind.SCORES, (NUMBERS,), clip=CLIP)}).values()
    assert spec.quantiser is not None
    answer = np.asarray(mechanism.contribution(np.zeros((1, NUMBERS)), spec, 1), np.float64)
    found = float(np.std(answer)) * spec.quantiser.step / CLIP
    noisy = found > 0
    assert noisy == mechanism.client_pays, "client_pays must say whether clients add noise"
    if mechanism.alone:
        assert found >= least_noise(mechanism) * (1 - CLOSE), "alone says that a single answer carries all its noise"
    assert not (mechanism.shared and mechanism.alone), "an answer carries a share of its noise, or all of it"
    assert mechanism.shared == (noisy and not mechanism.alone), "shared must say whether an answer carries a share"


def check_budget(mechanism: Mechanism) -> None:
    """Check that all planned releases together cost the budget and no more, and fewer cost less."""
    budget = mechanism.guarantee.budget[0]
    whole = epsilon(mechanism.cost.times(mechanism.releases), mechanism.guarantee.budget[1])
    assert whole <= budget * (1 + 1e-9), f"the accounting event says {whole} for a budget of {budget}"
    spent = [mechanism.spent({ANSWERS: count}) for count in range(mechanism.releases + 1)]
    assert spent[0] == 0, f"nothing was released, and {spent[0]} is spent"
    assert spent[-1] <= budget * (1 + 1e-9), f"all releases cost {spent[-1]} of {budget}"
    assert all(np.diff(spent) > 0), "more releases must cost more"


def check_parts(kind: type[Mechanism], guarantee: Guarantee) -> None:
    """Check that releases beside the answers are noised too, and fit the budget with them."""
    shared = guarantee.model_copy(update={"panel_share": 0.1, "metrics_share": 0.2})
    mechanism = kind(shared, CLIENTS, 3, shared.answers_share)
    for name in (PANEL, METRICS):
        part = mechanism.part(name)
        assert part is not None, f"a share of the budget pays for {name}, and there is no mechanism for it"
        check_cost(part)
    budget, delta = shared.budget
    whole = epsilon(mechanism.together(mechanism.everything), delta)
    assert whole <= budget * (1 + 1e-9), f"answers, items and metrics cost {whole} together, of {budget}"
