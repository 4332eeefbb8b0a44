from dataclasses import replace

import numpy as np
import pytest
import torch

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.messages.types import Estimate, Estimates
from fedkd.models.arrays import load_arrays
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.models.cnn import CNNConfig
from fedkd.protocols.iterated import VIEWS, Iterated
from fedkd.protocols.server_optimiser import adam_moved, student_arrays
from fedkd.protocols.trained import DIRECTIONS
from fedkd.random_streams import stream
from fedkd.testing.protocols import pooled
from fedkd.training.cohort import Cohort
from fedkd.training.hard_labels import mean_gradient, train_centrally
from fedkd.training.options import CentralTraining, LocalTraining

SMALL = AutoencoderConfig(width=4)
SEED = 3
ONE_STEP = LocalTraining(epochs=1, learning_rate=0.1, optimiser="sgd", visible=0.6)
PROTOCOL = Iterated(model=SMALL, local=ONE_STEP, references=5, panel=20, pretraining=CentralTraining(epochs=5))


@pytest.fixture
def answered(public_setup, private_fold):
    state, fold = PROTOCOL.begin(public_setup()), private_fold(6, seed=1)
    asks = PROTOCOL.ask(state, np.arange(6), 1, np.random.default_rng(0))
    _, answers = PROTOCOL.learn(Cohort(np.arange(6), np.arange(6), fold, SEED, ({},) * 6), asks)
    return state, fold, asks, answers


def test_the_answer_is_scores_after_less_scores_before_one_step(answered):
    _, fold, asks, answers = answered
    for client in range(6):
        student = load_arrays(PROTOCOL.blank_student(Catalogue.numbered(30)), asks.shared).eval()
        before = score(student, asks.reference.histories)[:, asks.reference.panel]
        step_alone(student, fold.train.histories[client], client)
        after = score(student, asks.reference.histories)[:, asks.reference.panel]
        weight = np.sqrt(fold.train.histories.lengths[client])
        np.testing.assert_allclose(answers.values["residual"][client], after - before, atol=2e-6)
        assert answers.weights[client] == pytest.approx(weight)


@pytest.fixture
def noisy(public_setup, private_fold):
    state = PROTOCOL.begin(replace(public_setup(), participants=20, answer_budget=AnswerBudget(20, 0.15)))
    asks = PROTOCOL.ask(state, np.arange(6), 1, np.random.default_rng(0))
    _, answers = PROTOCOL.learn(Cohort(np.arange(6), np.arange(6), private_fold(6, seed=1), SEED, ({},) * 6), asks)
    return state, asks, answers


def noised(state, total):
    """The state after a sum of all 20 participants was pooled."""
    estimate = Estimate(total, state.setup.answer_budget.std * PROTOCOL.clip)
    return PROTOCOL.pool(state, Estimates(1, np.arange(20), {"residual": estimate}, 20.0))


def test_under_noise_the_answer_is_the_residual_along_few_public_directions(noisy, private_fold):
    _, asks, answers = noisy
    directions = asks.shared[DIRECTIONS]
    assert 0 < len(directions) < len(asks.reference.histories) == 5
    student = load_arrays(PROTOCOL.blank_student(Catalogue.numbered(30)), asks.shared).eval()
    before = score(student, asks.reference.histories)[:, asks.reference.panel]
    step_alone(student, private_fold(6, seed=1).train.histories[2], 2)
    after = score(student, asks.reference.histories)[:, asks.reference.panel]
    naive = np.array([sum(d[q] * (after - before)[q] for q in range(5)) for d in directions])
    np.testing.assert_allclose(answers.values["residual"][2], naive, atol=2e-6)
    assert PROTOCOL.expects(asks)["residual"].shape == naive.shape


def test_directions_are_those_of_the_student_that_was_sent(noisy):
    state, asks, _ = noisy
    sent = load_arrays(PROTOCOL.blank_student(Catalogue.numbered(30)), asks.shared).eval()
    scores = score(sent, asks.reference.histories)[:, asks.reference.panel]
    left = np.linalg.svd(scores)[0][:, : len(asks.shared[DIRECTIONS])]
    np.testing.assert_allclose(asks.shared[DIRECTIONS].T @ asks.shared[DIRECTIONS], left @ left.T, atol=1e-4)
    np.testing.assert_array_equal(PROTOCOL._directions(state, asks.reference)[DIRECTIONS], asks.shared[DIRECTIONS])


