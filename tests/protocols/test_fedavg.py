from dataclasses import replace

import numpy as np
import pytest
import torch

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.messages.types import Estimate, Estimates
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import multi_hot, padded_histories
from fedkd.protocols.fedavg import FedAvg
from fedkd.random_streams import stream
from fedkd.training.cohort import Cohort
from fedkd.training.options import CentralTraining, LocalTraining

SMALL = AutoencoderConfig(width=4)
LOCAL = LocalTraining(epochs=1, learning_rate=0.5, optimiser="sgd", visible=0.6)
SEED = 3
PLAIN = {"server_optimiser": "average", "server_learning_rate": 1.0}
"""The server's step in the paper."""


def trained_alone(model, history, client):
    """One plain gradient step of one client, written down as in the paper."""
    history = torch.from_numpy(history.astype(np.int64))
    draws = stream(SEED, "train", 1, client).random(len(history))
    shown = history[torch.from_numpy(draws < LOCAL.visible)][None]
    scores = model(shown)[0]
    loss = -torch.log_softmax(scores, 0)[history].mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return {n: -LOCAL.learning_rate * g for (n, _), g in zip(model.named_parameters(), gradients, strict=True)}


def test_a_round_is_the_weighted_mean_of_changes(run_federation, public_setup):
    protocol = FedAvg(model=SMALL, local=LOCAL, **PLAIN)
    outcome = run_federation(protocol, rounds=1, users=6)
    histories = outcome.federation.fold.train.histories
    start = protocol.student(protocol.begin(public_setup()))
    sent = load_arrays(protocol.blank_student(Catalogue.numbered(30)), export_arrays(start))
    changes = [trained_alone(sent, histories[c], c) for c in range(6)]
    weights = histories.lengths / histories.lengths.sum()
    after = dict(protocol.student(outcome.state).named_parameters())
    for name, before in start.named_parameters():
        mean = sum(w * change[name] for w, change in zip(weights, changes, strict=True))
        torch.testing.assert_close(after[name], before + mean, rtol=0, atol=1e-6)


def test_a_silo_trains_on_all_its_users(run_federation, public_setup, private_fold):

    protocol, fold = FedAvg(model=SMALL, local=LOCAL), private_fold(6, seed=1)
    asks = protocol.ask(protocol.begin(public_setup()), np.array([0, 1]), 1, np.random.default_rng(0))
    _, answers = protocol.learn(Cohort(np.array([0, 1]), np.array([0, 0, 0, 0, 1, 1]), fold, SEED, ({}, {})), asks)
    lengths = fold.train.histories.lengths
    assert answers.weights.tolist() == [lengths[:4].sum(), lengths[4:].sum()]


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [({**PLAIN, "local": LocalTraining(epochs=5, learning_rate=0.05)}, 40), ({}, 20)],
    ids=["average", "as it is"],
)
def test_the_student_learns_what_the_clients_like(settings, rounds, run_federation):
    protocol = FedAvg(model=SMALL, **settings)
    outcome = run_federation(protocol, rounds=rounds, users=60)
    federation = outcome.federation
    popular = np.tile(federation.fold.train.popularity().astype(np.float32), (60, 1))
    assert federation.ndcg(outcome.scores) > 1.1 * federation.ndcg(popular)


def test_steps_are_as_much_smaller_as_the_sum_holds_noise(public_setup):
    protocol = FedAvg(model=SMALL, clip=1.0, **PLAIN)
    state = protocol.begin(replace(public_setup(), participants=20, answer_budget=AnswerBudget(20, 1.0)))
    size = sum(p.numel() for p in protocol.student(state).parameters())
    pure, clear = np.random.default_rng(0).standard_normal(size), np.full(size, 20.0)
    for total, least, most in ((0.9 * pure, 0.0, 0.0), (clear, 0.99, 1.0)):
        estimates = Estimates(1, np.arange(20), {"change": Estimate(total, 1.0)}, 20.0)
        taught, metrics = protocol.teach(protocol.pool(state, estimates), np.random.default_rng(0))
        assert least <= metrics["signal"] <= most
        move = taught.arrays["student.encoder.bias"] - state.arrays["student.encoder.bias"]
        assert np.abs(move).max() == pytest.approx(
            metrics["signal"] * np.abs(total[0] * (total is clear)) / 20, rel=1e-5
        )


def test_the_student_may_begin_on_the_public_users(public_setup, private_fold):
    fold = private_fold(40, seed=1)
    begun = [FedAvg(model=SMALL, pretraining=CentralTraining(epochs=e)).begin(public_setup()) for e in (0, 60)]
    likely = [
        torch.log_softmax(FedAvg(model=SMALL).student(s)(padded_histories(fold.train.histories, 30)), -1) for s in begun
    ]
    targets = multi_hot(padded_histories(fold.train.histories, 30), 30)
    assert (targets * likely[1]).sum() > (targets * likely[0]).sum()


def test_the_empty_histories_of_a_client_count_nothing(run_federation, public_setup, private_fold):

    data = private_fold(2, seed=1).train
    data = data.where(np.arange(len(data)) >= data.histories.lengths[0])
    protocol = FedAvg(model=SMALL, local=LOCAL)
    asks = protocol.ask(protocol.begin(public_setup()), np.arange(2), 1, np.random.default_rng(0))
    _, answers = protocol.learn(Cohort(np.arange(2), np.arange(2), Fold(data, data, data), SEED, ({}, {})), asks)
    assert answers.weights[0] == 0
    assert not np.any(answers.values["change"][0])
