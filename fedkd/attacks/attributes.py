"""Attribute inference: what soft labels say of a person besides the history, such as a community, age or gender."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from fedkd.attacks.bounds import Finding, mean_finding

Floats = NDArray[np.float64]

FOLDS = 5
PENALTY = 1e-2
"""Ridge of the probe, a client, on features of mean square norm 1."""


def attribute_inference(features: Floats, labels: NDArray[Any], rng: np.random.Generator) -> Finding:
    """Predict an attribute from what each client released, cross-validated, by logistic regression.

    Parameters
    ----------
    features : ndarray, shape [clients, ...]
        What a server sees of each client.
    labels : ndarray, shape [clients]
        The attribute.
    rng : numpy.random.Generator
        Deals clients to folds.

    Returns
    -------
    Finding
        By how much the probe is right more often than naming the most common value, the mean over clients.
    """
    _, label = np.unique(labels, return_inverse=True)
    points = coordinates(features.reshape(len(features), -1))
    fold = rng.permutation(len(label)) % min(FOLDS, len(label))
    gain = np.zeros(len(label))
    for number in range(int(fold.max()) + 1):
        train, test = fold != number, fold == number
        weights = fit_probe(points[train], label[train], int(label.max()) + 1)
        common = np.bincount(label[train]).argmax()
        right = probabilities(weights, points[test]).argmax(axis=1) == label[test]
        gain[test] = right.astype(np.float64) - (label[test] == common)
    return mean_finding("attribute told, over naming the most common value", gain, 0.0)


def coordinates(features: Floats) -> Floats:
    """Return the same points, centred and of mean square norm 1, in as few dimensions as there are clients.

    A probe with a ridge only uses inner products, so nothing is lost; no label is used.
    """
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values, 0.0)
    return np.asarray(vectors * np.sqrt(values / max(values.mean(), 1e-300)))


def fit_probe(points: Floats, label: NDArray[np.int64], classes: int) -> Floats:
    """Return the weights of multinomial logistic regression, bias last, shape [dims + 1, classes]."""
    design, truth = _with_bias(points), np.eye(classes)[label]
    shape = (design.shape[1], classes)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        chance = softmax(design @ weights, axis=1)
        free = weights.copy()
        free[-1] = 0.0
        value = -np.log(np.maximum((chance * truth).sum(axis=1), 1e-300)).mean() + PENALTY / 2 * (free**2).sum()
        return float(value), np.asarray(design.T @ (chance - truth) / len(design) + PENALTY * free).ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x.reshape(shape))


def probabilities(weights: Floats, points: Floats) -> Floats:
    """Return the probability of every class, shape [clients, classes]."""
    return np.asarray(softmax(_with_bias(points) @ weights, axis=1))


def _with_bias(points: Floats) -> Floats:
    return np.hstack([points, np.ones((len(points), 1))])
