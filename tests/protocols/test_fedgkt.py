from dataclasses import replace

import numpy as np
import pytest
import torch

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.messages.types import Estimate, Estimates
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import padded_histories, score
from fedkd.protocols.fedgkt import FedGKT, said
from fedkd.protocols.trained import DIRECTIONS
from fedkd.training.cohort import Cohort
from fedkd.training.options import CentralTraining, LocalTraining, StepTraining
from tests.protocols.test_fedmd import SEED, STILL

WIDTH = 4
PROTOCOL = FedGKT(
    model=AutoencoderConfig(width=WIDTH),
    references=6,
    panel=12,
    server_width=8,
    pretraining=CentralTraining(epochs=5),
    teaching=StepTraining(steps=40, learning_rate=0.01),
    local=STILL,
)


@pytest.fixture
def asked(public_setup):
    state = PROTOCOL.begin(public_setup())
    return state, PROTOCOL.ask(state, np.arange(3), 1, np.random.default_rng(0))


def answers_of(asks, fold, protocol=PROTOCOL):
    return protocol.learn(Cohort(np.arange(3), np.arange(3), fold, SEED, ({},) * 3), asks)[1]


def test_clients_answer_features_and_logits_of_the_student_that_was_sent(asked, private_fold):
    _, asks = asked
    found = answers_of(asks, private_fold(3, seed=1)).values["knowledge"]
    student = PROTOCOL._common(asks, Catalogue.numbered(30))
    shown = padded_histories(asks.reference.histories, 30)
    naive = np.hstack([student.hidden(shown).detach(), student(shown).detach()[:, asks.reference.panel.astype(int)]])
    np.testing.assert_allclose(found, [naive] * 3, atol=1e-5)
    assert PROTOCOL.expects(asks)["knowledge"].shape == naive.shape == (6, WIDTH + 12)


def test_the_servers_logits_travel_down_and_no_labels_travel_up(asked):
    state, asks = asked
    known = score(PROTOCOL.teacher(state), asks.reference.histories)[:, asks.reference.panel]
    lesson = torch.log_softmax(torch.from_numpy(asks.shared["lesson"].astype(np.float32)), -1)
    np.testing.assert_allclose(lesson, torch.log_softmax(torch.from_numpy(known), -1), atol=0.01)
    assert [*PROTOCOL.expects(asks)] == ["knowledge"]
    assert PROTOCOL.masks()
    assert PROTOCOL.unprotectable() is None


def test_references_are_parts_of_public_histories_whose_rest_is_the_label(asked):
    state, asks = asked
    reference, whole = PROTOCOL._drawn(state.setup, 1)
    assert reference.fingerprint == asks.reference.fingerprint
    for row in range(6):
        assert {*reference.histories[row]} <= {*whole[row].tolist()} - {30}


def test_clients_learn_the_servers_logits(asked, private_fold):
    _, asks = asked
    wish = np.zeros((6, 12), np.float16)
    wish[:, 3] = 8.0
    eager = PROTOCOL.model_copy(
        update={"local": LocalTraining(epochs=200, learning_rate=0.05, batch_size=4), "soft_weight": 5.0}
    )
    shared = {**asks.shared, "lesson": wish}
    found = answers_of(replace(asks, shared=shared), private_fold(3, seed=1), eager).values["knowledge"]
    assert (found[..., WIDTH:].argmax(-1) == 3).mean() > 0.9


def test_the_network_learns_features_and_the_student_learns_both(asked):
    state, asks = asked
    known = said(PROTOCOL._sent(state), asks.reference).astype(np.float64)
    wanted = known.copy()
    wanted[:, :WIDTH] = np.tanh(known[:, :WIDTH] + 0.3)
    pooled = PROTOCOL.pool(state, Estimates(1, np.arange(4), {"knowledge": Estimate(4 * wanted)}, 4.0))
    near = PROTOCOL.model_copy(update={"feature_weight": 1000.0})
    taught, metrics = near.teach(pooled, np.random.default_rng(0))
    after = said(PROTOCOL.global_student(taught), asks.reference)
    moved = [np.abs(one[:, :WIDTH] - wanted[:, :WIDTH]).mean() for one in (known, after)]
    assert moved[1] < 0.5 * moved[0]
    assert metrics["distance"] == pytest.approx(moved[1], rel=1e-4)
    features, (_, whole) = torch.from_numpy(wanted[:, :WIDTH]).float(), PROTOCOL._drawn(state.setup, 1)
    likely = [torch.log_softmax(PROTOCOL.teacher(one).of_features(features), -1).detach() for one in (state, taught)]
    padded = [torch.cat([one, torch.zeros(6, 1)], 1).gather(1, whole).sum() for one in likely]
    assert padded[1] > padded[0]


def test_under_noise_answers_are_changes_along_few_directions(public_setup, private_fold):
    state = PROTOCOL.begin(replace(public_setup(), participants=20, answer_budget=AnswerBudget(20, 0.15)))
    asks = PROTOCOL.ask(state, np.arange(3), 1, np.random.default_rng(0))
    found = answers_of(asks, private_fold(3, seed=1)).values["knowledge"]
    assert 0 < len(asks.shared[DIRECTIONS]) < 6
    assert found.shape[1:] == PROTOCOL.expects(asks)["knowledge"].shape
    np.testing.assert_allclose(found, 0, atol=1e-5)  # nobody trained


def test_the_teacher_learns_from_clients(run_federation):
    transfer, local = CentralTraining(epochs=60, learning_rate=0.03), LocalTraining(epochs=10, learning_rate=0.02)
    given = {"references": 40, "panel": 0, "pretraining": transfer, "local": local, "label_weight": 0.0}
    protocol = PROTOCOL.model_copy(update=given)
    outcome, before = (run_federation(protocol, rounds=rounds, users=40) for rounds in (3, 0))
    assert outcome.federation.ndcg(outcome.scores) > before.federation.ndcg(before.scores)


def test_without_public_users_it_says_what_to_change(public_setup):
    with pytest.raises(UserError, match=r"partition\.public-fraction"):
        PROTOCOL.begin(public_setup(public=0))
