"""Metrics of multi-label classification."""

import numpy as np
from numpy.typing import NDArray


def f1_scores(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> dict[str, float]:
    """Return ``micro-f1`` and ``macro-f1`` of several labels an item.

    ``F1 = 2 TP / (2 TP + FP + FN)``: of all pairs of item and label together, or as the mean over labels. A label that
    nobody has and nobody predicts is left out of the mean.

    Parameters
    ----------
    predicted, true : ndarray of bool, shape [items, labels]

    Returns
    -------
    dict of str to float
        0 where there is nothing to find.
    """
    found = (predicted & true).sum(0)
    all_pairs = predicted.sum(0) + true.sum(0)
    known = all_pairs > 0
    macro = (2 * found[known] / all_pairs[known]).mean() if known.any() else 0.0
    return {"micro-f1": float(2 * found.sum() / max(1, all_pairs.sum())), "macro-f1": float(macro)}
