"""The conformance suite of privacy mechanisms.

``check_mechanism`` raises an ``AssertionError`` that says what is wrong. It cannot prove that a mechanism is private;
it checks that bounds hold, that the noise is as wide as the mechanism says, and that cost, budget and words agree.
"""

import numpy as np

from fedkd.aggregation.aggregator import Specs
from fedkd.messages.types import Answers, Estimates, Kind, Spec
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.mechanisms.base import ANSWERS, Mechanism

CLIENTS, NUMBERS = 40, 20_000


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
    assert kind.refusal(guarantee) is None, kind.refusal(guarantee)
    mechanism = kind(guarantee, CLIENTS, 3)
    check_words(mechanism)
    if mechanism.active:
        check_bound(mechanism)
        check_noise(mechanism)
        check_budget(mechanism)


def check_words(mechanism: Mechanism) -> None:
    """Check that a mechanism says in words what it does, and who pays."""
    sentence = mechanism.sentence(mechanism.guarantee)
    assert mechanism.name in sentence, f"the sentence must name the mode {mechanism.name}: {sentence}"
    assert sentence.endswith("."), f"a sentence ends with a full stop: {sentence}"
    assert mechanism.trust, "trust must say who is trusted"
    assert mechanism.way.client, "the way must say what leaves a client"
    assert mechanism.way.models, "the way must say what whoever sees models learns"
    paid = mechanism.server_pays or mechanism.client_pays
    assert paid == mechanism.active, "somebody must pay exactly where anything is protected"


def check_bound(mechanism: Mechanism) -> None:
    """Check that no client moves the sum by more than the clip, whatever its values."""
    rng, plain = np.random.default_rng(0), {"x": Spec(Kind.SCORES, (7,), clip=0.5)}
    (spec,) = mechanism.specs(plain).values()
    assert spec.quantiser is not None, "protected answers travel as whole numbers"
    for scale in (1e-40, 1e-3, 1.0, 1e38, np.inf, np.nan):
        values = rng.normal(0, 1, (1, 7)) * scale
        draws = [np.asarray(mechanism.contribution(values, spec, 1), np.float64) for _ in range(60)]
        mean = np.mean(draws, axis=0) * spec.quantiser.step
        noise = np.std(draws, axis=0).max() * spec.quantiser.step
        longest = 0.5 + 6 * noise * (7 / 60) ** 0.5
        assert np.linalg.norm(mean) <= longest, f"values of size {scale} move the sum by {np.linalg.norm(mean)}"


def check_noise(mechanism: Mechanism) -> None:
    """Check that an empty sum is as noisy as the mechanism says, without bias, and anew every time."""
    plain = {"x": Spec(Kind.SCORES, (NUMBERS,), clip=3.0)}
    nothing = Answers(1, np.arange(CLIENTS), {"x": np.zeros((CLIENTS, NUMBERS))})
    first, second = (estimated(mechanism, nothing, plain).values["x"] for _ in range(2))
    assert first.std == mechanism.noise * 3.0, "an estimate must carry the standard deviation of its noise"
    found = float(np.std(first.value))
    assert abs(found / first.std - 1) < 0.03, f"noise of {first.std} is promised, and {found} is there"
    assert abs(float(np.mean(first.value))) < 6 * first.std / NUMBERS**0.5, "the noise has a bias"
    assert not np.array_equal(first.value, second.value), "the noise is not drawn anew"


def check_budget(mechanism: Mechanism) -> None:
    """Check that all planned releases together cost the budget and no more, and fewer cost less."""
    budget = mechanism.guarantee.budget[0]
    spent = [mechanism.spent({ANSWERS: count}) for count in range(mechanism.releases + 1)]
    assert spent[-1] <= budget * (1 + 1e-9), f"all releases cost {spent[-1]} of {budget}"
    assert spent == sorted(spent), "more releases cannot cost less"
    whole = epsilon(mechanism.cost.times(mechanism.releases), mechanism.guarantee.budget[1])
    assert whole <= budget * (1 + 1e-9), f"the accounting event says {whole} for a budget of {budget}"
