"""The questions about pairs: which data they are chosen for, and contributions that come, change and go."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.data.sessions import session_histories
from fedkd.distillation import closed_forms
from fedkd.distillation.pair_models import PairSums
from fedkd.distillation.server_student import ServerDistillation
from fedkd.distillation.transition_prior import transitions
from fedkd.errors import UserError
from fedkd.evaluation.metrics import ranking_metrics
from fedkd.messages.types import Estimate, Estimates
from fedkd.models.base import score
from fedkd.models.cnn import CNNConfig
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.gru import GRUConfig
from fedkd.protocols.base import Setup, State
from fedkd.protocols.residual import Residual
from fedkd.protocols.residual.choice import chosen_question
from fedkd.protocols.residual.pair_questions import CoOccurrenceQuestion, NextItemQuestion, SessionQuestion
from fedkd.protocols.residual.protected_questions import BlockQuestion, ProtectedNextItemQuestion
from fedkd.protocols.residual.questions import ScoresQuestion
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.testing.protocols import pooled
from fedkd.training.cohort import Cohort
from fedkd.training.hard_labels import train_centrally
from fedkd.training.options import CentralTraining

USERS, PUBLIC = 60, 80
PROTOCOL = Residual(upload_budget_bytes=1500, rank=4, regularisation=5.0)


def interactions(rows: list[NDArray[np.int64]], items: int) -> Interactions:
    histories = Ragged.from_rows(rows, np.int32)
    return Interactions(np.arange(len(rows)).astype(np.str_), histories, Catalogue.numbered(items))


def tastes(users: int, seed: int, items: int = 60) -> Interactions:
    """Everyone likes much of the small catalogue, in no order: three overlapping tastes."""
    rng = np.random.default_rng(seed)
    chance = np.random.default_rng(9).random((3, items)) * np.linspace(0.9, 0.2, items)
    return interactions(
        [rng.permutation(np.flatnonzero(rng.random(items) < chance[u % 3])) for u in range(users)], items
    )


def walks(users: int, seed: int, items: int = 60, sure: bool = False) -> Interactions:
    """Everyone goes round the catalogue from where they like: by one, two or three items; who is sure, by two."""
    rng = np.random.default_rng(seed)
    steps = [np.cumsum(rng.integers(1 + sure, 4 - sure, 12)) + rng.integers(items) for _ in range(users)]
    return interactions([walk % items for walk in steps], items)


def niches(users: int, seed: int, items: int = 600, sure: bool = False) -> Interactions:
    """Everyone stays in one of many niches of a large catalogue, in no order; who is sure, in its first half."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(12 - 6 * sure)[: 8 - 3 * sure] + 12 * rng.integers(items // 12) for _ in range(users)]
    return interactions(rows, items)


def visits(users: int, seed: int, items: int = 60, sure: bool = False) -> Interactions:
    """Everyone goes on by one or two items, or after a night by six; who is sure, by two, or by six."""
    rng = np.random.default_rng(seed)
    night = rng.random((users, 10)) < np.append(np.full(9, 0.5), 0)
    steps = np.where(night, 6, rng.integers(1 + sure, 3, night.shape))
    walked = interactions(list((np.cumsum(steps, axis=1) + rng.integers(items, size=(users, 1))) % items), items)
    return replace(walked, times=np.cumsum(np.where(night, 86_400, 60), axis=1).reshape(-1))


KINDS = {tastes: ScoresQuestion, walks: NextItemQuestion, niches: CoOccurrenceQuestion, visits: SessionQuestion}


def setup(kind, public: int = PUBLIC, ordered: bool = True) -> Setup:
    return Setup(kind(public, 1), USERS, USERS, 1, 0, ordered=ordered)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_question_follows_from_the_data(kind, seed):
    given = replace(setup(kind), public=kind(PUBLIC, seed))
    assert chosen_question(given, PROTOCOL) is KINDS[kind]


def test_order_is_asked_for_only_where_it_is_measured():
    assert chosen_question(setup(walks, ordered=False), PROTOCOL) is not NextItemQuestion


