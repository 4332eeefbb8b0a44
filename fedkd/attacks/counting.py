"""Reading a client's history from what it sends: by counting item ids, or from a single answer in clear.

A client that uploads ids of its own items among fresh strangers, round after round, is betrayed by their frequency
alone, whatever is done to the scores. An answer of residual distillation is an outer product of the client's history
with itself: in clear, one look is enough; behind a mask or under enough noise, it says nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.attacks.bounds import Finding, mean_finding
from fedkd.messages.types import Reference
from fedkd.ragged import Ragged

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

POWER_STEPS = 8
"""Steps of the iteration that finds the direction in which an answer is largest."""


def count_attack(uploads: Sequence[Ragged], histories: Ragged, num_items: int) -> Finding:
    """Call the items that a client uploads more often than the gap in its counts its history.

    Parameters
    ----------
    uploads : sequence of Ragged of int
        The item ids of every round, a row a client.
    histories : Ragged of int
        The truth, a row a client.
    num_items : int
        Size of the catalogue.

    Returns
    -------
    Finding
        The mean F1 over clients with a history; chance names as many items blindly.
    """
    counts = upload_counts(uploads, num_items)
    return f1_finding("F1 of histories by counting", counts >= gap(counts)[:, None], histories)


def intersection_attack(uploads: Sequence[Ragged], histories: Ragged, num_items: int) -> Finding:
    """Call the items that a client uploads in at least half of the rounds its history; see `count_attack`."""
    counts = upload_counts(uploads, num_items)
    return f1_finding("F1 of histories by intersection", 2 * counts >= max(1, len(uploads)), histories)


def answer_attack(
    answers: Floats, reference: Reference, histories: Ragged, num_items: int, background: Floats | None = None
) -> Finding:
    """Read histories from clients' answers, shape [clients, references, panel], one by one.

    The items are those of the panel with the highest scores, as many as the client has there: the attacker knows how
    many. The truth is the part of a history that lies on the panel.

    Parameters
    ----------
    answers : ndarray, shape [clients, references, panel]
        What a server sees of each client.
    reference : Reference
        What the answers are about; only single-item histories help the attacker besides the panel.
    histories : Ragged of int
        The truth, a row a client.
    num_items : int
        Size of the catalogue.
    background : ndarray, shape [clients, references, panel], optional
        What is seen without the client: chance is then the same attack on it, and not a blind guess.
    """
    truth = _flags(histories, num_items)[:, reference.panel]
    if background is None:
        return f1_finding(_READ, highest(panel_scores(answers), truth.sum(axis=1)), _rows(truth))
    blind = highest(panel_scores(background), truth.sum(axis=1))
    random = float(f1(blind, truth)[truth.any(axis=1)].mean())
    values = f1(highest(panel_scores(answers), truth.sum(axis=1)), truth)[truth.any(axis=1)]
    return mean_finding(_READ, values, random)


_READ = "F1 of histories read from one answer"


def upload_counts(uploads: Sequence[Ragged], num_items: int) -> NDArray[np.int64]:
    """Return how often each client uploaded each item, shape [clients, items]."""
    counts = np.zeros((len(uploads[0]), num_items), np.int64)
    for upload in uploads:
        np.add.at(counts, (upload.row_index, upload.values), 1)
    return counts


def gap(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for every row, the count from which on it is large.

    It splits the counts above 0 into the two groups that differ most (Otsu, A threshold selection method from
    gray-level histograms, 1979).

    Parameters
    ----------
    counts : ndarray of int64, shape [clients, items]

    Returns
    -------
    ndarray of int64, shape [clients]
    """
    top = int(counts.max(initial=0))
    histogram = np.stack([(counts == value).sum(axis=1) for value in range(1, top + 2)], axis=1).astype(np.float64)
    values = np.arange(1, top + 2)
    below, mass = np.cumsum(histogram, axis=1), np.cumsum(histogram * values, axis=1)
    above, rest = below[:, -1:] - below, mass[:, -1:] - mass
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num(below * above * (mass / below - rest / above) ** 2)
    return np.asarray(np.where(between.any(axis=1), 2 + between.argmax(axis=1), 1))


def panel_scores(answers: Floats) -> Floats:
    """Return how strongly every panel item stands in an answer, shape [clients, panel].

    The size of the entries of the right singular vector with the largest singular value, found by power iteration; an
    answer without noise is of rank one, and its vector is the client's history.
    """
    start = np.abs(answers).sum(axis=1)
    direction = start / np.maximum(np.linalg.norm(start, axis=1, keepdims=True), 1e-300)
    for _ in range(POWER_STEPS):
        direction = np.einsum("crp,cr->cp", answers, np.einsum("crp,cp->cr", answers, direction))
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-300)
    return np.asarray(np.abs(direction))


def highest(scores: Floats, sizes: NDArray[Any]) -> Flags:
    """Return the ``sizes`` highest scores of every row as flags, ties by position; shape of ``scores``."""
    rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(rank < np.asarray(sizes)[:, None])


def f1_finding(metric: str, guessed: Flags, histories: Ragged) -> Finding:
    """Return the mean F1 of guessed items, shape [clients, items], over the clients with a history.

    Chance names as many items of the catalogue, blindly.
    """
    truth = _flags(histories, guessed.shape[1])
    known = truth.any(axis=1)
    sizes, lengths = guessed.sum(axis=1), truth.sum(axis=1)
    blind = 2 * sizes * lengths / guessed.shape[1] / np.maximum(sizes + lengths, 1)
    return mean_finding(metric, f1(guessed, truth)[known], float(blind[known].mean()) if known.any() else 0.0)


def f1(guessed: Flags, truth: Flags) -> Floats:
    """Return the harmonic mean of precision and recall of every row; 0 where nothing is right."""
    right = (guessed & truth).sum(axis=1)
    return np.asarray(2 * right / np.maximum(guessed.sum(axis=1) + truth.sum(axis=1), 1), np.float64)


def _flags(histories: Ragged, num_items: int) -> Flags:
    flags = np.zeros((len(histories), num_items), bool)
    flags[histories.row_index, histories.values] = True
    return flags


def _rows(flags: Flags) -> Ragged:
    return Ragged.from_rows([np.flatnonzero(row) for row in flags], np.int64)
