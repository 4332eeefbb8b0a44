import numpy as np
import pytest
from scipy import stats

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation import evaluator
from fedkd.evaluation.device import measure
from fedkd.evaluation.evaluator import PerUser, evaluate, intervals, over_seeds, ratio
from fedkd.evaluation.metrics import METRICS, ranking_metrics
from fedkd.ragged import Ragged
from fedkd.random_streams import stream

ITEMS = 25


def fold(users: int = 30) -> Fold:
    rng = np.random.default_rng(3)
    orders = [rng.permutation(ITEMS) for _ in range(users)]
    catalogue = Catalogue.numbered(ITEMS)
    names = np.arange(users).astype(np.str_)
    history = Interactions(names, Ragged.from_rows([o[:6] for o in orders], np.int32), catalogue)
    targets = [o[6 : 6 + index % 4] for index, o in enumerate(orders)]
    return Fold(history, history, Interactions(names, Ragged.from_rows(targets, np.int32), catalogue))


def scores(histories: Ragged, users: np.ndarray) -> np.ndarray:
    return np.stack([np.random.default_rng(user).normal(size=ITEMS) for user in users]).astype(np.float32)


def test_batches_do_not_matter_and_users_without_targets_are_left_out() -> None:
    data = fold()
    whole = evaluate(scores, data, batch_size=100)
    parts = evaluate(scores, data, batch_size=7)
    assert np.array_equal(whole.values, parts.values)
    assert np.array_equal(whole.users, np.flatnonzero(np.arange(30) % 4))


def test_devices_measure_what_the_evaluator_measures() -> None:
    data = fold()
    owner = np.arange(30) // 3
    ragged = measure(scores(data.history.histories, np.arange(30)), data, owner, 10)
    assert len(ragged) == 10
    assert ragged.values == pytest.approx(evaluate(scores, data).values, abs=1e-6)
    assert ragged.lengths.tolist() == [int((np.arange(3 * c, 3 * c + 3) % 4 > 0).sum()) for c in range(10)]


def test_the_bootstrap_interval_is_close_to_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.4, 0.2, (2000, len(METRICS)))
    interval = intervals(PerUser(np.arange(2000), values))["ndcg@10"]
    half = 1.96 * values[:, 0].std() / np.sqrt(2000)
    assert interval["mean"] == pytest.approx(values[:, 0].mean())
    assert interval["high"] - interval["low"] == pytest.approx(2 * half, rel=0.12)


@pytest.mark.parametrize("at_once", [1, 100, 1 << 16])
def test_resamples_are_those_of_a_plain_loop_however_many_are_drawn_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "AT_ONCE", at_once)
    values, rng = np.random.default_rng(0).random(37), stream(3, "bootstrap")
    means = [values[rng.integers(0, 37, 37)].mean() for _ in range(evaluator.RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    expected = {"mean": values.mean(), "low": low, "high": high}
    assert evaluator.mean_interval(values, 3) == pytest.approx(expected, rel=1e-12)


def test_a_ratio_of_a_model_to_itself_is_exactly_one() -> None:
    per_user = evaluate(scores, fold())
    assert ratio(per_user, per_user, "ndcg@20") == {"mean": 1.0, "low": 1.0, "high": 1.0}


def test_the_interval_over_seeds_is_students() -> None:
    means = np.array([0.40, 0.42, 0.41])
    low, high = stats.t.interval(0.95, 2, means.mean(), means.std(ddof=1) / 3**0.5)
    assert over_seeds(means) == pytest.approx({"mean": 0.41, "low": low, "high": high})


def test_a_short_catalogue_is_ranked_to_its_end() -> None:
    values = ranking_metrics(
        np.zeros((1, 3), np.float32), Ragged.from_rows([[0]], np.int32), Ragged.from_rows([[2]], np.int32)
    )
    assert values[0, METRICS.index("mrr@10")] == 0.5


def test_a_ratio_to_nothing_is_refused() -> None:
    per_user = evaluate(scores, fold())
    nothing = PerUser(per_user.users, np.zeros_like(per_user.values))
    with pytest.raises(ValueError, match="zero for every user"):
        ratio(per_user, nothing, "ndcg@20")
    with pytest.raises(ValueError, match="same users"):
        ratio(per_user, PerUser(per_user.users + 1, per_user.values), "ndcg@20")


def test_a_ratio_resamples_users_jointly() -> None:
    rng = np.random.default_rng(1)
    below = PerUser(np.arange(500), rng.uniform(0.0, 1.0, (500, len(METRICS))))
    above = PerUser(below.users, 0.9 * below.values + rng.normal(0, 0.01, below.values.shape))
    interval = ratio(above, below, "ndcg@20")
    assert interval["low"] < 0.9 < interval["high"]
    assert interval["high"] - interval["low"] < 0.01  # resampled apart, the means alone would make it 0.07
