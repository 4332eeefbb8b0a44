from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.distillation.cold_items import with_cold_items
from fedkd.distillation.server_student import ServerDistillation
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks
from fedkd.models.base import score
from fedkd.models.cnn import CNNConfig
from fedkd.models.ease import EASE
from fedkd.models.linear import LinearConfig
from fedkd.models.standardised import Standardised
from fedkd.protocols.base import Setup, State
from fedkd.protocols.residual import Residual
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.runs.config import load
from fedkd.testing.protocols import pooled
from fedkd.training.cohort import Cohort
from fedkd.training.hard_labels import train_centrally
from fedkd.training.options import CentralTraining

ITEMS, USERS = 30, 40
PROTOCOL = Residual(references=12, panel=20, rank=5)


def interactions(users: int, seed: int) -> Interactions:
    rng = np.random.default_rng(seed)
    appeal = 1.0 / np.arange(1, ITEMS + 1)
    rows = [rng.choice(ITEMS, rng.integers(2, 12), replace=False, p=appeal / appeal.sum()) for _ in range(users)]
    catalogue = Catalogue.numbered(ITEMS)
    return Interactions(np.arange(users).astype(np.str_), Ragged.from_rows(rows, np.int32), catalogue)


PRIVATE = interactions(USERS, seed=1)


def begin(protocol: Residual = PROTOCOL, public_users: int = 6) -> State:
    return protocol.begin(Setup(interactions(public_users, seed=2), USERS, USERS, 1, 0))


def cohort(clients: NDArray[np.int64], states: tuple[dict[str, NDArray[np.int64]], ...] = ()) -> Cohort:
    data = PRIVATE.take(clients)
    kept = states or tuple({} for _ in clients)
    return Cohort(clients, np.arange(len(clients)), Fold(data, data, data), 0, kept)


def ask(state: State, clients: NDArray[np.int64], round_number: int = 1) -> Asks:
    return PROTOCOL.ask(state, clients, round_number, np.random.default_rng(0))


def contribute(state: State, group: Cohort, round_number: int = 1) -> tuple[State, Cohort]:
    asks = ask(state, group.clients, round_number)
    learnt, answers = PROTOCOL.learn(group, asks)
    return pooled(PROTOCOL, state, asks, answers), learnt


def naive_sum(state: State, clients: NDArray[np.int64]) -> NDArray[np.int64]:
    asks = ask(state, clients)
    assert asks.reference is not None
    total = np.zeros((len(asks.reference.histories), len(asks.reference.panel)), np.int64)
    for client in clients:
        history = PRIVATE.histories[client]
        level = PROTOCOL.weights.of(np.array([len(history)]))[0]
        for row in range(len(total)):
            overlap = len(np.intersect1d(asks.reference.histories[row], history))
            total[row] += level * overlap * np.isin(asks.reference.panel, history)
    return total


@pytest.mark.parametrize("size", [1, 7, USERS])
def test_the_sum_does_not_depend_on_the_cohorts(size: int) -> None:
    state = begin()
    for start in range(0, USERS, size):
        state, _ = contribute(state, cohort(np.arange(USERS)[start : start + size]))
    assert np.array_equal(state.arrays["sum"], naive_sum(state, np.arange(USERS)))
    assert PROTOCOL.invite(state, np.arange(USERS)).size == 0


def test_teacher_and_student_come_from_the_state_alone() -> None:
    state, _ = contribute(begin(), cohort(np.arange(USERS)))
    state, metrics = PROTOCOL.teach(state, np.random.default_rng(0))
    saved = State(state.setup, {name: np.array(array) for name, array in state.arrays.items()})
    teacher, student = PROTOCOL.teacher(saved), PROTOCOL.student(saved)
    assert teacher is not None
    assert student is not None
    assert student.size()[0] == 2 * ITEMS * PROTOCOL.rank
    assert metrics == {"contributors": USERS}