@pytest.mark.parametrize("times", [None, 60, 86_400])
def test_times_count_only_where_there_are_any_and_pauses_tell(times):
    known = walks(PUBLIC, 1)
    timed = replace(known, times=None if times is None else times * np.arange(len(known)))
    assert chosen_question(replace(setup(walks), public=timed), PROTOCOL) is NextItemQuestion


def test_what_was_before_a_pause_is_not_counted():
    state, _ = contribute(PROTOCOL.begin(setup(visits)), cohort(visits(4, 5), range(4)))
    question = PROTOCOL.question(state)
    apart, user = session_histories(visits(4, 5))
    assert len(apart) > 16
    asks = PROTOCOL.ask(state, np.arange(4), 1, np.random.default_rng(0))
    expected = question.update(apart, user, asks).total()
    np.testing.assert_array_equal(state.arrays["sum"], expected)
    assert expected.any()


def test_what_the_configuration_says_is_no_question():
    assert chosen_question(setup(walks), Residual(references=5, panel=20)) is ScoresQuestion
    assert chosen_question(setup(walks), Residual(reference_kind="histories")) is ScoresQuestion


@pytest.mark.parametrize(
    ("kind", "ordered", "question"),
    [(walks, True, ProtectedNextItemQuestion), (walks, False, BlockQuestion), (tastes, True, BlockQuestion)],
)
def test_noise_asks_for_order_where_order_tells(kind, ordered, question):
    noisy = replace(setup(kind, ordered=ordered), answer_budget=AnswerBudget(USERS, 1.0))
    assert chosen_question(noisy, PROTOCOL) is question


@pytest.mark.parametrize(("noise", "better"), [(0.3, True), (1e4, False)])
def test_under_noise_order_is_learnt_as_far_as_the_noise_allows(noise, better):
    few = Setup(walks(PUBLIC, 1), 300, 300, 1, 0, ordered=True, answer_budget=AnswerBudget(300, noise))
    state, group = PROTOCOL.begin(few), cohort(walks(300, 5, sure=True), range(300))
    asks = PROTOCOL.ask(state, group.clients, 1, np.random.default_rng(0))
    _, answers = PROTOCOL.learn(group, asks)
    (name, update), (spec,) = *answers.values.items(), PROTOCOL.expects(asks).values()
    assert max(np.linalg.norm(update.of(client)) for client in range(300)) <= 1 + 1e-9
    assert spec.clip == 1
    noised = update.total() + noise * np.random.default_rng(3).normal(size=spec.shape)
    pooled_state = PROTOCOL.pool(state, Estimates(1, group.clients, {name: Estimate(noised, noise)}, 300))
    with pytest.raises(UserError, match="a protected sum keeps"):
        PROTOCOL.withdraw(pooled_state, group.clients[:1])
    found, strangers = [], walks(100, 77, sure=True)
    for one in (state, pooled_state):
        taught, _ = PROTOCOL.teach(one, np.random.default_rng(0))
        found.append(quality(PROTOCOL.teacher(taught), strangers))
    assert (found[1] > found[0] + 0.05) if better else found[1] == pytest.approx(found[0], abs=0.02)


def test_few_public_users_tell_nothing():
    assert chosen_question(setup(walks, public=20), PROTOCOL) is ScoresQuestion


def test_a_catalogue_without_room_for_items_x_items_is_asked_for_pairs(monkeypatch):
    monkeypatch.setattr(closed_forms, "DENSE_BYTES", 1)
    assert chosen_question(setup(tastes), PROTOCOL) is CoOccurrenceQuestion


