import numpy as np
import pytest
import torch

from fedkd.cohort.cohort import Cohort
from fedkd.errors import UserError
from fedkd.models.base import score
from fedkd.models.spec import ModelSpec
from fedkd.protocols.base import load_arrays
from fedkd.protocols.central import CentralTraining
from fedkd.protocols.iterated import Iterated
from fedkd.protocols.optimise import adam_moved, student_arrays
from fedkd.protocols.private import LocalTraining
from fedkd.release import release
from fedkd.streams import stream

SMALL = ModelSpec(family="autoencoder", width=4)
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
        student = load_arrays(PROTOCOL.blank_student(30), asks.shared).eval()
        before = score(student, asks.reference.histories)[:, asks.reference.panel]
        step_alone(student, fold.train.histories[client], client)
        after = score(student, asks.reference.histories)[:, asks.reference.panel]
        weight = np.sqrt(fold.train.histories.lengths[client])
        np.testing.assert_allclose(answers.values["residual"][client], weight * (after - before), atol=2e-6)
        assert answers.values["weight"][client] == pytest.approx(weight)


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
    pooled = PROTOCOL.pool(state, release(answers, PROTOCOL.expects(asks)))
    taught, metrics = PROTOCOL.teach(pooled, np.random.default_rng(0))
    change = [score(PROTOCOL.student(s), asks.reference.histories)[:, asks.reference.panel] for s in (state, taught)]
    residual = answers.values["residual"].sum(0)
    assert np.corrcoef((change[1] - change[0]).ravel(), residual.ravel())[0, 1] > 0.5
    assert metrics["explained"] > 0.99
    assert not any(name.startswith("sum.") for name in taught.arrays)


def test_adam_on_the_server_is_adam(public_setup):
    """Four steps of ours against four of torch's, with the negative change for a gradient."""
    model, rng = SMALL.build(30, 1), np.random.default_rng(0)
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


@pytest.mark.parametrize(("family", "rounds"), [("autoencoder", 25), ("cnn", 20)])
def test_rounds_beat_the_public_student(family, rounds, run_federation):
    model = ModelSpec(family=family, width=6, channels=(6, 8))
    pretraining = CentralTraining(epochs=3)
    protocol = Iterated(model=model, learning_rate=0.05, pretraining=pretraining, solver_steps=20)
    outcome = run_federation(protocol, rounds=rounds, users=60)
    federation = outcome.federation
    popular = np.tile(federation.fold.train.popularity().astype(np.float32), (60, 1))
    first = score(protocol.student(protocol.begin(outcome.state.setup)), federation.fold.history.histories)
    reached = federation.ndcg(outcome.scores)
    assert reached > federation.ndcg(first)
    assert family == "cnn" or reached > 1.1 * federation.ndcg(popular)


def test_the_step_falls_to_nothing(public_setup):
    state = PROTOCOL.begin(public_setup(rounds=10))
    rates = [PROTOCOL._rate(state.with_arrays(**{"rounds-taught": np.array(n)})) for n in range(12)]
    assert rates[0] == PROTOCOL.learning_rate
    assert rates == sorted(rates, reverse=True)
    assert rates[10] == rates[11] == 0


def test_without_public_users_it_says_what_to_change(public_setup):
    with pytest.raises(UserError, match=r"partition\.public-fraction"):
        PROTOCOL.begin(public_setup(public=0))
