"""The teacher on the server and the clients' students teach each other, and the teacher never travels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.aggregation.quantisation import quantised
from fedkd.aggregation.sums import Sum
from fedkd.distillation.options import DistillationOptions
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.losses.objectives import LossWeights
from fedkd.messages.types import Estimate, Estimates
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.protocols.bidirectional import ASKED, COMMON, LESSON, STEP, Bidirectional, dither
from fedkd.protocols.taught import TEACHER, pooled_targets
from fedkd.protocols.trained import DIRECTIONS
from fedkd.testing.protocols import SEED, check_profiles, play, toy_fold, toy_setup
from fedkd.training.cohort import Cohort
from fedkd.training.options import CentralTraining, LocalTraining, StepTraining

QUICK = DistillationOptions(training=StepTraining(steps=40, learning_rate=0.02))
PROTOCOL = Bidirectional(
    model=AutoencoderConfig(width=4),
    teacher_model=AutoencoderConfig(width=8),
    references=24,
    pretraining=CentralTraining(epochs=20, learning_rate=0.02),
    local=LocalTraining(epochs=8, learning_rate=0.02),
    teaching=QUICK,
    distillation=QUICK.model_copy(update={"weights": LossWeights(feature=0.1)}),
)
SILO = PROTOCOL.model_copy(update={"own": AutoencoderConfig(width=6)})


@pytest.fixture(scope="module")
def begun():
    return PROTOCOL.begin(toy_setup())


def silos(protocol, state, users=20, kept=({}, {})):
    """The answers of two silos to the question of the first round."""
    asks = protocol.ask(state, np.arange(2), 1, np.random.default_rng(0))
    owner = np.repeat([0, 1], [users // 2, users - users // 2])
    return asks, *protocol.learn(Cohort(np.arange(2), owner, toy_fold(users, seed=1), SEED, kept), asks)


def after(protocol, state, change, std=0.0, weight=1.0):
    """The state after a sum of changes was pooled and taught."""
    state = protocol.pool(state, Estimates(1, np.arange(2), {"change": Estimate(change, std)}, weight))
    return protocol.teach(state, np.random.default_rng(2))[0]


def mean_change(answers, order=(0, 1)):
    """What two silos answer in the mean."""
    return answers.values["change"][[*order]].mean(0)


def ndcg(model, fold):
    return evaluate(model_scores(model), fold).means()["ndcg@10"]


def test_the_teacher_stays_on_the_server(begun):
    asks = PROTOCOL.ask(begun, np.arange(2), 1, np.random.default_rng(0))
    assert any(name.startswith(TEACHER) for name in begun.arrays)
    assert {name.split(".")[0] + "." for name in asks.shared} == {COMMON, LESSON, ASKED + "."}
    sent = SILO.ask(begun, np.arange(2), 1, np.random.default_rng(0)).shared
    assert {*sent} == {"lesson.items", "lesson.logits", "lesson.rest", "lesson.features", ASKED}


@pytest.mark.parametrize("protocol", [PROTOCOL, SILO], ids=["sent", "own"])
def test_teacher_and_student_learn_what_clients_know(begun, protocol):
    long, lesson = LocalTraining(epochs=60, learning_rate=0.03), LossWeights(soft=0.3, hard=1.0)
    protocol = protocol.model_copy(update={"local": long, "lesson": lesson})
    _, _, answers = silos(protocol, begun, users=60)
    taught, fold = after(protocol, begun, mean_change(answers)), toy_fold(60, seed=1)
    assert ndcg(protocol.teacher(taught), fold) > ndcg(protocol.teacher(begun), fold) + 0.08
    assert ndcg(protocol.student(taught), fold) > ndcg(protocol.student(begun), fold) + 0.08


def test_uniform_soft_labels_teach_nothing(begun):
    reference, fold = PROTOCOL.reference(begun, 1), toy_fold(60, seed=1)
    uniform = pooled_targets(reference, np.zeros((24, 30), np.float32))
    taught = PROTOCOL.taught(begun, uniform, np.random.default_rng(0))
    assert ndcg(PROTOCOL.teacher(taught), fold) <= ndcg(PROTOCOL.teacher(begun), fold)


def test_clients_that_say_nothing_new_leave_the_teacher_where_it_was(begun):
    same = after(PROTOCOL, begun, np.zeros((24, 30)))
    histories = toy_fold(20, seed=1).train.histories
    before, later = (torch.softmax(torch.from_numpy(score(PROTOCOL.teacher(s), histories)), -1) for s in (begun, same))
    assert (before - later).abs().sum(-1).mean() < 0.1


@pytest.mark.parametrize("protocol", [PROTOCOL, SILO], ids=["sent", "own"])
def test_swapping_two_clients_answers_changes_nothing(begun, protocol):
    _, _, answers = silos(protocol, begun)
    first, second = (after(protocol, begun, mean_change(answers, order)) for order in ([0, 1], [1, 0]))
    assert all((first.arrays[name] == second.arrays[name]).all() for name in first.arrays)


def test_a_correction_is_the_mean_change_of_the_teachers_logits(begun, monkeypatch):
    seen = []
    monkeypatch.setattr(Bidirectional, "taught", lambda self, state, pooled, rng: seen.append(pooled) or state)
    change = np.random.default_rng(0).normal(size=(24, 30))
    after(PROTOCOL, begun, 3 * change, weight=3.0)
    expected, panel = score(PROTOCOL.teacher(begun), seen[0].histories), PROTOCOL.reference(begun, 1).panel
    expected[:, panel] += change
    np.testing.assert_allclose(seen[0].scores, expected, atol=1e-4)


def test_the_lesson_moves_students_towards_the_teacher(begun):
    taught, deaf = (PROTOCOL.model_copy(update={"lesson": LossWeights(soft=soft, hard=0.01)}) for soft in (10.0, 0.0))
    still = LocalTraining(epochs=30, learning_rate=0.02)
    distances = []
    for protocol in (taught, deaf):
        asks, _, answers = silos(protocol.model_copy(update={"local": still}), begun)
        models = (PROTOCOL.student(begun), PROTOCOL.teacher(begun))
        student, teacher = (score(model, asks.reference.histories)[:, asks.reference.panel] for model in models)
        theirs = torch.log_softmax(torch.from_numpy(teacher), -1)
        ours = torch.log_softmax(torch.from_numpy(student + answers.values["change"][0]), -1)
        distances.append(float((theirs.exp() * (theirs - ours)).sum(-1).mean()))
    assert distances[0] < 0.8 * distances[1]


def test_coded_changes_are_right_in_the_mean(begun):
    asks, _, answers = silos(PROTOCOL, begun)
    spec = PROTOCOL.expects(asks)["change"]
    drawn = np.full((2000, 1, 1), 0.3 * STEP, np.float32) + dither(everyone(2000), 1, (1, 1))
    assert quantised(drawn, spec).mean() == pytest.approx(0.3, abs=0.04)
    assert np.abs(quantised(answers.values["change"], spec)).max() <= 127
    assert spec.quantiser.bits == 9  # of two clients
    answer = Sum({"change": spec})
    found = answer.decode(answer.encode(answers)).values["change"].value
    np.testing.assert_allclose(found, answers.values["change"].sum(0), atol=STEP)


def everyone(clients):
    return Cohort(np.arange(clients), np.arange(0), toy_fold(1, seed=1), SEED)


def test_own_models_are_kept_and_go_on(begun):
    _, first, _ = silos(SILO, begun)
    _, second, _ = silos(SILO, begun, kept=first.states)
    name = "student.encoder.weight"
    assert first.states[0][name].shape[-1] == 6
    assert not np.array_equal(first.states[0][name], second.states[0][name])
    assert (
        SILO.kept_bytes(None, begun.setup.public.catalogue)
        > PROTOCOL.kept_bytes(None, begun.setup.public.catalogue)
        == 0
    )


@pytest.mark.parametrize("protocol", [PROTOCOL, SILO], ids=["sent", "own"])
def test_under_protection_changes_are_released_along_few_directions(protocol):
    setup = replace(toy_setup(), participants=20, answer_budget=AnswerBudget(20, 0.15))
    state = protocol.begin(setup)
    asks, _, answers = silos(protocol, state)
    assert answers.values["change"].shape[1] == len(asks.shared[DIRECTIONS]) < 24
    noise = np.random.default_rng(0).normal(0, 5, answers.values["change"].shape[1:])
    later = after(protocol, state, noise, std=5.0, weight=20.0)
    histories = toy_fold(20, seed=1).train.histories
    moved = score(protocol.teacher(later), histories) - score(protocol.teacher(state), histories)
    assert np.isfinite(moved).all()


def test_without_public_users_there_is_no_teacher():
    with pytest.raises(UserError, match=r"set partition\.public-fraction above 0"):
        PROTOCOL.begin(toy_setup(public=0))


def test_rounds_go_on_from_the_pooled_state():
    outcome = play(PROTOCOL.model_copy(update={"references": 6}), rounds=2, users=12)
    assert outcome.metrics[1].keys() == {"change", "signal"}


def test_silos_own_models_may_have_different_shapes():
    check_profiles(SILO)
    assert not PROTOCOL.profiled()
