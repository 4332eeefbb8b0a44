"""The top-guess attack on uploads of items with scores: the highest scores are taken for the client's history."""

import numpy as np

from fedkd.attacks.bounds import Finding, mean_finding
from fedkd.ragged import Ragged

SHARE = 1 / 3.5
"""Share of positives among PTF-FedRec's uploads, on average: 2.5 negatives go with each."""


def top_guess(items: Ragged, scores: Ragged, histories: Ragged, share: float = SHARE) -> Finding:
    """Call the uploaded items with the highest scores a client's history.

    The attack that Yuan et al., Hide your model (ICDE 2024), defend against by swapping scores.

    Parameters
    ----------
    items, scores : Ragged of int and of float
        One upload, a row a client.
    histories : Ragged of int
        The truth, a row a client.
    share : float
        Of the uploaded items that are guessed, public knowledge of the protocol.

    Returns
    -------
    Finding
        The mean F1 against whole histories, over clients that have one; chance guesses as many of the uploaded items.
    """
    values, chances = [], []
    for client in range(len(items)):
        if not len(histories[client]):
            continue
        size = round(share * len(items[client]))
        best = items[client][np.argsort(-scores[client], kind="stable")[:size]]
        total = size + len(histories[client])
        liked = np.isin(items[client], histories[client]).mean() if size else 0.0
        values.append(2 * np.isin(best, histories[client]).sum() / total)
        chances.append(2 * size * liked / total)
    random = float(np.mean(chances)) if chances else 0.0
    return mean_finding("F1 of histories by top guesses", np.array(values, np.float64), random)
