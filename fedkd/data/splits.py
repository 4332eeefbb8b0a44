"""Splits: the division of interactions into what models learn from and what they are measured on."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold, Split
from fedkd.data.interactions import Interactions
from fedkd.data.options import SplitOptions
from fedkd.data.sources.base import Loaded
from fedkd.errors import UserError
from fedkd.ragged import offsets
from fedkd.random_streams import stream

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Parts:
    """The interactions to learn from, those known when a recommendation is asked for, and those expected then."""

    train: Mask
    history: Mask
    target: Mask


def split(loaded: Loaded | Interactions, options: SplitOptions, seed: int) -> Split:
    """Divide a data set; the validation fold divides what the test fold may be trained on once more.

    Parameters
    ----------
    loaded : Loaded or Interactions
        What to divide; an official split needs ``Loaded``.
    options : SplitOptions
        The kind of split and its shares.
    seed : int
        The run's seed. Validation draws from a stream of its own, so that no seed's validation part resembles the
        test part of another seed.

    Raises
    ------
    UserError
        The source cannot be divided so, or a part would be empty.
    """
    interactions = loaded.interactions if isinstance(loaded, Loaded) else loaded
    everything = np.ones(len(interactions), bool)
    if options.kind == "official":
        test, kind = _official(loaded), "ratio"  # the source says nothing of validation
    else:
        kind = options.kind
        test = _divide(interactions, everything, kind, options, options.test_fraction, stream(seed, "split"))
    _check(test, "test", options, interactions)
    rng = stream(seed, "split", "validation")
    validation = _divide(interactions, test.train, kind, options, options.validation_fraction, rng)
    _check(validation, "validation", options, interactions)
    folds = {name: _fold(interactions, parts) for name, parts in (("test", test), ("validation", validation))}
    digest = hashlib.sha256(interactions.fingerprint.encode())
    for parts in (test, validation):
        digest.update(np.packbits(np.stack([parts.train, parts.history, parts.target])).tobytes())
    return Split(folds["validation"], folds["test"], digest.hexdigest()[:16], _counts(folds["test"]))


def _check(parts: Parts, name: str, options: SplitOptions, interactions: Interactions) -> None:
    if not parts.target.any() or not parts.train.any():
        raise UserError(
            f"the {options.kind} split leaves nothing for {name}; {_other_split(interactions.histories.lengths)}"
        )


def _other_split(lengths: NDArray[np.int64]) -> str:
    """Return the kind of split that these lengths of histories surely allow, as a hint."""
    if lengths.max() >= 3:
        return "set split.kind=leave-last-out, which needs one user with three interactions"
    if len(lengths) >= 3 and lengths.min() >= 2:
        return "no user has three interactions; set split.kind=user-disjoint, which needs three users with two"
    return "more data are needed: a user with three interactions, or three users with two"


def _divide(
    interactions: Interactions,
    available: Mask,
    kind: str,
    options: SplitOptions,
    fraction: float,
    rng: np.random.Generator,
) -> Parts:
    if kind == "ratio":
        target = _last_share(interactions, available, rng.random(len(interactions)), fraction)
    elif kind == "leave-last-out":
        target = _last_share(interactions, available, np.arange(len(interactions), dtype=np.float64), 0.0)
    elif kind == "temporal":
        return _temporal(interactions, available, options, fraction)
    elif kind == "cold-items":
        target = _of_some_items(interactions, available, fraction, rng)
    else:
        return _disjoint(interactions, available, options, fraction, rng)
    return Parts(available & ~target, available & ~target, target)


def _last_share(interactions: Interactions, available: Mask, key: NDArray[np.float64], fraction: float) -> Mask:
    """Return each user's available interactions with the largest keys: a share, at least one, never all."""
    where = np.flatnonzero(available)
    users = interactions.histories.row_index[where]
    order = np.lexsort((key[where], users))
    counts = np.bincount(users, minlength=interactions.num_users)
    chosen = np.minimum(np.maximum(np.rint(fraction * counts).astype(np.int64), 1), counts - 1)
    rank = np.arange(len(where)) - offsets(counts)[:-1][users[order]]
    mask = np.zeros(len(available), bool)
    mask[where[order]] = rank >= (counts - chosen)[users[order]]
    return mask


def _temporal(interactions: Interactions, available: Mask, options: SplitOptions, fraction: float) -> Parts:
    """Cut at one point in time; users who come later are folded in with their first interactions."""
    if interactions.times is None:
        raise UserError("a temporal split needs times; set data.time-column, or split.kind to leave-last-out")
    cut = np.quantile(interactions.times[available], 1 - fraction)
    before = available & (interactions.times < cut)
    after = available & ~before
    known = np.bincount(interactions.histories.row_index[before], minlength=interactions.num_users) > 0
    stranger = after & ~known[interactions.histories.row_index]
    late = _last_share(interactions, stranger, np.arange(len(after), dtype=np.float64), 1 - options.fold_in_fraction)
    return Parts(before, before | (stranger & ~late), (after & ~stranger) | late)


def _disjoint(
    interactions: Interactions, available: Mask, options: SplitOptions, fraction: float, rng: np.random.Generator
) -> Parts:
    """Train without some users; part of their history is their input, the rest is expected."""
    users = np.unique(interactions.histories.row_index[available])
    tested = np.zeros(interactions.num_users, bool)
    tested[rng.choice(users, max(1, round(fraction * len(users))), replace=False)] = True
    theirs = available & tested[interactions.histories.row_index]
    late = _last_share(interactions, theirs, np.arange(len(theirs), dtype=np.float64), 1 - options.fold_in_fraction)
    train = available & ~theirs
    return Parts(train, train | (theirs & ~late), late)


def _of_some_items(interactions: Interactions, available: Mask, fraction: float, rng: np.random.Generator) -> Mask:
    """Return all interactions with a share of the items, at least one; models learn nothing of these items."""
    items = interactions.histories.values
    there = np.unique(items[available])
    cold = rng.choice(there, max(1, round(fraction * len(there))), replace=False)
    return np.asarray(available & np.isin(items, cold))


def _official(loaded: Loaded | Interactions) -> Parts:
    if not isinstance(loaded, Loaded) or loaded.official_test is None:
        raise UserError(
            "these data have no official split, no file named test; set split.kind to ratio or leave-last-out"
        )
    train = ~loaded.official_test
    return Parts(train, train, loaded.official_test)


def _fold(interactions: Interactions, parts: Parts) -> Fold:
    return Fold(interactions.where(parts.train), interactions.where(parts.history), interactions.where(parts.target))


def _counts(fold: Fold) -> dict[str, int]:
    """Count what a reader of the results should know; nothing of it is removed."""
    unseen = (fold.train.popularity() == 0) & (fold.target.popularity() > 0)
    counts = {
        "users without a test item": int((fold.target.histories.lengths == 0).sum()),
        "users without training data": int((fold.train.histories.lengths == 0).sum()),
        "items only in the test part": int(unseen.sum()),
        "test interactions with those items": int(fold.target.popularity()[unseen].sum()),
    }
    return {reason: count for reason, count in counts.items() if count}
