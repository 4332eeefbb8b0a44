from dataclasses import replace

import numpy as np
import pytest
import torch

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.messages.types import Asks, Estimate, Estimates
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import padded_histories, score
from fedkd.protocols.fedmd import FedMD
from fedkd.protocols.own_consensus import CONSENSUS
from fedkd.protocols.trained import DIRECTIONS
from fedkd.training.cohort import Cohort
from fedkd.training.options import CentralTraining, LocalTraining

SMALL = AutoencoderConfig(width=4)
SEED = 3
STILL = LocalTraining(epochs=1, learning_rate=1e-12, optimiser="sgd")
"""A revisit that changes nothing, so that the digest can be seen alone."""


def students(outcome, protocol):
    for kept in outcome.federation.states:
        student = protocol.blank_student(Catalogue.numbered(30))
        student.load_state_dict({n.removeprefix("student."): torch.from_numpy(a) for n, a in kept.items()})
        yield student


def test_the_consensus_is_the_mean_of_the_students_scores(run_federation):
    protocol = FedMD(model=SMALL, references=5, panel=12, transfer=CentralTraining(epochs=5))
    outcome = run_federation(protocol, rounds=1, users=9)
    reference = protocol._reference(outcome.state.setup, 1)
    naive = np.mean([score(s, reference.histories)[:, reference.panel] for s in students(outcome, protocol)], axis=0)
    np.testing.assert_allclose(outcome.state.arrays[CONSENSUS + "scores"], naive, atol=1e-5)


def test_references_are_drawn_anew_and_known_to_be_the_same(run_federation, public_setup):
    protocol, setup = FedMD(model=SMALL, references=4), public_setup()
    prints = [protocol._reference(setup, number).fingerprint for number in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


def test_a_client_digests_by_the_mean_absolute_difference(run_federation, public_setup, private_fold):
    """One batch, two epochs: two steps of Adam on |scores - consensus|, as a plain loop does them."""
    protocol = FedMD(model=SMALL, references=5, panel=12, local=STILL, digest_learning_rate=0.01)
    state = run_federation(protocol, rounds=1, users=6).state
    asks = protocol.ask(state, np.arange(2), 2, np.random.default_rng(0))
    start = SMALL.build(Catalogue.numbered(30), seed=7)
    kept = {"student." + n: t.detach().numpy() for n, t in start.named_parameters()}
    cohort = Cohort(np.arange(2), np.arange(2), private_fold(2, seed=1), SEED, (kept, kept))
    learnt, _ = protocol.learn(cohort, asks)
    digest_alone(start, asks, protocol)
    for name, parameter in start.named_parameters():
        np.testing.assert_allclose(learnt.states[1]["student." + name], parameter.detach().numpy(), atol=1e-5)


def digest_alone(student, asks: Asks, protocol: FedMD):
    lengths = asks.shared[CONSENSUS + "lengths"]
    rows = np.split(asks.shared[CONSENSUS + "values"], np.cumsum(lengths)[:-1])
    consensus = torch.from_numpy(asks.shared[CONSENSUS + "scores"].astype(np.float32))
    adam = torch.optim.Adam(student.parameters(), lr=protocol.digest_learning_rate)
    for _ in range(protocol.digest_epochs):
        scores = torch.cat([student(torch.from_numpy(row.astype(np.int64))[None]) for row in rows])
        loss = (scores[:, torch.from_numpy(asks.reference.panel.astype(np.int64))] - consensus).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()


def test_a_new_client_learns_the_public_histories_first(run_federation):
    protocol = FedMD(model=SMALL, local=STILL, transfer=CentralTraining(epochs=60, learning_rate=0.03))
    outcome = run_federation(protocol, rounds=1)
    public = outcome.state.setup.public.histories
    fresh = SMALL.build(Catalogue.numbered(30), SEED)
    shown = padded_histories(public, 30)
    for student in list(students(outcome, protocol))[:2]:
        assert hit_mass(student, shown) > hit_mass(fresh, shown) + 0.1


def hit_mass(student, shown):
    """How much probability falls on the histories themselves."""
    with torch.no_grad():
        likely = torch.softmax(student(shown), -1)
    padded = torch.cat([likely, torch.zeros(len(shown), 1)], 1)
    return float(padded.gather(1, shown).sum(1).mean())


def test_students_and_the_global_one_learn(run_federation):
    transfer = CentralTraining(epochs=60, learning_rate=0.03)
    protocol = FedMD(model=SMALL, transfer=transfer, local=LocalTraining(epochs=5, learning_rate=0.02))
    outcome = run_federation(protocol, rounds=4, users=60)
    federation = outcome.federation
    popular = np.tile(federation.fold.train.popularity().astype(np.float32), (60, 1))
    globally = score(protocol.student(outcome.state), federation.fold.history.histories)
    assert federation.ndcg(outcome.scores) > 1.1 * federation.ndcg(popular)
    assert federation.ndcg(globally) > 1.1 * federation.ndcg(popular)


NOISY = FedMD(model=SMALL, references=5, panel=12, transfer=CentralTraining(epochs=5))


@pytest.fixture
def noisy(public_setup, private_fold):
    state = NOISY.begin(replace(public_setup(), participants=20, answer_budget=AnswerBudget(20, 0.15)))
    asks = NOISY.ask(state, np.arange(3), 1, np.random.default_rng(0))
    learnt, answers = NOISY.learn(Cohort(np.arange(3), np.arange(3), private_fold(3, seed=1), SEED, ({},) * 3), asks)
    return state, asks, learnt, noised(state, answers.values["scores"].sum(0))


def noised(state, total):
    """The state after a sum of all 20 participants was pooled."""
    estimate = Estimate(total, state.setup.answer_budget.std * NOISY.clip)
    return NOISY.pool(state, Estimates(1, np.arange(20), {"scores": estimate}, 20.0))


def test_under_noise_answers_are_distances_to_the_global_student_along_few_directions(noisy):
    state, asks, learnt, pooled = noisy
    directions, references = asks.shared[DIRECTIONS], asks.reference
    assert 0 < len(directions) < len(references.histories) == 5
    known = score(NOISY.student(state), references.histories)[:, references.panel]
    naive = np.zeros((len(directions), 12))
    for kept in learnt.states:
        student = NOISY.blank_student(Catalogue.numbered(30))
        student.load_state_dict({n.removeprefix("student."): torch.from_numpy(a) for n, a in kept.items()})
        naive += directions @ (score(student, references.histories)[:, references.panel] - known)
    np.testing.assert_allclose(pooled.arrays["pooled.sum.scores"], naive, atol=0.02)
    assert NOISY.expects(asks)["scores"].shape == naive.shape


def test_with_nothing_but_noise_the_global_student_stays(noisy):
    state, _, _, pooled = noisy
    pure = np.random.default_rng(0).standard_normal(pooled.arrays["pooled.sum.scores"].shape)
    pure *= 0.1 * state.setup.answer_budget.std * NOISY.clip
    taught, metrics = NOISY.teach(noised(state, pure), np.random.default_rng(0))
    assert metrics["signal"] == 0
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(taught.arrays[name], array)


def test_without_public_users_it_says_what_to_change(public_setup):
    with pytest.raises(UserError, match=r"partition\.public-fraction"):
        FedMD(model=SMALL).begin(public_setup(public=0))
