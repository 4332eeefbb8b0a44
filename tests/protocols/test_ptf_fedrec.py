from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedkd.errors import UserError
from fedkd.models.ncf import NCF
from fedkd.protocols.base import Setup
from fedkd.protocols.ptf_fedrec import PTFFedRec
from fedkd.protocols.rated_uploads import UploadRule, chosen, remembered, swap_top, taught_items
from fedkd.testing.protocols import pooled
from fedkd.training.cohort import Cohort
from fedkd.training.local import own_students

SEED = 3
PROTOCOL = PTFFedRec(dimensions=4, server_dimensions=6, learning_rate=0.02)
RULE = UploadRule((0.1, 1.0), (1.0, 4.0), 0.1)


@given(st.integers(1, 60), st.integers(0, 240), st.integers(0, 99))
def test_positives_and_negatives_are_drawn_within_the_bounds(positives, negatives, seed):
    likes, others = chosen(np.arange(positives), 1000 + np.arange(negatives), RULE, np.random.default_rng(seed))
    assert 1 <= len(likes) <= positives
    assert min(negatives, len(likes)) <= len(others) <= min(negatives, 4 * len(likes))
    assert len(np.unique(likes)) == len(likes)
    assert len(np.unique(others)) == len(others)


@given(st.integers(0, 40), st.integers(0, 80), st.floats(0, 1), st.integers(0, 99))
def test_swapping_moves_scores_but_loses_none(positives, negatives, share, seed):
    rng = np.random.default_rng(seed)
    before = rng.random(positives).astype(np.float32), rng.random(negatives).astype(np.float32)
    after = swap_top(*before, share)
    assert np.array_equal(np.sort(np.concatenate(after)), np.sort(np.concatenate(before)))
    moved = int((after[0] != before[0]).sum())
    assert moved == min(round(share * positives), negatives)
    top = np.sort(before[0])[::-1][:moved]
    assert np.isin(top, after[1]).all()


def test_the_server_tells_of_frequent_and_of_hard_items_that_were_not_uploaded():
    rng = np.random.default_rng(0)
    scores, uploaded = rng.random((5, 20)).astype(np.float32), rng.random((5, 20)) < 0.3
    counts = rng.integers(0, 9, 20)
    items, values = taught_items(scores, uploaded, counts, 6)
    for client in range(5):
        free = [i for i in range(20) if not uploaded[client, i]]
        frequent = sorted(free, key=lambda i: (-counts[i], i))[:3]
        hard = sorted((i for i in free if i not in frequent), key=lambda i: -scores[client, i])[:3]
        assert items[client].tolist() == [i for pair in zip(frequent, hard, strict=True) for i in pair]
        assert np.array_equal(values[client], scores[client, items[client]])


def test_the_latest_score_of_an_item_holds():
    known = np.array([3, 5, 8]), np.array([0.1, 0.2, 0.3], np.float32)
    items, scores = remembered(*known, np.array([8, 1]), np.array([0.9, 0.4], np.float32))
    assert items.tolist() == [1, 3, 5, 8]
    np.testing.assert_allclose(scores, [0.4, 0.1, 0.2, 0.9])


@pytest.fixture
def answered(public_setup, private_fold):
    state, fold = PROTOCOL.begin(public_setup()), private_fold(20, seed=1)
    asks = PROTOCOL.ask(state, np.arange(20), 1, np.random.default_rng(0))
    cohort = Cohort(np.arange(20), np.arange(20), fold, SEED, ({},) * 20)
    learnt, answers = PROTOCOL.learn(cohort, asks)
    return state, learnt, asks, answers


def test_uploaded_scores_are_the_students_own_up_to_the_swaps(answered):
    _, learnt, _, answers = answered
    parameters = own_students(PROTOCOL._blank(learnt), learnt)
    assert all(len(kept["student.item.weight"]) < 30 for kept in learnt.states)
    for client in range(20):
        student = NCF(30, 1, PROTOCOL.dimensions)
        student.load_state_dict({name: stacked[client] for name, stacked in parameters.items()})
        items, said = answers.values["item"][client], answers.values["score"][client]
        with torch.no_grad():
            own = torch.sigmoid(student(torch.from_numpy(items.astype(np.int64)))).numpy()
        np.testing.assert_allclose(np.sort(said), np.sort(own), atol=1e-6)


def test_the_server_counts_and_forgets_the_triples(answered):
    state, _, asks, answers = answered
    taught, metrics = PROTOCOL.teach(pooled(PROTOCOL, state, asks, answers), np.random.default_rng(0))
    items = answers.values["item"]
    assert taught.arrays["counts"].tolist() == [Counter(items.values.tolist())[item] for item in range(30)]
    assert all(set(np.flatnonzero(taught.arrays["uploaded"][c])) == set(items[c]) for c in range(20))
    assert not any(name.startswith("triples.") for name in taught.arrays)
    assert metrics["triples"] == len(items.values)


def test_a_triple_about_an_unknown_item_is_left_out(answered):
    state, _, asks, answers = answered
    answers.values["item"].values[0] = 30
    taught, metrics = PROTOCOL.teach(pooled(PROTOCOL, state, asks, answers), np.random.default_rng(0))
    assert metrics["triples"] == len(answers.values["item"].values) - 1
    assert taught.arrays["counts"].sum() == metrics["triples"]


def test_what_was_told_is_kept_and_bounded_by_the_training_items(run_federation):
    outcome = run_federation(PROTOCOL, rounds=3)
    lengths = outcome.federation.fold.train.histories.lengths
    for kept, length in zip(outcome.federation.states, lengths, strict=True):
        assert 1 <= len(kept["told.item"]) <= 2 * length
        assert len(np.unique(kept["told.item"])) == len(kept["told.item"])


def test_the_server_learns_what_clients_say(run_federation):
    outcome = run_federation(PROTOCOL, rounds=12, users=40)
    losses = [said["loss"] for said in outcome.metrics]
    assert losses[-1] < 0.9 * losses[0]


def test_a_students_positives_stand_above_what_it_never_saw(run_federation):
    outcome = run_federation(PROTOCOL, rounds=6, users=40)
    histories = outcome.federation.fold.train.histories
    better = [outcome.scores[u][histories[u]].mean() > np.median(outcome.scores[u]) for u in range(40)]
    assert np.mean(better) > 0.9


def test_clients_of_many_users_are_refused(public_setup):
    setup = public_setup()
    with pytest.raises(UserError, match=r"partition\.clients"):
        PROTOCOL.begin(Setup(setup.public, 4, 20, 1, SEED))