def test_a_changed_history_sends_the_difference() -> None:
    state, group = contribute(begin(), cohort(np.arange(5)))
    histories = [PRIVATE.histories[c] for c in range(5)]
    histories[2] = np.array([0, 1, 2, 3], np.int32)
    changed = replace(PRIVATE.take(np.arange(5)), histories=Ragged.from_rows(histories, np.int32))
    again = replace(group, data=Fold(changed, changed, changed))
    state, _ = contribute(state, again, round_number=2)
    fresh = replace(cohort(np.arange(5)), data=Fold(changed, changed, changed))
    expected, _ = contribute(begin(), fresh)
    assert np.array_equal(state.arrays["sum"], expected.arrays["sum"])


def test_who_leaves_takes_everything_back() -> None:
    state, group = contribute(begin(), cohort(np.arange(5)))
    state = PROTOCOL.withdraw(state, np.array([1, 3]))
    assert PROTOCOL.invite(state, np.arange(5)).tolist() == [1, 3]
    leaving = cohort(np.array([1, 3]), (group.states[1], group.states[3]))
    state, left = contribute(state, leaving, round_number=2)
    assert np.array_equal(state.arrays["sum"], naive_sum(state, np.array([0, 2, 4])))
    assert all(len(kept["latest.values"]) == 0 for kept in left.states)


def test_an_answer_that_was_lost_is_sent_in_full_again() -> None:
    state, group = begin(), cohort(np.arange(5))
    for lost_round in (1, 2):
        group, _ = PROTOCOL.learn(group, ask(state, group.clients, lost_round))
    state, _ = contribute(state, group, round_number=3)
    assert np.array_equal(state.arrays["sum"], naive_sum(state, np.arange(5)))


def test_who_never_contributed_has_nothing_to_take_back() -> None:
    state = PROTOCOL.withdraw(begin(), np.array([4]))
    assert 4 not in PROTOCOL.invite(state, np.arange(USERS))


def test_an_answer_about_all_users_of_a_silo_is_their_sum() -> None:
    data = PRIVATE.take(np.arange(6))
    silo = Cohort(np.array([0]), np.zeros(6, np.int64), Fold(data, data, data), 0, ({},))
    state, _ = contribute(begin(), silo)
    assert np.array_equal(state.arrays["sum"], naive_sum(state, np.arange(6)))


def test_a_rank_that_the_catalogue_does_not_allow_is_an_error() -> None:
    with pytest.raises(UserError, match=r"algorithm\.rank"):
        begin(Residual(rank=ITEMS))


def test_answers_are_about_the_reference_that_was_asked() -> None:
    state = begin()
    asks = ask(state, np.arange(3))
    _, answers = PROTOCOL.learn(cohort(np.arange(3)), asks)
    assert isinstance(answers, Answers)
    assert asks.reference is not None
    assert answers.reference == asks.reference.fingerprint


def test_nobody_takes_back_what_was_never_given() -> None:
    """A server that tells everyone but one that they leave would see that one's answer in the sum."""
    state, clients = begin(), np.arange(5)
    lied = state.with_arrays(leaving=np.ones(USERS, bool))
    told, asked = (PROTOCOL.learn(cohort(clients), ask(one, clients))[1] for one in (lied, state))
    np.testing.assert_array_equal(told.values["residual"].total(), asked.values["residual"].total())


@pytest.mark.parametrize("wide", [False, True])
def test_a_student_of_another_family_is_distilled_on_the_server_and_forgets_who_left(wide: bool) -> None:
    how = ServerDistillation(samples=30, steps=5, batch_size=8)
    model = CNNConfig(width=4, channels=(4, 4))
    neural = PROTOCOL.model_copy(update={"model": model, "distillation": how, "wide": wide})
    rng = np.random.default_rng(0)
    state, group = contribute(begin(neural), cohort(np.arange(5)))
    assert neural.student(state) is None
    before, _ = neural.teach(state, rng)
    student = neural.student(before)
    assert student is not None
    assert student.size() == neural.blank_student(PRIVATE.catalogue).size()
    assert neural.teacher(before).weights.equal(PROTOCOL.teacher(PROTOCOL.teach(state, rng)[0]).weights)  # type: ignore
    scores = neural.predict(cohort(np.arange(3)), neural.deploy(before, np.arange(3), 1))
    np.testing.assert_allclose(scores, score(student, PRIVATE.take(np.arange(3)).histories), atol=2e-3)

    leaving = cohort(np.array([1]), (group.states[1],))
    left, _ = contribute(neural.withdraw(before, np.array([1])), leaving, round_number=2)
    never, _ = contribute(begin(neural), cohort(np.array([0, 2, 3, 4])))
    students = [neural.student(neural.teach(kept, rng)[0]) for kept in (left, never)]
    for name, array in students[0].state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(array, students[1].state_dict()[name])  # type: ignore[union-attr]