def test_without_a_limit_everything_is_asked_for():
    unlimited = Residual(upload_budget_bytes=0)
    assert chosen_question(setup(niches), unlimited) is ScoresQuestion
    state = unlimited.begin(setup(walks))
    assert state.arrays["sum"].shape == (120 * 121 // 2 + 120 * 60,)


@pytest.mark.parametrize("kind", [walks, niches])
def test_an_answer_fits_the_budget(kind):
    state = PROTOCOL.begin(setup(kind))
    asks = PROTOCOL.ask(state, np.arange(3), 1, np.random.default_rng(0))
    (spec,) = PROTOCOL.expects(asks).values()
    assert spec.quantiser is not None
    assert 0.9 * 1500 < spec.shape[0] * spec.quantiser.bits / 8 <= 1500


def test_a_budget_for_no_list_is_refused():
    with pytest.raises(UserError, match=r"algorithm\.upload-budget-bytes is 9"):
        Residual(upload_budget_bytes=9).begin(setup(walks))


def cohort(data: Interactions, clients, states=()) -> Cohort:
    chosen = data.take(np.asarray(clients))
    kept = states or tuple({} for _ in clients)
    return Cohort(np.asarray(clients), np.arange(len(clients)), Fold(chosen, chosen, chosen), 0, kept)


def contribute(state: State, group: Cohort, round_number: int = 1) -> tuple[State, Cohort]:
    asks = PROTOCOL.ask(state, group.clients, round_number, np.random.default_rng(0))
    learnt, answers = PROTOCOL.learn(group, asks)
    return pooled(PROTOCOL, state, asks, answers), learnt


@pytest.mark.parametrize("kind", [walks, niches, visits])
def test_who_leaves_takes_everything_back_and_who_changes_sends_the_difference(kind):
    private = kind(6, 5)
    state, group = contribute(PROTOCOL.begin(setup(kind)), cohort(private, range(6)))
    state = PROTOCOL.withdraw(state, np.array([1, 3]))
    state, _ = contribute(state, cohort(private, [1, 3], (group.states[1], group.states[3])), 2)
    other = replace(private, histories=kind(6, 6).histories)
    state, _ = contribute(state, cohort(other, [0], (group.states[0],)), 3)
    expected, _ = contribute(PROTOCOL.begin(setup(kind)), cohort(private, [2, 4, 5]))
    expected, _ = contribute(expected, cohort(other, [0]))
    assert state.arrays["sum"].any()
    np.testing.assert_array_equal(state.arrays["sum"], expected.arrays["sum"])


@pytest.mark.parametrize("kind", [walks, niches, visits])
@pytest.mark.parametrize("size", [7])
def test_the_sum_does_not_depend_on_the_cohorts_or_silos(kind, size):
    private = kind(USERS, 5)
    whole, _ = contribute(PROTOCOL.begin(setup(kind)), cohort(private, range(USERS)))
    parts = PROTOCOL.begin(setup(kind))
    for start in range(0, USERS, size):
        parts, _ = contribute(parts, cohort(private, range(start, min(USERS, start + size))))
    np.testing.assert_array_equal(whole.arrays["sum"], parts.arrays["sum"])
    silo = Cohort(np.array([0]), np.zeros(USERS, np.int64), Fold(private, private, private), 0, ({},))
    pooled_silo, _ = contribute(PROTOCOL.begin(setup(kind)), silo)
    np.testing.assert_array_equal(whole.arrays["sum"], pooled_silo.arrays["sum"])


def quality(model, data: Interactions) -> float:
    last = np.zeros(len(data), bool)
    last[data.histories.indptr[1:] - 1] = True
    shown, wanted = data.histories.where(~last), data.histories.where(last)
    return float(ranking_metrics(score(model, shown), shown, wanted)[:, 0].mean())


@pytest.mark.parametrize("kind", [walks, niches, visits])
def test_teacher_and_student_learn_from_private_users(kind):
    few = Setup(kind(PUBLIC, 1), 300, 300, 1, 0, ordered=True)
    state, _ = contribute(PROTOCOL.begin(few), cohort(kind(300, 5, sure=True), range(300)))
    alone, _ = PROTOCOL.teach(PROTOCOL.begin(few), np.random.default_rng(0))
    state, metrics = PROTOCOL.teach(state, np.random.default_rng(0))
    teacher, student, public = PROTOCOL.teacher(state), PROTOCOL.student(state), PROTOCOL.teacher(alone)
    assert isinstance(teacher, SparseDecayed if kind is niches else DecayedLinear)
    assert isinstance(student, SparseDecayed)
    assert metrics == {"contributors": 300}
    strangers = kind(100, 77, sure=True)
    assert quality(teacher, strangers) > quality(public, strangers)
    assert quality(student, strangers) > 0.9 * quality(teacher, strangers)


WIDE = {
    "model": CNNConfig(width=4, channels=(4, 4)),
    "wide": True,
    "distillation": ServerDistillation(samples=30, steps=5, batch_size=8),
}


@pytest.mark.parametrize("settings", [{}, WIDE])
def test_the_deployed_student_scores_like_the_server_s_own(settings):
    protocol = PROTOCOL.model_copy(update=settings)
    state, _ = contribute(protocol.begin(setup(walks)), cohort(walks(USERS, 5), range(USERS)))
    state, _ = protocol.teach(state, np.random.default_rng(0))
    group = cohort(walks(5, 6), range(5))
    scores = protocol.predict(group, protocol.deploy(state, group.clients, 1))
    student = protocol.student(state)
    assert student is not None
    np.testing.assert_allclose(scores, score(student, group.data.history.histories), rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_of_the_same_kind(kind):
    train = kind(USERS, 5)
    assert quality(PROTOCOL.centralised(train, setup(kind)), kind(50, 78)) > 0.02


@pytest.mark.parametrize("budget", [None, AnswerBudget(USERS, 1.0)])
def test_a_neural_model_of_public_users_informs_the_teacher(budget):
    given = replace(setup(walks), answer_budget=budget)
    settings = {"prior_model": GRUConfig(width=8), "central_teacher": CentralTraining(epochs=3)}
    informed = PROTOCOL.model_copy(update={**settings, "prior_weight": 50.0})
    state = informed.begin(given)
    question = NextItemQuestion(informed)
    sums = PairSums(question.statistic.layout(60), question.known(given.public))
    told = question.informed(sums, 2.0, given)
    model = informed.prior_model.build(given.public.catalogue, 0)
    train_centrally(model, given.public.histories, informed.central_teacher, stream(0, "prior"))
    expected = 50 * 2 * transitions(model.eval(), informed.prior_temperature).toarray() / 2
    np.testing.assert_allclose((told.targets - sums.targets).toarray(), np.tile(expected, (2, 1)), rtol=1e-4, atol=1e-4)
    plain, prior = (protocol.teach(state, np.random.default_rng(0))[0] for protocol in (PROTOCOL, informed))
    assert (informed.teacher(prior).weights - PROTOCOL.teacher(plain).weights).abs().max() > 0.01


@pytest.mark.parametrize("kind", [walks, niches])
def test_what_nobody_has_had_is_scored_for_its_content_by_teacher_and_student(kind):
    items = 60 if kind is walks else 600
    kinds = np.arange(items) // 12
    flags = kinds[:, None] == np.arange(items // 12)
    told = replace(Catalogue.numbered(items), categories=tuple(map(str, range(items // 12))), membership=flags)
    users = kind(400, seed=5)
    new = np.arange(11, items, 12)
    users = users.where(~np.isin(users.histories.values, new))
    setup = Setup(users, USERS, USERS, 1, 0, ordered=kind is walks)
    for catalogue, scored in ((users.catalogue, False), (told, True)):
        state = PROTOCOL.begin(replace(setup, public=replace(users, catalogue=catalogue)))
        state, _ = PROTOCOL.teach(state, stream(0, "teach"))
        for model in (PROTOCOL.teacher(state), PROTOCOL.student(state)):
            assert isinstance(model, DecayedLinear | SparseDecayed)
            scores = score(model, users.histories)[:, new]
            assert bool(scores.any()) is scored
            if scored and kind is niches:  # who goes round the catalogue likes no category
                liked = np.array([np.bincount(kinds[row], minlength=len(new)).argmax() for row in users.histories])
                assert (scores.argmax(axis=1) == liked).mean() > 0.5