def test_with_nothing_but_noise_private_users_count_as_content(noisy):
    state, _, answers = noisy
    shape, rng = answers.values["residual"].shape[1:], np.random.default_rng(5)
    pure = 0.1 * state.setup.answer_budget.std * PROTOCOL.clip * rng.standard_normal(shape)
    taught, metrics = PROTOCOL.teach(noised(state, pure), np.random.default_rng(0))
    drawn, public = np.random.default_rng(0), PROTOCOL.student(state)
    gradients = mean_gradient(public, state.setup.public.histories, PROTOCOL.local.visible, drawn, VIEWS)
    correction = {name: 20 / 28 * gradient for name, gradient in gradients.items()}
    train_centrally(public, state.setup.public.histories, PROTOCOL.corrected, drawn, correction)
    assert metrics["signal"] == 0
    for name, parameter in public.named_parameters():
        np.testing.assert_allclose(taught.arrays["student." + name], parameter.detach().numpy(), atol=1e-6)


def test_a_clear_sum_moves_the_student_towards_the_private_users(noisy):
    state, asks, answers = noisy
    changes = []
    for total in (np.zeros_like(answers.values["residual"].sum(0)), 40 * answers.values["residual"].sum(0)):
        taught, metrics = PROTOCOL.teach(noised(state, total), np.random.default_rng(0))
        scores = score(PROTOCOL.student(taught), asks.reference.histories)[:, asks.reference.panel]
        changes.append(asks.shared[DIRECTIONS] @ scores)
    wanted = answers.values["residual"].sum(0)
    assert metrics["signal"] > 0.9
    assert np.corrcoef((changes[1] - changes[0]).ravel(), wanted.ravel())[0, 1] > 0.5


def step_alone(student, history, client):
    history = torch.from_numpy(history.astype(np.int64))
    draws = stream(SEED, "train", 1, client).random(len(history))
    shown = history[torch.from_numpy(draws < ONE_STEP.visible)][None]
    loss = -torch.log_softmax(student(shown)[0], 0)[history].mean()
    gradients = torch.autograd.grad(loss, list(student.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(student.parameters(), gradients, strict=True):
            parameter -= ONE_STEP.learning_rate * gradient


def test_the_server_moves_scores_the_way_the_residual_points(answered):
    state, _, asks, answers = answered
    taught, metrics = PROTOCOL.teach(pooled(PROTOCOL, state, asks, answers), np.random.default_rng(0))
    change = [score(PROTOCOL.student(s), asks.reference.histories)[:, asks.reference.panel] for s in (state, taught)]
    residual = answers.values["residual"].sum(0)
    assert np.corrcoef((change[1] - change[0]).ravel(), residual.ravel())[0, 1] > 0.5
    assert metrics["explained"] > 0.99
    assert not any(name.startswith("pooled.") for name in taught.arrays)


def test_adam_on_the_server_is_adam(public_setup):
    """Four steps of ours against four of torch's, with the negative change for a gradient."""
    model, rng = SMALL.build(Catalogue.numbered(30), 1), np.random.default_rng(0)
    state = PROTOCOL.begin(public_setup()).with_arrays(**student_arrays(model))
    adam = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=0.1)
    for _ in range(4):
        change = {n: rng.standard_normal(p.shape).astype(np.float32) for n, p in model.named_parameters()}
        for name, parameter in model.named_parameters():
            parameter.grad = -torch.from_numpy(change[name])
        adam.step()
        state = adam_moved(state, change, 0.02, decay=0.1)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(state.arrays["student." + name], parameter.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "rounds"),
    [(AutoencoderConfig(width=6), 25), (CNNConfig(width=6, channels=(6, 8)), 20)],
    ids=["autoencoder", "cnn"],
)
def test_rounds_beat_the_public_student(model, rounds, run_federation):
    pretraining = CentralTraining(epochs=3)
    protocol = Iterated(model=model, learning_rate=0.05, pretraining=pretraining, solver_steps=20)
    outcome = run_federation(protocol, rounds=rounds, users=60)
    federation = outcome.federation
    popular = np.tile(federation.fold.train.popularity().astype(np.float32), (60, 1))
    first = score(protocol.student(protocol.begin(outcome.state.setup)), federation.fold.history.histories)
    reached = federation.ndcg(outcome.scores)
    assert reached > federation.ndcg(first)
    assert isinstance(model, CNNConfig) or reached > 1.1 * federation.ndcg(popular)


def test_the_step_falls_to_nothing(public_setup):
    state = PROTOCOL.begin(public_setup(rounds=10))
    rates = [PROTOCOL._rate(state.with_arrays(**{"rounds-taught": np.array(n)})) for n in range(12)]
    assert rates[0] == PROTOCOL.learning_rate
    assert rates == sorted(rates, reverse=True)
    assert rates[10] == rates[11] == 0


def test_without_public_users_it_says_what_to_change(public_setup):
    with pytest.raises(UserError, match=r"partition\.public-fraction"):
        PROTOCOL.begin(public_setup(public=0))


@pytest.mark.parametrize(
    "given", [{"local": {"target": "next-item"}}, {"corrected": {"labels": {"target": "next-item"}}}]
)
def test_gradients_of_next_items_and_of_histories_are_not_mixed(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"set local\.target and corrected\.labels\.target to history"):
        Iterated.model_validate(given)
