import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation.evaluator import evaluate, measure_lists, recommend
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.slices import by_history, by_popularity, popularity_groups, slices
from fedkd.ragged import Ragged

ITEMS = 150


def interactions(rows: list[np.ndarray], items: int = ITEMS) -> Interactions:
    return Interactions(
        np.arange(len(rows)).astype(np.str_),
        Ragged.from_rows(rows, np.int32),
        Catalogue.numbered(items),
    )


def fold() -> Fold:
    rng = np.random.default_rng(0)
    orders = [rng.permutation(ITEMS) for _ in range(40)]
    lengths = [[3, 9, 10, 25, 110][index % 5] for index in range(40)]
    history = interactions([order[:n] for order, n in zip(orders, lengths, strict=True)])
    return Fold(history, history, interactions([order[n : n + 6] for order, n in zip(orders, lengths, strict=True)]))


def scores(histories: Ragged, users: np.ndarray) -> np.ndarray:
    return np.stack([np.random.default_rng(user).normal(size=ITEMS) for user in users]).astype(np.float32)


def test_slices_by_history_divide_the_users() -> None:
    data = fold()
    per_user = evaluate(scores, data)
    parts = by_history(per_user, data)
    assert list(parts) == ["history 1-9", "history 10-19", "history 20-49", "history 100+"]
    shares = {"history 1-9": 16, "history 10-19": 8, "history 20-49": 8, "history 100+": 8}
    total = sum(parts[name]["ndcg@20"]["mean"] * count for name, count in shares.items())
    assert total / 40 == pytest.approx(per_user.means()["ndcg@20"])


def test_popularity_slices_count_only_their_own_targets() -> None:
    data = fold()
    lists = recommend(scores, data)
    parts = by_popularity(lists, data)
    group = popularity_groups(data.train)
    recalls = []
    for user in range(40):
        wanted = {item for item in data.target.histories[user].tolist() if group[item] == 2}
        if wanted:
            recalls.append(len(wanted & set(lists.items[user].tolist())) / len(wanted))
    assert parts["tail items"]["recall@20"]["mean"] == pytest.approx(np.mean(recalls))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_popularity_groups_have_equal_mass(counts: list[int]) -> None:
    users = [np.flatnonzero(np.array(counts) > user) for user in range(30)]
    data = interactions(users, len(counts))
    group = popularity_groups(data)
    mass = np.bincount(group, weights=counts, minlength=3)
    assert abs(mass - sum(counts) / 3).max() <= max(counts)
    order = np.argsort(-np.array(counts), kind="stable")
    assert (np.diff(group[order]) >= 0).all()


def test_lists_without_targets_are_left_out() -> None:
    data = fold()
    lists = recommend(scores, data)
    none = data.target.where(np.zeros(len(data.target), bool))
    assert measure_lists(lists, none).values.shape == (0, len(METRICS))


def test_all_slices_of_a_model_stand_together() -> None:
    data = fold()
    lists = recommend(scores, data)
    assert slices(lists, data) == by_history(evaluate(scores, data), data) | by_popularity(lists, data)
