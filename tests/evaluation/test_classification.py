"""F1 against loops."""

import numpy as np
import pytest

from fedkd.evaluation.classification import f1_scores


def test_micro_counts_pairs_and_macro_labels() -> None:
    rng = np.random.default_rng(0)
    predicted, true = rng.random((30, 4)) < 0.4, rng.random((30, 4)) < 0.3
    predicted[:, 3] = true[:, 3] = False
    counts = np.zeros((4, 3))
    for item in range(30):
        for label in range(4):
            p, t = predicted[item, label], true[item, label]
            counts[label] += [p and t, p and not t, t and not p]
    each = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in counts[:3]]
    tp, fp, fn = counts.sum(0)
    assert f1_scores(predicted, true) == pytest.approx(
        {"micro-f1": 2 * tp / (2 * tp + fp + fn), "macro-f1": np.mean(each)}
    )


def test_nothing_to_find_is_0() -> None:
    assert f1_scores(np.zeros((2, 3), bool), np.zeros((2, 3), bool)) == {"micro-f1": 0.0, "macro-f1": 0.0}