def test_a_wide_part_is_the_closed_form_student_and_what_is_learnt_stands_beside_it() -> None:
    how = ServerDistillation(samples=30, steps=1, learning_rate=1e-9)
    model = CNNConfig(width=4, channels=(4, 4))
    neural = PROTOCOL.model_copy(update={"model": model, "distillation": how, "wide": True})
    state, _ = contribute(begin(neural), cohort(np.arange(5)))
    student = neural.student(neural.teach(state, np.random.default_rng(0))[0])
    linear = PROTOCOL.student(PROTOCOL.teach(state, np.random.default_rng(0))[0])
    histories = PRIVATE.histories
    expected = float(student.gain.detach()) * score(Standardised(linear), histories)  # type: ignore
    expected += score(model.build(PRIVATE.catalogue, state.setup.seed), histories)
    np.testing.assert_allclose(score(student, histories), expected, atol=1e-5)  # type: ignore[arg-type]


def test_a_wide_part_without_a_deep_one_is_refused_and_the_hint_mends_it() -> None:
    with pytest.raises(UserError, match=r"algorithm\.model\.family, for example cnn"):
        load(None, ["algorithm.wide=true"])
    assert load(None, ["algorithm.wide=true", "algorithm.model.family=cnn"]).algorithm.wide  # type: ignore[union-attr]


def test_without_private_answers_the_centralised_student_of_another_family_learns_from_hard_labels() -> None:
    neural = PROTOCOL.model_copy(update={"model": LinearConfig(width=4), "central": CentralTraining(epochs=2)})
    setup = begin(neural).setup
    assert not neural.closed_form
    expected = train_centrally(
        LinearConfig(width=4).build(PRIVATE.catalogue, 0), PRIVATE.histories, neural.central, stream(0, "central")
    )
    public = train_centrally(
        LinearConfig(width=4).build(PRIVATE.catalogue, 0), setup.public.histories, neural.central, stream(0, "central")
    )
    alone = neural.undistilled(setup)
    assert torch.equal(alone.encoder.weight, public.encoder.weight)  # type: ignore[arg-type, union-attr]
    assert all(key.startswith("central.") for key in neural.tunable)
    assert "regularisation" in PROTOCOL.tunable
    found = neural.centralised(PRIVATE, setup)
    assert torch.equal(found.encoder.weight, expected.encoder.weight)  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize(("answer_budget", "contributing"), [(None, 0), (None, USERS), (100, 0)])
def test_an_item_of_which_nothing_was_learnt_is_scored_for_its_content(
    answer_budget: int | None, contributing: int
) -> None:
    setup = replace(begin().setup, answer_budget=answer_budget)
    protocol = PROTOCOL if answer_budget is None else Residual(rank=5, block=10)
    flags = np.arange(ITEMS)[:, None] % 2 == np.arange(2)
    told = replace(setup.public.catalogue, categories=("even", "odd"), membership=flags)
    for catalogue, scored in ((setup.public.catalogue, False), (told, True)):
        state = protocol.begin(replace(setup, public=replace(setup.public, catalogue=catalogue)))
        few = np.setdiff1d(np.flatnonzero(setup.public.popularity() == 0), state.arrays["reference.panel"])
        if contributing:
            state, _ = contribute(state, cohort(np.arange(contributing)))
        state, _ = protocol.teach(state, stream(0, "teach"))
        for model in (protocol.teacher(state), protocol.student(state)):
            assert model is not None
            assert bool(np.abs(score(model, PRIVATE.histories)[:, few]).max() > 1e-3) is scored
        had = ~np.isin(np.arange(ITEMS), few)
        teacher = protocol.teacher(state)
        assert isinstance(teacher, EASE)
        again = with_cold_items(EASE(teacher.weights.numpy()), had, catalogue, protocol.cold_weight)
        np.testing.assert_allclose(again.weights.numpy(), teacher.weights.numpy(), atol=1e-6)
