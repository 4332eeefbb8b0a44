"""The deal of users: some are public, the others are held by clients."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from fedkd.data.fold import Fold, Partition
from fedkd.data.interactions import Interactions
from fedkd.data.options import PartitionOptions
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream

Users = NDArray[np.int64]
TASTES = 8
"""Groups of like-minded users at most, and the singular directions in which they are looked for."""


def partition(fold: Fold, options: PartitionOptions, seed: int) -> Partition:
    """Divide the users into public ones and those that clients hold.

    Public users are chosen among those with training data. Private are all others with training data or with a history
    to be tested on; users with neither belong to nobody (the split counts them).

    Parameters
    ----------
    fold : Fold
        Whose training part tells who has data.
    options : PartitionOptions
        How many are public, and what a client is.
    seed : int
        The run's seed.

    Raises
    ------
    UserError
        No private user would be left, or there are more silos than private users, or no groups.
    """
    trained = fold.train.histories.lengths > 0
    users = np.flatnonzero(trained | (fold.history.histories.lengths > 0))
    order = stream(seed, "public").permutation(users)
    if options.public_choice == "heavy":
        order = order[np.argsort(-_headiness(fold.train)[order], kind="stable")]
    public = np.sort(order[trained[order]][: round(options.public_fraction * len(users))])
    private = np.setdiff1d(users, public)
    if not len(private):
        raise UserError(
            f"partition.public-fraction {options.public_fraction} of {len(users)} users leaves nobody private; lower it"
        )
    return Partition(public, _clients(fold, private, options, seed))


def _headiness(train: Interactions) -> NDArray[np.float64]:
    """Return the mean popularity of every user's items, shape [users]; 0 without items."""
    histories, popularity = train.histories, train.popularity().astype(np.float64)
    total = np.bincount(histories.row_index, popularity[histories.values], minlength=len(histories))
    return np.asarray(total / np.maximum(histories.lengths, 1))


def _clients(fold: Fold, private: Users, options: PartitionOptions, seed: int) -> Ragged:
    if options.clients == "users":
        return Ragged(private, np.arange(len(private) + 1, dtype=np.int64))
    if options.clients == "groups":
        if fold.train.groups is None:
            raise UserError(
                "partition.clients is groups, but this source names no group of a user; set data.group-column of a "
                "table, or partition.clients to users, silos or tastes"
            )
        _, silo = np.unique(fold.train.groups[private], return_inverse=True)
        return _gather(private, silo.astype(np.int64))
    if options.num_silos > len(private):
        raise UserError(
            f"partition.num-silos is {options.num_silos}, but there are only {len(private)} private users; lower "
            f"it to at most {len(private)}"
        )
    rng = stream(seed, "silos")
    if options.clients == "silos":
        return _gather(private, _by_size(len(private), options, rng))
    return _gather(private, _by_taste(fold.train.take(private), options, rng))


def _gather(users: Users, silo: Users) -> Ragged:
    """Return one row of users per silo."""
    return Ragged(users[np.argsort(silo, kind="stable")], offsets(np.bincount(silo)))


def _by_size(count: int, options: PartitionOptions, rng: np.random.Generator) -> Users:
    """Return a random user's silo, shape [count]; sizes are proportional to rank to the power of minus the skew.

    Everyone has one user; the rest is apportioned by largest remainders, so that without skew sizes differ by one.
    """
    share = np.arange(1, options.num_silos + 1, dtype=np.float64) ** -options.size_skew
    ideal = share / share.sum() * count
    sizes = np.maximum(np.floor(ideal).astype(np.int64), 1)
    while (missing := count - int(sizes.sum())) != 0:
        gap = ideal - sizes
        if missing > 0:
            sizes[np.argsort(-gap, kind="stable")[:missing]] += 1
        else:
            gap[sizes == 1] = np.inf
            sizes[np.argmin(gap)] -= 1
    return np.asarray(rng.permutation(np.repeat(np.arange(options.num_silos), sizes)))


def _by_taste(private: Interactions, options: PartitionOptions, rng: np.random.Generator) -> Users:
    """Return a silo for every user: each group of like-minded users is spread by its own Dirichlet draw.

    Hsu, Qi and Brown (2019, arXiv 1909.06335) spread the classes of labelled images likewise.
    """
    taste = _tastes(private, rng)
    share = rng.dirichlet(np.full(options.num_silos, options.concentration), int(taste.max()) + 1)
    drawn = (share.cumsum(axis=1)[taste] < rng.random(len(taste))[:, None]).sum(axis=1)
    return _none_empty(np.minimum(drawn, options.num_silos - 1), options.num_silos)


def _tastes(private: Interactions, rng: np.random.Generator) -> Users:
    """Return a group of like-minded users for each: k-means on the leading directions of their unit-length rows."""
    from scipy.cluster.vq import kmeans2  # loaded for this deal alone

    matrix = private.matrix(np.float64)
    rank = min(TASTES, min(matrix.shape) - 1)
    if rank < 1:
        return np.zeros(matrix.shape[0], np.int64)
    unit = matrix.multiply(1 / np.sqrt(np.maximum(private.histories.lengths, 1))[:, None]).tocsr()
    directions, scale, _ = svds(unit, rank, v0=np.ones(min(matrix.shape)))
    place = directions * scale
    _, taste = kmeans2(place, _spread(place, min(TASTES, len(place)), rng), iter=20, minit="matrix")
    return np.unique(taste, return_inverse=True)[1].astype(np.int64)


def _spread(points: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return starting centres, each drawn far from those before it (k-means++, Arthur and Vassilvitskii 2007)."""
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        if distance.max() < 1e-12:
            break
        chosen.append(int(rng.choice(len(points), p=distance / distance.sum())))
    return points[chosen]


def _none_empty(silo: Users, num_silos: int) -> Users:
    """Move users of the largest silos, never the first user of any, into those that nobody drew."""
    sizes = np.bincount(silo, minlength=num_silos)
    empty = np.flatnonzero(sizes == 0)
    spare = np.setdiff1d(np.arange(len(silo)), np.unique(silo, return_index=True)[1])
    moved = spare[np.argsort(-sizes[silo[spare]], kind="stable")[: len(empty)]]
    silo[moved] = empty
    return silo.astype(np.int64)
