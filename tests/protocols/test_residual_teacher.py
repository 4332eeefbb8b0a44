"""Residual distillation with a neural teacher: the pooled closed form teaches it, and it teaches the student."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fedkd.distillation.server_student import ServerDistillation
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.models.cnn import CNNConfig
from fedkd.protocols.residual import Residual
from fedkd.runs.config import load
from fedkd.testing.protocols import assert_same, play, toy_fold, toy_setup
from fedkd.training.options import CentralTraining

QUICK = ServerDistillation(samples=40, public_share=0.3, steps=60, batch_size=16)  # eight public users tell little
SHORT = CentralTraining(epochs=5)
PROTOCOL = Residual(
    references=20,
    rank=5,
    regularisation=20.0,
    model=CNNConfig(width=6, channels=(4, 6)),
    teacher_model=AutoencoderConfig(width=8),
    distillation=QUICK,
    teaching=QUICK,
    central=SHORT,
    central_teacher=SHORT,
)
TASTE = toy_fold(60, seed=1)


def ndcg(model) -> float:
    return evaluate(model_scores(model), TASTE).means()["ndcg@10"]


@pytest.fixture(scope="module")
def outcome():
    return play(PROTOCOL, rounds=1, users=60)


@pytest.fixture(scope="module")
def silence():
    return PROTOCOL.unanswered(toy_setup(users=60))


def test_teacher_and_student_are_neural_and_learn_what_clients_know(outcome, silence):
    teacher, student = PROTOCOL.teacher(outcome.state), PROTOCOL.student(outcome.state)
    assert teacher.hidden(torch.zeros((1, 1), dtype=torch.int64)).shape == (1, 8)
    assert ndcg(teacher) > ndcg(PROTOCOL.teacher(silence)) + 0.05
    assert ndcg(student) > ndcg(PROTOCOL.student(silence)) + 0.02


def test_the_student_learns_from_the_neural_teacher_and_not_from_the_closed_form(outcome, silence):
    told = []
    other = score(PROTOCOL.teacher(silence), TASTE.train.histories)
    for model in (PROTOCOL.teacher(outcome.state), PROTOCOL.student(outcome.state)):
        told.append(score(model, TASTE.train.histories))
    near, far = (np.corrcoef(told[1].ravel(), scores.ravel())[0, 1] for scores in (told[0], other))
    assert near > far


def test_a_neural_teacher_costs_clients_nothing(outcome):
    plain = PROTOCOL.model_copy(update={"teacher_model": None})
    asked = [p.ask(outcome.state, np.arange(3), 1, np.random.default_rng(0)) for p in (PROTOCOL, plain)]
    assert asked[0].shared.keys() == asked[1].shared.keys()
    assert PROTOCOL.expects(asked[0]) == plain.expects(asked[1])


def test_equal_sums_teach_the_same_in_whatever_round_they_are_complete(outcome):
    late = outcome.state.with_arrays(accepted=2 * outcome.state.arrays["accepted"])
    again, _ = PROTOCOL.teach(late, np.random.default_rng(7))
    assert_same({**again.arrays, "accepted": outcome.state.arrays["accepted"]}, outcome.state.arrays, 0)


def test_the_centralised_teacher_has_the_same_shape_and_is_there_for_a_neural_one_alone():
    setup = toy_setup()
    found = PROTOCOL.centralised_teacher(TASTE.train, setup)
    assert found.size() == PROTOCOL.teacher_model.build(TASTE.train.catalogue, 0).size()
    assert Residual().centralised_teacher(TASTE.train, setup) is None
    assert PROTOCOL.neural_teacher
    assert not Residual().neural_teacher


def test_a_neural_teacher_without_a_student_is_refused_and_the_hint_mends_it():
    asked = ["algorithm.teacher-model.family=autoencoder", "evaluation.baselines=centralised-teacher"]
    with pytest.raises((ValueError, ValidationError), match=r"algorithm\.model\.family, for example cnn"):
        load(None, asked)
    assert load(None, ["algorithm.model.family=cnn", *asked]).algorithm.neural_teacher
